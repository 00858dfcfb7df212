/**
 * The life of keys as a pure rule: (keys, now) → what should change.
 *
 *     standby → active → retiring → retired        compromised: a mark, possible in any state
 *
 * A key is published (standby) before it signs, for at least as long as anybody may cache the published set, and stays until
 * its last token has expired. One standby of each kind always waits, so that a leaked active key is replaced at once by one
 * that everybody knows already (OpenID Connect Core §10.1.1).
 */

export type KeyPurpose = 'access' | 'refresh' | 'magic-link' | 'id' | 'login-code' | 'handle';
export type KeyAlgorithm = 'ES256' | 'Ed25519' | 'RS256' | 'HS256';
export type KeyState = 'standby' | 'active' | 'retiring' | 'retired';

/** A key for one purpose and one algorithm: it can never be asked to do another's work. */
export interface KeyKind {
  purpose: KeyPurpose;
  algorithm: KeyAlgorithm;
}

export interface KeyLife extends KeyKind {
  id: string;
  state: KeyState;
  compromisedAtMs: number | undefined;
  createdAtMs: number;
  activatedAtMs: number | undefined;
  retiringAtMs: number | undefined;
}

export type KeyChange =
  | { kind: 'create'; keyKind: KeyKind; state: 'standby' | 'active' }
  | { kind: 'activate'; keyId: string }
  | { kind: 'retire_slowly'; keyId: string }
  | { kind: 'retire'; keyId: string };

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** How long anybody may cache the published keys: `max-age` of the JWKS, and the wait before a standby may sign. */
export const JWKS_CACHE_MS = 10 * MINUTE_MS;

interface Schedule {
  /** Signs for so long; undefined: as long as the installation lives. */
  rotateAfterMs: number | undefined;
  /** Stays readable for so long after its last signature: the longest life of what it signed, and a margin. */
  readableAfterMs: number;
}

export const SCHEDULES: Record<KeyPurpose, Schedule> = {
  access: { rotateAfterMs: 90 * DAY_MS, readableAfterMs: 2 * DAY_MS },
  // Longest absolute life a client can be given is 400 days (clients/), and a margin.
  refresh: { rotateAfterMs: 90 * DAY_MS, readableAfterMs: 410 * DAY_MS },
  'magic-link': { rotateAfterMs: DAY_MS, readableAfterMs: 30 * MINUTE_MS },
  // ID tokens live five minutes; as id_token_hint a recently expired one is still read (Core §3.1.2.1).
  id: { rotateAfterMs: 90 * DAY_MS, readableAfterMs: 7 * DAY_MS },
  'login-code': { rotateAfterMs: 30 * DAY_MS, readableAfterMs: 30 * MINUTE_MS },
  // Handles must stay the same, or resource servers lose the connection between a token and its invalidation.
  handle: { rotateAfterMs: undefined, readableAfterMs: 0 },
};

/**
 * What should change now so that each wanted kind has one active key and one standby. Applying the changes and asking again
 * gives no further changes. `rotateNow` names a purpose whose active keys an operator wants replaced.
 */
export function planRotation(given: {
  keys: readonly KeyLife[];
  wanted: readonly KeyKind[];
  nowMs: number;
  rotateNow?: KeyPurpose;
}): KeyChange[] {
  const { keys, wanted, nowMs } = given;
  const changes: KeyChange[] = [];
  for (const keyKind of wanted) {
    const own = keys.filter((key) => isKind(key, keyKind));
    changes.push(...planKind({ keyKind, own, nowMs, rotateNow: given.rotateNow === keyKind.purpose }));
  }
  for (const key of keys) {
    const isWanted = wanted.some((keyKind) => isKind(key, keyKind));
    if (!isWanted && key.state === 'active') changes.push({ kind: 'retire_slowly', keyId: key.id });
    if (!isWanted && key.state === 'standby') changes.push({ kind: 'retire', keyId: key.id });
    const readableUntilMs = (key.retiringAtMs ?? 0) + SCHEDULES[key.purpose].readableAfterMs;
    if (key.state === 'retiring' && nowMs >= readableUntilMs) changes.push({ kind: 'retire', keyId: key.id });
  }
  return changes;
}

function planKind(given: {
  keyKind: KeyKind;
  own: readonly KeyLife[];
  nowMs: number;
  rotateNow: boolean;
}): KeyChange[] {
  const { keyKind, own, nowMs } = given;
  const active = own.find((key) => key.state === 'active');
  const standbys = own
    .filter((key) => key.state === 'standby' && key.compromisedAtMs === undefined)
    .sort((a, b) => a.createdAtMs - b.createdAtMs);
  const dropped: KeyChange[] = own
    .filter((key) => key.state === 'standby' && key.compromisedAtMs !== undefined)
    .map((key) => ({ kind: 'retire', keyId: key.id }));
  const rotateAfterMs = SCHEDULES[keyKind.purpose].rotateAfterMs;
  if (rotateAfterMs === undefined) {
    // Never rotated, so nothing waits.
    return active ? dropped : [...dropped, { kind: 'create', keyKind, state: 'active' }];
  }
  if (!active) {
    const [next, ...waiting] = standbys;
    const first: KeyChange = next ? { kind: 'activate', keyId: next.id } : { kind: 'create', keyKind, state: 'active' };
    return [...dropped, first, ...standbyIfNone(keyKind, waiting)];
  }
  const [next, ...waiting] = standbys;
  const isDue = nowMs >= (active.activatedAtMs ?? active.createdAtMs) + rotateAfterMs;
  const isKnown = next !== undefined && nowMs >= next.createdAtMs + JWKS_CACHE_MS;
  const mustGo = active.compromisedAtMs !== undefined || given.rotateNow;
  if (mustGo && !next) {
    // Nothing waits, and signing on would be worse than signing with a key that nobody has cached yet.
    return [
      ...dropped,
      { kind: 'retire_slowly', keyId: active.id },
      { kind: 'create', keyKind, state: 'active' },
      { kind: 'create', keyKind, state: 'standby' },
    ];
  }
  if (next && (mustGo || (isDue && isKnown))) {
    return [
      ...dropped,
      { kind: 'retire_slowly', keyId: active.id },
      { kind: 'activate', keyId: next.id },
      ...standbyIfNone(keyKind, waiting),
    ];
  }
  return [...dropped, ...standbyIfNone(keyKind, standbys)];
}

function standbyIfNone(keyKind: KeyKind, standbys: readonly KeyLife[]): KeyChange[] {
  return standbys.length > 0 ? [] : [{ kind: 'create', keyKind, state: 'standby' }];
}

function isKind(key: KeyKind, keyKind: KeyKind): boolean {
  return key.purpose === keyKind.purpose && key.algorithm === keyKind.algorithm;
}
