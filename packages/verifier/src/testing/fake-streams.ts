/** Streams of the fake authority: an endless log in memory, echoes at once. */
import type { ServerResponse } from 'node:http';
import type { Handles, InvalidateMessage, PulseRequest, StreamMessage } from '@countersign/protocol';

interface OpenStream {
  name: string;
  response: ServerResponse;
}

export class FakeStreams {
  /** What was asked for at each opening, in order. */
  readonly opened: Record<string, string>[] = [];
  /** Echoes nothing while true: the stream is open and silent. */
  isSilent = false;
  /** Nonces that were asked for by pulses, in order. */
  readonly pulsed: string[] = [];
  /** True where pulses reach another node than the one that holds the stream. */
  isElsewhere = false;
  /** False where the log does not reach back any more: no stream goes on from an earlier one. */
  canResume = true;
  readonly #log: InvalidateMessage[] = [];
  readonly #open = new Map<string, OpenStream>();

  get size(): number {
    return this.#open.size;
  }

  open({ url, response, epoch }: { url: string; response: ServerResponse; epoch: number }): void {
    const asked = Object.fromEntries(new URL(url, 'https://localhost').searchParams);
    this.opened.push(asked);
    const stream = { name: `stream-${this.opened.length}`, response };
    this.#open.set(stream.name, stream);
    response.on('close', () => this.#open.delete(stream.name));
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const resumed = this.canResume && asked.epoch === String(epoch) && Number(asked.cursor) <= this.#log.length;
    const cursor = resumed ? Number(asked.cursor) : this.#log.length;
    send(stream, { kind: 'hello', stream: stream.name, epoch, cursor, resumed });
    for (const message of this.#log.slice(cursor)) send(stream, message);
    if (!this.isSilent) send(stream, { kind: 'heartbeat', nonce: asked.nonce ?? '', cursor: this.#log.length });
  }

  pulse({ stream: name, nonce }: PulseRequest): boolean {
    this.pulsed.push(nonce);
    const stream = this.isElsewhere ? undefined : this.#open.get(name);
    if (stream && !this.isSilent) send(stream, { kind: 'heartbeat', nonce, cursor: this.#log.length });
    return stream !== undefined;
  }

  /** `final` as of a token or grant that was ended; a superseded token, a user, client or key are not. */
  invalidate(subject: keyof Handles, handle: string, final = false): void {
    const message: InvalidateMessage = { kind: 'invalidate', cursor: this.#log.length + 1, subject, handle, final };
    this.#log.push(message);
    for (const stream of this.#open.values()) send(stream, message);
  }

  /** Echoes a nonce on every stream, asked or not. */
  echo(nonce: string): void {
    for (const stream of this.#open.values()) send(stream, { kind: 'heartbeat', nonce, cursor: this.#log.length });
  }

  /** The log of an older copy of the store: it ends earlier. */
  forget(): void {
    this.#log.length = 0;
  }

  /** Ends every open stream, as a restart does. */
  cut(): void {
    for (const { response } of this.#open.values()) response.destroy();
  }
}

function send({ response }: OpenStream, { kind, ...data }: StreamMessage): void {
  response.write(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);
}
