/** Stories of an authority that goes away, over real sockets and between real processes. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { lastAccepted, nowMs } from './resource-server.ts';
import { BOUND_MS, MARGIN_MS, Stage } from './stage.ts';

let stage: Stage;

before(async () => {
  stage = await Stage.open();
});
after(() => stage.close());

test('EB-07 EB-09 killed and started again: known tokens outlive it up to the bound, then nothing is accepted; a revocation made meanwhile holds', async () => {
  const [token, dead] = [await stage.issue(), await stage.issue()];
  const api = await stage.resourceServer([token, dead]);
  const ended = stage.server?.stop('SIGKILL');
  await ended;
  const killedAtMs = nowMs();
  const watching = api.ask('watch', token, BOUND_MS + MARGIN_MS + 500);
  await stage.revokeByCommand(dead);
  const revokedAtMs = nowMs();
  const sightings = await watching;
  assert.equal(sightings[0]?.outcome, 'accepted');
  assert.ok(lastAccepted(sightings) > killedAtMs, 'what it knows stays good for a while');
  assert.ok(lastAccepted(sightings) - killedAtMs <= BOUND_MS + MARGIN_MS, 'and not beyond the bound');
  assert.equal(sightings.at(-1)?.outcome, 'authority_unreachable');
  assert.equal((await api.ask('verify', dead)).outcome, 'authority_unreachable');

  await stage.start();
  await eventually('service is back', async () => (await api.ask('verify', token)).outcome === 'accepted');
  const first = await api.ask('verify', dead);
  assert.equal(first.outcome, 'token_revoked');
  assert.ok(first.atMs > revokedAtMs);
  await eventually('it asks nobody again', async () => {
    const before = await api.ask('status');
    await api.ask('verify', token);
    return (await api.ask('status')).hits > before.hits;
  });
  assert.equal((await api.ask('verify', await stage.issue())).outcome, 'accepted');
  await api.end();
});

test('EB-07 stopped, as a machine that hangs: nothing is accepted beyond the bound, and it recovers by itself', async () => {
  const [token, other] = [await stage.issue(), await stage.issue()];
  const api = await stage.resourceServer([token]);
  const refusing = await stage.resourceServer([token], { whenStale: 'refuse' });
  stage.server?.process.kill('SIGSTOP');
  const stoppedAtMs = nowMs();
  try {
    const watched = await Promise.all([
      api.ask('watch', token, BOUND_MS + MARGIN_MS + 500),
      refusing.ask('watch', token, BOUND_MS + MARGIN_MS + 500),
    ]);
    for (const sightings of watched) {
      assert.equal(sightings[0]?.outcome, 'accepted');
      assert.ok(lastAccepted(sightings) - stoppedAtMs <= BOUND_MS + MARGIN_MS);
    }
    assert.deepEqual(
      watched.map((sightings) => sightings.at(-1)?.outcome),
      ['authority_unreachable', 'verification_stale'],
    );
    assert.equal((await api.ask('verify', other)).outcome, 'authority_unreachable');
  } finally {
    stage.server?.process.kill('SIGCONT');
  }
  for (const each of [api, refusing]) {
    await eventually('service is back', async () => (await each.ask('verify', token)).outcome === 'accepted');
    await eventually('the lease is back', async () => ((await each.ask('status')).stalenessMs ?? BOUND_MS) < BOUND_MS);
  }
});
