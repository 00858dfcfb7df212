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
import { MAX_TOKEN_LENGTH, parseCompact, type Verdict } from '@countersign/protocol';
import { AuthorityClient } from './authority-client.ts';
import { Breaker } from './breaker.ts';
import { Coherence, type Moment, type Recalled, type StreamState } from './coherence/coherence.ts';
import { AuthorityConnection } from './connection.ts';
import { Discovery } from './discovery.ts';
import { AuthorityError, REFUSALS, type RefusalCode } from './errors.ts';
import { type EvidenceCounts, EvidenceReporter } from './evidence.ts';
import { KeyRing } from './keys.ts';
import { type KnownToken, KnownTokens } from './known-token.ts';
import { type Mode, readOptions, type VerifierOptions, type VerifierSettings } from './options.ts';
import { ProofChecker } from './proof/proof.ts';
import { Records, wentBack } from './records.ts';
import {
  type Asked,
  challengeOf,
  isPresentedByDpop,
  type Presentation,
  type Requirement,
  readAsked,
  unmet,
} from './requirement.ts';
import type { Accepted, Refused, Unavailable, VerifiedClaims, VerifyResult } from './results.ts';
import { examine } from './sound-token.ts';
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

type Refusal = Omit<Refused, 'status' | 'challenge'>;

/** How a verification ends, before it is counted and given its challenge. */
type Outcome = Accepted | Refusal;

/**
 * What a step found, tagged by us: the claims of a token are whatever its signer wrote, so that nothing may be told by a member
 * that they have.
 */
type Sound = { kind: 'sound'; claims: VerifiedClaims } | Refusal;
type Learned = { kind: 'known'; known: KnownToken } | Refusal;

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
  readonly #tokens = new KnownTokens();
  readonly #records: Records;
  readonly #evidence: EvidenceReporter;
  readonly #proofs: ProofChecker;
  readonly #statistics = new Statistics();
  readonly #now: () => Moment;
  #isClosed = false;
  #isStreaming = false;

  constructor(options: VerifierOptions) {
    const settings = readOptions(options);
    const { issuer, audience, clock, fetch, credentials, timeoutMs, maxStalenessMs, maxEntries, replayStore } =
      settings;
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
    this.#records = new Records({
      ...{ authority, core, stream: this.#stream, tokens: this.#tokens, now },
      foundDead: ({ token }, verdict) => this.#showDead(token, verdict),
    });
    this.#proofs = new ProofChecker({ clock, ...(replayStore && { replayStore }) });
  }

  async verify(token: string | undefined, given: Requirement & Presentation = NOTHING_ASKED): Promise<VerifyResult> {
    const asked = readAsked(given);
    const isTimed = this.#statistics.isSampled();
    // Read once for all that is looked at on a hit: reading the clocks is a good part of what one costs.
    const now = this.#now();
    const hit = this.#hit(token, asked, now);
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

  /** A token that is remembered and may be believed now. */
  #hit(token: string | undefined, { mode = this.#settings.mode }: Asked, now: Moment): KnownToken | undefined {
    if (mode !== 'coherent' || this.#isClosed || typeof token !== 'string' || token.length > MAX_TOKEN_LENGTH) {
      return undefined;
    }
    return this.#core.hit(keyOf(token), now);
  }

  async #examine(token: string | undefined, asked: Asked, hit: KnownToken | undefined): Promise<Outcome | Unavailable> {
    try {
      this.#assertOpen();
      if (typeof token !== 'string' || token === '') return refused('token_missing');
      const learned = this.#waitsForStore(asked)
        ? await this.#learnAfterStore(token, asked, hit)
        : await this.#learn(token, asked, hit);
      if (learned.kind === 'refused') return learned;
      return this.#measure(learned.known, asked, this.#settings.clock.now());
    } catch (error) {
      if (error instanceof AuthorityError) return this.#giveUp(error);
      throw error;
    }
  }

  /** Signature and claims, the record, then the proof: it is used up by being good, so only a good token's is looked at. */
  async #learn(token: string, asked: Asked, hit: KnownToken | undefined): Promise<Learned> {
    const mode = asked.mode ?? this.#settings.mode;
    const sound: Sound = hit ? soundness(hit) : await this.#sound(token, mode);
    if (sound.kind === 'refused') return sound;
    const learned: Learned = hit ? { kind: 'known', known: hit } : await this.#ask(token, mode, sound.claims);
    if (learned.kind === 'refused') return learned;
    const code = await this.#bindingProblem(token, sound.claims, asked);
    return code ? refused(code) : learned;
  }

  /**
   * The same, where a shared memory of proofs keeps the request waiting: what was believed before may have died since, so what is
   * believed now, or else the record, is asked after it, and only then.
   */
  async #learnAfterStore(token: string, asked: Asked, hit: KnownToken | undefined): Promise<Learned> {
    const mode = asked.mode ?? this.#settings.mode;
    const sound: Sound = hit ? soundness(hit) : await this.#sound(token, mode);
    if (sound.kind === 'refused') return sound;
    const code = await this.#bindingProblem(token, sound.claims, asked);
    if (code) return refused(code);
    const known = this.#hit(token, asked, this.#now());
    return known ? { kind: 'known', known } : this.#ask(token, mode, sound.claims);
  }

  #waitsForStore({ proof, mode = this.#settings.mode }: Asked): boolean {
    return this.#settings.replayStore !== undefined && proof !== undefined && mode !== 'offline';
  }

  /** What fails here costs the authority nothing; a token seen before needs no second look at its signature. */
  async #sound(token: string, mode: Mode): Promise<Sound> {
    if (mode !== 'strict') this.#startStream();
    if (token.length > MAX_TOKEN_LENGTH) return refused('token_malformed');
    const recalled = mode === 'coherent' ? this.#core.recall(keyOf(token), this.#now()) : undefined;
    if (recalled?.kind === 'dead') return refused(`token_${recalled.verdict}`, recalled.verdict);
    return this.#remembered(recalled) ?? (await this.#readSound(token, mode));
  }

  async #ask(token: string, mode: Mode, claims: VerifiedClaims): Promise<Learned> {
    if (mode === 'offline') return { kind: 'known', known: this.#bySignature(claims) };
    if (this.#core.hasGoneBack) throw wentBack();
    if (mode === 'coherent') this.#assertMayCheck();
    const asked = { key: keyOf(token), token, claims };
    const recorded = await (mode === 'strict' ? this.#records.ask(asked) : this.#records.askTogether(asked));
    if (recorded.kind === 'live') return { kind: 'known', known: recorded.known };
    return refused(`token_${recorded.kind}`, recorded.kind);
  }

  /** Signature and claims that need no second look. One that has expired meanwhile does: it costs the authority no check. */
  #remembered(recalled: Recalled<KnownToken>): Sound | undefined {
    if (recalled?.kind !== 'seen') return undefined;
    const sound = soundness(recalled.value);
    return this.#settings.clock.now() < sound.claims.exp * 1_000 ? sound : undefined;
  }

  async #readSound(token: string, mode: Mode): Promise<Sound> {
    const { issuer, audience, clock } = this.#settings;
    const by = { keys: this.#keys, issuer, audience, nowMs: () => clock.now(), isAllThereIs: mode === 'offline' };
    const sound = await examine(token, by);
    if (sound.kind === 'sound') {
      // Whoever has the key can sign; without the record nothing would tell his tokens from good ones.
      if (mode === 'offline' && sound.status === 'compromised') return refused('token_key_compromised');
      return { kind: 'sound', claims: this.#tokens.publicClaims(sound.claims) };
    }
    const { code, verdict, forgedUnder } = sound;
    if (forgedUnder !== undefined) this.#evidence.report({ kid: forgedUnder, token });
    return refused(code, verdict);
  }

  #bySignature(claims: VerifiedClaims): KnownToken {
    return this.#tokens.known({ kind: 'accepted', basis: 'signature', claims, expiresAtMs: claims.exp * 1_000 });
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new AuthorityError('verifier_closed', 'Using a verifier: it was closed.');
  }

  /** A coherent check that no hit answered. With a lease it is a token not seen before; without one, policy decides. */
  #assertMayCheck(): void {
    this.#statistics.misses++;
    if (this.#settings.whenStale !== 'refuse' || this.#core.isLeased(this.#now())) return;
    throw new AuthorityError(
      'verification_stale',
      'Verifying a token: the authority has not been heard of for longer than `maxStalenessMs`, and `whenStale` says to refuse.',
    );
  }

  /** Evidence for the authority, which verifies it itself. Only signed tokens come here, so the header is the authority's form. */
  #showDead(token: string, verdict: Verdict): void {
    if (verdict !== 'tampered' && verdict !== 'unknown') return;
    const compact = parseCompact(token);
    if (compact.kind === 'compact') this.#evidence.report({ kid: String(compact.header.kid), token });
  }

  /** A bound token needs its proof in each request, also when it is remembered (RFC 9449 §7). */
  async #bindingProblem(token: string, { cnf }: VerifiedClaims, asked: Asked): Promise<RefusalCode | undefined> {
    const { scheme, proof } = asked;
    const isDpop = isPresentedByDpop(scheme, proof);
    if (cnf === undefined) return isDpop ? 'token_not_bound' : undefined;
    if (!isDpop || cnf.jkt === undefined) return 'token_binding_unproven';
    if (!proof) return this.origin === undefined ? 'proof_not_taken' : 'proof_missing';
    const result = await this.#proofs.check({ proof, token, jkt: cnf.jkt });
    if (result.kind === 'full') {
      throw new AuthorityError(result.code, 'Checking a DPoP proof: whether it was used before cannot be known.');
    }
    return result.kind === 'refused' ? result.code : undefined;
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

/**
 * SHA-256 of the whole token, a character for each byte: no two tokens share one, and the token's own text is not kept. It goes
 * nowhere, so it need not be printable; spelled in base64url it would be a third longer, in memory and in each look-up.
 */
function keyOf(token: string): string {
  return hash('sha256', token, 'binary');
}

function needsProof(known: KnownToken, { scheme, proof }: Asked): boolean {
  return known.accepted.claims.cnf !== undefined || scheme === 'DPoP' || proof !== undefined;
}

function soundness({ accepted: { claims } }: KnownToken): Extract<Sound, { kind: 'sound' }> {
  return { kind: 'sound', claims };
}

function refused(code: RefusalCode, verdict?: Verdict): Refusal {
  return { kind: 'refused', code, ...(verdict === undefined ? {} : { verdict }) };
}
