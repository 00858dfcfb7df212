/**
 * Verification of access tokens in a resource server: signature and record, two proofs that fail independently. Whoever
 * holds the signing key cannot make a record; whoever writes the authority's database cannot sign.
 *
 * Owns the order of the checks and the counters. Leaves the keys to `keys.ts`, the record to `authority-client.ts`, evidence
 * to `evidence.ts`, what callers are told to `errors.ts` and `challenge.ts`.
 *
 * Life: created at the program's start (nothing is sent), reads metadata and keys on first use or in `ready()`, ends with
 * `close()`.
 */
import { hash } from 'node:crypto';
import {
  type AccessTokenClaims,
  accessTokenClaims,
  type CompactToken,
  hasEntropyBucketForm,
  parseCompact,
  type Verdict,
} from '@countersign/protocol';
import { compactVerify } from 'jose';
import { AuthorityClient, type RecordAnswer } from './authority-client.ts';
import { assertScopes, bearerChallenge } from './challenge.ts';
import { AuthorityConnection } from './connection.ts';
import { Discovery } from './discovery.ts';
import { AuthorityError, REFUSALS, type RefusalCode, type UnavailableCode } from './errors.ts';
import { type EvidenceCounts, EvidenceReporter } from './evidence.ts';
import { readAccessTokenHeader } from './header.ts';
import { KeyRing, type VerificationKey } from './keys.ts';
import { assertOptions, DEFAULT_TIMEOUT_MS, type VerifierOptions } from './options.ts';
import type { Accepted, Refused, Unavailable, VerifiedClaims, VerifyResult } from './results.ts';
import { systemClock, systemFetch, type VerifierClock } from './world.ts';

/** What a route needs beyond a good token. */
export interface Requirement {
  /** Scopes the token must all carry. Compared as RFC 6749 §3.3 does: case-sensitive, in any order. */
  scopes?: readonly string[];
}

export interface Verifier {
  readonly audience: string;

  /**
   * Verifies an access token. Resolves to `accepted` only after good signature, good claims, a live record of these very
   * bytes, and the scopes required. Never rejects for a token, nor for an authority that is away: that is `unavailable`,
   * and the request fails closed. Not verified: whether the user may do what the request asks.
   *
   * @throws TypeError for required scopes that no token can carry.
   */
  verify(token: string | undefined, requirement?: Requirement): Promise<VerifyResult>;

  /** Reads metadata and keys now, so that a wrong setting stops the start. @throws AuthorityError */
  ready(): Promise<void>;

  /** Counters since creation, for metrics. */
  status(): VerifierStatus;

  /** From now on every verification is `unavailable`. Resolves when evidence under way has been handed over. */
  close(): Promise<void>;
}

export interface VerifierStatus {
  accepted: number;
  refused: Partial<Record<RefusalCode, number>>;
  unavailable: Partial<Record<UnavailableCode, number>>;
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
  return new StrictVerifier(options);
}

/** How a verification ends, before it is counted and given its challenge. */
type Outcome = Accepted | { kind: 'refused'; code: RefusalCode; verdict?: Verdict };

class StrictVerifier implements Verifier {
  readonly audience: string;
  readonly #issuer: string;
  readonly #clock: VerifierClock;
  readonly #discovery: Discovery;
  readonly #keys: KeyRing;
  readonly #authority: AuthorityClient;
  readonly #evidence: EvidenceReporter;
  readonly #status: Omit<VerifierStatus, 'evidence'> = { accepted: 0, refused: {}, unavailable: {} };
  #isClosed = false;

  constructor(options: VerifierOptions) {
    assertOptions(options);
    const { issuer, audience, credentials, fetch = systemFetch, clock = systemClock } = options;
    const connection = new AuthorityConnection({
      fetch,
      credentials,
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    });
    this.audience = audience;
    this.#issuer = issuer;
    this.#clock = clock;
    this.#discovery = new Discovery({ issuer, connection, clock });
    this.#keys = new KeyRing({ discovery: this.#discovery, connection, clock, audience });
    this.#authority = new AuthorityClient({ discovery: this.#discovery, connection });
    this.#evidence = new EvidenceReporter({ send: (token) => this.#authority.report(token), clock });
  }

  async verify(token: string | undefined, requirement: Requirement = {}): Promise<VerifyResult> {
    const scopes = requirement.scopes ?? [];
    assertScopes(scopes);
    try {
      if (this.#isClosed) throw new AuthorityError('verifier_closed', 'Verifying a token: the verifier was closed.');
      const outcome = await this.#examine(token, scopes);
      if (outcome.kind === 'refused') return this.#refuse(outcome, scopes);
      this.#status.accepted++;
      return outcome;
    } catch (error) {
      if (error instanceof AuthorityError) return this.#giveUp(error);
      throw error;
    }
  }

  async ready(): Promise<void> {
    await this.#discovery.metadata();
    await this.#keys.load();
  }

  status(): VerifierStatus {
    const { accepted, refused, unavailable } = this.#status;
    return {
      accepted,
      refused: { ...refused },
      unavailable: { ...unavailable },
      evidence: this.#evidence.counts(),
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#evidence.settled();
  }

  /**
   * The order of the checks. What fails before the signature costs the authority nothing and proves nothing. What fails
   * after it, although the authority never writes such a thing, proves that the key is in other hands.
   */
  async #examine(token: string | undefined, scopes: readonly string[]): Promise<Outcome> {
    // 1 Size and canonical shape
    if (typeof token !== 'string' || token === '') return refused('token_missing');
    const compact = parseCompact(token);
    if (compact.kind === 'malformed') return refused('token_malformed');
    // 2 Type, algorithm, key: against lists that are fixed here, never by the token's choice
    const header = readAccessTokenHeader(compact.header);
    if (header.kind === 'refused') return header;
    const key = await this.#keys.find(header.kid);
    if (!key) return refused('token_unknown_key');
    if (key.alg !== header.alg) return refused('token_algorithm_refused');
    // 3 Signature
    if (!(await isSignedBy(token, key))) return refused('token_bad_signature');
    // 4 Form of the entropy bucket, 5 claims
    const read = this.#readClaims(compact);
    if (read.kind === 'refused') {
      if (read.code === 'token_forged') this.#evidence.report({ kid: key.kid, token });
      return read;
    }
    const { claims } = read;
    // 6 Record
    const record = await this.#authority.check({
      jti: claims.jti,
      digest: hash('sha256', compact.signingInput, 'base64url'),
    });
    if (record.kind !== 'live') return this.#refuseByRecord(record, { kid: key.kid, token });
    // 7 Binding and scope
    if ('cnf' in claims) return refused('token_binding_unproven');
    const granted = new Set(claims.scope.split(' '));
    if (!scopes.every((scope) => granted.has(scope))) return refused('scope_insufficient');
    return {
      kind: 'accepted',
      claims: withoutBucket(claims),
      handles: record.handles,
      expiresInMs: record.expiresInMs,
    };
  }

  #readClaims(
    compact: CompactToken,
  ): { kind: 'claims'; claims: AccessTokenClaims } | { kind: 'refused'; code: RefusalCode; verdict?: Verdict } {
    const forged = refused('token_forged', 'forged');
    if (!hasEntropyBucketForm(compact.claims.eb)) return forged;
    const read = accessTokenClaims(compact.claims, {
      issuer: this.#issuer,
      audiences: [this.audience],
      nowMs: this.#clock.now(),
    });
    switch (read.kind) {
      case 'impossible':
        return forged;
      case 'wrong_audience':
        return refused('token_wrong_audience');
      case 'expired':
        return refused('token_expired');
      case 'not_yet_valid':
        return refused('token_not_yet_valid');
      case 'claims':
        return read;
    }
  }

  #refuseByRecord(record: Exclude<RecordAnswer, { kind: 'live' }>, evidence: { kid: string; token: string }): Outcome {
    if (record.kind === 'tampered' || record.kind === 'unknown') this.#evidence.report(evidence);
    return refused(`token_${record.kind}`, record.kind);
  }

  #refuse(outcome: Exclude<Outcome, Accepted>, scopes: readonly string[]): Refused {
    const { code } = outcome;
    this.#status.refused[code] = (this.#status.refused[code] ?? 0) + 1;
    const refusal = REFUSALS[code];
    const challenge = bearerChallenge({
      realm: this.audience,
      ...('error' in refusal ? { error: refusal.error, description: refusal.description } : {}),
      ...(code === 'scope_insufficient' ? { scopes } : {}),
    });
    return { ...outcome, status: refusal.status, challenge };
  }

  #giveUp(error: AuthorityError): Unavailable {
    const { code, message } = error;
    this.#status.unavailable[code] = (this.#status.unavailable[code] ?? 0) + 1;
    return { kind: 'unavailable', code, status: 503, message };
  }
}

function refused(code: RefusalCode, verdict?: Verdict): { kind: 'refused'; code: RefusalCode; verdict?: Verdict } {
  return { kind: 'refused', code, ...(verdict === undefined ? {} : { verdict }) };
}

/** Whether this very key, by its one algorithm, signed the token. Whatever goes wrong in asking is a no. */
async function isSignedBy(token: string, key: VerificationKey): Promise<boolean> {
  try {
    await compactVerify(token, key.key, { algorithms: [key.alg] });
    return true;
  } catch {
    return false;
  }
}

function withoutBucket(claims: AccessTokenClaims): VerifiedClaims {
  const { eb: _, ...rest } = claims;
  return rest;
}
