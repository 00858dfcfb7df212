import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Agent, type IncomingHttpHeaders, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** A request, line by line as it goes over the wire. */
export interface Sent {
  method?: string;
  /** The request target; whatever stands here is sent. */
  path: string;
  headers?: readonly (readonly [name: string, value: string])[];
  host?: string;
  body?: string;
  /** Keeps connections; by default each request has one of its own. */
  agent?: Agent;
  signal?: AbortSignal;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
  reusedSocket: boolean;
}

/** Listens on a free port of loopback. `close` ends open connections, too. */
export async function listen(server: Server): Promise<{ port: number; close(): Promise<void> }> {
  server.listen(0, 'localhost');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port, // listening on TCP
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

export async function send(port: number, sent: Sent): Promise<Answer> {
  const { method = 'GET', path, headers = [], host = 'localhost', body, agent, signal } = sent;
  const length = body === undefined ? [] : ['Content-Length', String(Buffer.byteLength(body))];
  const outgoing = request({
    ...{ host: 'localhost', port, method, path, agent: agent ?? false },
    headers: ['Host', host, ...length, ...headers.flat()],
    ...(signal === undefined ? {} : { signal }),
  });
  outgoing.end(body);
  const [incoming]: [IncomingMessage] = (await once(outgoing, 'response')) as [IncomingMessage]; // as Node documents the event
  const answered = await text(incoming);
  const { statusCode = 0 } = incoming;
  return { status: statusCode, headers: incoming.headers, body: answered, reusedSocket: outgoing.reusedSocket };
}

export interface ExpectedRefusal {
  status: number;
  challenge?: string | RegExp;
  error: string;
  code: string;
}

/** A refusal of `guard`: status, challenge, `no-store`, and a body with these members and no others. */
export function assertRefused(answer: Answer, expected: ExpectedRefusal, method = 'GET'): void {
  const { challenge } = expected;
  assert.equal(answer.status, expected.status);
  if (challenge instanceof RegExp) assert.match(answer.headers['www-authenticate'] ?? '', challenge);
  else assert.equal(answer.headers['www-authenticate'], challenge);
  assert.equal(answer.headers['cache-control'], 'no-store');
  assert.match(answer.headers['content-type'] ?? '', /^application\/json/);
  if (method === 'HEAD') {
    assert.equal(answer.body, '');
    return;
  }
  const body = JSON.parse(answer.body);
  assert.deepEqual(Object.keys(body), ['error', 'error_description', 'code']);
  assert.equal(body.error, expected.error);
  assert.equal(body.code, expected.code);
}
