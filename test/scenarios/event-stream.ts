/** A verifier's side of the stream, by hand: what comes is kept message by message, and can be awaited. */
import { randomBytes } from 'node:crypto';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { type Agent, request } from 'node:https';
import type { StreamMessage } from '@countersign/protocol';
import { basic } from './oauth-calls.ts';

/** Within this everything comes that is going to come: reads happen ten times a second. */
const GIVE_UP_MS = 10_000;

export const newNonce = (): string => randomBytes(16).toString('base64url');

/** Of an application, what authenticates it. */
export interface Credentials {
  client: { id: string };
  secret: string;
}

export interface Asked {
  nonce?: string;
  max_staleness_ms?: string;
  epoch?: string;
  cursor?: string;
}

export class EventStream {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly messages: StreamMessage[] = [];
  /** Lines that are no messages. */
  comments = 0;
  readonly response: IncomingMessage;
  readonly #request: ClientRequest;
  #text = '';
  #isOver = false;
  #waiters: (() => void)[] = [];

  private constructor(sent: ClientRequest, response: IncomingMessage) {
    this.#request = sent;
    this.response = response;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    response.setEncoding('utf8');
    response.on('data', (text: string) => this.#read(text));
    response.on('error', () => {});
    response.on('close', () => {
      this.#isOver = true;
      this.#tell();
    });
  }

  static open(issuer: string, who: Credentials, asked: Asked = {}, agent: Agent | false = false): Promise<EventStream> {
    const query = new URLSearchParams({ nonce: newNonce(), max_staleness_ms: '30000', ...asked });
    return new Promise((resolve, reject) => {
      const headers = basic(who.client.id, who.secret);
      const sent = request(`${issuer}/verifier/stream?${query}`, { headers, agent }, (response) =>
        resolve(new EventStream(sent, response)),
      );
      sent.on('error', reject);
      sent.end();
    });
  }

  /** The body of an answer that is no stream. */
  async body(): Promise<Record<string, unknown>> {
    await this.ended();
    return JSON.parse(this.#text) as Record<string, unknown>; // a refusal is JSON
  }

  /** The first message for which `isWanted` holds, from `from` on. */
  async message(isWanted: (message: StreamMessage) => boolean, from = 0): Promise<StreamMessage> {
    for (;;) {
      const found = this.messages.slice(from).find(isWanted);
      if (found) return found;
      if (this.#isOver) throw new Error(`The stream ended first: ${JSON.stringify(this.messages)}`);
      await this.#more();
    }
  }

  async hello() {
    const hello = await this.message(({ kind }) => kind === 'hello');
    if (hello.kind !== 'hello') throw new Error('No hello');
    return hello;
  }

  echo(nonce: string): Promise<StreamMessage> {
    return this.message((message) => message.kind === 'heartbeat' && message.nonce === nonce);
  }

  /** What is dead by what this stream said, in order. */
  get dead(): { subject: string; handle: string }[] {
    return this.messages.flatMap((message) =>
      message.kind === 'invalidate' ? [{ subject: message.subject, handle: message.handle }] : [],
    );
  }

  async ended(): Promise<void> {
    while (!this.#isOver) await this.#more();
  }

  close(): void {
    this.#request.destroy();
  }

  #read(text: string): void {
    this.#text += text;
    if (!this.headers['content-type']?.startsWith('text/event-stream')) return;
    const blocks = this.#text.split('\n\n');
    this.#text = blocks.pop() ?? '';
    for (const block of blocks) {
      const match = /^event: (\w+)\ndata: (.+)$/.exec(block);
      if (match?.[2] === undefined) this.comments++;
      else this.messages.push({ kind: match[1], ...JSON.parse(match[2]) } as StreamMessage); // asserted where it is read
    }
    this.#tell();
  }

  #more(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`Nothing came: ${JSON.stringify(this.messages)}`)), GIVE_UP_MS);
      this.#waiters.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #tell(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }
}

/** Posts a nonce for a stream. */
export async function pulse(
  issuer: string,
  who: Credentials,
  body: { stream: string; nonce: string },
): Promise<{ status: number; code: unknown; retryAfter: string | null }> {
  const answer = await fetch(`${issuer}/verifier/pulse`, {
    method: 'POST',
    headers: { ...basic(who.client.id, who.secret), 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const { code } = (await answer.json()) as { code?: unknown };
  return { status: answer.status, code, retryAfter: answer.headers.get('retry-after') };
}
