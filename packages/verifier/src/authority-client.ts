import {
  type CheckAnswer,
  type CheckRequest,
  type Handles,
  isVerdict,
  MAX_CHECK_BATCH,
  type ReportRequest,
} from '@countersign/protocol';
import type { AuthorityConnection } from './connection.ts';
import type { Discovery } from './discovery.ts';
import { AuthorityError } from './errors.ts';
import { isObject } from './json.ts';
import { atEndOfTurn } from './world.ts';

const CHECKING = 'Checking tokens with the authority';

type Question = CheckRequest['tokens'][number];

/** What the record says of one token. */
export type RecordAnswer =
  | { kind: 'live'; expiresInMs: number; handles: Handles }
  | { kind: Exclude<CheckAnswer['verdict'], 'live'> };

interface Waiting {
  question: Question;
  resolve(answer: RecordAnswer): void;
  reject(error: unknown): void;
}

/**
 * Asks the authority for records and hands it evidence. Questions of one turn of the event loop travel together, up to
 * `MAX_CHECK_BATCH`; each is still asked after its own token arrived, so batching never shows an older truth. What waits is
 * bounded by the requests being served, each for one time limit at most.
 */
export class AuthorityClient {
  readonly #discovery: Discovery;
  readonly #connection: AuthorityConnection;
  #waiting: Waiting[] = [];
  /** The highest store epoch seen. It never falls, so a lower one is an old copy of the store, revocations missing. */
  #epoch = 0;

  constructor(parts: { discovery: Discovery; connection: AuthorityConnection }) {
    this.#discovery = parts.discovery;
    this.#connection = parts.connection;
  }

  /** @throws AuthorityError where no believable answer came in time. */
  check(question: Question): Promise<RecordAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) atEndOfTurn(() => this.#flush());
      this.#waiting.push({ question, resolve, reject });
    });
  }

  /** Hands over a token as evidence. The authority verifies it itself; its answer says nothing. @throws AuthorityError */
  async report(token: string): Promise<void> {
    const { countersign_report_endpoint: url } = await this.#discovery.metadata();
    const body: ReportRequest = { token };
    await this.#connection.call({ url, doing: 'Reporting a token to the authority', body });
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let start = 0; start < waiting.length; start += MAX_CHECK_BATCH) {
      void this.#ask(waiting.slice(start, start + MAX_CHECK_BATCH));
    }
  }

  async #ask(batch: readonly Waiting[]): Promise<void> {
    try {
      const { countersign_check_endpoint: url } = await this.#discovery.metadata();
      const body: CheckRequest = { tokens: batch.map(({ question }) => question) };
      const response = parseCheckResponse(await this.#connection.call({ url, doing: CHECKING, body }), body);
      this.#noteEpoch(response.epoch);
      for (const [index, answer] of response.answers.entries()) batch[index]?.resolve(answer);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  #noteEpoch(epoch: number): void {
    if (epoch < this.#epoch) {
      throw new AuthorityError(
        'authority_epoch_went_back',
        `${CHECKING}: its store is older than one it answered from before. Finish the restore as documented; nothing is accepted until then.`,
      );
    }
    this.#epoch = epoch;
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

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function invalid(what: string): AuthorityError {
  return new AuthorityError('authority_answer_invalid', `${CHECKING}: the answer is not one: ${what}.`);
}
