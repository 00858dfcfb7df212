import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Cluster } from './cluster.ts';
import { pause, STORM_MS, STORY_TIMEOUT_MS, storm } from './play.ts';
import { WITHOUT_POSTGRES } from './private-postgres.ts';

/** From ready to killed. */
const LONGEST_LIFE_MS = 1_500;

let cluster: Cluster | undefined;

before(async () => {
  if (WITHOUT_POSTGRES === false) cluster = await Cluster.open();
});
after(() => cluster?.close());

test('nodes are killed and started again under refreshing clients: no family forks or dies, nothing that was acknowledged is lost', {
  skip: WITHOUT_POSTGRES,
  timeout: STORY_TIMEOUT_MS,
}, async (t) => {
  assert.ok(cluster);
  await storm(t, cluster, async ({ cluster, chance }) => {
    let kills = 0;
    for (const untilMs = performance.now() + STORM_MS; performance.now() < untilMs; kills += 1) {
      await pause(chance.between(0, LONGEST_LIFE_MS));
      const node = chance.pick(cluster.nodes) ?? cluster.node(0);
      await node.end('SIGKILL');
      await node.start();
    }
    t.diagnostic(`${kills} nodes were killed`);
  });
});
