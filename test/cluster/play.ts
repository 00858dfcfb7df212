/** What stories of faults have in common: a storm, somebody who looks on, a judge at the end, and a number that repeats the choices. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { Chance } from '../simulation/chance.ts';
import { BOUND_MS, type Cluster, MARGIN_MS } from './cluster.ts';
import { Judge } from './judge.ts';
import { beginFamilies, compareWithStore, type Family, type Players, Storm } from './storm.ts';
import { askEveryNode, Watch } from './watch.ts';

/** `FAULTS_SECONDS`: how long each storm lasts; `npm run faults` sets it. The choice for `npm test` leaves room for everything beside. */
const DEFAULT_STORM_SECONDS = 8;

export const STORM_MS = 1_000 * Number(process.env.FAULTS_SECONDS ?? DEFAULT_STORM_SECONDS);

/** Longer than any storm and everything around it: a story that hangs shall fail by its name. */
export const STORY_TIMEOUT_MS = STORM_MS + 100_000;

const FAMILIES = 12;
/** From the end of the faults to the last answer that a client waits for: a few tries with their pauses, on a machine that does much else. */
const SERVED_WITHIN_MS = 12_000;

/** Choices and moments by a seed, which is printed; `FAULTS_SEED` repeats them. What processes make of them, no seed decides. */
export function playersOf(t: TestContext, cluster: Cluster, clocksDiffer = false): Players {
  const seed = Number(process.env.FAULTS_SEED ?? Date.now() % 2 ** 31);
  t.diagnostic(`FAULTS_SEED=${seed}`);
  const judge = new Judge({ boundMs: BOUND_MS + MARGIN_MS, clocksDiffer });
  return { cluster, judge, chance: new Chance(seed), clocksDiffer };
}

/**
 * Lets honest clients refresh and resource servers verify while `faults` happen; then everything is well again, and everybody is asked.
 * What happens after `faults` has returned, they must have recovered from by themselves.
 */
export async function storm(
  t: TestContext,
  cluster: Cluster,
  faults: (players: Players, families: readonly Family[]) => Promise<void>,
  { clocksDiffer = false } = {},
): Promise<void> {
  const players = playersOf(t, cluster, clocksDiffer);
  const { judge } = players;
  const families = await beginFamilies(players, await cluster.logIn('ada@example.com'), FAMILIES);
  const [one, other] = await Promise.all([cluster.resourceServer(), cluster.resourceServer()]);
  const watch = new Watch({ judge, resourceServers: { one, other } });
  const clients = new Storm(players, families);
  let fromMs = performance.now();
  try {
    await faults(players, families);
    // On a machine that does much else a storm takes its time to show anything.
    await eventually('enough has happened', () => isEnough(judge, clocksDiffer));
  } finally {
    fromMs = performance.now();
    await Promise.all([clients.end(), watch.end()]);
  }
  const tookMs = performance.now() - fromMs;
  assert.ok(tookMs < SERVED_WITHIN_MS, `clients were served ${Math.round(tookMs)} ms after the faults`);
  await everybodyIsReady(cluster);
  await compareWithStore(players, families);
  await askEveryNode(players);
  t.diagnostic(JSON.stringify(judge.counts));
  judge.assertNothingWrong();
  assert.deepEqual(cluster.crashes, []);
}

/** Where clocks differ, families end within seconds. */
function isEnough({ counts }: Judge, clocksDiffer: boolean): boolean {
  const { rotated, revoked, accepted, refused } = counts;
  return revoked > 0 && accepted > 0 && refused > 0 && (clocksDiffer || rotated > FAMILIES);
}

export async function everybodyIsReady({ nodes }: Cluster): Promise<void> {
  await eventually('every node is ready', async () => {
    const ready = await Promise.all(nodes.map((node) => node.isReady()));
    return ready.every(Boolean);
  });
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
