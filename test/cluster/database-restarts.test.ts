import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { Cluster } from './cluster.ts';
import { everybodyIsReady, pause, STORM_MS, STORY_TIMEOUT_MS, storm } from './play.ts';
import { WITHOUT_POSTGRES } from './private-postgres.ts';

const MODES = ['fast', 'immediate'] as const;
/** Two probes of a balancer: the outage is seen by everybody. */
const OUTAGE_MS = 1_000;
/** From the database's first answer to the nodes' readiness. Nothing of it is recovery: their next probe finds a new connection. */
const RECOVERED_WITHIN_MS = 5_000;

let cluster: Cluster | undefined;

before(async () => {
  if (WITHOUT_POSTGRES === false) cluster = await Cluster.open();
});
after(() => cluster?.close());

test('PostgreSQL is restarted under refreshing clients, in order and as by a power cut: the nodes say that they are not ready, and recover by themselves', {
  skip: WITHOUT_POSTGRES,
  timeout: STORY_TIMEOUT_MS,
}, async (t) => {
  assert.ok(cluster);
  await storm(t, cluster, async ({ cluster }) => {
    const { postgres, nodes } = cluster;
    for (const mode of MODES) {
      await pause(STORM_MS / MODES.length / 2);
      await postgres.stop(mode);
      await eventually('no node is ready', async () => {
        const ready = await Promise.all(nodes.map((node) => node.isReady()));
        return !ready.some(Boolean);
      });
      await pause(OUTAGE_MS);
      await postgres.start();
      const fromMs = performance.now();
      await everybodyIsReady(cluster);
      const tookMs = performance.now() - fromMs;
      t.diagnostic(`${mode}: ready after ${Math.round(tookMs)} ms`);
      assert.ok(tookMs < RECOVERED_WITHIN_MS, `${mode}: they took ${Math.round(tookMs)} ms`);
      await pause(STORM_MS / MODES.length / 2);
    }
  });
});
