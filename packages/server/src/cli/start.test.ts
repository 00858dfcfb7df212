import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../world/clock.ts';
import { localCertificate } from '../world/development-certificates.ts';
import { systemRandom } from '../world/random.ts';
import { run } from './cli.ts';
import { FakeTerminal } from './testing/terminal.ts';

function folder(t: { after(work: () => void): void }): string {
  const made = mkdtempSync(join(tmpdir(), 'countersign-start-'));
  t.after(() => rmSync(made, { recursive: true }));
  return made;
}

test('an error that nothing caught is logged without its message, and ends the process with 1', async (t) => {
  const terminal = new FakeTerminal();
  const environment = {
    COUNTERSIGN_DATA_FOLDER: folder(t),
    COUNTERSIGN_PORT: '0',
    COUNTERSIGN_PLAINTEXT_PORT: '0',
  };
  const ended = run(terminal.for(['start'], environment));
  while (!terminal.stdout.includes('ready in')) await new Promise((resolve) => setTimeout(resolve, 5));
  terminal.crash(new TypeError('while reading hunter2'));
  assert.deepEqual(terminal.exits, [1]);
  const line = terminal.stderr.split('\n').find((text) => text.includes('crashed')) ?? '';
  const { error, at } = JSON.parse(line);
  assert.equal(error, 'TypeError');
  assert.match(at, /start\.test\.ts/);
  assert.doesNotMatch(terminal.stderr, /hunter2/);
  terminal.stop();
  assert.equal(await ended, 0);
});

test('the one server of a data folder runs with the settings it is started with, and commands with those alone', async (t) => {
  const dataFolder = folder(t);
  const environmentOf = (algorithm: string) => ({
    COUNTERSIGN_DATA_FOLDER: dataFolder,
    COUNTERSIGN_PORT: '0',
    COUNTERSIGN_PLAINTEXT_PORT: '0',
    COUNTERSIGN_ACCESS_ALGORITHM: algorithm,
  });
  const listed = async (algorithm: string) => {
    const terminal = new FakeTerminal();
    const code = await run(terminal.for(['keys', 'list'], environmentOf(algorithm)));
    return { code, stdout: terminal.stdout };
  };
  for (const algorithm of ['ES256', 'Ed25519']) {
    const terminal = new FakeTerminal();
    const ended = run(terminal.for(['start'], environmentOf(algorithm)));
    while (!terminal.stdout.includes('ready in')) await new Promise((resolve) => setTimeout(resolve, 5));
    terminal.stop();
    assert.equal(await ended, 0);
    const { code, stdout } = await listed(algorithm);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`access +${algorithm} +active`));
  }
  assert.equal((await listed('ES256')).code, 1);
});

test('a certificate and a key that do not belong together are named, not shown', async (t) => {
  const dataFolder = folder(t);
  const given = (at: string) => localCertificate({ dataFolder: at, clock: systemClock, random: systemRandom });
  await Promise.all([given(join(dataFolder, 'one')), given(join(dataFolder, 'other'))]);
  const notAKey = join(dataFolder, 'not-a-key.pem');
  writeFileSync(notAKey, 'hunter2');
  const start = async (keyFile: string) => {
    const terminal = new FakeTerminal();
    const code = await run(
      terminal.for(['start'], {
        COUNTERSIGN_DATA_FOLDER: join(dataFolder, 'data'),
        COUNTERSIGN_PORT: '0',
        COUNTERSIGN_PLAINTEXT_PORT: '0',
        COUNTERSIGN_TLS_CERTIFICATE_FILE: join(dataFolder, 'one', 'tls', 'localhost.pem'),
        COUNTERSIGN_TLS_KEY_FILE: keyFile,
      }),
    );
    return { code, stderr: terminal.stderr };
  };
  for (const keyFile of [join(dataFolder, 'other', 'tls', 'localhost.key'), notAKey]) {
    const { code, stderr } = await start(keyFile);
    assert.equal(code, 1);
    assert.match(stderr, /the certificate and key \(.*one.*\) cannot be used together/);
    assert.doesNotMatch(stderr, /hunter2/);
  }
});
