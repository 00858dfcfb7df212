/** Nodes in one process over one store, whose time, beats and steps a test steers. */
import { after, beforeEach } from 'node:test';
import { type Store, StoreUnavailable } from '../../store/store.ts';
import { openStore } from '../../testing/testing.ts';
import { type Held, type Job, Leases, RENEW_MS } from '../leases.ts';

const { store, random, close } = await openStore();
after(close);

export { store };

/** What the jobs of these tests write: a line each time, by whom. */
await store.write((tx) => tx.run('CREATE TABLE done_work (job TEXT NOT NULL, node TEXT NOT NULL)'));

/** All that the nodes share of time: each reads it by clocks of its own, which a test may stop or set. */
export const time = { passedMs: 0 };

beforeEach(async () => {
  for (const table of ['lease', 'lease_node', 'done_work']) await store.write((tx) => tx.run(`DELETE FROM ${table}`));
});

interface Options {
  jobs?: string[];
  step?: (held: Held) => Promise<unknown>;
  over?: Store;
  stopWithinMs?: number;
}

/** A node in this process. Its beats and steps run when the test says so. */
export function nodeOf(name: string, { jobs = ['a', 'b'], step, over = store, stopWithinMs = 60_000 }: Options = {}) {
  const offset = { wallMs: 1_800_000_000_000, monotonicMs: 0 };
  const lines: string[] = [];
  const note = (message: string, fields?: object) => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const steps: (() => unknown)[] = [];
  let stopped = 0;
  const leases = new Leases({
    ...{ store: over, random, node: name, stopWithinMs },
    clock: { now: () => offset.wallMs + time.passedMs },
    stopwatch: { monotonicMs: () => offset.monotonicMs + time.passedMs },
    log: { info: note, warn: note, error: note },
  });
  const write = (held: Held) =>
    held.write((tx) => tx.run('INSERT INTO done_work (job, node) VALUES ($1, $2)', held.name, name));
  const list: Job[] = jobs.map((job) => ({ name: job, intervalMs: 1, step: step ?? write }));
  return {
    ...{ leases, offset, lines, write },
    get stopped() {
      return stopped;
    },
    async begin() {
      leases.start(list, {
        every(_, run) {
          steps.push(run);
          return { stop: () => void stopped++ };
        },
      });
      await leases.beat();
    },
    beat: () => leases.beat(),
    /** One step of every job, of which only those do anything that are this node's. */
    work: async () => {
      for (const run of steps.slice(1)) await run();
    },
  };
}

export const holders = async () =>
  Object.fromEntries(
    (await store.read.all<{ name: string; holder: string | null }>('SELECT name, holder FROM lease ORDER BY name')).map(
      ({ name, holder }) => [name, holder],
    ),
  );
export const nodes = async () =>
  (await store.read.all<{ name: string }>('SELECT name FROM lease_node ORDER BY name')).map(({ name }) => name);
export const doneBy = async () =>
  (await store.read.all<{ node: string }>('SELECT DISTINCT node FROM done_work ORDER BY node')).map(({ node }) => node);

/** Time passes for all, in steps of a beat; the given nodes live through it. */
export async function pass(ms: number, ...living: { beat(): Promise<void> }[]): Promise<void> {
  for (let left = ms; left > 0; left -= RENEW_MS) {
    time.passedMs += Math.min(left, RENEW_MS);
    for (const node of living) await node.beat();
  }
}

/** The store's methods, so that a test can put its own in the place of one. */
export function proxied(target: Store): Store {
  return {
    engine: target.engine,
    read: target.read,
    write: (work) => target.write(work),
    commit: (act) => target.commit(act),
    epoch: () => target.epoch(),
    assertUsable: () => target.assertUsable(),
    close: () => target.close(),
  };
}

export function unavailable(): Promise<never> {
  return Promise.reject(new StoreUnavailable('Writing: away.'));
}
