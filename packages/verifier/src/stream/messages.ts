import type { Handles, StreamMessage } from '@countersign/protocol';
import { AuthorityError } from '../errors.ts';
import { isCount, isObject } from '../json.ts';

/** Longest event: a message is under 200 characters. A longer one is no stream of an authority. */
const MAX_EVENT_LENGTH = 4_096;

const SUBJECTS: readonly (keyof Handles)[] = ['token', 'grant', 'client', 'user', 'key'];

/**
 * Reads server-sent events (HTML standard §9.2.6) as far as the authority writes them: `event:` and one `data:` line of JSON, with
 * comments between. An event that is unknown is passed over (an authority may be newer than its verifiers); one that is
 * known and not as it should be ends the stream, for what it would have said is lost.
 */
export class MessageReader {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  #rest = '';

  /** The messages that are complete with these bytes. @throws AuthorityError */
  read(bytes: Uint8Array): StreamMessage[] {
    const text = this.#rest + this.#decode(bytes);
    const events = text.split('\n\n');
    this.#rest = events.pop() ?? '';
    if (this.#rest.length > MAX_EVENT_LENGTH) throw invalid('an event is too long');
    return events.flatMap((event) => parseEvent(event) ?? []);
  }

  #decode(bytes: Uint8Array): string {
    try {
      return this.#decoder.decode(bytes, { stream: true });
    } catch {
      throw invalid('it is not UTF-8');
    }
  }
}

function parseEvent(event: string): StreamMessage | undefined {
  if (event.length > MAX_EVENT_LENGTH) throw invalid('an event is too long');
  let kind: string | undefined;
  let data = '';
  for (const line of event.split('\n')) {
    if (line.startsWith('event: ')) kind = line.slice('event: '.length);
    else if (line.startsWith('data: ')) data += line.slice('data: '.length);
  }
  switch (kind) {
    case 'hello':
      return readHello(parseData(data));
    case 'invalidate':
      return readInvalidate(parseData(data));
    case 'heartbeat':
      return readHeartbeat(parseData(data));
    default:
      return undefined;
  }
}

function readHello({ stream, epoch, cursor, resumed }: Record<string, unknown>): StreamMessage {
  if (typeof stream === 'string' && isCount(epoch) && isCount(cursor) && typeof resumed === 'boolean') {
    return { kind: 'hello', stream, epoch, cursor, resumed };
  }
  throw invalid('its hello lacks a member');
}

function readInvalidate({ cursor, subject, handle, final }: Record<string, unknown>): StreamMessage {
  const known = SUBJECTS.find((name) => name === subject);
  // Passed over, an invalidation of a kind that is unknown here would leave dead tokens accepted.
  if (isCount(cursor) && known && typeof handle === 'string' && typeof final === 'boolean') {
    return { kind: 'invalidate', cursor, subject: known, handle, final };
  }
  throw invalid('an invalidation lacks a member, or names something unknown');
}

function readHeartbeat({ nonce, cursor }: Record<string, unknown>): StreamMessage {
  if (typeof nonce === 'string' && isCount(cursor)) return { kind: 'heartbeat', nonce, cursor };
  throw invalid('a heartbeat lacks a member');
}

function parseData(data: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data);
    if (isObject(value)) return value;
  } catch {
    // Told below, without the parser's message, which quotes the data.
  }
  throw invalid('an event does not hold a JSON object');
}

function invalid(what: string): AuthorityError {
  return new AuthorityError('authority_answer_invalid', `Reading the stream of the authority: ${what}.`);
}
