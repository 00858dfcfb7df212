/** Which row is said to which stream, and how. */
import type { Handles, InvalidateMessage } from '@countersign/protocol';
import type { LogRow } from './reading.ts';
import type { NewStream } from './rounds.ts';

/** Names a subject to one client; the same for the same three texts. */
export type HandleOf = (clientId: string, subject: keyof Handles, id: string) => string;

/** Messages of one cursor: each handle is computed once for a row and client, and streams of one client share the message. */
export class Saying {
  readonly #handleOf: HandleOf;
  readonly #cursor: number;
  readonly #said = new Map<string, Map<LogRow, InvalidateMessage>>();

  /** `cursor`: where a stream stands that has read nothing of this yet. It may resume from there and lose nothing. */
  constructor(handleOf: HandleOf, cursor: number) {
    this.#handleOf = handleOf;
    this.#cursor = cursor;
  }

  of(clientId: string, row: LogRow): InvalidateMessage {
    const ofClient = this.#said.get(clientId) ?? new Map<LogRow, InvalidateMessage>();
    this.#said.set(clientId, ofClient);
    const known = ofClient.get(row);
    if (known) return known;
    const message = messageOf(row, { clientId, handleOf: this.#handleOf, cursor: this.#cursor });
    ofClient.set(row, message);
    return message;
  }
}

export function messageOf(
  row: LogRow,
  said: { clientId: string; handleOf: HandleOf; cursor: number },
): InvalidateMessage {
  const { clientId, handleOf, cursor } = said;
  const subject = row.kind === 'superseded' ? 'token' : row.kind;
  return {
    kind: 'invalidate',
    cursor,
    subject,
    handle: handleOf(clientId, subject, row.subjectId),
    final: isFinal(row),
  };
}

/**
 * Whether everything that the row names is dead for good: a token or grant that was taken back never lives again. A superseded token
 * has its overlap, a user or client may be enabled again, and under a compromised key what was really issued stays good.
 */
function isFinal({ kind }: LogRow): boolean {
  return kind === 'token' || kind === 'grant';
}

/** Whether a stream is to hear of a row. */
export function concerns(row: LogRow, stream: NewStream): boolean {
  if (row.audience !== undefined && !stream.audiences.includes(row.audience)) return false;
  if (row.kind !== 'superseded' || row.expiresAtMs === undefined) return true;
  return row.expiresAtMs - row.atMs >= stream.maxStalenessMs; // else it ends by itself within the bound
}

/** Whether a row disables the client of a stream. */
export function disables(row: LogRow, stream: NewStream): boolean {
  return row.kind === 'client' && row.subjectId === stream.clientId;
}
