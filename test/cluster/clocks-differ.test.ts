import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { FAKETIME_LIBRARY, SetClock } from '../coherence/faketime.ts';
import { Cluster } from './cluster.ts';
import { pause, STORM_MS, STORY_TIMEOUT_MS, storm } from './play.ts';
import { WITHOUT_POSTGRES } from './private-postgres.ts';

const SKEWED = 2;
const SKEW_SECONDS = 300;

const skip =
  WITHOUT_POSTGRES || (FAKETIME_LIBRARY === undefined && 'libfaketime is missing (apt-get install faketime)');
const folder = mkdtempSync(join(tmpdir(), 'countersign-clock-'));
const clock = new SetClock(join(folder, 'clock'));
let cluster: Cluster | undefined;

before(async () => {
  if (skip !== false) return;
  cluster = await Cluster.open({ settings: ({ place }) => (place === SKEWED ? clock.environment : {}) });
});
after(async () => {
  await cluster?.close();
  rmSync(folder, { recursive: true });
});

for (const aheadSeconds of [SKEW_SECONDS, -SKEW_SECONDS]) {
  const name = aheadSeconds > 0 ? 'ahead' : 'behind';
  test(`the clock of one node is five minutes ${name}: it is not ready; asked all the same, nothing revoked is accepted, and no family forks`, {
    skip,
    timeout: STORY_TIMEOUT_MS,
  }, async (t) => {
    assert.ok(cluster);
    const { front, nodes } = cluster;
    const skewed = cluster.node(SKEWED);
    const faults = async () => {
      try {
        clock.set(aheadSeconds);
        await eventually('no new connection goes to it', () => !front.ready.has(skewed));
        await pause(STORM_MS / 4);
        assert.equal(front.ready.size, nodes.length - 1);
        // By a balancer that does not look.
        front.pinned = skewed;
        await pause(STORM_MS / 4);
      } finally {
        front.pinned = undefined;
        clock.set(0);
      }
    };
    await storm(t, cluster, faults, { clocksDiffer: true });
  });
}
