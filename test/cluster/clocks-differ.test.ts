import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
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
  test(`the clock of one node is five minutes ${name}: nothing revoked is accepted, and no family forks`, {
    skip,
    timeout: STORY_TIMEOUT_MS,
  }, async (t) => {
    assert.ok(cluster);
    const faults = async () => {
      clock.set(aheadSeconds);
      await pause(STORM_MS / 2);
    };
    try {
      await storm(t, cluster, faults, { clocksDiffer: true });
    } finally {
      clock.set(0);
    }
  });
}
