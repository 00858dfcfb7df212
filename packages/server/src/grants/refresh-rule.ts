/**
 * What a presented refresh token is worth, as a pure rule: (grant, what was presented, who presents, now) → decision.
 *
 * Generations make theft visible: the grant's row holds the record of exactly one good token (generation n) and of its
 * predecessor (n-1). One presented token has at most one successor, ever; nothing here is decided by uptime, by second-grained
 * times or by an order of requests.
 *
 *   gen = n     its bytes are the recorded ones        → rotate
 *   gen = n-1   its bytes are the recorded ones, young → the same answer again, at most three times (a lost answer, a retry)
 *   gen = n-1   otherwise, and gen < n-1 with our tag  → somebody else has it: the grant ends, *replayed* rings
 *   gen > n     with our tag                           → unknown: a restored backup lost the rotation
 *   any         signed, yet neither recorded nor ours  → forged, or tampered where a record of other bytes exists: kills nothing
 *
 * A forger with the signing key therefore cannot end anybody's grant: that takes the client's credentials and a token of ours.
 */

/** Most repeats of one answer: a retry or two by the client, one by a proxy. */
export const MAX_REPEATS = 3;
/** A repetition from where the rotation came from, this soon, is a clumsy client: it is an event and rings nothing. */
export const RETRY_MS = 10_000;

export interface GrantState {
  generation: number;
  clientId: string;
  hasEnded: boolean;
  /** The grant, its client and its user are in force. */
  isInForce: boolean;
  idleExpiresAtMs: number;
  expiresAtMs: number;
  rotatedAtMs: number | undefined;
  rotatedFrom: string | undefined;
  hasSealedResponse: boolean;
  /** Whether the predecessor's record is there: a rotation replayed from the journal after a restore has none. */
  hasPreviousRecord: boolean;
  repeats: number;
}

export interface Presented {
  generation: number;
  /** Its bytes are those recorded for the current generation. */
  isCurrent: boolean;
  /** Its bytes are those recorded for the generation before. */
  isPrevious: boolean;
  /** The tag in its `eb` is ours, for this family and generation. */
  isOurs: boolean;
}

/** The client that presents, authenticated, and from where. */
export interface Presenter {
  clientId: string;
  graceMs: number;
  address: string;
}

export type RefreshDecision =
  | { kind: 'rotate' }
  | { kind: 'repeat' }
  /** Refused quietly. */
  | { kind: 'refuse'; why: 'revoked' | 'expired' | 'unknown' | 'other_client' | 'repeated_too_often' }
  /** Refused, the grant ends; rings unless it is a retry. */
  | { kind: 'replayed'; rings: boolean }
  /** Refused, rings, nothing else happens. */
  | { kind: 'forged' }
  | { kind: 'tampered' };

/** Whether a signed token is one that the authority did not write. Undefined for one of ours, whatever it is still worth. */
export function forgeryOf(
  grant: Pick<GrantState, 'generation' | 'hasPreviousRecord'> | undefined,
  presented: Presented,
): 'forged' | 'tampered' | undefined {
  const age = grant && grant.generation - presented.generation;
  const isRecorded = age === 0 || (age === 1 && grant?.hasPreviousRecord === true);
  if (isRecorded && (age === 0 ? presented.isCurrent : presented.isPrevious)) return undefined;
  // Of older ones, and of a predecessor whose record a restore lost, only the tag can tell.
  if (!presented.isOurs) return 'forged';
  return isRecorded ? 'tampered' : undefined;
}

export function decideRefresh(given: {
  grant: GrantState | undefined;
  presented: Presented;
  presenter: Presenter;
  nowMs: number;
}): RefreshDecision {
  const { grant, presented, presenter, nowMs } = given;
  // First what it is: a forgery is named as such whoever presents it, and whatever became of the grant.
  const forgery = forgeryOf(grant, presented);
  if (forgery) return { kind: forgery };
  const age = grant ? grant.generation - presented.generation : -1;
  if (!grant || age < 0) return { kind: 'refuse', why: 'unknown' };
  // It is one of ours. Then who presents it, and whether there is still something to refresh.
  if (presenter.clientId !== grant.clientId) return { kind: 'refuse', why: 'other_client' };
  if (grant.hasEnded || !grant.isInForce) return { kind: 'refuse', why: 'revoked' };
  if (nowMs >= grant.expiresAtMs) return { kind: 'refuse', why: 'expired' };
  if (age === 0) return nowMs >= grant.idleExpiresAtMs ? { kind: 'refuse', why: 'expired' } : { kind: 'rotate' };
  // A predecessor: retried, or stolen.
  const sinceRotationMs = nowMs - (grant.rotatedAtMs ?? Number.NEGATIVE_INFINITY);
  if (age === 1 && grant.hasSealedResponse && sinceRotationMs < presenter.graceMs) {
    return grant.repeats < MAX_REPEATS ? { kind: 'repeat' } : { kind: 'refuse', why: 'repeated_too_often' };
  }
  const isRetry = sinceRotationMs <= RETRY_MS && presenter.address === grant.rotatedFrom;
  // A rotation known only from the journal: the crash before the restore may have eaten its answer, and the client retries.
  const isEatenAnswer = age === 1 && grant.rotatedFrom === undefined;
  return { kind: 'replayed', rings: !isRetry && !isEatenAnswer };
}
