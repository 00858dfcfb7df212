import {
  type CheckAnswer,
  type CheckRequest,
  type Handles,
  isVerdict,
  MAX_CHECK_BATCH,
  type ReportRequest,
} from '@countersign/protocol';
import type { Breaker } from './breaker.ts';
import type { AuthorityConnection } from './connection.ts';
import type { Discovery } from './discovery.ts';
import { AuthorityError } from './errors.ts';
import { isCount, isObject } from './json.ts';
import { afterMs, atEndOfTurn, type VerifierClock } from './world.ts';

const CHECKING = 'Checking tokens with the authority';

type Question = CheckRequest['tokens'][number];

/** What the record says of one token. */
export type RecordAnswer =
  | { kind: 'live'; expiresInMs: number; handles: Handles }
  | { kind: Exclude<CheckAnswer['verdict'], 'live'> };

interface Waiting {
  question: Question;
  /** Monotonic milliseconds. */
  sinceMs: number;
  resolve(answer: RecordReading): void;
  reject(error: unknown): void;
}

/** An answer, and the epoch of the store it came from. */
export interface RecordReading {
  epoch: number;
  record: RecordAnswer;
}

/** Calls under way at once. While so many run, questions gather: fewer and larger batches, where the authority is slow. */
const MAX_CALLS_IN_FLIGHT = 8;

/** Questions that wait for a call. Past it the authority is far behind; refusing at once beats answering too late. */
const MAX_WAITING = 10_000;

/** A timer of the event loop may fire a millisecond early; the pause keeps that from turning in circles. */
const MIN_TIMER_PAUSE_MS = 5;

/**
 * Asks the authority for records and hands it evidence. Questions of one turn of the event loop travel together, up to
 * `MAX_CHECK_BATCH`; each is still asked after its own token arrived, so batching never shows an older truth.
 *
 * A question waits for its call no longer than a call may take. Where the authority is slow the rest fails closed: asked late, a
 * question would only make the authority slower, for requests that have given up.
 */
export class AuthorityClient {
  readonly #discovery: Discovery;
  readonly #connection: AuthorityConnection;
  readonly #breaker: Breaker;
  readonly #clock: VerifierClock;
  readonly #timeoutMs: number;
  /** The one that came first stands first. */
  #waiting: Waiting[] = [];
  #isScheduled = false;
  #isExpirySet = false;
  #callsInFlight = 0;

  /** `timeoutMs`: how long a question waits for its call at most. */
  constructor(parts: {
    discovery: Discovery;
    connection: AuthorityConnection;
    breaker: Breaker;
    clock: VerifierClock;
    timeoutMs: number;
  }) {
    this.#clock = parts.clock;
    this.#timeoutMs = parts.timeoutMs;
    this.#discovery = parts.discovery;
    this.#connection = parts.connection;
    this.#breaker = parts.breaker;
  }

  /** @throws AuthorityError where no believable answer came in time. */
  check(question: Question): Promise<RecordReading> {
    const refusal = this.#crowded() ?? this.#breaker.standingRefusal;
    if (refusal) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ question, sinceMs: this.#clock.monotonicMs(), resolve, reject });
      this.#schedule();
    });
  }

  /** Hands over a token as evidence. The authority verifies it itself; its answer says nothing. @throws AuthorityError */
  async report(body: ReportRequest): Promise<void> {
    const { countersign_report_endpoint: url } = await this.#discovery.metadata();
    await this.#connection.call({ url, doing: 'Reporting a token to the authority', body });
  }

  #crowded(): AuthorityError | undefined {
    if (this.#waiting.length < MAX_WAITING) return undefined;
    return new AuthorityError(
      'authority_unreachable',
      `${CHECKING}: too many checks wait for it. It is slow, or away.`,
    );
  }

  #schedule(): void {
    if (this.#callsInFlight >= MAX_CALLS_IN_FLIGHT) this.#setExpiry();
    else if (!this.#isScheduled) {
      this.#isScheduled = true;
      atEndOfTurn(() => this.#flush());
    }
  }

  #flush(): void {
    this.#isScheduled = false;
    this.#expire();
    while (this.#waiting.length > 0 && this.#callsInFlight < MAX_CALLS_IN_FLIGHT) {
      // Asked again: since these began to wait, others may have found out that the authority is away.
      const refusal = this.#breaker.refusal();
      if (refusal) for (const { reject } of this.#waiting.splice(0)) reject(refusal);
      else void this.#ask(this.#waiting.splice(0, MAX_CHECK_BATCH));
    }
    this.#setExpiry();
  }

  /** Lets those go who have waited as long as a call may take. */
  #expire(): void {
    const nowMs = this.#clock.monotonicMs();
    const over = this.#waiting.findIndex(({ sinceMs }) => nowMs - sinceMs < this.#timeoutMs);
    for (const { reject } of this.#waiting.splice(0, over < 0 ? this.#waiting.length : over)) reject(tooSlow());
  }

  #setExpiry(): void {
    const [first] = this.#waiting;
    if (!first || this.#isExpirySet) return;
    this.#isExpirySet = true;
    const pauseMs = first.sinceMs + this.#timeoutMs - this.#clock.monotonicMs();
    afterMs(Math.max(pauseMs, MIN_TIMER_PAUSE_MS), () => {
      this.#isExpirySet = false;
      this.#expire();
      this.#setExpiry();
    });
  }

  /** Never rejects: whatever goes wrong goes to those who wait. */
  async #ask(batch: readonly Waiting[]): Promise<void> {
    this.#callsInFlight++;
    try {
      const { countersign_check_endpoint: url } = await this.#discovery.metadata();
      const body: CheckRequest = { tokens: batch.map(({ question }) => question) };
      const { epoch, answers } = parseCheckResponse(await this.#connection.call({ url, doing: CHECKING, body }), body);
      this.#breaker.succeeded();
      for (const [index, record] of answers.entries()) batch[index]?.resolve({ epoch, record });
    } catch (error) {
      this.#breaker.failed(error);
      for (const { reject } of batch) reject(error);
    } finally {
      this.#callsInFlight--;
      if (this.#waiting.length > 0) this.#schedule();
    }
  }
}

/**
 * Reads an answer to a check. It must hold as many answers as there were questions, each for the token asked at its place: an
 * answer in a wrong place would accept one token on the record of another.
 */
export function parseCheckResponse(answer: unknown, request: CheckRequest): { epoch: number; answers: RecordAnswer[] } {
  if (!isObject(answer) || !isCount(answer.epoch)) throw invalid('it has no epoch');
  const list: unknown = answer.answers;
  if (!Array.isArray(list) || list.length !== request.tokens.length) {
    throw invalid('it does not hold one answer for each token asked');
  }
  const answers = request.tokens.map(({ jti }, index) => {
    const entry: unknown = list[index];
    if (!isObject(entry) || entry.jti !== jti) throw invalid('an answer is for another token than the one asked');
    return parseAnswer(entry);
  });
  return { epoch: answer.epoch, answers };
}

function parseAnswer(entry: Record<string, unknown>): RecordAnswer {
  const { verdict, expires_in_ms: expiresInMs, handles } = entry;
  if (!isVerdict(verdict)) throw invalid('a verdict is none of those there are');
  if (verdict !== 'live') return { kind: verdict };
  if (typeof expiresInMs !== 'number' || !Number.isSafeInteger(expiresInMs)) {
    throw invalid('a live token comes without its remaining life');
  }
  // Its last millisecond may pass between the authority's verdict and its subtraction.
  if (expiresInMs <= 0) return { kind: 'expired' };
  return { kind: 'live', expiresInMs, handles: parseHandles(handles) };
}

function parseHandles(value: unknown): Handles {
  if (!isObject(value)) throw invalid('a live token has no handles');
  const { token, client, key, grant, user } = value;
  if (typeof token !== 'string' || typeof client !== 'string' || typeof key !== 'string') {
    throw invalid('a live token lacks one of the handles token, client and key');
  }
  // A handle left out for its form would be a group whose end is never heard of.
  if (!isTextOrAbsent(grant) || !isTextOrAbsent(user)) throw invalid('a handle of a live token is not text');
  const handles: Handles = { token, client, key };
  if (grant !== undefined) handles.grant = grant;
  if (user !== undefined) handles.user = user;
  return handles;
}

function isTextOrAbsent(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string';
}

function tooSlow(): AuthorityError {
  return new AuthorityError(
    'authority_unreachable',
    `${CHECKING}: too many checks were waiting before this one. It is slow, or away.`,
  );
}

function invalid(what: string): AuthorityError {
  return new AuthorityError('authority_answer_invalid', `${CHECKING}: the answer is not one: ${what}.`);
}
