import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { nowMs } from '../coherence/resource-server.ts';
import { BOUND_MS, Cluster, MARGIN_MS } from './cluster.ts';
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

const REVOCATIONS = 9;
/**
 * A node reads every tenth of a second by itself. Without that its verifiers' pulses, one a second, would make it read: then three of nine are
 * told so soon, and hardly ever seven. Two may be late for what else the machine does.
 */
const POLLED_WITHIN_MS = 400;
const IN_TIME = 7;

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
    // It asks nobody: what it refuses it was told by its stream, and its lease never ran out.
    const api = await cluster.resourceServer({ whenStale: 'refuse' }, deaf.way);
    const toldAfterMs = async (): Promise<number> => {
      const token = (await cluster?.issue()) ?? '';
      assert.equal((await api.ask('verify', token)).outcome, 'accepted');
      await cluster?.revoke(token, other);
      const revokedAtMs = nowMs();
      let seen = await api.ask('verify', token);
      while (seen.outcome === 'accepted') seen = await api.ask('verify', token);
      assert.equal(seen.outcome, 'token_revoked');
      return seen.atMs - revokedAtMs;
    };

    t.diagnostic(`with the bus: refused after ${await toldAfterMs()} ms`);
    deaf.bus.isRefusing = !isSilent;
    if (isSilent) deaf.bus.hold();
    else deaf.bus.cut();
    try {
      const times: number[] = [];
      for (let asked = 0; asked < REVOCATIONS; asked += 1) times.push(await toldAfterMs());
      t.diagnostic(`without it: refused after ${times.join(', ')} ms`);
      const inTime = times.filter((ms) => ms < POLLED_WITHIN_MS).length;
      assert.ok(inTime >= IN_TIME, 'it waited for its verifiers to ask');
      assert.ok(Math.max(...times) <= BOUND_MS + MARGIN_MS);
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
