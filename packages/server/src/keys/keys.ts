/**
 * Keys: what signs, and the authority's own symmetric keys.
 *
 * Owns the table `signing_key`: one key per purpose and algorithm is active, one waits, older ones stay readable until their
 * last token has expired (rotation.ts). Private halves are sealed at rest and live unsealed only in this object. Owns the table
 * `authority`, which says whose database this is (whose.ts). Leaves to discovery what is published where, and to tokens what is signed.
 *
 * Verification here is the first part of the order of checks: size, canonical shape, `typ`/`alg`/`kid` by an allowlist fixed for
 * the purpose, signature. A signature is half a proof: the caller still owes `eb` form, claims and record.
 */
import { createHmac } from 'node:crypto';
import { type CompactToken, createId, isAccessTokenType, parseCompact, TOKEN_TYPES } from '@countersign/protocol';
import type { Events } from '../events/events.ts';
import type { Sealer } from '../sealing/sealing.ts';
import type { Sql, Store, Transaction, Writes } from '../store/store.ts';
import type { Clock } from '../world/clock.ts';
import type { Random } from '../world/random.ts';
import { generateKey, type KeyMaterial, openMaterial, type PublicJwk } from './material.ts';
import {
  type KeyAlgorithm,
  type KeyChange,
  type KeyKind,
  type KeyLife,
  type KeyPurpose,
  planRotation,
} from './rotation.ts';
import { isSignedBy, signCompact } from './signature.ts';
import {
  insertKey,
  type KeyRow,
  markActive,
  markRetired,
  markRetiring,
  selectAuthority,
  selectKeys,
  selectLivingKeys,
} from './table.ts';
import { type AccessAlgorithm, requireOwn, type Whose } from './whose.ts';

export type { PublicJwk } from './material.ts';
export { JWKS_CACHE_MS, type KeyAlgorithm, type KeyLife, type KeyPurpose, type KeyState } from './rotation.ts';
export { requireNoOther } from './whose.ts';

/** Purposes whose signatures others read. Of the other keys, which the authority alone reads, nothing is published. */
const PUBLISHED_PURPOSES: readonly KeyPurpose[] = ['access', 'id'];

/**
 * An unknown `kid` makes this node look at the table again, at most once in this time: another process may have rotated. Whoever makes
 * them up gets no more; what is looked at anyway, every second, does not count, for then a kid would never be looked up at once.
 */
const RELOAD_PAUSE_MS = 1_000;

/** Headers the authority writes, and no others: `jku`, `jwk`, `x5c`, `crit`, `b64` have no place (RFC 8725 §3.10, RFC 7515 §4.1.11). */
const HEADER_MEMBERS = new Set(['alg', 'typ', 'kid']);

/** What `verify` found. `signed` is half a proof: see above. */
export type Verified =
  | { kind: 'signed'; keyId: string; isCompromised: boolean; parsed: CompactToken }
  | { kind: 'refused'; why: 'malformed' | 'wrong_header' | 'wrong_type' | 'unknown_key' | 'bad_signature' };

interface LoadedKey extends KeyLife {
  material: KeyMaterial;
}

export class Keys {
  readonly #store: Store;
  readonly #sealer: Sealer;
  readonly #events: Events;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #own: Whose;
  /** What the database says; until it was asked, the settings. */
  #whose: Whose;
  #loaded = new Map<string, LoadedKey>();
  #soughtAtMs = Number.NEGATIVE_INFINITY;
  #seeking: Promise<void> | undefined;

  constructor(given: {
    store: Store;
    sealer: Sealer;
    events: Events;
    clock: Clock;
    random: Random;
    issuer: string;
    accessAlgorithm: AccessAlgorithm;
  }) {
    this.#store = given.store;
    this.#sealer = given.sealer;
    this.#events = given.events;
    this.#clock = given.clock;
    this.#random = given.random;
    this.#own = { issuer: given.issuer, accessAlgorithm: given.accessAlgorithm };
    this.#whose = this.#own;
  }

  /**
   * Makes the keys that are missing and loads all. `adopts`: the database is this authority's from now on, whatever it was. Not `makes`:
   * those that are there are loaded, and none is made or replaced.
   * @throws SealBroken under a wrong master key: nothing is made over old data
   * @throws StoreRefusal `other_settings` where the database is that of another issuer or access algorithm
   */
  async prepare({ adopts = false, makes = true }: { adopts?: boolean; makes?: boolean } = {}): Promise<void> {
    await this.reload();
    await requireOwn(this.#store, this.#own, { adopts });
    this.#whose = this.#own;
    if (makes) await this.rotate();
  }

  /**
   * Applies what the rotation rule says is due, or what an operator asks for (`now`). Returns the changes made. Safe to run on
   * many nodes at once: the plan is made again inside the transaction.
   */
  async rotate(options: { now?: KeyPurpose; writes?: Writes } = {}): Promise<KeyChange[]> {
    const { writes = this.#store } = options;
    const rotateNow = options.now === undefined ? {} : { rotateNow: options.now };
    const nowMs = this.#clock.now();
    const plannedBy = async (sql: Sql): Promise<KeyChange[]> => {
      const whose = (await selectAuthority(sql)) ?? this.#own;
      return planRotation({ keys: await selectLivingKeys(sql), wanted: wantedOf(whose), nowMs, ...rotateNow });
    };
    const planned = await plannedBy(this.#store.read);
    if (planned.length === 0) return [];
    // Making an RSA key takes a while: before the transaction, not inside it.
    const material = await Promise.all(
      planned.flatMap((change) => (change.kind === 'create' ? [this.#newKey(change.keyKind, change.state)] : [])),
    );
    const changes = await writes.write(async (tx) => {
      const plan = await plannedBy(tx);
      // A copy of its own for each run: the store may run this again.
      const left = [...material];
      for (const change of plan) await this.#apply(tx, change, left);
      return plan;
    });
    await this.reload();
    return changes;
  }

  /** Reads the tables again. */
  async reload(): Promise<void> {
    const loaded = new Map<string, LoadedKey>();
    for (const row of await selectLivingKeys(this.#store.read)) {
      const known = this.#loaded.get(row.id);
      const material = known?.material ?? openMaterial(row, this.#sealer.open(place(row.id), row.sealedPrivate));
      loaded.set(row.id, { ...row, material });
    }
    this.#whose = (await selectAuthority(this.#store.read)) ?? this.#own;
    this.#loaded = loaded;
  }

  /** All keys in the store, without private halves, newest first. */
  async list(): Promise<KeyLife[]> {
    const rows = await selectKeys(this.#store.read);
    return rows.map(({ sealedPrivate: _, publicJwk: __, ...life }) => life).reverse();
  }

  /** The published keys: standby, active and retiring ones of the purposes that others read; never a compromised one. */
  publicKeys(): PublicJwk[] {
    return this.#published()
      .filter((key) => key.compromisedAtMs === undefined)
      .flatMap((key) => (key.material.publicJwk ? [key.material.publicJwk] : []));
  }

  /** Keys of access tokens for verifiers: a compromised one stays, marked, since the record still tells its tokens apart. */
  verifierKeys(): { keyId: string; algorithm: 'ES256' | 'Ed25519'; jwk: PublicJwk; isCompromised: boolean }[] {
    return this.#published()
      .filter((key) => key.purpose === 'access')
      .flatMap((key) =>
        key.material.publicJwk
          ? [
              {
                keyId: key.id,
                algorithm: key.algorithm === 'Ed25519' ? 'Ed25519' : 'ES256', // the kinds wanted for access
                jwk: key.material.publicJwk,
                isCompromised: key.compromisedAtMs !== undefined,
              },
            ]
          : [],
      );
  }

  /** Signs claims as a compact JWS. `algorithm` chooses among a purpose's keys; by default its first. */
  async sign(given: {
    purpose: KeyPurpose;
    typ: string;
    claims: object;
    algorithm?: KeyAlgorithm;
  }): Promise<{ token: string; keyId: string }> {
    const key = this.#active(given.purpose, given.algorithm);
    const header = { alg: key.algorithm, typ: given.typ, kid: key.id };
    const token = await signCompact(key.material, { header, claims: given.claims });
    return { token, keyId: key.id };
  }

  /** Shape, header and signature of a token of one purpose. Neither `eb`, claims nor record are checked. */
  async verify(given: { purpose: KeyPurpose; typ: string; token: string }): Promise<Verified> {
    const parsed = parseCompact(given.token);
    if (parsed.kind === 'malformed') return { kind: 'refused', why: 'malformed' };
    const { alg, typ, kid } = parsed.header;
    if (Object.keys(parsed.header).some((member) => !HEADER_MEMBERS.has(member))) {
      return { kind: 'refused', why: 'wrong_header' };
    }
    if (!isTyp(typ, given.typ)) return { kind: 'refused', why: 'wrong_type' };
    const key = typeof kid === 'string' ? await this.#find(kid) : undefined;
    if (!key || key.purpose !== given.purpose) return { kind: 'refused', why: 'unknown_key' };
    if (alg !== key.algorithm) return { kind: 'refused', why: 'wrong_header' };
    if (!isSignedBy(key.material, { ...parsed, algorithm: key.algorithm })) {
      return { kind: 'refused', why: 'bad_signature' };
    }
    return { kind: 'signed', keyId: key.id, isCompromised: key.compromisedAtMs !== undefined, parsed };
  }

  /** HMAC-SHA-256 under the active key of a symmetric purpose. */
  mac(purpose: 'login-code' | 'handle', message: string): { keyId: string; mac: Uint8Array } {
    const key = this.#active(purpose);
    return { keyId: key.id, mac: macUnder(key, message) };
  }

  /** The same under a named key; undefined when that key is gone. */
  macWith(keyId: string, message: string): Uint8Array | undefined {
    const key = this.#loaded.get(keyId);
    return key ? macUnder(key, message) : undefined;
  }

  /** Whether this node can sign every kind that is wanted, and for the issuer whose database this is: a part of readiness. */
  isReady(): boolean {
    if (this.#whose.issuer !== this.#own.issuer) return false;
    const wanted = wantedOf(this.#whose);
    return wanted.every(({ purpose, algorithm }) => this.#activeOrNone(purpose, algorithm) !== undefined);
  }

  async #find(keyId: string): Promise<LoadedKey | undefined> {
    const known = this.#loaded.get(keyId);
    if (known) return known;
    // Those who come while a look is under way wait for it: the one they would want is not allowed so soon.
    await (this.#seeking ?? this.#seek());
    return this.#loaded.get(keyId);
  }

  async #seek(): Promise<void> {
    const nowMs = this.#clock.now();
    if (nowMs < this.#soughtAtMs + RELOAD_PAUSE_MS) return;
    this.#soughtAtMs = nowMs;
    this.#seeking = this.reload().finally(() => {
      this.#seeking = undefined;
    });
    await this.#seeking;
  }

  #published(): LoadedKey[] {
    return [...this.#loaded.values()].filter((key) => PUBLISHED_PURPOSES.includes(key.purpose));
  }

  #activeOrNone(purpose: KeyPurpose, algorithm?: KeyAlgorithm): LoadedKey | undefined {
    for (const key of this.#loaded.values()) {
      if (key.purpose !== purpose || key.state !== 'active') continue;
      if (algorithm === undefined || key.algorithm === algorithm) return key;
    }
    return undefined;
  }

  #active(purpose: KeyPurpose, algorithm?: KeyAlgorithm): LoadedKey {
    const key = this.#activeOrNone(purpose, algorithm);
    if (!key) throw new Error(`No active ${algorithm ?? ''} key for ${purpose}; prepare() comes first`);
    return key;
  }

  async #newKey(keyKind: KeyKind, state: 'standby' | 'active'): Promise<KeyRow> {
    const nowMs = this.#clock.now();
    const id = createId('key', nowMs, this.#random.bytes(8));
    const { privateBytes, publicJwk } = await generateKey({ id, algorithm: keyKind.algorithm, random: this.#random });
    return {
      id,
      ...keyKind,
      state,
      compromisedAtMs: undefined,
      publicJwk,
      sealedPrivate: this.#sealer.seal(place(id), privateBytes),
      createdAtMs: nowMs,
      activatedAtMs: state === 'active' ? nowMs : undefined,
      retiringAtMs: undefined,
    };
  }

  async #apply(tx: Transaction, change: KeyChange, material: KeyRow[]): Promise<void> {
    const nowMs = this.#clock.now();
    switch (change.kind) {
      case 'create': {
        const at = material.findIndex(
          (row) =>
            row.purpose === change.keyKind.purpose &&
            row.algorithm === change.keyKind.algorithm &&
            row.state === change.state,
        );
        const [row] = at >= 0 ? material.splice(at, 1) : [];
        if (!row) return; // another process changed the plan meanwhile; the next step makes it
        await insertKey(tx, row);
        return this.#events.append(tx, { type: 'key.created', keyId: row.id, detail: { purpose: row.purpose } });
      }
      case 'activate':
        await markActive(tx, change.keyId, nowMs);
        return this.#events.append(tx, { type: 'key.activated', keyId: change.keyId });
      case 'retire_slowly':
        await markRetiring(tx, change.keyId, nowMs);
        return;
      case 'retire':
        await markRetired(tx, change.keyId, nowMs);
        return this.#events.append(tx, { type: 'key.retired', keyId: change.keyId });
    }
  }
}

/** The keys of an authority. */
function wantedOf({ accessAlgorithm }: Whose): KeyKind[] {
  return [
    { purpose: 'access', algorithm: accessAlgorithm },
    { purpose: 'refresh', algorithm: 'ES256' },
    { purpose: 'magic-link', algorithm: 'HS256' },
    { purpose: 'id', algorithm: 'RS256' },
    { purpose: 'id', algorithm: 'ES256' },
    { purpose: 'login-code', algorithm: 'HS256' },
    { purpose: 'handle', algorithm: 'HS256' },
  ];
}

/** Access tokens have two spellings of their type (RFC 9068 §4); what a verifier takes for one is judged as one here. */
function isTyp(typ: unknown, wanted: string): boolean {
  return wanted === TOKEN_TYPES.access ? isAccessTokenType(typ) : typ === wanted;
}

function macUnder(key: LoadedKey, message: string): Uint8Array {
  if (key.algorithm !== 'HS256') throw new TypeError('Only a symmetric key makes a MAC');
  return createHmac('sha256', key.material.signingKey).update(message, 'utf8').digest();
}

function place(keyId: string) {
  return { table: 'signing_key', row: keyId, column: 'sealed_private' };
}
