import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { nowMs } from '../coherence/resource-server.ts';
import { BOUND_MS, Cluster } from './cluster.ts';
import { STORY_TIMEOUT_MS } from './play.ts';
import { WITHOUT_POSTGRES } from './private-postgres.ts';

const NATS = new URL(process.env.TEST_NATS_URL ?? 'nats://127.0.0.1:4222');
const BUS_PORT = Number(NATS.port || 4222);
const isListening = await new Promise<boolean>((resolve) => {
  const socket = connect(BUS_PORT, NATS.hostname);
  socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  socket.once('connect', () => socket.destroy());
});
const skip = WITHOUT_POSTGRES || (!isListening && 'no NATS server answers (TEST_NATS_URL)');

let cluster: Cluster | undefined;

before(async () => {
  if (skip !== false) return;
  cluster = await Cluster.open({
    busPort: BUS_PORT,
    settings: ({ bus }) => ({ COUNTERSIGN_NATS_URL: `nats://localhost:${bus}` }),
  });
});
after(() => cluster?.close());

const FAULTS = [
  { name: 'is cut off from the bus', isSilent: false },
  { name: 'hears nothing of the bus any more', isSilent: true },
];

for (const { name, isSilent } of FAULTS) {
  test(`a node ${name}: revocations at others reach its verifiers by its own reading`, {
    skip,
    timeout: STORY_TIMEOUT_MS,
  }, async (t) => {
    assert.ok(cluster);
    const [deaf, other] = [cluster.node(0), cluster.node(1)];
    const tokens = [await cluster.issue(), await cluster.issue()];
    // It asks nobody: what it refuses it was told by its stream, and its lease never ran out.
    const api = await cluster.resourceServer({ whenStale: 'refuse' }, deaf.way);
    for (const each of tokens) assert.equal((await api.ask('verify', each)).outcome, 'accepted');
    const [first = '', second = ''] = tokens;
    const tellAfterMs = async (token: string): Promise<number> => {
      const watching = api.ask('watch', token, BOUND_MS);
      await cluster?.revoke(token, other);
      const revokedAtMs = nowMs();
      const sightings = await watching;
      const [good, dead, ...more] = sightings;
      assert.deepEqual(
        [good?.outcome, dead?.outcome, more.length],
        ['accepted', 'token_revoked', 0],
        JSON.stringify(sightings),
      );
      return (dead?.fromMs ?? Number.POSITIVE_INFINITY) - revokedAtMs;
    };

    t.diagnostic(`with the bus: refused after ${Math.round(await tellAfterMs(first))} ms`);
    deaf.bus.isRefusing = !isSilent;
    if (isSilent) deaf.bus.hold();
    else deaf.bus.cut();
    try {
      t.diagnostic(`without it: refused after ${Math.round(await tellAfterMs(second))} ms`);
      assert.ok(await deaf.isReady(), 'it serves all the same');
    } finally {
      deaf.bus.isRefusing = false;
      deaf.bus.cut();
      deaf.bus.release();
    }
    const third = await cluster.issue();
    await eventually('a good token is served', async () => (await api.ask('verify', third)).outcome === 'accepted');
    await api.end();
    assert.deepEqual(cluster.crashes, []);
  });
}
