/**
 * What the authority says of a token whose signature is good. Dead is final: no verdict returns to `live`.
 *
 * - `live`        issued, these very bytes, nothing took it back
 * - `expired`     issued, its time is over
 * - `revoked`     issued, taken back (itself, its grant, client, user or session)
 * - `superseded`  issued, replaced by a successor, overlap over
 * - `unknown`     no record, but the tag in `eb` is ours: a lost row, a restored backup, a system sharing keys. Refused, silent
 * - `tampered`    there is a record, of other bytes: somebody signed with our key. Rings
 * - `forged`      never issued, yet signed with our key. Rings
 */
export const VERDICTS = ['live', 'expired', 'revoked', 'superseded', 'unknown', 'tampered', 'forged'] as const;

export type Verdict = (typeof VERDICTS)[number];

/** Whether a value is one of the seven words, spelled so. */
export function isVerdict(value: unknown): value is Verdict {
  return (VERDICTS as readonly unknown[]).includes(value);
}
