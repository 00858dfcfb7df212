/**
 * Verification of access tokens in a resource server: signature and record, two proofs that fail independently. Whoever
 * holds the signing key cannot make a record; whoever writes the authority's database cannot sign.
 *
 * Owns what a verifier is made of, the hit, and what each request is measured against: scope and step-up. Leaves the way of a token
 * that is no hit, and its binding, to `recognition.ts`, what may be believed again to `coherence/`, evidence to `evidence.ts`, what
 * callers are told to `errors.ts` and `challenge.ts`.
 *
 * Life: created at the program's start (nothing is sent), reads metadata and keys and opens its stream on first use or in
 * `ready()`, ends with `close()`.
 */
import { parseCompact, type Verdict } from '@countersign/protocol';
import { AuthorityClient } from './authority-client.ts';
import { Breaker } from './breaker.ts';
import { Coherence, type Moment, type StreamState } from './coherence/coherence.ts';
import { AuthorityConnection } from './connection.ts';
import { Discovery } from './discovery.ts';
import { AuthorityError, REFUSALS } from './errors.ts';
import { type EvidenceCounts, EvidenceReporter } from './evidence.ts';
import { KeyRing } from './keys.ts';
import { type KnownToken, KnownTokens } from './known-token.ts';
import { type Mode, readOptions, type VerifierOptions, type VerifierSettings } from './options.ts';
import { Recognition, type Refusal, refused } from './recognition.ts';
import { Records } from './records.ts';
import { type Asked, challengeOf, type Presentation, type Requirement, readAsked, unmet } from './requirement.ts';
import type { Accepted, Refused, Unavailable, VerifyResult } from './results.ts';
import { type Latency, Statistics, type VerifierCounts } from './statistics.ts';
import { StreamDriver } from './stream/stream.ts';
import { newNonce, random } from './world.ts';

export type { Presentation, Requirement } from './requirement.ts';

export interface Verifier {
  readonly issuer: string;
  readonly audience: string;
  /** What DPoP proofs must name; undefined where the options name none: then guards take none. */
  readonly origin: string | undefined;

  /**
   * Verifies an access token. Resolves to `accepted` only after good signature and claims, a record that is live (asked now, or
   * remembered under a valid lease; see `Mode`), the proof where the token is bound, and what is required. Never rejects for a
   * token, nor for an authority that is away: that is `unavailable`, and the request fails closed. Not verified: whether the
   * user may do what the request asks.
   *
   * @throws TypeError for requirements that no token can meet, or that say nothing: see `Requirement`.
   */
  verify(token: string | undefined, asked?: Requirement & Presentation): Promise<VerifyResult>;

  /**
   * Reads metadata and keys now, so that a wrong setting stops the start, and waits a moment for the stream: without one,
   * verification works and asks for each token. @throws AuthorityError
   */
  ready(): Promise<void>;

  /** Counters since creation and the state of the stream, for metrics. */
  status(): VerifierStatus;

  /** Ends the stream. From now on every verification is `unavailable`. Resolves when evidence under way has been handed over. */
  close(): Promise<void>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface VerifierStatus extends VerifierCounts {
  mode: Mode;
  stream: StreamState;
  /** Age of the lease: what was taken back longer ago is refused here. Undefined without a lease. */
  stalenessMs: number | undefined;
  maxStalenessMs: number;
  entries: number;
  maxEntries: number;
  /** Share of coherent verifications that asked nobody, from 0 to 1; undefined before the first. */
  hitRate: number | undefined;
  latency: Latency | undefined;
  evidence: EvidenceCounts;
}

/**
 * Makes a verifier. Sends nothing yet.
 *
 * @example
 * const verifier = createVerifier({
 *   issuer: 'https://login.example', audience: 'https://api.example',
 *   credentials: { clientId, clientSecret },
 * });
 * const result = await verifier.verify(token, { scopes: ['accounts:read'] });
 *
 * @throws TypeError for options that can never work.
 */
export function createVerifier(options: VerifierOptions): Verifier {
  return new CoherentVerifier(options);
}

/** How a verification ends, before it is counted and given its challenge. */
type Outcome = Accepted | Refusal;

const NOTHING_ASKED = readAsked({});

class CoherentVerifier implements Verifier {
  readonly issuer: string;
  readonly audience: string;
  readonly origin: string | undefined;
  readonly #settings: VerifierSettings;
  readonly #discovery: Discovery;
  readonly #keys: KeyRing;
  readonly #core: Coherence<KnownToken>;
  readonly #stream: StreamDriver;
  readonly #recognition: Recognition;
  readonly #evidence: EvidenceReporter;
  readonly #statistics = new Statistics();
  readonly #now: () => Moment;
  #isClosed = false;
  #isStreaming = false;

  constructor(options: VerifierOptions) {
    const settings = readOptions(options);
    const { issuer, audience, clock, fetch, credentials, timeoutMs, maxStalenessMs, maxEntries } = settings;
    const now = (): Moment => ({ wallMs: clock.now(), monotonicMs: clock.monotonicMs() });
    this.issuer = issuer;
    this.audience = audience;
    this.origin = settings.origin;
    this.#settings = settings;
    this.#now = now;
    const connection = new AuthorityConnection({ fetch, credentials, timeoutMs });
    const discovery = new Discovery({ issuer, connection, clock });
    const breaker = new Breaker({ clock, random });
    const authority = new AuthorityClient({ discovery, connection, breaker, clock, timeoutMs });
    const core = new Coherence<KnownToken>({ settings: { maxStalenessMs, maxEntries }, newNonce, random });
    this.#discovery = discovery;
    this.#core = core;
    this.#keys = new KeyRing({ discovery, connection, clock, audience });
    this.#stream = new StreamDriver({
      ...{ core, connection, discovery, now, maxStalenessMs },
      readKeys: () => this.#keys.takenBack(),
    });
    this.#evidence = new EvidenceReporter({ send: (report) => authority.report(report), clock });
    const tokens = new KnownTokens();
    const records = new Records({
      ...{ authority, core, stream: this.#stream, tokens, now },
      foundDead: ({ token }, verdict) => this.#showDead(token, verdict),
    });
    this.#recognition = new Recognition({
      ...{ settings, core, records, tokens, now, keys: this.#keys, evidence: this.#evidence },
      missed: () => this.#statistics.misses++,
    });
  }

  async verify(token: string | undefined, given: Requirement & Presentation = NOTHING_ASKED): Promise<VerifyResult> {
    const asked = readAsked(given);
    const isTimed = this.#statistics.isSampled();
    // Read once for all that is looked at on a hit: reading the clocks is a good part of what one costs.
    const now = this.#now();
    const hit = this.#isClosed ? undefined : this.#recognition.hit(token, asked, now);
    if (hit) this.#statistics.hits++;
    // Most requests end here: a token that was seen before, a bearer token, nothing to wait for.
    const outcome =
      hit && !needsProof(hit, asked) ? this.#measure(hit, asked, now.wallMs) : await this.#examine(token, asked, hit);
    if (isTimed) this.#statistics.took(this.#settings.clock.monotonicMs() - now.monotonicMs);
    if (outcome.kind === 'refused') return this.#refuse(outcome, asked);
    if (outcome.kind === 'accepted') this.#statistics.accepted++;
    return outcome;
  }

  async ready(): Promise<void> {
    this.#assertOpen();
    await this.#discovery.metadata();
    await this.#keys.load();
    if (this.#settings.mode !== 'strict') {
      this.#startStream();
      await this.#stream.leased(this.#settings.timeoutMs);
    }
    this.#assertOpen();
  }

  status(): VerifierStatus {
    const counts = this.#statistics.counts();
    const { stream, stalenessMs, entries } = this.#core.status(this.#now());
    const looked = counts.hits + counts.misses;
    return {
      ...counts,
      mode: this.#settings.mode,
      stream,
      stalenessMs: Number.isFinite(stalenessMs) ? stalenessMs : undefined,
      maxStalenessMs: this.#settings.maxStalenessMs,
      entries,
      maxEntries: this.#settings.maxEntries,
      hitRate: looked === 0 ? undefined : counts.hits / looked,
      latency: this.#statistics.latency(),
      evidence: this.#evidence.counts(),
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stream.stop();
    await this.#evidence.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #examine(token: string | undefined, asked: Asked, hit: KnownToken | undefined): Promise<Outcome | Unavailable> {
    try {
      this.#assertOpen();
      if (typeof token !== 'string' || token === '') return refused('token_missing');
      if ((asked.mode ?? this.#settings.mode) !== 'strict') this.#startStream();
      const recognized = await this.#recognition.recognize(token, asked, hit);
      if (recognized.kind === 'refused') return recognized;
      return this.#measure(recognized.known, asked, this.#settings.clock.now());
    } catch (error) {
      if (error instanceof AuthorityError) return this.#giveUp(error);
      throw error;
    }
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new AuthorityError('verifier_closed', 'Using a verifier: it was closed.');
  }

  /** Evidence for the authority, which verifies it itself. Only signed tokens come here, so the header is the authority's form. */
  #showDead(token: string, verdict: Verdict): void {
    if (verdict !== 'tampered' && verdict !== 'unknown') return;
    const compact = parseCompact(token);
    if (compact.kind === 'compact') this.#evidence.report({ kid: String(compact.header.kid), token });
  }

  #measure(known: KnownToken, asked: Asked, nowMs: number): Outcome {
    const code = unmet(asked, known, nowMs);
    return code ? refused(code) : known.accepted;
  }

  #refuse(outcome: Refusal, asked: Asked): Refused {
    const { code } = outcome;
    this.#statistics.refused(code);
    // A program may hand over proofs for addresses that it knows of, without an `origin`.
    const takesDpop = this.origin !== undefined || asked.proof !== undefined;
    const challenge = challengeOf(code, { realm: this.audience, asked, takesDpop });
    return { ...outcome, status: REFUSALS[code].status, challenge };
  }

  #giveUp(error: AuthorityError): Unavailable {
    const { code, message } = error;
    this.#statistics.unavailable(code);
    return { kind: 'unavailable', code, status: 503, message };
  }

  #startStream(): void {
    if (this.#isStreaming || this.#isClosed) return;
    this.#isStreaming = true;
    this.#stream.start();
  }
}

function needsProof(known: KnownToken, { scheme, proof }: Asked): boolean {
  return known.accepted.claims.cnf !== undefined || scheme === 'DPoP' || proof !== undefined;
}
