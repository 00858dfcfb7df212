import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './cli.ts';
import { FakeTerminal } from './testing/terminal.ts';

test('every word behind "sidecar" is the sidecar’s own, and its exit code is ours', async () => {
  const words = ['--issuer', 'https://login.example', '--help', '--version', '--json', 'stray', '--', '-h'];
  const terminal = new FakeTerminal();
  terminal.programEnds = 7;
  const code = run(terminal.for(['sidecar', ...words]));
  await new Promise((resolve) => setImmediate(resolve)); // the command has begun: it waits for its program
  assert.equal(terminal.programs.length, 1);
  const [[path = '', ...given] = []] = terminal.programs;
  assert.match(path, /packages\/sidecar\/src\/main\.ts$/);
  assert.deepEqual(given, words);
  terminal.stop();
  assert.equal(await code, 7);
  assert.equal(terminal.stdout + terminal.stderr, '');
});

test('help lists the sidecar, and other commands still take their options anywhere', async () => {
  const terminal = new FakeTerminal();
  assert.equal(await run(terminal.for(['--help'])), 0);
  assert.match(terminal.stdout, /^ {2}sidecar /m);
  const other = new FakeTerminal();
  assert.equal(await run(other.for(['client', 'add', '--help'])), 0);
  assert.match(other.stdout, /--redirect-uri/);
});
