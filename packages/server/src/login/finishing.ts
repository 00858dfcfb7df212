import { timingSafeEqual } from 'node:crypto';
import type { Events } from '../events/events.ts';
import type { Keys } from '../keys/keys.ts';
import type { Limits, Taken } from '../limits/limits.ts';
import { AMR_EMAIL, type Sessions } from '../sessions/sessions.ts';
import { type Act, joinedActs, type Sql, type Store, type Transaction } from '../store/store.ts';
import type { Users } from '../users/users.ts';
import type { Clock } from '../world/clock.ts';
import { MAX_CODE_TRIES, readCode } from './code.ts';
import { type LinkState, linkState, type MagicLink, repeatedUse } from './link.ts';
import type { OwnLinks } from './own-links.ts';
import { browserName } from './requester.ts';
import { codeMessage, isStartingBrowser } from './sending.ts';
import * as table from './table.ts';
import type { LinkVerdicts } from './verdict.ts';

/** Who tries to finish a login, and in which browser. */
export interface FinishRequest {
  /** The secret of this browser's login cookie. */
  browser: string | undefined;
  /** The session that this browser has so far; it ends with the login. */
  sessionCookie: string | undefined;
  userAgent: string;
  network: string;
}

export type Finish =
  /** `sessionCookie` is the new session's secret; `returnTo` as the login was begun with. */
  | { kind: 'finished'; sessionCookie: string; returnTo: string; email: string }
  | { kind: Exclude<LinkState, 'open'> }
  /** Not a link of ours, or not one that this browser may use. */
  | { kind: 'invalid' }
  /** There is no account any more, it is disabled, or sign-up is off by now. */
  | { kind: 'no_account' }
  | { kind: 'wrong_code' }
  | { kind: 'too_many_codes' };

/** What lives as long as a session and ends with it, in the same commit. */
export interface SessionFollowers {
  /**
   * What follows from the end of a session, for the act that ends it: by logging out, or replaced by a new login in the same browser.
   * `byUserId` is the user of the session that replaced it; where it is the same user, what followed the old session may follow the
   * new one. It is decided by what `sql` shows, and refused where that has changed.
   */
  sessionEnding(sql: Sql, ended: SessionEnd): Promise<Act>;
}

export type SessionEnd =
  | { kind: 'logout'; sessionId: string; userId: string }
  | { kind: 'replaced'; sessionId: string; userId: string; bySessionId: string; byUserId: string };

export interface FinishingParts {
  store: Store;
  clock: Clock;
  users: Pick<Users, 'byEmail' | 'creating' | 'askingInForce'>;
  sessions: Pick<Sessions, 'findIn' | 'inForce' | 'starting' | 'ending'>;
  keys: Pick<Keys, 'macWith'>;
  limits: Pick<Limits, 'take' | 'forget'>;
  events: Pick<Events, 'append' | 'appending' | 'record'>;
  verdicts: LinkVerdicts;
  links: OwnLinks;
  followers: SessionFollowers;
  signUp: boolean;
}

/**
 * A race lost once shows what won it: the link was used, the account made, the browser's session ended. Three tries leave room for
 * all of them, and end in a refusal.
 */
const MAX_TRIES = 3;

/** By the link, in the browser that started: verdict, browser, then one act that asks everything again. */
export async function finishByLink(parts: FinishingParts, token: string, request: FinishRequest): Promise<Finish> {
  const { store, clock, links } = parts;
  const verdict = await parts.verdicts.of(token, request.network);
  if (verdict.kind !== 'known') return { kind: verdict.kind };
  const { keyId } = verdict;
  if (!isStartingBrowser(verdict.link, request.browser)) return { kind: 'invalid' };
  let link: MagicLink | undefined = verdict.link;
  for (let tried = 0; tried < MAX_TRIES; tried++) {
    if (!link) return { kind: 'invalid' };
    const state = linkState(link, clock.now());
    if (state === 'used') await noteRepeat(parts, { link, keyId, request });
    if (state !== 'open') return { kind: state };
    if (!link.canFinish || !link.mailed) return { kind: 'invalid' };
    const { act, finish } = await finishing(parts, store.read, { link, request });
    if ((await store.commit(act)).kind === 'done') return afterwards(parts, finish, link.email);
    link = await links.byId(store.read, link.id);
  }
  return { kind: 'invalid' };
}

/**
 * By the code, typed in the browser that started. `linkId` is the login that the page belongs to; the code is compared with the
 * newest link that was sent for its address and this browser, so an older tab takes the newest code too. Each try is counted
 * before it is compared, in the same commit.
 */
export async function finishByCode(
  parts: FinishingParts,
  typed: { linkId: string; code: string },
  request: FinishRequest,
): Promise<Finish> {
  const started = await parts.links.byId(parts.store.read, typed.linkId);
  if (!started || !isStartingBrowser(started, request.browser)) return { kind: 'invalid' };
  const code = readCode(typed.code);
  if (code === undefined) return { kind: 'wrong_code' }; // of another length: a slip, no guess
  // Once, however often the transaction is begun again.
  let taken: Taken | undefined;
  const finish = await parts.store.write(async (tx): Promise<Finish> => {
    const link = await newestOf(parts, tx, { started, nowMs: parts.clock.now() });
    const state = linkState(link, parts.clock.now());
    if (state !== 'open') return { kind: state };
    if (!(await table.countTry(tx, { id: link.id, maxTries: MAX_CODE_TRIES }))) return { kind: 'too_many_codes' };
    // Wrong codes in a row over all links of the address. Whoever drives this up takes only the code away: the link still works.
    // Only what is compared counts, so that it takes many mails to get there and not many requests.
    taken ??= parts.limits.take('codePerAddress', link.email);
    if (taken.kind === 'limited') return { kind: 'too_many_codes' };
    if (codeFits(parts, link, code) && link.canFinish && link.mailed) {
      const { act, finish } = await finishing(parts, tx, { link, request });
      return (await tx.do(act)).kind === 'done' ? finish : { kind: 'invalid' };
    }
    await parts.events.append(tx, {
      type: 'login.code_wrong',
      userId: link.userId,
      clientId: link.clientId,
      tokenId: link.id,
      address: request.network,
    });
    return { kind: 'wrong_code' };
  });
  return afterwards(parts, finish, started.email);
}

/** Ends the session of this cookie and what follows it. False when it was not in force. */
export async function logOutIn(
  parts: Pick<FinishingParts, 'sessions' | 'followers'>,
  tx: Transaction,
  sessionCookie: string | undefined,
): Promise<boolean> {
  const session = await parts.sessions.findIn(tx, sessionCookie);
  return session !== undefined && endSessionIn(parts, tx, session);
}

/** Ends a session, in whatever browser it is, and what follows it. False when it was not in force. */
export async function endSessionIn(
  parts: Pick<FinishingParts, 'sessions' | 'followers'>,
  tx: Transaction,
  session: { id: string; userId: string },
): Promise<boolean> {
  const followers = await parts.followers.sessionEnding(tx, {
    kind: 'logout',
    sessionId: session.id,
    userId: session.userId,
  });
  return (await tx.do(joinedActs(parts.sessions.ending(session), followers))).kind === 'done';
}

/** The single use, the account and the new session, all or nothing. Decided by what `sql` shows, and refused where that has changed. */
async function finishing(
  parts: FinishingParts,
  sql: Sql,
  given: { link: MagicLink; request: FinishRequest },
): Promise<{ act: Act; finish: Finish }> {
  const { link, request } = given;
  const used = table.markingUsed({ id: link.id, atMs: parts.clock.now(), network: request.network });
  const account = await accountOf(parts, sql, link);
  if (!account) return { act: { steps: [used] }, finish: { kind: 'no_account' } };
  const { userId } = account;
  const previous = await parts.sessions.findIn(sql, request.sessionCookie);
  const begun = parts.sessions.starting({
    userId,
    amr: [AMR_EMAIL],
    userAgent: browserName(request.userAgent),
    network: request.network,
  });
  const replaced = previous && {
    kind: 'replaced' as const,
    ...{ sessionId: previous.id, userId: previous.userId, bySessionId: begun.session.id, byUserId: userId },
  };
  const event = parts.events.appending({
    type: 'login.link_used',
    userId,
    clientId: link.clientId,
    tokenId: link.id,
    address: request.network,
    detail: { session_id: begun.session.id },
  });
  return {
    act: joinedActs(
      { steps: [used] },
      account.act,
      begun.act,
      ...(previous ? [parts.sessions.ending(previous)] : []),
      ...(replaced ? [await parts.followers.sessionEnding(sql, replaced)] : []),
      event,
    ),
    finish: { kind: 'finished', sessionCookie: begun.cookie, returnTo: link.returnTo, email: link.email },
  };
}

/**
 * The account that this link logs in to, made now if it is the first time; undefined if it may not log in. `act` makes it, or asks
 * whether it is still in force.
 */
async function accountOf(
  parts: FinishingParts,
  sql: Sql,
  link: MagicLink,
): Promise<{ userId: string; act: Act } | undefined> {
  const user = await parts.users.byEmail(link.email, sql);
  if (!user) {
    // The mailbox was proved, so a first login may make the account; nobody can have made it before for somebody else.
    if (!parts.signUp || link.userId !== undefined) return undefined;
    const { user: created, act } = parts.users.creating(link.email);
    return { userId: created.id, act };
  }
  if (link.userId !== undefined && link.userId !== user.id) return undefined;
  // A link from before the disabling stays dead after enabling (SE-05).
  if (user.disabledAtMs !== undefined || link.createdAtMs <= user.deadBeforeMs) return undefined;
  return { userId: user.id, act: { steps: [parts.users.askingInForce(user.id, link.createdAtMs)] } };
}

async function newestOf(
  { links }: Pick<FinishingParts, 'links'>,
  sql: Sql,
  given: { started: MagicLink; nowMs: number },
): Promise<MagicLink> {
  const { started, nowMs } = given;
  const open = await links.openOfAddress(sql, { email: started.email, nowMs });
  const ofThisBrowser = open.find((link) => timingSafeEqual(link.browserDigest, started.browserDigest));
  return ofThisBrowser ?? (await links.byId(sql, started.id)) ?? started;
}

function codeFits(parts: FinishingParts, link: MagicLink, code: string): boolean {
  const mac = parts.keys.macWith(link.codeKeyId, codeMessage(link.id, code));
  return mac !== undefined && mac.length === link.codeMac.length && timingSafeEqual(mac, link.codeMac);
}

async function noteRepeat(
  parts: FinishingParts,
  given: { link: MagicLink; keyId: string; request: FinishRequest },
): Promise<void> {
  const { link, keyId, request } = given;
  const used = { usedAtMs: link.usedAtMs ?? 0, network: link.network };
  const meaning = repeatedUse(used, { atMs: parts.clock.now(), network: request.network });
  await parts.events.record({
    type: meaning === 'replayed' ? 'alarm.replayed' : 'login.link_repeated',
    keyId,
    userId: link.userId,
    clientId: link.clientId,
    tokenId: link.id,
    address: request.network,
    detail: { kind: 'magic-link' },
  });
}

/** A login ends the row of wrong codes, and shows that the mails reach the person who asks for them. */
function afterwards(parts: FinishingParts, finish: Finish, email: string): Finish {
  if (finish.kind === 'finished') {
    parts.limits.forget('codePerAddress', email);
    parts.limits.forget('loginPerAddress', email);
  }
  return finish;
}
