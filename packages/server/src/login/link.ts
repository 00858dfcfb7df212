import { hasEntropyBucketForm, idCreatedAtMs, isId } from '@countersign/protocol';

/** Ten minutes, for link, code and flow alike: the most that NIST SP 800-63B-4 §3.1.3 and ASVS 6.5.5 allow (ML-05). */
export const LINK_LIFETIME_MS = 10 * 60_000;
/** Open links of one address in different browsers; further browsers are told the same and get no mail (ML-09). */
export const MAX_OPEN_LINKS = 3;
/** More than are ever open: those of strangers and those of known browsers, ten at the end of one hour's limit and ten of the next. */
export const MAX_OPEN_ROWS = 30;
/** A used link that comes back within this time is a double click or a retry, whatever else it looks like. */
export const REPEAT_WINDOW_MS = 10_000;

/** One login by mail: the link and the code of one mail, for one starting browser. */
export interface MagicLink {
  /** `maglnk_…`, the link's `jti` */
  id: string;
  email: string;
  /** Undefined when nobody had this address yet. */
  userId: string | undefined;
  /** False: no account and no sign-up, or disabled. The mail said so; neither link nor code of this row can log in. */
  canFinish: boolean;
  /** False: throttled; nothing was sent. */
  mailed: boolean;
  /** SHA-256 of the starting browser's cookie. */
  browserDigest: Uint8Array;
  bucketVersion: number;
  record: Uint8Array;
  codeKeyId: string;
  codeMac: Uint8Array;
  codeTries: number;
  /** '' or the sealed authorization request that the login is for. */
  returnTo: string;
  clientId: string | undefined;
  /** Such as `Firefox on Linux`. */
  userAgent: string;
  /** Where the login was begun; once used, where it was used. */
  network: string;
  createdAtMs: number;
  expiresAtMs: number;
  usedAtMs: number | undefined;
  supersededAtMs: number | undefined;
}

export type LinkState = 'open' | 'used' | 'superseded' | 'expired';

/** Dead is final: what was used or superseded stays so, also past its time. */
export function linkState(
  link: Pick<MagicLink, 'usedAtMs' | 'supersededAtMs' | 'expiresAtMs'>,
  nowMs: number,
): LinkState {
  if (link.usedAtMs !== undefined) return 'used';
  if (link.supersededAtMs !== undefined) return 'superseded';
  return nowMs < link.expiresAtMs ? 'open' : 'expired';
}

/** When a link made now ends, on a whole second, because `exp` counts seconds. */
export function linkExpiresAtMs(nowMs: number): number {
  return Math.floor((nowMs + LINK_LIFETIME_MS) / 1000) * 1000;
}

/** Claims of a link, in the order in which they are written. */
export interface LinkClaims {
  iss: string;
  jti: string;
  eb: string;
  /** Unix seconds */
  exp: number;
}

/**
 * Reads the claims of a link whose signature was checked. `impossible`: our key signed it, yet no authority writes such claims
 * (a malformed bucket, another issuer, more members, a life longer than any link's): evidence of a forgery. `expired` is an
 * everyday refusal. The record is NOT yet checked.
 */
export function linkClaims(
  claims: Record<string, unknown>,
  expected: { issuer: string; nowMs: number },
): { kind: 'claims'; claims: LinkClaims } | { kind: 'impossible' } | { kind: 'expired' } {
  const { iss, jti, eb, exp } = claims;
  if (Object.keys(claims).length !== 4 || !hasEntropyBucketForm(eb) || !isId('maglnk', jti))
    return { kind: 'impossible' };
  if (iss !== expected.issuer || typeof exp !== 'number' || !Number.isSafeInteger(exp)) return { kind: 'impossible' };
  if (exp * 1000 > idCreatedAtMs(jti) + LINK_LIFETIME_MS) return { kind: 'impossible' };
  if (expected.nowMs >= exp * 1000) return { kind: 'expired' };
  return { kind: 'claims', claims: { iss: expected.issuer, jti, eb, exp } };
}

/**
 * What it means that a used link is sent again with the proof of its starting browser. People do that: they click twice, or the
 * answer was lost on its way and they try again from where they are. An honest browser holds another cookie after the login,
 * so whoever still has the old one later *and* sits in another network than at the use copied both. Only that rings: a false alarm would teach
 * people to ignore the true one.
 */
export function repeatedUse(
  link: { usedAtMs: number; network: string },
  now: { atMs: number; network: string },
): 'repeated' | 'replayed' {
  const later = now.atMs - link.usedAtMs > REPEAT_WINDOW_MS;
  return later && now.network !== link.network ? 'replayed' : 'repeated';
}
