import assert from 'node:assert/strict';
import { existsSync, readdirSync, renameSync, statSync } from 'node:fs';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { Installation, ON_POSTGRES, pause } from './command-line.ts';

/** For what the engine has no part in: once is enough. */
const ONCE = { skip: ON_POSTGRES && 'it is the same on either engine' };

async function installation(t: { after(work: () => void): void }): Promise<Installation> {
  const made = await Installation.onEngineOfRun();
  t.after(() => made.remove());
  return made;
}

/** The jobs, once the server holds all of them under numbers above this one. */
async function jobsHeld(here: Installation, above = 0): Promise<{ name: string; node: string; number: number }[]> {
  const until = performance.now() + 9_000; // less than any wait for a silent node
  for (;;) {
    const { stdout } = await here.run(['jobs', '--json']);
    const { jobs } = JSON.parse(stdout) as { jobs: { name: string; node: string; number: number }[] }; // as cli/jobs.ts writes it
    if (jobs.length > 0 && jobs.every(({ node, number }) => node === 'data-folder' && number > above)) return jobs;
    assert.ok(performance.now() < until, stdout);
    await pause(100);
  }
}

test('a first start makes everything, says what to open, and stops with 0', async (t) => {
  const here = await installation(t);
  const server = await here.start();
  const said = server.stdout();
  assert.ok(said.includes(`Open             ${here.issuer}\n`));
  assert.ok(said.includes(`${here.issuer}/dev/mailbox`));
  assert.ok(said.includes(`${here.dataFolder} (made now)`));
  const ca = join(here.dataFolder, 'tls', 'ca.pem');
  for (const line of [`curl --cacert ${ca} `, `NODE_EXTRA_CA_CERTS=${ca}`, `import ${ca}`])
    assert.ok(said.includes(line), line);
  assert.equal((await fetch(`${here.issuer}/readyz`)).status, 200);
  const redirect = await fetch(`http://localhost:${here.plaintextPort}/login`, { redirect: 'manual' });
  assert.equal(redirect.headers.get('location'), `${here.issuer}/login`);

  // Nothing is for others: neither folders nor any file, those that only exist while it runs included.
  assert.equal(statSync(here.dataFolder).mode & 0o777, 0o700);
  for (const entry of readdirSync(here.dataFolder, { recursive: true, withFileTypes: true })) {
    const mode = statSync(join(entry.parentPath, entry.name)).mode & 0o777;
    assert.equal(mode, entry.isDirectory() ? 0o700 : 0o600, entry.name);
  }

  assert.equal(await server.stop(), 0);
  assert.ok(!existsSync(join(here.dataFolder, 'countersign.db-wal')), 'the log was moved into the database');
  assert.doesNotMatch(server.stderr(), /warn|error/i);

  const again = await here.start();
  assert.ok(!again.stdout().includes('made now'));
  assert.equal(await again.stop('SIGINT'), 0);
});

test('one server at a time on a data folder, and a killed one leaves nothing in the way', {
  skip: ON_POSTGRES && 'it is about one data folder; test/cluster kills nodes',
}, async (t) => {
  const here = await installation(t);
  const server = await here.start();
  const second = await here.run(['start'], { environment: { COUNTERSIGN_PORT: '0', COUNTERSIGN_PLAINTEXT_PORT: '0' } });
  assert.equal(second.code, 1);
  assert.match(
    second.stderr,
    new RegExp(`a server or a restore \\(process ${server.process.pid}\\) is using it\\. Stop that one`),
  );
  assert.equal((await fetch(`${here.issuer}/readyz`)).status, 200);

  const before = await jobsHeld(here);
  await server.stop('SIGKILL');
  assert.ok(existsSync(join(here.dataFolder, 'countersign.pid')), 'a kill leaves the file, which nothing believes');
  const next = await here.start();
  const after = await jobsHeld(here, before[0]?.number);
  assert.ok(after.length > 0 && after.length === before.length, 'all jobs go on at once, under higher numbers');
  assert.equal(await next.stop(), 0);
  const { stdout } = await here.run(['jobs']);
  assert.match(stdout, /^JOB +NODE +NUMBER +SINCE +RENEWED\n/);
  assert.doesNotMatch(stdout, /data-folder/, 'a stop gives them back');
});

test('DP-03 a request under way when the stop comes is finished; then the exit code is 0', async (t) => {
  const here = await installation(t);
  const server = await here.start();
  let answered = '';
  const slow = request(`${here.issuer}/oauth2/token`, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': '29' },
  });
  const finished = new Promise<void>((resolve, reject) => {
    slow.on('error', reject);
    slow.on('response', (response) => {
      response.on('data', (chunk: Buffer) => {
        answered += chunk.toString();
      });
      response.on('end', resolve);
    });
  });
  slow.write('grant_type=client');
  await new Promise<void>((resolve) => slow.once('socket', (socket) => socket.once('secureConnect', () => resolve())));
  await pause(200);
  const ended = server.stop();
  await pause(200);
  await assert.rejects(fetch(`${here.issuer}/livez`), 'nothing new is taken');
  assert.equal(server.process.exitCode, null);
  slow.end('_credentials');
  await finished;
  assert.equal(JSON.parse(answered).error, 'invalid_client');
  assert.equal(await ended, 0);
});

test('a server whose log nobody reads any more ends with 1, so that a supervisor starts it again', ONCE, async (t) => {
  const here = await installation(t);
  const server = await here.start();
  server.process.stderr?.destroy();
  await fetch(`${here.issuer}/livez`).catch(() => {}); // its log line is what finds nobody
  assert.equal(await server.ended, 1);
});

test('a second signal ends it at once, with 1', ONCE, async (t) => {
  const here = await installation(t);
  const server = await here.start();
  const hanging = request(`${here.issuer}/oauth2/token`, {
    method: 'POST',
    agent: false,
    headers: { 'content-length': '9' },
  });
  hanging.on('error', () => {});
  hanging.write('a');
  await new Promise<void>((resolve) =>
    hanging.once('socket', (socket) => socket.once('secureConnect', () => resolve())),
  );
  await pause(200);
  server.process.kill('SIGTERM');
  await pause(100);
  assert.equal(server.process.exitCode, null, 'it waits for the request');
  assert.equal(await server.stop(), 1);
});

test('started by npm through a shell that passes no signal on, it stops when that shell is ended', ONCE, async (t) => {
  const here = await installation(t);
  const shell = ['sh', '-c', '"$0" "$@"; exit $?'];
  const server = await here.start({ npm_lifecycle_event: 'start' }, shell);
  server.process.kill('SIGTERM');
  await server.ended; // the server held the streams open until now
  assert.match(server.stderr(), /"message":"stopped"/);
  assert.ok(!existsSync(join(here.dataFolder, 'countersign.pid')));
});

test('a wrong, weak or missing master key stops the start and changes nothing', {
  skip: ON_POSTGRES && 'with PostgreSQL no node makes a master key (nodes-over-postgres.test.ts)',
}, async (t) => {
  const here = await installation(t);
  assert.equal((await here.run(['migrate'])).code, 0);
  const files = () =>
    readdirSync(here.dataFolder)
      .filter((name) => name !== 'countersign.lock')
      .sort();
  const before = files();
  const other = {
    COUNTERSIGN_MASTER_KEY: Buffer.from(
      '9f3c51d0aa7e42b86d1be5c09277f4183b6ea2d95c0f81e4276adb13fe9540c7',
      'hex',
    ).toString('base64'),
  };
  for (const words of [['start'], ['keys', 'list']]) {
    const wrong = await here.run(words, { environment: other });
    assert.equal(wrong.code, 1);
    assert.match(
      wrong.stderr,
      /sealed under another master key .* Nothing was changed\. Give the key it was made with/,
    );
    assert.doesNotMatch(wrong.stderr, /^\s+at /m);
  }
  const weak = await here.run(['start'], { environment: { COUNTERSIGN_MASTER_KEY: 'hunter2' } });
  assert.match(weak.stderr, /COUNTERSIGN_MASTER_KEY .* openssl rand/);
  assert.doesNotMatch(weak.stderr, /hunter2/);

  renameSync(join(here.dataFolder, 'master.key'), join(here.root, 'kept.key'));
  const missing = await here.run(['start']);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /The master key is missing/);
  assert.ok(!existsSync(join(here.dataFolder, 'master.key')), 'no new key was made over old data');
  renameSync(join(here.root, 'kept.key'), join(here.dataFolder, 'master.key'));
  assert.deepEqual(files(), before);
  assert.equal((await here.run(['keys', 'list'])).code, 0);
});

test('a port that is taken is named, and the folder is given back', ONCE, async (t) => {
  const here = await installation(t);
  const other = createServer();
  t.after(() => other.close());
  await new Promise<void>((resolve) => other.listen(here.plaintextPort, '127.0.0.1', resolve));
  const refused = await here.run(['start']);
  assert.equal(refused.code, 1);
  assert.match(
    refused.stderr,
    new RegExp(`port ${here.plaintextPort}: another program has it.*COUNTERSIGN_PLAINTEXT_PORT`),
  );
  const server = await here.start({ COUNTERSIGN_PLAINTEXT_PORT: '0' });
  assert.equal(await server.stop(), 0);
});

test('in production standard output is the log, and there is no mailbox', ONCE, async (t) => {
  const here = await installation(t);
  await (await here.start()).stop(); // makes the certificate that the production server is given here
  const tls = join(here.dataFolder, 'tls');
  const server = await here.start({
    COUNTERSIGN_MODE: 'production',
    COUNTERSIGN_ISSUER: here.issuer,
    COUNTERSIGN_HOST: '127.0.0.1',
    COUNTERSIGN_TLS_CERTIFICATE_FILE: join(tls, 'localhost.pem'),
    COUNTERSIGN_TLS_KEY_FILE: join(tls, 'localhost.key'),
    COUNTERSIGN_SMTP_URL: 'smtps://localhost:9',
    COUNTERSIGN_HSTS_PRELOAD: 'true',
  });
  assert.equal((await fetch(`${here.issuer}/dev/mailbox`)).status, 404);
  assert.equal(await server.stop(), 0);
  const lines = server.stdout().trimEnd().split('\n');
  const messages = lines.map((line) => (JSON.parse(line) as { message: string }).message); // throws on any other line
  assert.match(messages[0] ?? '', /hstsPreload is on/);
  assert.ok(messages.includes('ready'));
  assert.equal(messages.at(-1), 'stopped');
  assert.equal(server.stderr(), '');
});

test('settings that cannot be used are all named, with what to do', ONCE, async (t) => {
  const here = await installation(t);
  const environment = { COUNTERSIGN_MODE: 'production', COUNTERSIGN_PORTT: '1' };
  const refused = await here.run(['start'], { environment });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /COUNTERSIGN_PORTT is not a setting\. Did you mean COUNTERSIGN_PORT\?/);
  for (const name of ['issuer', 'smtpUrl', 'tlsCertificateFile', 'tlsKeyFile']) {
    assert.ok(refused.stderr.includes(`(${name}) is missing`), name);
  }
  assert.ok(!existsSync(here.dataFolder), 'nothing was made');
});
