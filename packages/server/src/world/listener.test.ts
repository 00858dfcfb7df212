import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, get, request as httpsRequest } from 'node:https';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { after, describe, test } from 'node:test';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { systemClock } from './clock.ts';
import { localCertificate } from './development-certificates.ts';
import { type Listener, type ListenOptions, listenHttps, listenPlaintext } from './listener.ts';
import { systemRandom } from './random.ts';

const dataFolder = mkdtempSync(`${tmpdir()}/countersign-listener-`);
const certificate = await localCertificate({ dataFolder, clock: systemClock, random: systemRandom });
const ca = readFileSync(certificate.caCertificateFile, 'utf8');
const listeners: Listener[] = [];

after(async () => {
  await Promise.all(listeners.map((listener) => listener.close(0)));
  rmSync(dataFolder, { recursive: true });
});

async function start(options: Partial<ListenOptions> = {}): Promise<Listener> {
  const listener = await listenHttps({
    handler: (_request, peer) => new Response(peer.address),
    host: '127.0.0.1',
    port: 0,
    refusalHeaders: { 'Strict-Transport-Security': 'max-age=60' },
    tls: certificate,
    ...options,
  });
  listeners.push(listener);
  return listener;
}

function tls(port: number, options: ConnectionOptions = {}) {
  return connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca, ...options });
}

/** All that a connection receives until it is closed by the other end. */
function received(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
    });
    socket.on('error', () => resolve(text));
    socket.on('close', () => resolve(text));
  });
}

function fetchOver(
  agent: Agent,
  port: number,
): Promise<{ status: number | undefined; connection: string | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', servername: 'localhost', port, agent, ca }, async (response) => {
      let body = '';
      for await (const part of response) body += part;
      resolve({ status: response.statusCode, connection: response.headers.connection, body });
    });
    request.on('error', reject);
  });
}

describe('TLS', () => {
  test('TC-01 TLS 1.2 and 1.3 are spoken; 1.1, static RSA and CBC are not', async () => {
    const { port } = await start();
    const outcome = (options: ConnectionOptions) =>
      new Promise<string>((resolve) => {
        const socket = tls(port, options);
        socket.once('secureConnect', () => {
          resolve(`${socket.getProtocol()} ${socket.getCipher().standardName}`);
          socket.destroy();
        });
        socket.once('error', () => resolve('refused'));
      });
    assert.match(await outcome({}), /^TLSv1\.3 /);
    assert.match(await outcome({ maxVersion: 'TLSv1.2' }), /^TLSv1\.2 TLS_ECDHE_.*(GCM|POLY1305)/);
    const old: ConnectionOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' };
    assert.equal(await outcome(old), 'refused');
    for (const ciphers of ['AES128-GCM-SHA256', 'ECDHE-ECDSA-AES128-SHA', 'ECDHE-ECDSA-AES256-SHA384']) {
      assert.equal(await outcome({ maxVersion: 'TLSv1.2', ciphers }), 'refused', ciphers);
    }
  });

  test('the handler learns the address of the socket', async () => {
    const { port } = await start();
    assert.equal((await fetchOver(new Agent(), port)).body, '127.0.0.1');
  });

  test('a taken port rejects', async () => {
    const { port } = await start();
    await assert.rejects(start({ port }), /EADDRINUSE/);
  });
});

describe('limits of a peer', () => {
  test('DP-04 slowloris: headers that drip are cut off with 408', async () => {
    const { port } = await start({ limits: { headersTimeoutMs: 100 } });
    const socket = tls(port);
    const text = received(socket);
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ');
    const drip = setInterval(() => socket.writable && socket.write('a'), 30);
    assert.match(await text, /^HTTP\/1\.1 408 .*Strict-Transport-Security: max-age=60/s);
    clearInterval(drip);
  });

  test('DP-04 HT-02 headers past 16 KiB are 431; what is no HTTP, or smuggles, is 400; HD-01 with HSTS', async () => {
    let handled = 0;
    const { port } = await start({
      handler: () => {
        handled++;
        return new Response();
      },
    });
    const send = (bytes: string) => {
      const socket = tls(port);
      socket.write(bytes);
      return received(socket);
    };
    const head = 'POST / HTTP/1.1\r\nHost: localhost\r\n';
    assert.match(
      await send(`${head}X-A: ${'x'.repeat(17_000)}\r\n\r\n`),
      /^HTTP\/1\.1 431 .*Strict-Transport-Security/s,
    );
    for (const bad of [
      'nonsense\r\n\r\n',
      `${head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      `${head}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc`,
      `${head}X-A : b\r\n\r\n`,
      `${head}X-A: a\rb\r\n\r\n`,
      'GET / HTTP/1.1\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: a b\r\n\r\n',
      'GET foo HTTP/1.1\r\nHost: localhost\r\n\r\n',
    ]) {
      const answer = await send(bad);
      assert.match(answer, /^HTTP\/1\.1 400 .*strict-transport-security: max-age=60/is, JSON.stringify(bad));
      assert.match(answer, /connection: close/i);
    }
    assert.equal(handled, 0);
  });

  test('HT-02 HD-01 a body or framing that turns out unreadable after its headers is 400, not silence', async () => {
    const { port } = await start({ handler: async (request) => new Response(await request.text()) });
    const head = 'POST / HTTP/1.1\r\nHost: localhost\r\n';
    for (const bad of [
      `${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
      `${head}Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n0\r\n\r\n`,
      `${head}Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n`,
      `${head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n${'X-A: 1\r\n'.repeat(5000)}\r\n`,
    ]) {
      const socket = tls(port);
      socket.write(bad);
      const answer = await received(socket);
      assert.match(
        answer,
        /^HTTP\/1\.1 (400|431) .*strict-transport-security: max-age=60/is,
        JSON.stringify(bad.slice(0, 80)),
      );
      assert.equal(answer.split('HTTP/1.1').length, 2, 'one answer');
    }
    const socket = tls(port);
    socket.write(`${head}Content-Length: 3\r\n\r\nabcnonsense\r\n\r\n`);
    assert.doesNotMatch(await received(socket), /400/, 'what was read whole is not answered for what follows it');
  });

  test('HT-02 HD-01 two Host lines, other codings than chunked and unknown expectations are refused before the handler', async () => {
    let handled = 0;
    const { port } = await start({
      handler: () => {
        handled++;
        return new Response();
      },
    });
    const head = 'POST / HTTP/1.1\r\nHost: localhost\r\n';
    for (const [status, bad] of [
      [400, `${head}host: elsewhere.example\r\n\r\n`],
      [400, `${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
      [400, 'POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
      [417, `${head}Expect: miracles\r\nContent-Length: 3\r\n\r\nabc`],
    ] as const) {
      const socket = tls(port);
      socket.write(bad);
      const answer = await received(socket);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} .*strict-transport-security: max-age=60`, 'is'), bad);
    }
    assert.equal(handled, 0);
  });

  test('DP-04 a connection that begins no handshake, or stops in one, is closed', async () => {
    const { port } = await start({ limits: { handshakeTimeoutMs: 50 } });
    const silent = connectTcp(port, '127.0.0.1');
    const stopped = connectTcp(port, '127.0.0.1');
    stopped.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]));
    const clear = connectTcp(port, '127.0.0.1');
    clear.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await Promise.all([received(silent), received(stopped), received(clear)]);
  });

  test('DP-04 a peer that asks and never reads is cut off', { timeout: 20_000 }, async () => {
    let cutOff = () => {};
    const isCutOff = new Promise<void>((resolve) => {
      cutOff = resolve;
    });
    const part = new Uint8Array(1_000_000);
    const endless = { pull: (to: ReadableStreamDefaultController) => to.enqueue(part), cancel: () => cutOff() };
    const { port } = await start({
      handler: () => new Response(new ReadableStream(endless)),
      limits: { stallTimeoutMs: 100 },
    });
    const socket = tls(port);
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await isCutOff;
    socket.destroy();
  });

  test('DP-04 connections past the cap are closed before they cost a handshake', async () => {
    const { port } = await start({ limits: { maxConnections: 1 } });
    const first = tls(port);
    await new Promise((resolve) => first.once('secureConnect', resolve));
    assert.equal(await received(tls(port)), '');
    first.destroy();
  });
});

describe('shutdown', () => {
  test('DP-03 requests under way are finished with Connection: close, idle and unused connections go at once', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let arrived = () => {};
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    let requests = 0;
    const listener = await start({
      handler: async () => {
        requests++;
        if (requests === 2) {
          arrived();
          await held;
        }
        return new Response('done');
      },
    });
    const idleAgent = new Agent({ keepAlive: true });
    assert.notEqual((await fetchOver(idleAgent, listener.port)).connection, 'close');
    const unused = tls(listener.port);
    await new Promise((resolve) => unused.once('secureConnect', resolve));
    const unusedClosed = received(unused);
    const busy = fetchOver(new Agent({ keepAlive: true }), listener.port);
    await arrival;

    const closed = listener.close(5000);
    assert.equal(await unusedClosed, '');
    await assert.rejects(fetchOver(new Agent(), listener.port), /ECONNREFUSED/);
    release();
    assert.deepEqual(await busy, { status: 200, connection: 'close', body: 'done' });
    const startedMs = performance.now();
    await closed;
    assert.ok(performance.now() - startedMs < 1000, 'nothing kept it open until the deadline');
    await listener.close(0);
    idleAgent.destroy();
  });

  test('DP-03 what is still open at the deadline is cut off', async () => {
    let arrived = () => {};
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const listener = await start({
      handler: () => {
        arrived();
        return new Promise<Response>(() => {});
      },
    });
    const busy = fetchOver(new Agent(), listener.port);
    const outcome = assert.rejects(busy, /hang up|ECONNRESET/);
    await arrival;
    await listener.close(50);
    await outcome;
  });
});

describe('requests and bodies', () => {
  test('a body that nobody reads does not disturb the answer', async () => {
    const { port } = await start({ handler: () => new Response(null, { status: 413 }) });
    const status = await new Promise((resolve, reject) => {
      const request = httpsRequest(
        { host: '127.0.0.1', servername: 'localhost', port, ca, method: 'POST', agent: false },
        (response) => {
          resolve(response.statusCode);
          request.destroy();
        },
      );
      request.on('error', reject);
      request.write(Buffer.alloc(200_000));
    });
    assert.equal(status, 413);
  });

  test('the plaintext listener has the same limits', async () => {
    const listener = await listenPlaintext({
      handler: (request) => new Response(new URL(request.url).protocol),
      host: '127.0.0.1',
      port: 0,
      limits: { headersTimeoutMs: 100 },
    });
    listeners.push(listener);
    const socket = connectTcp(listener.port, '127.0.0.1');
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    assert.match(await received(socket), /^HTTP\/1\.1 200 .*http:$/s);
    const slow = connectTcp(listener.port, '127.0.0.1');
    slow.write('GET / HT');
    assert.match(await received(slow), /^HTTP\/1\.1 408/);
  });
});
