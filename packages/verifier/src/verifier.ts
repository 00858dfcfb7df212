/**
 * Verification of access tokens in a resource server: signature and record, two proofs that fail independently. Whoever
 * holds the signing key cannot make a record; whoever writes the authority's database cannot sign.
 *
 * Owns the order of a verification and what is looked at anew in each request: binding, scope, step-up. Leaves signature and
 * claims to `sound-token.ts`, the record to `records.ts`, what may be believed again to `coherence/`, evidence to `evidence.ts`, what
 * callers are told to `errors.ts` and `challenge.ts`.
 *
 * Life: created at the program's start (nothing is sent), reads metadata and keys and opens its stream on first use or in
 * `ready()`, ends with `close()`.
 */
import { hash } from 'node:crypto';
import { DEFAULT_STALENESS_MS, MAX_TOKEN_LENGTH, parseCompact, type Verdict } from '@countersign/protocol';
import { AuthorityClient } from './authority-client.ts';
import { Breaker } from './breaker.ts';
import { Coherence, type Moment, type Recalled, type StreamState } from './coherence/coherence.ts';
import { AuthorityConnection } from './connection.ts';
import { Discovery } from './discovery.ts';
import { AuthorityError, REFUSALS, type RefusalCode } from './errors.ts';
import { type EvidenceCounts, EvidenceReporter } from './evidence.ts';
import { KeyRing } from './keys.ts';
import { type KnownToken, KnownTokens } from './known-token.ts';
import { assertOptions, DEFAULT_MAX_ENTRIES, DEFAULT_TIMEOUT_MS, type Mode, type VerifierOptions } from './options.ts';
import { ProofChecker } from './proof/proof.ts';
import { Records, wentBack } from './records.ts';
import { assertRequirement, challengeOf, type Presentation, type Requirement, unmet } from './requirement.ts';
import type { Accepted, Refused, Unavailable, VerifiedClaims, VerifyResult } from './results.ts';
import { examine } from './sound-token.ts';
import { type Latency, Statistics, type VerifierCounts } from './statistics.ts';
import { StreamDriver } from './stream/stream.ts';
import { newNonce, random, systemClock, systemFetch, type VerifierClock } from './world.ts';

export type { Presentation, Requirement } from './requirement.ts';

export interface Verifier {
  readonly audience: string;
  /** What DPoP proofs must name; undefined where the options name none: then none is taken. */
  readonly origin: string | undefined;

  /**
   * Verifies an access token. Resolves to `accepted` only after good signature and claims, a record that is live (asked now, or
   * remembered under a valid lease; see `Mode`), the proof where the token is bound, and what is required. Never rejects for a
   * token, nor for an authority that is away: that is `unavailable`, and the request fails closed. Not verified: whether the
   * user may do what the request asks.
   *
   * @throws TypeError for requirements that no token can meet.
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
type Outcome = Accepted | { kind: 'refused'; code: RefusalCode; verdict?: Verdict };

const NOTHING_ASKED: Requirement & Presentation = {};

class CoherentVerifier implements Verifier {
  readonly audience: string;
  readonly origin: string | undefined;
  readonly #options: VerifierOptions;
  readonly #mode: Mode;
  readonly #maxStalenessMs: number;
  readonly #maxEntries: number;
  readonly #timeoutMs: number;
  readonly #clock: VerifierClock;
  readonly #discovery: Discovery;
  readonly #keys: KeyRing;
  readonly #core: Coherence<KnownToken>;
  readonly #stream: StreamDriver;
  readonly #tokens = new KnownTokens();
  readonly #records: Records;
  readonly #evidence: EvidenceReporter;
  readonly #proofs: ProofChecker;
  readonly #statistics = new Statistics();
  readonly #now = (): Moment => ({ wallMs: this.#clock.now(), monotonicMs: this.#clock.monotonicMs() });
  #isClosed = false;
  #isStreaming = false;

  constructor(options: VerifierOptions) {
    assertOptions(options);
    const { issuer, audience, credentials, fetch = systemFetch, clock = systemClock } = options;
    this.audience = audience;
    this.origin = options.origin;
    this.#options = options;
    this.#mode = options.mode ?? 'coherent';
    this.#maxStalenessMs = options.maxStalenessMs ?? DEFAULT_STALENESS_MS;
    this.#maxEntries = options.maxEntries ?? DEFAULT_MAX_ENTRIES;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#clock = clock;
    const connection = new AuthorityConnection({ fetch, credentials, timeoutMs: this.#timeoutMs });
    const discovery = new Discovery({ issuer, connection, clock });
    const authority = new AuthorityClient({ discovery, connection, breaker: new Breaker({ clock, random }) });
    const settings = { maxStalenessMs: this.#maxStalenessMs, maxEntries: this.#maxEntries };
    const [core, now, tokens] = [new Coherence<KnownToken>({ settings, newNonce, random }), this.#now, this.#tokens];
    this.#discovery = discovery;
    this.#core = core;
    this.#keys = new KeyRing({ discovery, connection, clock, audience });
    this.#stream = new StreamDriver({
      ...{ core, connection, discovery, now, maxStalenessMs: this.#maxStalenessMs },
      readKeys: () => this.#keys.takenBack(),
    });
    this.#records = new Records({ authority, core, stream: this.#stream, tokens, now });
    this.#evidence = new EvidenceReporter({ send: (report) => authority.report(report), clock });
    this.#proofs = new ProofChecker({ clock, ...(options.replayStore && { replayStore: options.replayStore }) });
  }

  async verify(token: string | undefined, asked: Requirement & Presentation = NOTHING_ASKED): Promise<VerifyResult> {
    if (asked !== NOTHING_ASKED) assertRequirement(asked);
    const isTimed = this.#statistics.isSampled();
    // Read once for all that is looked at on a hit: reading the clocks is a good part of what one costs.
    const now = this.#now();
    const known = this.#hit(token, asked, now);
    // Most requests end here: a token that was seen before, a bearer token, nothing to wait for.
    const outcome =
      known && !isBound(known, asked)
        ? this.#measure(known, asked, now.wallMs)
        : await this.#examine(token, asked, known);
    if (isTimed) this.#statistics.took(this.#clock.monotonicMs() - now.monotonicMs);
    if (outcome.kind === 'refused') return this.#refuse(outcome, asked);
    if (outcome.kind === 'accepted') this.#statistics.accepted++;
    return outcome;
  }

  async ready(): Promise<void> {
    await this.#discovery.metadata();
    await this.#keys.load();
    if (this.#mode === 'strict') return;
    this.#startStream();
    await this.#stream.leased(this.#timeoutMs);
  }

  status(): VerifierStatus {
    const counts = this.#statistics.counts();
    const { stream, stalenessMs, entries } = this.#core.status(this.#now());
    const looked = counts.hits + counts.misses;
    return {
      ...counts,
      mode: this.#mode,
      stream,
      stalenessMs: Number.isFinite(stalenessMs) ? stalenessMs : undefined,
      maxStalenessMs: this.#maxStalenessMs,
      entries,
      maxEntries: this.#maxEntries,
      hitRate: looked === 0 ? undefined : counts.hits / looked,
      latency: this.#statistics.latency(),
      evidence: this.#evidence.counts(),
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stream.stop();
    await this.#evidence.settled();
  }

  /** A token that is remembered and may be believed now. */
  #hit(token: string | undefined, { mode = this.#mode }: Requirement, now: Moment): KnownToken | undefined {
    if (mode !== 'coherent' || this.#isClosed || typeof token !== 'string' || token.length > MAX_TOKEN_LENGTH) {
      return undefined;
    }
    const known = this.#core.hit(keyOf(token), now);
    if (known) this.#statistics.hits++;
    return known;
  }

  async #examine(
    token: string | undefined,
    asked: Requirement & Presentation,
    hit: KnownToken | undefined,
  ): Promise<Outcome | Unavailable> {
    try {
      if (this.#isClosed) throw new AuthorityError('verifier_closed', 'Verifying a token: the verifier was closed.');
      if (typeof token !== 'string' || token === '') return refused('token_missing');
      const mode = asked.mode ?? this.#mode;
      let known = hit ?? (await this.#learn(token, mode));
      if ('kind' in known) return known;
      const unbound = await this.#checkBinding(token, known, asked);
      if (unbound) return refused(unbound);
      // A shared memory of proofs keeps the request waiting, and what was believed before may have died since.
      if (asked.proof && this.#options.replayStore && mode !== 'offline') {
        known = this.#hit(token, asked, this.#now()) ?? (await this.#learn(token, mode));
        if ('kind' in known) return known;
      }
      return this.#measure(known, asked, this.#clock.now());
    } catch (error) {
      if (error instanceof AuthorityError) return this.#giveUp(error);
      throw error;
    }
  }

  /** What fails before the record costs the authority nothing; a token seen before needs no second look at its signature. */
  async #learn(token: string, mode: Mode): Promise<KnownToken | Extract<Outcome, { kind: 'refused' }>> {
    if (mode !== 'strict') this.#startStream();
    if (token.length > MAX_TOKEN_LENGTH) return refused('token_malformed');
    const key = keyOf(token);
    const recalled = mode === 'coherent' ? this.#core.recall(key, this.#now()) : undefined;
    if (recalled?.kind === 'dead') return refused(`token_${recalled.verdict}`, recalled.verdict);
    const claims = this.#remembered(recalled) ?? (await this.#readSound(token, mode));
    if ('kind' in claims) return claims;
    if (mode === 'offline') return this.#bySignature(claims);
    if (this.#core.hasGoneBack) throw wentBack();
    if (mode === 'coherent') this.#assertMayCheck();
    const asked = { key, token, claims };
    const recorded = await (mode === 'strict' ? this.#records.ask(asked) : this.#records.askTogether(asked));
    if (recorded.kind === 'live') return recorded.known;
    if (recorded.kind === 'tampered' || recorded.kind === 'unknown') this.#reportToken(token);
    return refused(`token_${recorded.kind}`, recorded.kind);
  }

  /** Signature and claims that need no second look. One that has expired meanwhile does: it costs the authority no check. */
  #remembered(recalled: Recalled<KnownToken>): VerifiedClaims | undefined {
    if (recalled?.kind !== 'seen') return undefined;
    const { claims } = recalled.value.accepted;
    return this.#clock.now() < claims.exp * 1_000 ? claims : undefined;
  }

  async #readSound(token: string, mode: Mode): Promise<VerifiedClaims | Extract<Outcome, { kind: 'refused' }>> {
    const { issuer } = this.#options;
    const nowMs = () => this.#clock.now();
    const sound = await examine(token, { keys: this.#keys, issuer, audience: this.audience, nowMs });
    if (sound.kind === 'sound') {
      // Whoever has the key can sign; without the record nothing would tell his tokens from good ones.
      if (mode === 'offline' && sound.status === 'compromised') return refused('token_key_compromised');
      return this.#tokens.publicClaims(sound.claims);
    }
    const { code, verdict, forgedUnder } = sound;
    if (forgedUnder !== undefined) this.#evidence.report({ kid: forgedUnder, token });
    return refused(code, verdict);
  }

  #bySignature(claims: VerifiedClaims): KnownToken {
    return this.#tokens.known({ kind: 'accepted', basis: 'signature', claims, expiresAtMs: claims.exp * 1_000 });
  }

  /** A coherent check that no hit answered. With a lease it is a token not seen before; without one, policy decides. */
  #assertMayCheck(): void {
    this.#statistics.misses++;
    if (this.#options.whenStale !== 'refuse' || this.#core.isLeased(this.#now())) return;
    throw new AuthorityError(
      'verification_stale',
      'Verifying a token: the authority has not been heard of for longer than `maxStalenessMs`, and `whenStale` says to refuse.',
    );
  }

  /** Evidence for the authority, which verifies it itself. Only signed tokens come here, so the header is the authority's form. */
  #reportToken(token: string): void {
    const compact = parseCompact(token);
    if (compact.kind === 'compact') this.#evidence.report({ kid: String(compact.header.kid), token });
  }

  /** A bound token needs its proof in each request, also when it is remembered (RFC 9449 §7). */
  async #checkBinding(token: string, known: KnownToken, asked: Presentation): Promise<RefusalCode | undefined> {
    const { cnf } = known.accepted.claims;
    const isDpop = asked.scheme === 'DPoP' || (asked.scheme === undefined && asked.proof !== undefined);
    if (cnf === undefined) return isDpop ? 'token_not_bound' : undefined;
    if (!isDpop || cnf.jkt === undefined) return 'token_binding_unproven';
    if (!asked.proof) return 'proof_missing';
    const result = await this.#proofs.check({ proof: asked.proof, token, jkt: cnf.jkt });
    if (result.kind === 'full') {
      throw new AuthorityError(result.code, 'Checking a DPoP proof: whether it was used before cannot be known.');
    }
    return result.kind === 'refused' ? result.code : undefined;
  }

  #measure(known: KnownToken, asked: Requirement, nowMs: number): Outcome {
    const code = unmet(asked, known, nowMs);
    return code ? refused(code) : known.accepted;
  }

  #refuse(outcome: Exclude<Outcome, Accepted>, asked: Requirement & Presentation): Refused {
    const { code } = outcome;
    this.#statistics.refused(code);
    return {
      ...outcome,
      status: REFUSALS[code].status,
      challenge: challengeOf(code, { realm: this.audience, asked, offersDpop: this.origin !== undefined }),
    };
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

/**
 * SHA-256 of the whole token, a character for each byte: no two tokens share one, and the token's own text is not kept. It goes
 * nowhere, so it need not be printable; spelled in base64url it would be a third longer, in memory and in each look-up.
 */
function keyOf(token: string): string {
  return hash('sha256', token, 'binary');
}

function isBound(known: KnownToken, asked: Presentation): boolean {
  return known.accepted.claims.cnf !== undefined || asked.scheme === 'DPoP' || asked.proof !== undefined;
}

function refused(code: RefusalCode, verdict?: Verdict): Extract<Outcome, { kind: 'refused' }> {
  return { kind: 'refused', code, ...(verdict === undefined ? {} : { verdict }) };
}
