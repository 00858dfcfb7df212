/**
 * Login by mail. Whoever can read the mail for an address, in the browser that asked for it, is the user of that address.
 *
 * Owns: links and codes, the mails that carry them, and the pages of login, logout and account. Leaves to others: accounts
 * (users), being logged in (sessions), how mails travel (mail), what the login was for (authorization, through a sealed text
 * that is carried and given back unread).
 *
 *     start ──► sent ──GET──► shown (spends nothing, however often, by whatever scanner)
 *                 ├──POST in the starting browser──► used ──► session
 *                 ├──code typed in the starting browser──► used ──► session
 *                 └──newer mail for the same address and browser──► superseded;   ten minutes──► expired
 *
 * Three proofs meet at the one use: the link's bytes (signature and record) or the code, the cookie of the browser that
 * started, and a form that this browser sent from our own page. A mail that is forwarded, scanned or stolen alone logs in
 * nobody; what a thief of the signing key makes has no record (buckets/).
 */
import { encodeBase64url } from '@countersign/protocol';
import type { Buckets } from '../buckets/buckets.ts';
import type { Events } from '../events/events.ts';
import type { Keys } from '../keys/keys.ts';
import type { Limits } from '../limits/limits.ts';
import type { Mail } from '../mail/mail.ts';
import type { Sealer } from '../sealing/sealing.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Store, Transaction, Writes } from '../store/store.ts';
import type { Users } from '../users/users.ts';
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';
import {
  endSessionIn,
  type Finish,
  type FinishingParts,
  type FinishRequest,
  finishByCode,
  finishByLink,
  logOutIn,
  type SessionFollowers,
} from './finishing.ts';
import { KnownBrowsers } from './known-browsers.ts';
import type { MagicLink } from './link.ts';
import { OwnLinks } from './own-links.ts';
import { isStartingBrowser, type SendingParts, type StartRequest, sendLink } from './sending.ts';
import * as table from './table.ts';
import { type LinkVerdict, LinkVerdicts } from './verdict.ts';

export type { Finish, FinishRequest, SessionEnd, SessionFollowers } from './finishing.ts';
export type { MagicLink } from './link.ts';
export type { StartRequest } from './sending.ts';
export type { LinkVerdict } from './verdict.ts';

/** Name of the starting browser's cookie, without its `__Host-` prefix. */
export const BROWSER_COOKIE = 'login';
/** Name of the cookie by which a browser is known that has logged in before. */
export const KNOWN_COOKIE = 'known';
/** Name of the cookie that holds a link's token between the mail and the button, so that it leaves the address bar (ML-11). */
export const LINK_COOKIE = 'link';

/** 256 bits. */
const BROWSER_BYTES = 32;
/** Links that are over stay for a day, so that their pages still say why. */
const KEPT_AFTER_END_MS = 86_400_000;
const SWEEP_BATCH = 500;

export interface LoginParts {
  store: Store;
  sealer: Sealer;
  clock: Clock;
  random: Random;
  users: Users;
  sessions: Sessions;
  mail: Mail;
  keys: Keys;
  buckets: Buckets;
  limits: Limits;
  events: Events;
  followers: SessionFollowers;
  issuer: string;
  organizationName: string;
  /** Whether a first login makes the account. */
  signUp: boolean;
}

export class Login {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #links: OwnLinks;
  readonly #knownBrowsers: KnownBrowsers;
  readonly #verdicts: LinkVerdicts;
  readonly #sending: SendingParts;
  readonly #finishing: FinishingParts;

  constructor(given: LoginParts) {
    this.#store = given.store;
    this.#clock = given.clock;
    this.#random = given.random;
    this.#links = new OwnLinks(given.buckets);
    this.#knownBrowsers = new KnownBrowsers(given.sealer);
    const parts = { ...given, links: this.#links, knownBrowsers: this.#knownBrowsers };
    this.#verdicts = new LinkVerdicts(parts);
    this.#sending = parts;
    this.#finishing = { ...parts, verdicts: this.#verdicts };
  }

  /** A secret for the cookie of a browser that may start a login. */
  newBrowser(): string {
    return encodeBase64url(this.#random.bytes(BROWSER_BYTES));
  }

  /** Sends the mail, or does as if. Returns the login's id (`maglnk_…`), which tells nothing about the address. */
  start(request: StartRequest): Promise<string> {
    return sendLink(this.#sending, request);
  }

  /** The cookie by which a browser is known after a login with this address. */
  rememberBrowser(known: string | undefined, email: string): string {
    return this.#knownBrowsers.remember(known, email);
  }

  /** The login with this id, for the browser that started it and no other. */
  async startedBy(browser: string | undefined, linkId: string): Promise<MagicLink | undefined> {
    const link = await this.#links.byId(this.#store.read, linkId);
    return link && isStartingBrowser(link, browser) ? link : undefined;
  }

  /** What this link is, in this browser. Consumes nothing. `address`: the network address of whoever presents it. */
  async inspect(
    token: string,
    presented: { browser: string | undefined; address: string },
  ): Promise<{ verdict: LinkVerdict; inStartingBrowser: boolean }> {
    const verdict = await this.#verdicts.of(token, presented.address);
    const inStartingBrowser = verdict.kind === 'known' && isStartingBrowser(verdict.link, presented.browser);
    return { verdict, inStartingBrowser };
  }

  /** By the link, in the browser that started it. Of any number of tries one finishes. */
  finishByLink(token: string, request: FinishRequest): Promise<Finish> {
    return finishByLink(this.#finishing, token, request);
  }

  /** By the code, typed in the browser that started it. Each try is counted before it is compared. */
  finishByCode(typed: { linkId: string; code: string }, request: FinishRequest): Promise<Finish> {
    return finishByCode(this.#finishing, typed, request);
  }

  /** Ends the session of this cookie and what follows it, in one commit. False when it was not in force. */
  logOut(sessionCookie: string | undefined): Promise<boolean> {
    return this.#store.write((tx) => logOutIn(this.#finishing, tx, sessionCookie));
  }

  /** Ends a session of this user, in whatever browser it is. False when it is not his or not in force. */
  endSession(sessionId: string, userId: string): Promise<boolean> {
    return this.#store.write(async (tx) => {
      const session = await this.#finishing.sessions.inForce(sessionId, tx);
      return session?.userId === userId && endSessionIn(this.#finishing, tx, session);
    });
  }

  /** Takes a link back that is still open; false when it was not. */
  revokeLink(tx: Transaction, linkId: string): Promise<boolean> {
    return table.markSuperseded(tx, { id: linkId, atMs: this.#clock.now() });
  }

  /** Takes every open link back: the store was restored, and with it links that had been used. */
  revokeAllLinks(tx: Transaction): Promise<number> {
    return table.supersedeAll(tx, this.#clock.now());
  }

  /** One step of removing links that are over. */
  async sweep(writes: Writes = this.#store): Promise<{ removed: number }> {
    const old = { beforeMs: this.#clock.now() - KEPT_AFTER_END_MS, limit: SWEEP_BATCH };
    const removed = await writes.write((tx) => table.removeOver(tx, old));
    return { removed };
  }
}
