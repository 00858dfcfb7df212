/**
 * How a token comes to be known: the order of the steps between its text and what a request is measured against.
 *
 * Owns that order, and what is asked again where a request had to wait. Leaves signature and claims to `sound-token.ts`, the record to
 * `records.ts`, what may be believed again to `coherence/`, the proof to `proof/`.
 */
import { hash } from 'node:crypto';
import { MAX_TOKEN_LENGTH, type Verdict } from '@countersign/protocol';
import type { Coherence, Moment, Recalled } from './coherence/coherence.ts';
import { AuthorityError, type RefusalCode } from './errors.ts';
import type { EvidenceReporter } from './evidence.ts';
import type { KeyRing } from './keys.ts';
import type { KnownToken, KnownTokens } from './known-token.ts';
import type { Mode, VerifierSettings } from './options.ts';
import { ProofChecker } from './proof/proof.ts';
import { type Records, wentBack } from './records.ts';
import { type Asked, isPresentedByDpop } from './requirement.ts';
import type { Refused, VerifiedClaims } from './results.ts';
import { examine } from './sound-token.ts';

/** A refusal before it is given its challenge. */
export type Refusal = Omit<Refused, 'status' | 'challenge'>;

/**
 * What a step found, tagged by us: the claims of a token are whatever its signer wrote, so that nothing may be told by a member
 * that they have.
 */
type Sound = { kind: 'sound'; claims: VerifiedClaims } | Refusal;
export type Recognized = { kind: 'known'; known: KnownToken } | Refusal;

export class Recognition {
  readonly #settings: VerifierSettings;
  readonly #keys: KeyRing;
  readonly #core: Coherence<KnownToken>;
  readonly #records: Records;
  readonly #tokens: KnownTokens;
  readonly #evidence: EvidenceReporter;
  readonly #proofs: ProofChecker;
  readonly #now: () => Moment;
  readonly #missed: () => void;

  /** `missed` hears of each coherent request that nothing remembered answered. */
  constructor(parts: {
    settings: VerifierSettings;
    keys: KeyRing;
    core: Coherence<KnownToken>;
    records: Records;
    tokens: KnownTokens;
    evidence: EvidenceReporter;
    now: () => Moment;
    missed: () => void;
  }) {
    const { clock, replayStore } = parts.settings;
    this.#settings = parts.settings;
    this.#keys = parts.keys;
    this.#core = parts.core;
    this.#records = parts.records;
    this.#tokens = parts.tokens;
    this.#evidence = parts.evidence;
    this.#proofs = new ProofChecker({ clock, ...(replayStore && { replayStore }) });
    this.#now = parts.now;
    this.#missed = parts.missed;
  }

  /** A token that is remembered and may be believed now. */
  hit(token: string | undefined, { mode = this.#settings.mode }: Asked, now: Moment): KnownToken | undefined {
    if (mode !== 'coherent' || typeof token !== 'string' || token.length > MAX_TOKEN_LENGTH) {
      return undefined;
    }
    return this.#core.hit(keyOf(token), now);
  }

  /** `hit`: what `hit()` said of it. @throws AuthorityError where it cannot be decided. */
  recognize(token: string, asked: Asked, hit: KnownToken | undefined): Promise<Recognized> {
    return this.#waitsForStore(asked) ? this.#afterStore(token, asked, hit) : this.#beforeProof(token, asked, hit);
  }

  /** Signature and claims, the record, then the proof: it is used up by being good, so only a good token's is looked at. */
  async #beforeProof(token: string, asked: Asked, hit: KnownToken | undefined): Promise<Recognized> {
    const mode = asked.mode ?? this.#settings.mode;
    const sound: Sound = hit ? soundness(hit) : await this.#sound(token, mode);
    if (sound.kind === 'refused') return sound;
    const recorded: Recognized = hit ? { kind: 'known', known: hit } : await this.#ask(token, mode, sound.claims);
    if (recorded.kind === 'refused') return recorded;
    const code = await this.#bindingProblem(token, sound.claims, asked);
    return code ? refused(code) : recorded;
  }

  /**
   * The same, where a shared memory of proofs keeps the request waiting: what was believed before may have died since, so what is
   * believed now, or else the record, is asked after it, and only then.
   */
  async #afterStore(token: string, asked: Asked, hit: KnownToken | undefined): Promise<Recognized> {
    const mode = asked.mode ?? this.#settings.mode;
    const sound: Sound = hit ? soundness(hit) : await this.#sound(token, mode);
    if (sound.kind === 'refused') return sound;
    const code = await this.#bindingProblem(token, sound.claims, asked);
    if (code) return refused(code);
    const known = this.hit(token, asked, this.#now());
    return known ? { kind: 'known', known } : this.#ask(token, mode, sound.claims);
  }

  #waitsForStore({ proof, mode = this.#settings.mode }: Asked): boolean {
    return this.#settings.replayStore !== undefined && proof !== undefined && mode !== 'offline';
  }

  /** What fails here costs the authority nothing; a token seen before needs no second look at its signature. */
  async #sound(token: string, mode: Mode): Promise<Sound> {
    if (token.length > MAX_TOKEN_LENGTH) return refused('token_malformed');
    const recalled = mode === 'coherent' ? this.#core.recall(keyOf(token), this.#now()) : undefined;
    if (recalled?.kind === 'dead') return refused(`token_${recalled.verdict}`, recalled.verdict);
    return this.#remembered(recalled) ?? (await this.#readSound(token, mode));
  }

  async #ask(token: string, mode: Mode, claims: VerifiedClaims): Promise<Recognized> {
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

  /** A coherent check that no hit answered. With a lease it is a token not seen before; without one, policy decides. */
  #assertMayCheck(): void {
    this.#missed();
    if (this.#settings.whenStale !== 'refuse' || this.#core.isLeased(this.#now())) return;
    throw new AuthorityError(
      'verification_stale',
      'Verifying a token: the authority has not been heard of for longer than `maxStalenessMs`, and `whenStale` says to refuse.',
    );
  }

  /** A bound token needs its proof in each request, also when it is remembered (RFC 9449 §7). */
  async #bindingProblem(token: string, { cnf }: VerifiedClaims, asked: Asked): Promise<RefusalCode | undefined> {
    const { scheme, proof } = asked;
    const isDpop = isPresentedByDpop(scheme, proof);
    if (cnf === undefined) return isDpop ? 'token_not_bound' : undefined;
    if (!isDpop || cnf.jkt === undefined) return 'token_binding_unproven';
    if (!proof) return this.#settings.origin === undefined ? 'proof_not_taken' : 'proof_missing';
    const result = await this.#proofs.check({ proof, token, jkt: cnf.jkt });
    if (result.kind === 'full') {
      throw new AuthorityError(result.code, 'Checking a DPoP proof: whether it was used before cannot be known.');
    }
    return result.kind === 'refused' ? result.code : undefined;
  }
}

/**
 * SHA-256 of the whole token, a character for each byte: no two tokens share one, and the token's own text is not kept. It goes
 * nowhere, so it need not be printable; spelled in base64url it would be a third longer, in memory and in each look-up.
 */
function keyOf(token: string): string {
  return hash('sha256', token, 'binary');
}

function soundness({ accepted: { claims } }: KnownToken): Extract<Sound, { kind: 'sound' }> {
  return { kind: 'sound', claims };
}

export function refused(code: RefusalCode, verdict?: Verdict): Refusal {
  return { kind: 'refused', code, ...(verdict === undefined ? {} : { verdict }) };
}
