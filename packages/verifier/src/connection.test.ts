import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { AuthorityConnection } from './connection.ts';
import { selfSignedCertificate } from './testing/certificates.ts';
import { eventually } from './testing/eventually.ts';
import { systemFetch } from './world.ts';

const identity = selfSignedCertificate(Date.now());
const server = createServer({ cert: identity.certificate, key: identity.privateKey });
const credentials = { clientId: 'api', clientSecret: 'a-secret' };
const connection = new AuthorityConnection({ fetch: systemFetch, timeoutMs: 500, credentials });
let url: string;
let handle: RequestListener;
let openSockets = 0;

before(async () => {
  setDefaultCACertificates([...getCACertificates('default'), identity.certificate]);
  server.on('request', (request, response) => handle(request, response));
  server.on('secureConnection', (socket) => {
    openSockets++;
    socket.on('close', () => openSockets--);
  });
  server.listen(0, 'localhost');
  await once(server, 'listening');
  url = `https://localhost:${(server.address() as AddressInfo).port}/x`; // listening on TCP
});
beforeEach(() => {
  handle = (_, response) => response.end('{}');
});
after(() => {
  server.closeAllConnections();
  server.close();
});

function answer(status: number, headers: Record<string, string> = {}, body = '{}'): RequestListener {
  return (_, response) => response.writeHead(status, headers).end(body);
}

describe('post', () => {
  const post = () => connection.post({ url, doing: 'Posting', body: { stream: 's' } });

  test('sends JSON as this resource server, and reads nothing of a success but that it is one', async () => {
    const seen: unknown[] = [];
    handle = async (request, response) => {
      let text = '';
      for await (const chunk of request) text += chunk;
      const { method, headers } = request;
      seen.push({ method, type: headers['content-type'], authorization: headers.authorization, text });
      response.writeHead(202).end('not JSON');
    };
    assert.equal(await post(), 'done');
    const authorization = `Basic ${Buffer.from('api:a-secret').toString('base64')}`;
    assert.deepEqual(seen, [{ method: 'POST', type: 'application/json', authorization, text: '{"stream":"s"}' }]);
  });

  test('tells a conflict from a failure', async () => {
    handle = answer(409);
    assert.equal(await post(), 'conflict');
    for (const [status, code] of [
      [401, 'authority_credentials_refused'],
      [403, 'authority_credentials_refused'],
      [404, 'authority_answer_invalid'],
      [429, 'authority_unreachable'],
      [503, 'authority_unreachable'],
    ] as const) {
      handle = answer(status);
      await assert.rejects(post(), { code });
    }
    handle = answer(307, { location: url });
    await assert.rejects(post(), { code: 'authority_unreachable' });
  });
});

describe('open', () => {
  const events = { 'content-type': 'text/event-stream; charset=utf-8' };
  const open = (signal = new AbortController().signal) => connection.open({ url, doing: 'Opening', signal });

  test('gives the bytes as they come, for longer than a call may take', async () => {
    handle = (request, response) => {
      assert.equal(request.headers.accept, 'text/event-stream');
      response.writeHead(200, events);
      response.write('first');
      setTimeout(() => response.end('second'), 700);
    };
    const chunks: string[] = [];
    for await (const chunk of await open()) chunks.push(Buffer.from(chunk).toString());
    assert.deepEqual(chunks, ['first', 'second']);
  });

  test('takes nothing for a stream but an event stream, and lets go of what it refuses', async () => {
    const endless = 'x'.repeat(100_000);
    for (const [status, headers, code] of [
      [200, { 'content-type': 'text/html' }, 'authority_answer_invalid'],
      [200, {}, 'authority_answer_invalid'],
      [401, events, 'authority_credentials_refused'],
      [409, events, 'authority_answer_invalid'],
      [503, events, 'authority_unreachable'],
    ] as const) {
      handle = (_, response) => void response.writeHead(status, headers).write(endless); // and never ends
      await assert.rejects(open(), { code });
    }
    await eventually('no socket is left', () => openSockets === 0);
    handle = answer(302, { location: url });
    await assert.rejects(open(), { code: 'authority_unreachable' });
  });

  test('ends with its signal, before and after the answer, and closes the socket', async () => {
    handle = () => {}; // no answer
    const early = new AbortController();
    const opening = open(early.signal);
    setTimeout(() => early.abort(), 50);
    await assert.rejects(opening, { code: 'authority_unreachable' });
    handle = (_, response) => void response.writeHead(200, events).write('x');
    const late = new AbortController();
    const reader = (await open(late.signal)).getReader();
    await reader.read();
    late.abort();
    await assert.rejects(reader.read());
    await eventually('no socket is left', () => openSockets === 0);
  });

  test('no error holds a secret', async () => {
    handle = answer(401);
    await assert.rejects(open(), (error: Error) => !/a-secret|YXBp/.test(`${error.message} ${error.cause}`));
  });
});
