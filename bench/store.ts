/**
 * Refresh rotations per second in the embedded store: one at a time and grouped, on the event loop's own thread (the product)
 * and through a writer thread (a prototype), each with and without an ES256 signature per rotation on the main thread, which is
 * what a rotation costs it in the product. Every commit is durable. Prints ratios; absolute numbers belong to the machine.
 *
 * node bench/store.ts
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { defaultJournalFolder, openSqliteStore, type SqliteStore } from '../packages/server/src/store/store.ts';
import { systemClock } from '../packages/server/src/world/clock.ts';
import { journalEntry, type Rotation, rotationStatements, seedStatements } from './store-rotation.ts';
import type { ThreadAnswer, ThreadRequest } from './store-writer-thread.ts';

const MEASURED_MS = 1500;
/** Rotations before the measured ones, so that statements are prepared and code is compiled. */
const WARM_UP_MS = 400;
const CONCURRENCIES = [1, 16, 64, 256];

/** The goal: grouped at 64 must be at least so many times single. */
const GOAL_RATIO = 2.5;

interface Engine {
  readonly name: string;
  rotate(rotation: Rotation): Promise<boolean>;
  close(): Promise<void>;
}

interface Measurement {
  readonly engine: string;
  readonly signing: boolean;
  readonly concurrency: number;
  readonly perSecond: number;
  readonly latencyMs: number;
  readonly delayP99Ms: number;
  readonly delayMaxMs: number;
}

export async function benchStore(): Promise<{ measurements: Measurement[]; goalMet: boolean }> {
  const measurements: Measurement[] = [];
  for (const signing of [false, true]) {
    for (const open of [openTurnEngine, openThreadEngine]) {
      for (const concurrency of CONCURRENCIES) {
        const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
        const engine = await open(folder);
        measurements.push(await measure({ engine, concurrency, signing }));
        await engine.close();
        rmSync(folder, { recursive: true });
      }
    }
  }
  const single = find(measurements, 'per turn', false, 1);
  const grouped = find(measurements, 'per turn', false, 64);
  const ratio = grouped.perSecond / single.perSecond;
  print(measurements);
  const goalMet = ratio >= GOAL_RATIO;
  console.log(`\nGrouped at 64 is ${ratio.toFixed(2)} times single; goal ${GOAL_RATIO}: ${goalMet ? 'met' : 'MISSED'}`);
  return { measurements, goalMet };
}

/** The product's store: group commit on this thread. */
async function openTurnEngine(dataFolder: string): Promise<Engine> {
  const store = await openSeeded(dataFolder);
  return {
    name: 'per turn',
    rotate: (rotation) =>
      store.write(async (tx) => {
        const [compareAndSet, ...others] = rotationStatements(rotation);
        if ((await tx.get(compareAndSet.text, ...compareAndSet.values)) === undefined) return false;
        for (const statement of others) await tx.run(statement.text, ...statement.values);
        tx.journal(journalEntry(rotation));
        return true;
      }),
    close: () => store.close(),
  };
}

/** The prototype: requests of one turn are posted together, the thread commits whatever has arrived. */
async function openThreadEngine(dataFolder: string): Promise<Engine> {
  await (await openSeeded(dataFolder)).close();
  const worker = new Worker(new URL('./store-writer-thread.ts', import.meta.url), { workerData: { dataFolder } });
  const waiting = new Map<number, (rotated: boolean) => void>();
  let unsent: ThreadRequest[] = [];
  let nextId = 0;
  worker.on('message', (answers: ThreadAnswer[]) => {
    for (const { id, rotated } of answers) {
      waiting.get(id)?.(rotated);
      waiting.delete(id);
    }
  });
  return {
    name: 'writer thread',
    rotate: (rotation) =>
      new Promise((resolve) => {
        nextId += 1;
        waiting.set(nextId, resolve);
        unsent.push({ id: nextId, rotation });
        if (unsent.length > 1) return;
        setImmediate(() => {
          worker.postMessage(unsent);
          unsent = [];
        });
      }),
    close: () =>
      new Promise((resolve) => {
        worker.once('exit', () => resolve());
        worker.postMessage('close');
      }),
  };
}

async function openSeeded(dataFolder: string): Promise<SqliteStore> {
  const journal = { kind: 'folder', folder: defaultJournalFolder(dataFolder) } as const;
  const store = openSqliteStore({ dataFolder, clock: systemClock, journal });
  await store.write(async (tx) => {
    for (const statement of seedStatements(Math.max(...CONCURRENCIES))) {
      await tx.run(statement.text, ...statement.values);
    }
  });
  return store;
}

async function measure(options: { engine: Engine; concurrency: number; signing: boolean }): Promise<Measurement> {
  const { engine, concurrency, signing } = options;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const payload = randomBytes(600);
  const generations = Array.from({ length: concurrency }, () => 1);
  let phase: 'warm-up' | 'measured' | 'over' = 'warm-up';
  let count = 0;

  const flow = async (number: number): Promise<void> => {
    let previousTokenId = `token-${number}-0`;
    while (phase !== 'over') {
      const generation = generations[number] ?? 1;
      const tokenId = `token-${number}-${generation}`;
      if (signing) sign('sha256', payload, { key: privateKey, dsaEncoding: 'ieee-p1363' });
      const record = randomBytes(32);
      const grantId = `grant_${number}`;
      const rotation = { grantId, generation, record, tokenId, previousTokenId, nowMs: Date.now() };
      if (!(await engine.rotate(rotation))) throw new Error('A rotation found another generation than it had left.');
      generations[number] = generation + 1;
      previousTokenId = tokenId;
      if (phase === 'measured') count += 1;
    }
  };

  const flows = Promise.all(Array.from({ length: concurrency }, (_, number) => flow(number)));
  await sleep(WARM_UP_MS);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const startedMs = performance.now();
  phase = 'measured';
  await sleep(MEASURED_MS);
  phase = 'over';
  const elapsedMs = performance.now() - startedMs;
  delay.disable();
  await flows;
  return {
    engine: engine.name,
    signing,
    concurrency,
    perSecond: (count * 1000) / elapsedMs,
    latencyMs: (elapsedMs * concurrency) / count,
    delayP99Ms: delay.percentile(99) / 1e6,
    delayMaxMs: delay.max / 1e6,
  };
}

function print(measurements: readonly Measurement[]): void {
  const heading = [
    'engine',
    'signs',
    'at once',
    'rotations/s',
    'to single',
    'to per turn',
    'mean ms',
    'loop p99',
    'loop max',
  ];
  const rows = measurements.map((row) => {
    const single = find(measurements, row.engine, row.signing, 1);
    const turn = find(measurements, 'per turn', row.signing, row.concurrency);
    return [
      row.engine,
      row.signing ? 'ES256' : 'no',
      String(row.concurrency),
      row.perSecond.toFixed(0),
      (row.perSecond / single.perSecond).toFixed(2),
      (row.perSecond / turn.perSecond).toFixed(2),
      row.latencyMs.toFixed(2),
      row.delayP99Ms.toFixed(1),
      row.delayMaxMs.toFixed(1),
    ];
  });
  for (const row of [heading, ...rows]) {
    console.log(row.map((cell, index) => (index === 0 ? cell.padEnd(14) : cell.padStart(12))).join(''));
  }
}

function find(all: readonly Measurement[], engine: string, signing: boolean, concurrency: number): Measurement {
  const found = all.find((row) => row.engine === engine && row.signing === signing && row.concurrency === concurrency);
  if (found === undefined) throw new Error(`The bench did not measure ${engine} at ${concurrency}.`);
  return found;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

if (import.meta.main) process.exitCode = (await benchStore()).goalMet ? 0 : 1;
