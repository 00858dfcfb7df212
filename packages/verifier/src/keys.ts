import { createPublicKey, type KeyObject } from 'node:crypto';
import type { VerifierKey } from '@countersign/protocol';
import type { AuthorityConnection } from './connection.ts';
import type { Discovery } from './discovery.ts';
import { AuthorityError } from './errors.ts';
import { isAllowedAlgorithm } from './header.ts';
import { isObject } from './json.ts';
import { PacedFlight } from './paced-flight.ts';
import type { VerifierClock } from './world.ts';

/** Keys asked again for an unknown `kid` at most this often: `kid` is the caller's input, and a flood of them costs one call. */
const REFETCH_PAUSE_MS = 30_000;

/** Where nothing was ever read, a failed start is tried again sooner. */
const FIRST_LOAD_PAUSE_MS = 1000;

/** Keys are read again after this time: signature-only verification learns of a compromised key even without a stream. */
const MAX_AGE_MS = 5 * 60_000;

/** Renewals come by the stream or by age, never by a caller's input. */
const RENEWAL_PAUSE_MS = 1000;

/** More keys than this are never published: a handful a purpose. */
const MAX_KEYS = 100;

/** RSA below 2048 bits is refused (RFC 7518 §3.3). */
const MIN_RSA_BITS = 2048;

/** Members of private and symmetric keys (RFC 7518 §6). A document that holds one is not for publication. */
const SECRET_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/** A public key, ready to verify with, and the one algorithm it is for. */
export interface VerificationKey {
  kid: string;
  alg: VerifierKey['alg'];
  key: KeyObject;
  /** A compromised key still proves a signature; whether the token is good, the record decides. */
  status: VerifierKey['status'];
}

type Keys = ReadonlyMap<string, VerificationKey>;

/**
 * The authority's access-token keys. Read on first use, kept, and read again for a `kid` that is not among them (once per
 * `REFETCH_PAUSE_MS` for all callers together), when the stream tells of a key taken back, and when they are old. A key that the
 * authority withdraws may stay here for a while: where the record is asked, that is what withdraws it.
 */
export class KeyRing {
  #keys: Keys | undefined;
  #readAtMs = 0;
  /** How often a key was taken back, as far as is known, and with how many of them the keys in hand were read. */
  #takenBack = 0;
  #readWith = 0;
  #isReading = false;
  readonly #clock: VerifierClock;
  readonly #work: () => Promise<Keys>;
  readonly #firstLoad: PacedFlight<Keys>;
  readonly #refetch: PacedFlight<Keys>;
  readonly #renewal: PacedFlight<Keys>;

  constructor(parts: {
    discovery: Discovery;
    connection: AuthorityConnection;
    clock: VerifierClock;
    audience: string;
  }) {
    const { clock } = parts;
    this.#clock = clock;
    const work = async () => {
      const { countersign_keys_endpoint: url } = await parts.discovery.metadata();
      const takenBack = this.#takenBack;
      const answer = await parts.connection.call({ url, doing: 'Reading the keys of the authority' });
      assertServes(answer, parts.audience);
      const keys = importKeys(answer);
      if (this.#keys && takenBack < this.#readWith) return this.#keys; // overtaken by a newer read
      this.#keys = keys;
      this.#readWith = takenBack;
      this.#readAtMs = clock.monotonicMs();
      return keys;
    };
    this.#work = work;
    this.#firstLoad = new PacedFlight({ clock, pauseMs: FIRST_LOAD_PAUSE_MS, work });
    this.#refetch = new PacedFlight({ clock, pauseMs: REFETCH_PAUSE_MS, work });
    this.#renewal = new PacedFlight({ clock, pauseMs: RENEWAL_PAUSE_MS, work });
  }

  /** Reads the keys where that was not done yet. @throws AuthorityError */
  async load(): Promise<void> {
    if (!this.#keys) await this.#firstLoad.run();
  }

  /** The key of this name, or undefined where the authority has none. @throws AuthorityError where it could not be asked. */
  async find(kid: string): Promise<VerificationKey | undefined> {
    if (!this.#keys) return (await this.#firstLoad.run()).get(kid);
    if (this.#isOutdated || this.#clock.monotonicMs() - this.#readAtMs > MAX_AGE_MS) this.#refresh();
    return this.#keys.get(kid) ?? (await this.#refetch.run()).get(kid);
  }

  /**
   * A key was taken back, or may have been: whatever was read before now may not know. Reads at once, whatever the pause: this
   * comes by the authority's own word. Where that fails, the next use tries again.
   */
  takenBack(): void {
    this.#takenBack++;
    if (this.#keys) this.#readUntilCurrent();
  }

  get #isOutdated(): boolean {
    return this.#readWith < this.#takenBack;
  }

  /** One read at a time; a word that came during one calls for another. */
  #readUntilCurrent(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#work().then(
      () => {
        this.#isReading = false;
        if (this.#isOutdated) this.#readUntilCurrent();
      },
      () => {
        this.#isReading = false;
      },
    );
  }

  /** Reads the keys again beside whatever goes on. Where that fails, those known stay: the next use tries again. */
  #refresh(): void {
    if (!this.#isReading) this.#renewal.run().catch(() => undefined);
  }
}

/**
 * Reads the keys document. An algorithm this version does not know is passed over: an authority may be newer than its
 * verifiers. Everything else that is not as it should be refuses the whole document.
 */
export function importKeys(answer: unknown): Keys {
  const list: unknown = typeof answer === 'object' && answer !== null && 'keys' in answer ? answer.keys : undefined;
  if (!Array.isArray(list) || list.length > MAX_KEYS) throw invalid('it has no list of keys, or an endless one');
  const keys = new Map<string, VerificationKey>();
  for (const entry of list) {
    const key = importKey(entry);
    if (!key) continue;
    if (keys.has(key.kid)) throw invalid('two keys have the same kid');
    keys.set(key.kid, key);
  }
  return keys;
}

/** Otherwise the authority would call every good token unknown, and nobody would find out why. */
function assertServes(answer: unknown, audience: string): void {
  const audiences = isObject(answer) ? answer.audiences : undefined;
  if (!Array.isArray(audiences))
    throw invalid('it does not say for which audiences this resource server is registered');
  if (audiences.includes(audience)) return;
  throw new AuthorityError(
    'authority_audience_refused',
    `Reading the keys of the authority: this resource server is not registered for the audience ${audience}. ` +
      'Register it so (countersign client add --resource-server), or set the audience it is registered for.',
  );
}

function importKey(entry: unknown): VerificationKey | undefined {
  if (!isObject(entry) || typeof entry.kid !== 'string' || entry.kid === '' || !isObject(entry.jwk)) {
    throw invalid('a key has no kid or no jwk');
  }
  const { kid, alg, jwk, status } = entry;
  if (SECRET_MEMBERS.some((member) => member in jwk)) {
    throw invalid('a key holds private members. The authority must be stopped and that key replaced');
  }
  if (status !== 'good' && status !== 'compromised') throw invalid('a key has an unknown status');
  if (!isAllowedAlgorithm(alg)) return undefined;
  const key = importPublicJwk(jwk, alg);
  if (!key) throw invalid('a key cannot be read, or is not for the algorithm it names');
  return { kid, alg, key, status };
}

function importPublicJwk(jwk: Record<string, unknown>, alg: VerifierKey['alg']): KeyObject | undefined {
  if (jwk.alg !== undefined && jwk.alg !== alg) return undefined;
  if (jwk.use !== undefined && jwk.use !== 'sig') return undefined;
  const members: Record<string, string> = {};
  for (const name of ['kty', 'crv', 'x', 'y', 'n', 'e']) {
    const value = jwk[name];
    if (typeof value === 'string') members[name] = value;
  }
  if (members.kty !== { ES256: 'EC', Ed25519: 'OKP', RS256: 'RSA' }[alg]) return undefined;
  if (members.crv !== { ES256: 'P-256', Ed25519: 'Ed25519', RS256: undefined }[alg]) return undefined;
  try {
    const key = createPublicKey({ key: members, format: 'jwk' });
    const bits = key.asymmetricKeyDetails?.modulusLength;
    return bits !== undefined && bits < MIN_RSA_BITS ? undefined : key;
  } catch {
    return undefined;
  }
}

function invalid(what: string): AuthorityError {
  return new AuthorityError('authority_answer_invalid', `Reading the keys of the authority: ${what}.`);
}
