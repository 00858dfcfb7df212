import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { after, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { systemClock } from '../world/clock.ts';
import { localCertificate } from '../world/development-certificates.ts';
import { listenHttps } from '../world/listener.ts';
import { systemRandom } from '../world/random.ts';
import { systemStopwatch } from '../world/stopwatch.ts';
import { createHttp, readForm } from './http.ts';

const dataFolder = mkdtempSync(`${tmpdir()}/countersign-http-`);
const certificate = await localCertificate({ dataFolder, clock: systemClock, random: systemRandom });
const ca = readFileSync(certificate.caCertificateFile, 'utf8');
const errors: string[] = [];
const http = createHttp({
  log: { info: () => {}, warn: () => {}, error: (message) => void errors.push(message) },
  random: systemRandom,
  stopwatch: systemStopwatch,
  issuer: 'https://localhost:8443',
  hstsPreload: false,
  trustedProxies: [],
  organizationName: 'Example',
  cleartext: { isPage: () => false, credentialCookies: [], onCredential: async () => {} },
});
const app = http.app();
app.get('/', (c) => c.text(c.var.request.address));
app.post('/form', async (c) => c.json((await readForm(c)).names()));
const listener = await listenHttps({
  handler: http.handler(app),
  host: '127.0.0.1',
  port: 0,
  tls: certificate,
  refusalHeaders: http.refusalHeaders,
});

after(async () => {
  await listener.close(0);
  rmSync(dataFolder, { recursive: true });
});

/** Sends `head` and `body` as they are and returns all that comes back. */
function exchange(text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port: listener.port, host: '127.0.0.1', servername: 'localhost', ca });
    let answer = '';
    socket.on('data', (bytes) => {
      answer += bytes.toString('latin1');
    });
    socket.on('error', () => resolve(answer));
    socket.on('close', () => resolve(answer));
    socket.write(text);
  });
}

function post(headers: Record<string, string>, chunks: Buffer[]): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      servername: 'localhost',
      port: listener.port,
      ca,
      path: '/form',
      method: 'POST',
      headers,
    };
    const request = httpsRequest({ ...options, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
      request.destroy();
    });
    request.on('error', reject);
    for (const chunk of chunks) request.write(chunk);
    request.end();
  });
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

describe('over real TLS', () => {
  test('HD-01 on the wire there is one HSTS header, also for what cannot be routed', async () => {
    for (const target of ['/', '/nothing', '*', 'http://evil.example/nothing']) {
      const answer = await exchange(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      assert.equal(answer.match(/strict-transport-security:/gi)?.length, 1, target);
      assert.doesNotMatch(answer, /^(server|x-powered-by):/im);
    }
  });

  test('DP-04 a body past the cap is 413 whether its length was declared or not, and the next request is served', async () => {
    const chunks = Array.from({ length: 16 }, () => Buffer.alloc(16_384, 97));
    assert.equal(await post({ ...FORM, 'transfer-encoding': 'chunked' }, chunks), 413);
    assert.equal(await post({ ...FORM, 'content-length': String(16 * 16_384) }, chunks), 413);
    assert.equal(await post({ ...FORM, 'content-length': '3' }, [Buffer.from('a=1')]), 200);
    assert.equal(await post({ ...FORM, 'transfer-encoding': 'chunked' }, [Buffer.from('a=1')]), 200);
  });

  test('HT-02 TRACE and CONNECT are refused', async () => {
    const trace = await exchange('TRACE / HTTP/1.1\r\nHost: localhost\r\nCookie: a=b\r\nConnection: close\r\n\r\n');
    assert.match(trace, /^HTTP\/1\.1 405 /);
    assert.doesNotMatch(trace, /a=b/);
    assert.doesNotMatch(
      await exchange('CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n'),
      /^HTTP\/1\.1 2/,
    );
  });

  test('a sender who goes away in the middle of a body is no failure of ours', async () => {
    const socket = connect({ port: listener.port, host: '127.0.0.1', servername: 'localhost', ca });
    const head =
      'POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\n';
    socket.write(`${head}a=1`);
    await new Promise((resolve) => setTimeout(resolve, 30));
    socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.deepEqual(errors, []);
  });
});
