import { createHash, timingSafeEqual } from 'node:crypto';
import { createId, TOKEN_TYPES } from '@countersign/protocol';
import type { Buckets } from '../buckets/buckets.ts';
import type { Events } from '../events/events.ts';
import type { Keys } from '../keys/keys.ts';
import type { Limits } from '../limits/limits.ts';
import type { Mail } from '../mail/mail.ts';
import type { Store, Transaction } from '../store/store.ts';
import type { User, Users } from '../users/users.ts';
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';
import { makeCode } from './code.ts';
import type { KnownBrowsers } from './known-browsers.ts';
import { linkExpiresAtMs, MAX_OPEN_LINKS, type MagicLink } from './link.ts';
import { loginMail, type MailContent, noLoginMail } from './mails.ts';
import type { OwnLinks } from './own-links.ts';
import { browserName, placeName } from './requester.ts';
import * as table from './table.ts';

/** A login that somebody begins. `email` as `emailAddress` returned it. */
export interface StartRequest {
  email: string;
  /** The secret of the starting browser's cookie. */
  browser: string;
  /** What this browser keeps of its earlier logins: the cookie of `KnownBrowsers`. */
  known: string | undefined;
  /** '' or the sealed authorization request that the login is for. */
  returnTo: string;
  /** The client of that request; undefined for a login to the account page. */
  client: { id: string; name: string } | undefined;
  /** As the browser named itself. */
  userAgent: string;
  network: string;
}

export interface SendingParts {
  store: Store;
  clock: Clock;
  random: Random;
  users: Pick<Users, 'byEmail'>;
  mail: Pick<Mail, 'enqueue' | 'pretend'>;
  keys: Pick<Keys, 'sign' | 'mac'>;
  buckets: Pick<Buckets, 'mint' | 'record'>;
  limits: Pick<Limits, 'take'>;
  events: Pick<Events, 'append'>;
  links: OwnLinks;
  knownBrowsers: KnownBrowsers;
  issuer: string;
  organizationName: string;
  signUp: boolean;
}

/** The stored form of a browser's cookie. */
export function browserDigest(browser: string): Uint8Array {
  return createHash('sha256').update(browser).digest();
}

export function isStartingBrowser(link: Pick<MagicLink, 'browserDigest'>, browser: string | undefined): boolean {
  return browser !== undefined && timingSafeEqual(browserDigest(browser), link.browserDigest);
}

/**
 * Makes link, code and mail for an address, and writes them in one transaction.
 *
 * Whether the address is known, unknown, disabled or throttled, the work is the same: one read, one signature, one mail made
 * and sealed, one commit with the same rows. Only the mail's text differs, or that there is none (ML-08).
 *
 * @returns the id of the login for the page that follows; it tells nothing about the address
 */
export async function sendLink(parts: SendingParts, request: StartRequest): Promise<string> {
  const nowMs = parts.clock.now();
  const isKnown = parts.knownBrowsers.knows(request.known, request.email);
  const limit = isKnown ? 'loginPerKnownBrowser' : 'loginPerAddress';
  const withinLimit = parts.limits.take(limit, request.email).kind === 'ok';
  const user = await parts.users.byEmail(request.email);
  const { link, mail } = await prepare(parts, { request, user, nowMs });
  await parts.store.write(async (tx) => {
    const mailed = withinLimit && (await makeRoom(parts, tx, { link, isKnown }));
    await parts.links.insert(tx, { ...link, mailed });
    // It goes to the stored address, not to the typed one (ML-13).
    const queued = { to: user?.email ?? request.email, giveUpAtMs: link.expiresAtMs, ...mail };
    if (mailed) await parts.mail.enqueue(tx, queued);
    else await parts.mail.pretend(tx, queued);
    await parts.events.append(tx, {
      type: mailed ? 'login.link_sent' : 'login.link_withheld',
      userId: user?.id,
      clientId: link.clientId,
      tokenId: link.id,
      address: request.network,
    });
  });
  return link.id;
}

/**
 * The newest link wins, per address and starting browser. Links that other browsers wait for stay good, so that a stranger who
 * asks for somebody's address takes nothing from him (ML-09); they only count towards the most that are open at a time. A
 * browser that has logged in with this address before does not wait behind them.
 */
async function makeRoom(
  { links }: Pick<SendingParts, 'links'>,
  tx: Transaction,
  { link, isKnown }: { link: MagicLink; isKnown: boolean },
): Promise<boolean> {
  const open = await links.openOfAddress(tx, { email: link.email, nowMs: link.createdAtMs });
  const ofThisBrowser = open.filter((other) => timingSafeEqual(other.browserDigest, link.browserDigest));
  if (!isKnown && open.length - ofThisBrowser.length >= MAX_OPEN_LINKS) return false;
  for (const { id } of ofThisBrowser) await table.markSuperseded(tx, { id, atMs: link.createdAtMs });
  return true;
}

async function prepare(
  parts: SendingParts,
  given: { request: StartRequest; user: User | undefined; nowMs: number },
): Promise<{ link: MagicLink; mail: MailContent }> {
  const { request, user, nowMs } = given;
  const id = createId('maglnk', nowMs, parts.random.bytes(8));
  const expiresAtMs = linkExpiresAtMs(nowMs);
  const claims = { iss: parts.issuer, jti: id, eb: parts.buckets.mint('magic-link', id), exp: expiresAtMs / 1000 };
  const { token } = await parts.keys.sign({ purpose: 'magic-link', typ: TOKEN_TYPES.magicLink, claims });
  const { version, record } = parts.buckets.record(id, token.slice(0, token.lastIndexOf('.')));
  const code = makeCode(parts.random);
  const { keyId, mac } = parts.keys.mac('login-code', codeMessage(id, code));
  const facts = {
    app: request.client?.name ?? parts.organizationName,
    organizationName: parts.organizationName,
    browser: browserName(request.userAgent),
    place: placeName(request.network),
    requestedAtMs: nowMs,
  };
  const canFinish = user ? user.disabledAtMs === undefined : parts.signUp;
  const mail = canFinish
    ? await loginMail({ ...facts, link: `${parts.issuer}/login/link?token=${token}`, code, expiresAtMs })
    : await noLoginMail({ ...facts, reason: user ? 'disabled' : 'no_account' });
  const link: MagicLink = {
    id,
    email: request.email,
    userId: user?.id,
    canFinish,
    mailed: false,
    browserDigest: browserDigest(request.browser),
    bucketVersion: version,
    record,
    codeKeyId: keyId,
    codeMac: mac,
    codeTries: 0,
    returnTo: request.returnTo,
    clientId: request.client?.id,
    userAgent: facts.browser,
    network: request.network,
    createdAtMs: nowMs,
    expiresAtMs,
    usedAtMs: undefined,
    supersededAtMs: undefined,
  };
  return { link, mail };
}

/** What the MAC of a code covers: the code of one link is no code of another. */
export function codeMessage(linkId: string, code: string): string {
  return `${linkId}:${code}`;
}
