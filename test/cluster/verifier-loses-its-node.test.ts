import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { lastAccepted, nowMs } from '../coherence/resource-server.ts';
import { BOUND_MS, Cluster, MARGIN_MS } from './cluster.ts';
import { STORY_TIMEOUT_MS } from './play.ts';
import { WITHOUT_POSTGRES } from './private-postgres.ts';

let cluster: Cluster | undefined;

before(async () => {
  if (WITHOUT_POSTGRES === false) cluster = await Cluster.open();
});
after(() => cluster?.close());

const CASES = [
  { name: 'is cut off', isSilent: false },
  { name: 'stops answering', isSilent: true },
];

for (const { name, isSilent } of CASES) {
  test(`the node that a verifier listens to ${name}: it goes to another, and accepts nothing revoked beyond the bound`, {
    skip: WITHOUT_POSTGRES,
    timeout: STORY_TIMEOUT_MS,
  }, async (t) => {
    assert.ok(cluster);
    const { front } = cluster;
    const [its, other] = [cluster.node(0), cluster.node(1)];
    const [token, dead] = [await cluster.issue(), await cluster.issue()];
    front.pinned = its;
    const api = await cluster.resourceServer();
    for (const each of [token, dead]) assert.equal((await api.ask('verify', each)).outcome, 'accepted');
    front.pinned = undefined;

    its.way.isRefusing = !isSilent;
    if (isSilent) its.way.hold();
    else its.way.cut();
    try {
      const watching = api.ask('watch', dead, BOUND_MS + MARGIN_MS + 1_000);
      await cluster.revoke(dead, other);
      const revokedAtMs = nowMs();
      const sightings = await watching;
      t.diagnostic(
        `accepted for ${Math.round(lastAccepted(sightings) - revokedAtMs)} ms, then ${sightings.at(-1)?.outcome}`,
      );
      assert.ok(lastAccepted(sightings) - revokedAtMs <= BOUND_MS + MARGIN_MS);
      await eventually('another node serves it', async () => (await api.ask('verify', token)).outcome === 'accepted');
      await eventually('it has a stream', async () => {
        const { stream, stalenessMs } = await api.ask('status');
        return stream === 'open' && stalenessMs !== undefined && stalenessMs < BOUND_MS;
      });
      assert.equal((await api.ask('verify', dead)).outcome, 'token_revoked');
      assert.ok(!(await its.isReady()), 'the fault lasts');
    } finally {
      its.way.isRefusing = false;
      its.way.cut();
      its.way.release();
    }
    await eventually('the front has it back', () => front.ready.has(its));
    await api.end();
    assert.deepEqual(cluster.crashes, []);
  });
}
