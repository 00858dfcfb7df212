/** Which row is said to which stream, and how. */
import type { Handles, InvalidateMessage } from '@countersign/protocol';
import type { LogRow, NewStream } from './rounds.ts';

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
    const subject = row.kind === 'superseded' ? 'token' : row.kind;
    const handle = this.#handleOf(clientId, subject, row.subjectId);
    const message: InvalidateMessage = { kind: 'invalidate', cursor: this.#cursor, subject, handle };
    ofClient.set(row, message);
    return message;
  }
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
