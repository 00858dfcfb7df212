import { timingSafeEqual } from 'node:crypto';
import type { Events } from '../events/events.ts';
import type { Keys } from '../keys/keys.ts';
import type { Limits } from '../limits/limits.ts';
import { AMR_EMAIL, type Sessions } from '../sessions/sessions.ts';
import type { Sql, Store, Transaction } from '../store/store.ts';
import type { User, Users } from '../users/users.ts';
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
   * A session ended: by logging out, or replaced by a new login in the same browser. `byUserId` is the user of the session that
   * replaced it; where it is the same user, what followed the old session may follow the new one.
   */
  sessionEnded(tx: Transaction, ended: SessionEnd): Promise<void>;
}

export type SessionEnd =
  | { kind: 'logout'; sessionId: string; userId: string }
  | { kind: 'replaced'; sessionId: string; userId: string; bySessionId: string; byUserId: string };

export interface FinishingParts {
  store: Store;
  clock: Clock;
  users: Pick<Users, 'byEmail' | 'create'>;
  sessions: Pick<Sessions, 'findIn' | 'inForce' | 'start' | 'end'>;
  keys: Pick<Keys, 'macWith'>;
  limits: Pick<Limits, 'take' | 'forget'>;
  events: Pick<Events, 'append'>;
  verdicts: LinkVerdicts;
  links: OwnLinks;
  followers: SessionFollowers;
  signUp: boolean;
}

/** By the link, in the browser that started: verdict, browser, then one transaction that decides everything again. */
export async function finishByLink(parts: FinishingParts, token: string, request: FinishRequest): Promise<Finish> {
  const verdict = await parts.verdicts.of(token, request.network);
  if (verdict.kind !== 'known') return { kind: verdict.kind };
  const { link, keyId } = verdict;
  if (!isStartingBrowser(link, request.browser)) return { kind: 'invalid' };
  const finish = await parts.store.write(async (tx) => {
    const current = await parts.links.byId(tx, link.id);
    if (!current) return { kind: 'invalid' } as const;
    const state = linkState(current, parts.clock.now());
    if (state === 'open') return finishIn(parts, tx, { link: current, request });
    if (state === 'used') await noteRepeat(parts, tx, { link: current, keyId, request });
    return { kind: state };
  });
  return afterwards(parts, finish, link.email);
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
  const finish = await parts.store.write(async (tx): Promise<Finish> => {
    const link = await newestOf(parts, tx, { started, nowMs: parts.clock.now() });
    const state = linkState(link, parts.clock.now());
    if (state !== 'open') return { kind: state };
    if (!(await table.countTry(tx, { id: link.id, maxTries: MAX_CODE_TRIES }))) return { kind: 'too_many_codes' };
    // Wrong codes in a row over all links of the address. Whoever drives this up takes only the code away: the link still works.
    // Only what is compared counts, so that it takes many mails to get there and not many requests.
    if (parts.limits.take('codePerAddress', link.email).kind === 'limited') return { kind: 'too_many_codes' };
    if (codeFits(parts, link, code) && link.canFinish && link.mailed) return finishIn(parts, tx, { link, request });
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
  if (!(await parts.sessions.end(tx, session))) return false;
  await parts.followers.sessionEnded(tx, { kind: 'logout', sessionId: session.id, userId: session.userId });
  return true;
}

/** The single use, the account and the new session, all or nothing. */
async function finishIn(
  parts: FinishingParts,
  tx: Transaction,
  given: { link: MagicLink; request: FinishRequest },
): Promise<Finish> {
  const { link, request } = given;
  const used = { id: link.id, atMs: parts.clock.now(), network: request.network };
  if (!(await table.markUsed(tx, used))) return { kind: 'invalid' };
  const user = await accountOf(parts, tx, link);
  if (!user) return { kind: 'no_account' };
  const previous = await parts.sessions.findIn(tx, request.sessionCookie);
  const { cookie, session } = await parts.sessions.start(tx, {
    userId: user.id,
    amr: [AMR_EMAIL],
    userAgent: browserName(request.userAgent),
    network: request.network,
  });
  if (previous && (await parts.sessions.end(tx, previous))) {
    await parts.followers.sessionEnded(tx, {
      kind: 'replaced',
      sessionId: previous.id,
      userId: previous.userId,
      bySessionId: session.id,
      byUserId: user.id,
    });
  }
  await parts.events.append(tx, {
    type: 'login.link_used',
    userId: user.id,
    clientId: link.clientId,
    tokenId: link.id,
    address: request.network,
    detail: { session_id: session.id },
  });
  return { kind: 'finished', sessionCookie: cookie, returnTo: link.returnTo, email: link.email };
}

/** The account that this link logs in to, made now if it is the first time; undefined if it may not log in. */
async function accountOf(parts: FinishingParts, tx: Transaction, link: MagicLink): Promise<User | undefined> {
  const user = await parts.users.byEmail(link.email, tx);
  // The mailbox was proved, so a first login may make the account; nobody can have made it before for somebody else.
  if (!user) return parts.signUp && link.userId === undefined ? parts.users.create(tx, link.email) : undefined;
  if (link.userId !== undefined && link.userId !== user.id) return undefined;
  // A link from before the disabling stays dead after enabling (SE-05).
  return user.disabledAtMs === undefined && link.createdAtMs > user.deadBeforeMs ? user : undefined;
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
  tx: Transaction,
  given: { link: MagicLink; keyId: string; request: FinishRequest },
): Promise<void> {
  const { link, keyId, request } = given;
  const used = { usedAtMs: link.usedAtMs ?? 0, network: link.network };
  const meaning = repeatedUse(used, { atMs: parts.clock.now(), network: request.network });
  await parts.events.append(tx, {
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
