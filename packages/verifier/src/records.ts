import { hash } from 'node:crypto';
import type { AuthorityClient, RecordAnswer } from './authority-client.ts';
import type { Coherence, DeadVerdict, Moment } from './coherence/coherence.ts';
import { AuthorityError } from './errors.ts';
import type { KnownToken, KnownTokens } from './known-token.ts';
import type { VerifiedClaims } from './results.ts';
import type { StreamDriver } from './stream/stream.ts';

/** A check that revocations overtook says nothing; one that is overtaken three times in a row meets a storm. */
const MAX_ATTEMPTS = 3;

/** What the record says of a token, for the request that asks. */
export type Recorded = { kind: 'live'; known: KnownToken } | { kind: DeadVerdict };

/** A token whose signature and claims were found good. `key`: SHA-256 of all of it, a character for each byte. */
export interface Asked {
  key: string;
  token: string;
  claims: VerifiedClaims;
}

/** Asks for records by way of the coherence core, which says what an answer is worth and remembers it. */
export class Records {
  readonly #authority: AuthorityClient;
  readonly #core: Coherence<KnownToken>;
  readonly #stream: StreamDriver;
  readonly #tokens: KnownTokens;
  readonly #now: () => Moment;
  readonly #foundDead: (asked: Asked, verdict: DeadVerdict) => void;
  /** Checks under way by token. Bounded by the requests being served. */
  readonly #flights = new Map<string, Promise<Recorded>>();

  /** `foundDead` hears of each dead verdict once a check, however many requests wait for it. */
  constructor(parts: {
    authority: AuthorityClient;
    core: Coherence<KnownToken>;
    stream: StreamDriver;
    tokens: KnownTokens;
    now: () => Moment;
    foundDead?: (asked: Asked, verdict: DeadVerdict) => void;
  }) {
    this.#authority = parts.authority;
    this.#core = parts.core;
    this.#stream = parts.stream;
    this.#tokens = parts.tokens;
    this.#now = parts.now;
    this.#foundDead = parts.foundDead ?? (() => undefined);
  }

  /** Joins a check of this token that is under way, or begins one. @throws AuthorityError */
  askTogether(asked: Asked): Promise<Recorded> {
    const running = this.#flights.get(asked.key);
    if (running) return running;
    const flight = this.ask(asked).finally(() => this.#flights.delete(asked.key));
    this.#flights.set(asked.key, flight);
    return flight;
  }

  /** Asks now, whatever is under way: the read begins after this call. @throws AuthorityError */
  async ask(asked: Asked): Promise<Recorded> {
    const { key, token, claims } = asked;
    const question = { jti: claims.jti, digest: hash('sha256', signingInputOf(token), 'base64url') };
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const flight = this.#core.begin(this.#now());
      const { epoch, record } = await this.#authority.check(question);
      const now = this.#now();
      const answer = record.kind === 'live' ? this.#live(claims, record, flight.sentAt) : record;
      const { decision, actions } = this.#core.answered(
        flight,
        { key, epoch, tokenLength: token.length, expiresAtSeconds: claims.exp, record: answer },
        now,
      );
      if (actions.length > 0) this.#stream.perform(actions);
      if (decision.kind === 'went_back') throw wentBack();
      if (decision.kind === 'too_old') throw tooOld();
      if (decision.kind === 'again') continue;
      if (decision.kind !== 'live') return this.#dead(asked, decision.kind);
      if (answer.kind === 'live') return { kind: 'live', known: answer.value };
    }
    throw new AuthorityError(
      'check_contended',
      `Checking a token: its answer was overtaken by revocations ${MAX_ATTEMPTS} times. Ask again.`,
    );
  }

  #dead(asked: Asked, kind: DeadVerdict): Recorded {
    this.#foundDead(asked, kind);
    return { kind };
  }

  /** Counted from sending, as the entry is: the authority read its clock later than that. */
  #live(claims: VerifiedClaims, record: Extract<RecordAnswer, { kind: 'live' }>, sentAt: Moment) {
    const { kind, expiresInMs } = record;
    const handles = this.#tokens.sharedHandles(record.handles);
    const expiresAtMs = Math.floor(sentAt.wallMs + expiresInMs);
    const value = this.#tokens.known({ kind: 'accepted', basis: 'record', claims, handles, expiresAtMs });
    return { kind, expiresInMs, handles, value };
  }
}

function tooOld(): AuthorityError {
  return new AuthorityError(
    'authority_unreachable',
    'Checking a token: the answer was under way for longer than `maxStalenessMs` allows. The authority is slow, or this machine slept.',
  );
}

/** The error of a verifier that was shown an older copy of the store. */
export function wentBack(): AuthorityError {
  return new AuthorityError(
    'authority_epoch_went_back',
    'Checking tokens with the authority: its store is older than one it answered from before. Finish the restore as documented; nothing is accepted until then.',
  );
}

function signingInputOf(token: string): string {
  return token.slice(0, token.lastIndexOf('.'));
}
