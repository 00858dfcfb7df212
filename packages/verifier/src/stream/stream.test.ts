import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { NONCE_LENGTH } from '@countersign/protocol';
import type { Coherence } from '../coherence/coherence.ts';
import { AuthorityConnection } from '../connection.ts';
import { Discovery } from '../discovery.ts';
import type { VerifierOptions } from '../options.ts';
import { eventually } from '../testing/eventually.ts';
import { CA_CERTIFICATE, type FakeAuthority, startFakeAuthority } from '../testing/fake-authority.ts';
import { createVerifier, type Verifier } from '../verifier.ts';
import { systemClock } from '../world.ts';
import { StreamDriver } from './stream.ts';

/** The shortest there is: a pulse each second. */
const BOUND_MS = 3_000;

const noNetwork = new AuthorityConnection({
  fetch: () => Promise.reject(new Error('no network')),
  timeoutMs: 1,
  credentials: { clientId: 'x', clientSecret: 'x' },
});

const opened: { authority: FakeAuthority; verifier: Verifier }[] = [];

async function open(more: Partial<VerifierOptions> = {}, prepare: (authority: FakeAuthority) => void = () => {}) {
  const authority = await startFakeAuthority();
  prepare(authority);
  const options = { ...authority.options(), mode: 'coherent' as const, maxStalenessMs: BOUND_MS, clock: systemClock };
  const verifier = createVerifier({ ...options, ...more });
  const both = { authority, verifier };
  opened.push(both);
  await verifier.ready();
  return both;
}

after(async () => {
  for (const { verifier } of opened) await verifier.close();
  for (const { authority } of opened) await authority.close();
});

function isLeased(verifier: Verifier): boolean {
  const { stalenessMs } = verifier.status();
  return stalenessMs !== undefined && stalenessMs <= BOUND_MS;
}

describe('a stream', { concurrency: true }, () => {
  test('is asked for with a fresh nonce and the bound, the first without a cursor and the next with one', async () => {
    const { authority } = await open();
    authority.streams.invalidate('token', 'any');
    authority.streams.cut();
    await eventually('another stream', () => authority.streams.opened.length === 2);
    const [first = {}, second = {}] = authority.streams.opened;
    assert.deepEqual(Object.keys(first).toSorted(), ['max_staleness_ms', 'nonce']);
    assert.equal(first.max_staleness_ms, String(BOUND_MS));
    assert.equal(first.nonce?.length, NONCE_LENGTH);
    assert.notEqual(second.nonce, first.nonce);
    assert.equal(second.epoch, '1');
    assert.match(second.cursor ?? '', /^[01]$/); // the message may have been cut off with the stream
  });

  test('is renewed by a pulse each second, with a nonce of its own, and EB-07 the lease stays young', async () => {
    const { authority, verifier } = await open();
    await eventually('three pulses', () => authority.streams.pulsed.length >= 3);
    const nonces = authority.streams.pulsed;
    assert.equal(new Set(nonces).size, nonces.length);
    assert.ok((verifier.status().stalenessMs ?? Number.POSITIVE_INFINITY) < 2 * 1_000);
    assert.equal(authority.streams.opened.length, 1);
  });

  test('that the pulse’s node does not hold is replaced at once, and what is known stands', async () => {
    const { authority, verifier } = await open();
    const token = await authority.issue();
    await verifier.verify(token);
    authority.streams.isElsewhere = true;
    const pulses = authority.streams.pulsed.length;
    await eventually('another stream', () => authority.streams.opened.length >= 2);
    assert.ok(authority.streams.pulsed.length - pulses < 3, 'long before it would have been given up');
    authority.streams.isElsewhere = false;
    await eventually('it is open', () => verifier.status().stream === 'open' && isLeased(verifier));
    assert.equal((await verifier.verify(token)).kind, 'accepted');
    assert.equal(authority.seen.checks.length, 1);
    await eventually('the old one is gone', () => authority.streams.size === 1);
  });

  for (const [name, answer] of Object.entries({
    'another document': { status: 200, headers: { 'content-type': 'application/json' }, body: '{}' },
    'a redirect': { status: 307, headers: { location: 'https://localhost:1/' } },
    'not an event of ours': {
      headers: { 'content-type': 'text/event-stream' },
      body: 'event: hello\ndata: {"stream":1}\n\n',
    },
    'a heartbeat before the hello': {
      headers: { 'content-type': 'text/event-stream' },
      body: 'event: heartbeat\ndata: {"nonce":"x","cursor":1}\n\n',
    },
  })) {
    test(`that is ${name} gives no lease; verification asks each time, and the stream is tried again`, async () => {
      let tries = 0;
      const { authority, verifier } = await open({ timeoutMs: 300 }, (fake) => {
        fake.intercept = (endpoint) => {
          if (endpoint !== 'stream') return undefined;
          tries++;
          return answer;
        };
      });
      const token = await authority.issue();
      for (let i = 0; i < 2; i++) assert.equal((await verifier.verify(token)).kind, 'accepted');
      assert.equal(authority.seen.checks.length, 2);
      assert.equal(verifier.status().stalenessMs, undefined);
      await eventually('it is tried again', () => tries >= 2);
      authority.intercept = () => undefined;
      await eventually('it is leased', () => isLeased(verifier));
    });
  }

  test('that nobody answers is given up, and its connection ended', async () => {
    let [begun, ended] = [0, 0];
    const { verifier } = await open({
      timeoutMs: 300,
      fetch: (url, init) => {
        if (!url.includes('/stream?')) return globalThis.fetch(url, init);
        begun++;
        return new Promise((_, reject) =>
          init.signal?.addEventListener('abort', () => {
            ended++;
            reject(init.signal?.reason);
          }),
        );
      },
    });
    await eventually('another try', () => begun === 2);
    assert.equal(ended, 1);
    await verifier.close();
    assert.equal(ended, 2);
  });
});

test('EB-09 messages without a pause do not push back what is due: a storm of revocations leaves no pulse out', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let ticks = 0;
  const core: Pick<Coherence<unknown>, 'nextTickMs' | 'tick'> = {
    nextTickMs: () => 0,
    tick: () => {
      ticks++;
      return [];
    },
  };
  const driver = new StreamDriver({
    core: core as Coherence<unknown>, // of which the driver uses no more, with nothing to perform
    connection: noNetwork,
    discovery: new Discovery({ issuer: 'https://localhost', connection: noNetwork, clock: systemClock }),
    now: () => ({ wallMs: 0, monotonicMs: 0 }),
    maxStalenessMs: BOUND_MS,
    readKeys: () => {},
  });
  for (let ms = 0; ms < 100; ms++) {
    driver.perform([]);
    t.mock.timers.tick(1);
  }
  assert.ok(ticks >= 10, `${ticks} looks at the time in 100 ms`);
});

describe('close()', () => {
  let folder: string;
  let caFile: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'countersign-stream-'));
    caFile = join(folder, 'ca.pem');
    writeFileSync(caFile, CA_CERTIFICATE);
  });
  after(() => rmSync(folder, { recursive: true }));

  /** Runs a program with a verifier to its end. */
  async function run(authority: FakeAuthority, more: object): Promise<{ code: number; told: unknown; stderr: string }> {
    const { issuer, audience, credentials } = authority.options();
    const given = { options: { issuer, audience, credentials, mode: 'coherent', timeoutMs: 1_500 }, ...more };
    const program = fileURLToPath(new URL('../testing/verify-and-end.ts', import.meta.url));
    const child = spawn(process.execPath, ['--conditions=countersign-source', program, JSON.stringify(given)], {
      env: { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: caFile },
    });
    const code = new Promise<number>((resolve) => child.on('close', (status) => resolve(status ?? -1)));
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { code: await code, told: stdout === '' ? undefined : JSON.parse(stdout), stderr };
  }

  test('ends the stream, and nothing is opened or asked any more', async () => {
    const { authority, verifier } = await open();
    assert.equal(authority.streams.size, 1);
    await verifier.close();
    await eventually('the socket is closed', () => authority.streams.size === 0);
    const pulses = authority.streams.pulsed.length;
    await new Promise((resolve) => setTimeout(resolve, 1_500)); // nothing is what there is to wait for: a pulse and a half
    assert.equal(authority.streams.opened.length, 1);
    assert.equal(authority.streams.pulsed.length, pulses);
    assert.equal(verifier.status().stream, 'off');
  });

  test('leaves neither socket nor timer behind: the program ends by itself', async () => {
    const authority = await startFakeAuthority();
    try {
      const { code, told, stderr } = await run(authority, { token: await authority.issue(), closes: true });
      assert.deepEqual({ code, told }, { code: 0, told: { kind: 'accepted', stream: 'off' } }, stderr);
    } finally {
      await authority.close();
    }
  });

  test('need not be called where no stream came about: ready() waits for one, and lets the program end', async () => {
    const authority = await startFakeAuthority();
    authority.intercept = (endpoint) => (endpoint === 'stream' ? { status: 503 } : undefined);
    try {
      const { code, told, stderr } = await run(authority, {});
      assert.equal(code, 0, stderr);
      assert.deepEqual(Object.keys(told as object), ['stream'], 'ready() resolved');
    } finally {
      await authority.close();
    }
  });
});
