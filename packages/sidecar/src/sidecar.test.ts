import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readCall } from './options.ts';
import { SidecarRefused } from './refusal.ts';
import { startSidecar } from './sidecar.ts';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'countersign-sidecar-'));
after(() => rmSync(folder, { recursive: true }));

/** Nothing listens at this issuer: port 1 is nobody's. */
const AWAY = ['--issuer', 'https://localhost:1', '--audience', 'https://api.example', '--client-id', 'oauth2client_1'];
/** Well formed, so that the authority's keys are asked for. */
const SIGNED_BY_NOBODY = 'eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImtleV8xIn0.eyJhIjoxfQ.c2ln';
const ENVIRONMENT = { COUNTERSIGN_CLIENT_SECRET: 'a-secret-that-nothing-may-tell' };

async function start(t: TestContext, words: string[]) {
  const called = readCall([...AWAY, ...words], ENVIRONMENT);
  assert.equal(called.kind, 'run');
  const lines: string[] = [];
  const log = (message: string, fields?: object) => void lines.push(JSON.stringify({ message, ...fields }));
  const sidecar = await startSidecar(called.settings, { info: log, warn: log });
  t.after(() => sidecar.stop());
  const at = sidecar.address.startsWith('unix:')
    ? { socketPath: sidecar.address.slice(5) }
    : { host: '127.0.0.1', port: Number(sidecar.address.split(':').at(-1)) };
  const get = (path: string, headers: Record<string, string> = {}) =>
    new Promise<{ status: number; body: string; headers: Record<string, unknown> }>((resolve, reject) => {
      const call = request({ ...at, path, headers, agent: false }, (answer) => {
        let body = '';
        answer.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body, headers: answer.headers }));
      });
      call.on('error', reject);
      call.end();
    });
  return { sidecar, get, lines };
}

test('while the authority is away nothing passes, and it says so once', async (t) => {
  const { get, lines } = await start(t, ['--listen', '127.0.0.1:0']);
  assert.equal((await get('/healthz')).status, 204);
  assert.equal((await get('/readyz')).status, 503);
  const token = SIGNED_BY_NOBODY;
  for (let tries = 0; tries < 3; tries++) {
    assert.equal((await get('/forward-auth', { authorization: `Bearer ${token}` })).status, 503);
  }
  assert.equal(lines.filter((line) => line.includes('tokens cannot be verified')).length, 1);
  assert.ok(!lines.join().includes(token) && !lines.join().includes('a-secret-that-nothing-may-tell'));
});

test('during an outage a stranger writes no lines, whatever he sends in which order', async (t) => {
  const { get, lines } = await start(t, ['--listen', '127.0.0.1:0']);
  const before = lines.length;
  for (let turn = 0; turn < 20; turn++) {
    assert.equal((await get('/forward-auth', { authorization: `Bearer ${SIGNED_BY_NOBODY}` })).status, 503);
    assert.equal((await get('/forward-auth')).status, 401);
    assert.equal((await get('/forward-auth', { authorization: 'Bearer nonsense' })).status, 401);
  }
  assert.equal(lines.length - before, 1);
});

test('paths are read as they are sent, and no answer but a good token’s is 200', async (t) => {
  const { get } = await start(t, ['--listen', '127.0.0.1:0']);
  for (const path of [
    '/forward-auth',
    '/forward-auth/',
    '/forward-auth/../healthz',
    '/forward-auth/x?scope=',
    '/forward-auth//healthz',
  ])
    assert.equal((await get(path)).status, 401, path);
  for (const path of ['/', '/forward-authx', '/x/../healthz', '//healthz', '/healthz?x', '/forward-auth%2f']) {
    assert.equal((await get(path)).status, 404, path);
  }
});

test('SC-08 a peer that is no trusted proxy learns of no token', async (t) => {
  const { get } = await start(t, ['--listen', '127.0.0.1:0', '--trusted-proxy', '10.0.0.0/8']);
  const answered = await get('/forward-auth', { 'x-forwarded-for': '10.0.0.1' });
  assert.equal(answered.status, 403);
  assert.equal(JSON.parse(answered.body).code, 'not_a_proxy');
  assert.equal(answered.headers['cache-control'], 'no-store');
});

test('a unix socket is for its owner, or its group, and one that nobody serves is replaced', async (t) => {
  const path = join(folder, 'a.sock');
  const modeOf = () => (statSync(path).mode & 0o777).toString(8);
  const { get } = await start(t, ['--listen', `unix:${path}`]);
  assert.equal(modeOf(), '600');
  assert.equal((await get('/forward-auth')).status, 401);
  await assert.rejects(
    start(t, ['--listen', `unix:${path}`]),
    (error) => error instanceof SidecarRefused && error.code === 'address_unavailable',
  );
  assert.equal((await get('/healthz')).status, 204, 'the first one still has it');

  const left = join(folder, 'left.sock');
  const killed = spawn(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(left)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ]);
  await new Promise((resolve) => killed.once('exit', resolve));
  assert.ok(statSync(left).isSocket());
  await start(t, ['--listen', `unix:${left}`, '--socket-mode', '0660']);
  assert.equal((statSync(left).mode & 0o777).toString(8), '660');
});

/** Runs the command to its end; `onReady` is called when it listens. */
async function run(words: string[], onReady: (stop: (signal: NodeJS.Signals) => void) => void = () => {}) {
  const child = spawn(process.execPath, [MAIN, ...words], { env: { ...process.env, ...ENVIRONMENT } });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const wasReady = stdout.includes('"ready"');
    stdout += text;
    if (!wasReady && stdout.includes('"ready"')) onReady((signal) => child.kill(signal));
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}

test('exit codes: 0 when asked to stop, 1 when it cannot run, 2 when called wrongly; the secret is never told', async () => {
  const stopped = await run([...AWAY, '--listen', '127.0.0.1:0'], (stop) => stop('SIGTERM'));
  assert.equal(stopped.code, 0);
  assert.match(stopped.stdout, /"message":"stopped"/);
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const address = taken.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const refused = await run([...AWAY, '--listen', `127.0.0.1:${port}`]);
  taken.close();
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /something else listens there/);
  assert.equal((await run([...AWAY, '--audience', 'a b'])).code, 1);
  const misused = await run([...AWAY, '--nothing']);
  assert.equal(misused.code, 2);
  assert.match(misused.stderr, /--nothing/);
  assert.match((await run(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
  for (const { stdout, stderr } of [stopped, refused, misused]) {
    assert.ok(!(stdout + stderr).includes('a-secret-that-nothing-may-tell'));
  }
});
