import { createPublicKey, type KeyObject } from 'node:crypto';
import type { VerifierKey } from '@countersign/protocol';
import { elapsedMs, type Moment } from './coherence/moment.ts';
import type { AuthorityConnection } from './connection.ts';
import type { Discovery } from './discovery.ts';
import { AuthorityError } from './errors.ts';
import { isAllowedAlgorithm } from './header.ts';
import { isObject } from './json.ts';
import { PacedFlight } from './paced-flight.ts';
import type { VerifierClock } from './world.ts';

/** Keys asked again for an unknown `kid` at most this often: `kid` is the caller's input, and a flood of them costs one call. */
const REFETCH_PAUSE_MS = 30_000;

/** After a read that failed, none for so long: an authority that starts up must not meet a herd, and is not missed for longer. */
const FAILURE_PAUSE_MS = 1_000;

/** Keys are read again after this time: signature-only verification learns of a compromised key even without a stream. */
const MAX_AGE_MS = 5 * 60_000;

/** Past it, keys that cannot be read again are no ground for accepting by the signature alone. */
export const MAX_UNREAD_MS = 3_600_000;

/** For so long after a failed read nobody waits for the next one, as long as the keys in hand will do. */
const FAILING_MS = 10_000;

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
  /** When the read began that brought the keys in hand. */
  #readAt: Moment = { wallMs: 0, monotonicMs: 0 };
  /** How often a key was taken back, as far as is known, and with how many of them the keys in hand were read. */
  #takenBack = 0;
  #readWith = 0;
  /** Reads begun, and which of them brought the keys in hand. */
  #reads = 0;
  #newestRead = 0;
  #failedAtMs = Number.NEGATIVE_INFINITY;
  readonly #clock: VerifierClock;
  readonly #ask: () => Promise<Keys>;
  readonly #firstLoad: PacedFlight<void>;
  readonly #refetch: PacedFlight<void>;
  readonly #renewal: PacedFlight<void>;

  constructor(parts: {
    discovery: Discovery;
    connection: AuthorityConnection;
    clock: VerifierClock;
    audience: string;
  }) {
    const { clock } = parts;
    this.#clock = clock;
    this.#ask = async () => {
      const { countersign_keys_endpoint: url } = await parts.discovery.metadata();
      const answer = await parts.connection.call({ url, doing: 'Reading the keys of the authority' });
      assertServes(answer, parts.audience);
      return importKeys(answer);
    };
    const work = () => this.#read();
    const failurePauseMs = FAILURE_PAUSE_MS;
    this.#firstLoad = new PacedFlight({ clock, pauseMs: FAILURE_PAUSE_MS, work });
    this.#refetch = new PacedFlight({ clock, pauseMs: REFETCH_PAUSE_MS, failurePauseMs, work });
    // It comes by the stream or by age, never by a caller's input, and makes itself needless.
    this.#renewal = new PacedFlight({ clock, pauseMs: 0, failurePauseMs, work: () => this.#readUntilCurrent() });
  }

  /** Reads the keys where that was not done yet. @throws AuthorityError */
  async load(): Promise<void> {
    if (!this.#keys) await this.#firstLoad.run();
  }

  /**
   * The key of this name, or undefined where the authority has none. `isAllThereIs`: nothing but this key stands behind the token, so
   * that it must be known what the authority says of it now.
   *
   * @throws AuthorityError where the authority could not be asked.
   */
  async find(kid: string, { isAllThereIs = false } = {}): Promise<VerificationKey | undefined> {
    await this.load();
    if (isAllThereIs) await this.#assertTrustworthy();
    else if (!this.#isFresh) this.#renewBeside();
    const key = this.#keys?.get(kid);
    if (key) return key;
    await this.#refetch.run();
    return this.#keys?.get(kid); // what another read brought meanwhile may be newer
  }

  /**
   * A key was taken back, or may have been: whatever was read before now may not know. Reads at once, whatever the pause: this
   * comes by the authority's own word. Where that fails, the next use tries again.
   */
  takenBack(): void {
    this.#takenBack++;
    if (this.#keys) this.#renewal.runNow().catch(() => undefined);
  }

  get #isOutdated(): boolean {
    return this.#readWith < this.#takenBack;
  }

  get #isFresh(): boolean {
    return !this.#isOutdated && this.#ageMs <= MAX_AGE_MS;
  }

  get #ageMs(): number {
    return elapsedMs(this.#readAt, this.#now());
  }

  /** Keys that may not know of one taken back will not do; keys that are merely old will, for as long as they cannot be read. */
  async #assertTrustworthy(): Promise<void> {
    if (this.#isFresh) return;
    const willDo = () => !this.#isOutdated && this.#ageMs <= MAX_UNREAD_MS;
    const isFailing = this.#clock.monotonicMs() - this.#failedAtMs < FAILING_MS;
    if (isFailing && willDo()) {
      this.#renewBeside();
      return;
    }
    try {
      await this.#renewal.run();
      if (!this.#isFresh) await this.#renewal.run(); // a read that it joined began before the machine slept
    } catch (error) {
      if (!willDo()) throw error;
    }
  }

  /** Reads the keys again beside whatever goes on. Where that fails, those known stay: the next use tries again. */
  #renewBeside(): void {
    this.#renewal.run().catch(() => undefined);
  }

  /** A word that came during a read calls for another. */
  async #readUntilCurrent(): Promise<void> {
    do await this.#read();
    while (this.#isOutdated);
  }

  /** What began earlier never replaces what began later, whichever ends first. */
  async #read(): Promise<void> {
    const [read, takenBack, startedAt] = [++this.#reads, this.#takenBack, this.#now()];
    try {
      const keys = await this.#ask();
      if (read < this.#newestRead) return;
      this.#newestRead = read;
      this.#keys = keys;
      this.#readWith = takenBack;
      this.#readAt = startedAt;
    } catch (error) {
      this.#failedAtMs = this.#clock.monotonicMs();
      throw error;
    }
  }

  #now(): Moment {
    return { wallMs: this.#clock.now(), monotonicMs: this.#clock.monotonicMs() };
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
