/** `countersign sidecar` is two processes: the command, and the sidecar that it starts. To whoever starts and stops it they are one. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const COMMAND = fileURLToPath(new URL('../../packages/server/src/main.ts', import.meta.url));
/** Nothing listens at this issuer: a sidecar starts without its authority. */
const WORDS = ['--issuer', 'https://localhost:1', '--audience', 'https://api.example', '--client-id', 'oauth2client_1'];
/** What takes longer does not end: two processes start in a few seconds, and one waits five for what is under way. */
const WITHIN = { timeout: 40_000 };
/** An exit code that says: ended by SIGKILL. */
const KILLED = 128 + 9;

interface Running {
  command: ChildProcess;
  port: number;
  /** Resolves when the sidecar's log has this message; rejects where both end without. */
  says(message: string): Promise<void>;
  /** Exit code and signal of the command, once nothing of either process is left that could write. */
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

async function start(t: TestContext): Promise<Running> {
  const command = spawn(process.execPath, [COMMAND, 'sidecar', ...WORDS, '--listen', '127.0.0.1:0'], {
    detached: true, // a process group of its own, as a terminal gives one
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, COUNTERSIGN_CLIENT_SECRET: 's', NODE_OPTIONS: '--conditions=countersign-source' },
  });
  // The sidecar writes to the same pipe, which is closed when both have ended.
  const ended = once(command, 'close').then(([code, signal]) => ({ code, signal }));
  let isOver = false;
  ended.then(() => {
    isOver = true;
  });
  t.after(() => {
    if (!isOver && command.pid !== undefined) process.kill(-command.pid, 'SIGKILL');
    return ended;
  });
  let told = '';
  const waiting: (() => void)[] = [];
  command.stdout?.setEncoding('utf8').on('data', (text: string) => {
    told += text;
    for (const look of waiting) look();
  });
  const says = (message: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => told.includes(`"message":"${message}"`) && resolve();
      waiting.push(look);
      look();
      ended.then(() => reject(new Error(`It ended without having said "${message}": ${told}`)));
    });
  await says('ready');
  return { command, port: Number(/"address":"127\.0\.0\.1:(\d+)"/.exec(told)?.[1]), says, ended };
}

/** A question that is never asked to its end: a sidecar that stops waits for it, some seconds. */
async function askHalf(t: TestContext, port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => {}); // the other end is killed in one of these tests
  await once(socket, 'connect');
  // A whole question first: its answer says that the connection is the sidecar's, and not only the system's.
  socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\n');
  await once(socket, 'data');
  return socket;
}

test('one request to stop ends both, with 0, after what is under way', WITHIN, async (t) => {
  const { command, port, says, ended } = await start(t);
  const socket = await askHalf(t, port);
  command.kill('SIGTERM');
  await says('stopping');
  socket.destroy();
  await says('stopped');
  assert.deepEqual(await ended, { code: 0, signal: null });
});

test('a Ctrl+C, which both hear, is one request and no second', WITHIN, async (t) => {
  const { command, port, says, ended } = await start(t);
  await askHalf(t, port); // and left so: while the sidecar waits for it, the command passes its own signal on
  assert.ok(command.pid !== undefined);
  process.kill(-command.pid, 'SIGINT');
  await says('stopping');
  await says('stopped');
  assert.deepEqual(await ended, { code: 0, signal: null });
});

test('a second request to the command ends the sidecar at once', WITHIN, async (t) => {
  const { command, port, says, ended } = await start(t);
  await askHalf(t, port);
  command.kill('SIGTERM');
  await says('stopping');
  command.kill('SIGINT');
  assert.deepEqual(await ended, { code: KILLED, signal: null });
});

test('a command that is killed leaves no sidecar behind', WITHIN, async (t) => {
  const { command, says, ended } = await start(t);
  command.kill('SIGKILL');
  await says('stopped');
  assert.deepEqual(await ended, { code: null, signal: 'SIGKILL' });
});
