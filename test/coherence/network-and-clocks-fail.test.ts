/** Stories of what stands between resource server and authority, and of a resource server's own machine, over real sockets. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { FAKETIME_LIBRARY, SetClock } from './faketime.ts';
import { lastAccepted, nowMs, type ResourceServer } from './resource-server.ts';
import { BOUND_MS, MARGIN_MS, Stage } from './stage.ts';

let stage: Stage;

before(async () => {
  stage = await Stage.open();
});
beforeEach(() => {
  stage.proxy.delayMs = 0;
  stage.proxy.release();
});
after(() => stage.close());

/** Whether a verification asked nobody. */
async function isHit(api: ResourceServer, token: string): Promise<boolean> {
  const { hits } = await api.ask('status');
  await api.ask('verify', token);
  return (await api.ask('status')).hits > hits;
}

test('RV-06 a revocation is refused by every resource server, through its stream, within the bound', async () => {
  const token = await stage.issue();
  const apis = await Promise.all([stage.resourceServer([token]), stage.resourceServer([token])]);
  await stage.revoke(token);
  const revokedAtMs = nowMs();
  for (const api of apis) {
    let seen = await api.ask('verify', token);
    while (seen.outcome === 'accepted') seen = await api.ask('verify', token);
    assert.equal(seen.outcome, 'token_revoked');
    assert.ok(seen.atMs - revokedAtMs < BOUND_MS, `${seen.atMs - revokedAtMs} ms`);
    assert.equal((await api.ask('status')).stream, 'open');
  }
  await Promise.all(apis.map((api) => api.end()));
});

test('EB-09 a stream that is cut off is opened again; what was revoked meanwhile is refused, and the rest stands', async () => {
  const [token, dead] = [await stage.issue(), await stage.issue()];
  const api = await stage.resourceServer([token, dead]);
  stage.proxy.cut();
  stage.proxy.hold(); // new connections come about, and nobody answers
  await eventually('it is noticed', async () => (await api.ask('status')).stream !== 'open');
  const watching = api.ask('watch', dead, BOUND_MS + 1_000);
  await stage.revoke(dead);
  const revokedAtMs = nowMs();
  assert.ok(lastAccepted(await watching) - revokedAtMs <= BOUND_MS + MARGIN_MS);
  assert.equal((await api.ask('verify', dead)).outcome, 'authority_unreachable');
  stage.proxy.cut();
  stage.proxy.release();
  await eventually('service is back', async () => (await api.ask('verify', token)).outcome === 'accepted');
  assert.equal((await api.ask('verify', dead)).outcome, 'token_revoked');
  await eventually('it asks nobody', () => isHit(api, token));
  await api.end();
});

test('EB-07 EB-09 a network that delays every byte by 20 seconds stretches no bound: it fails closed', async () => {
  const dead = await stage.issue();
  const apis = await Promise.all([stage.resourceServer([dead]), stage.resourceServer([dead], { whenStale: 'refuse' })]);
  stage.proxy.delayMs = 20_000;
  const delayedAtMs = nowMs();
  const watching = apis.map((api) => api.ask('watch', dead, BOUND_MS + MARGIN_MS + 500));
  await stage.revoke(dead);
  const revokedAtMs = nowMs();
  const codes = ['authority_unreachable', 'verification_stale'];
  for (const [index, sightings] of (await Promise.all(watching)).entries()) {
    assert.equal(sightings[0]?.outcome, 'accepted');
    assert.ok(lastAccepted(sightings) - revokedAtMs <= BOUND_MS + MARGIN_MS);
    assert.ok(lastAccepted(sightings) - delayedAtMs <= BOUND_MS + MARGIN_MS, 'it had no other lease');
    assert.equal(sightings.at(-1)?.outcome, codes[index]);
  }
  stage.proxy.delayMs = 0;
  stage.proxy.cut();
  for (const api of apis) {
    await eventually('it is known', async () => (await api.ask('verify', dead)).outcome === 'token_revoked');
    await api.end();
  }
});

test('EB-07 a resource server that was stopped for longer than the bound accepts nothing from before', async () => {
  const [token, dead] = [await stage.issue(), await stage.issue()];
  const api = await stage.resourceServer([token, dead]);
  assert.ok(await isHit(api, dead));
  api.signal('SIGSTOP');
  await stage.revoke(dead);
  const dueMs = nowMs() + BOUND_MS + 500;
  // Asked while it sleeps, so that nothing comes before these when it wakes.
  const asked = Array.from({ length: 20 }, () => api.ask('verify', dead));
  await eventually('the bound is over', () => nowMs() > dueMs);
  api.signal('SIGCONT');
  for (const { outcome } of await Promise.all(asked)) assert.equal(outcome, 'token_revoked');
  assert.equal((await api.ask('verify', token)).outcome, 'accepted');
  await eventually('it asks nobody', () => isHit(api, token));
  await api.end();
});

test('EB-07 a wall clock that is set while a resource server runs ends its lease at once, whichever way', {
  skip: FAKETIME_LIBRARY === undefined && 'libfaketime is missing (apt-get install faketime)',
}, async () => {
  const token = await stage.issue();
  const clock = new SetClock(join(stage.here.root, 'clock'));
  const longLease = { maxStalenessMs: 5 * BOUND_MS, whenStale: 'refuse' } as const;
  const api = await stage.resourceServer([token], longLease, clock.environment);
  for (const aheadSeconds of [300, 0]) {
    await eventually('it asks nobody', () => isHit(api, token));
    stage.proxy.hold(); // no echo brings another lease meanwhile
    clock.set(aheadSeconds);
    assert.equal((await api.ask('verify', token)).outcome, 'verification_stale', `${aheadSeconds} s ahead`);
    stage.proxy.release();
  }
  await eventually('it asks nobody', () => isHit(api, token));
  await api.end();
});
