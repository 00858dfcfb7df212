import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { MAX_LOOK_AGE_MS } from '../../packages/server/src/standing/standing.ts';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { nowMs } from '../coherence/resource-server.ts';
import { ask, insist } from './asking.ts';
import { BOUND_MS, Cluster, MARGIN_MS } from './cluster.ts';
import { everybodyIsReady, pause, playersOf, STORY_TIMEOUT_MS } from './play.ts';
import { WITHOUT_POSTGRES } from './private-postgres.ts';
import { beginFamilies, refresh } from './storm.ts';
import { askEveryNode, Watch } from './watch.ts';

const FAMILIES = 4;
/** Long enough for every lease of a verifier to run out, and for a node that would take the older copy for good to show it. */
const REFUSED_FOR_MS = BOUND_MS + MARGIN_MS;

const journals = mkdtempSync(join(tmpdir(), 'countersign-journals-'));
let cluster: Cluster | undefined;

before(async () => {
  if (WITHOUT_POSTGRES !== false) return;
  cluster = await Cluster.open({ settings: () => ({ COUNTERSIGN_JOURNAL_FOLDER: journals }) });
});
after(async () => {
  await cluster?.close();
  rmSync(journals, { recursive: true });
});

test('an older base backup is put in place under running nodes and verifiers: all refuse until a restore point is set, and nothing revoked comes back', {
  skip: WITHOUT_POSTGRES,
  timeout: STORY_TIMEOUT_MS,
}, async (t) => {
  assert.ok(cluster);
  const { nodes, postgres } = cluster;
  const players = playersOf(t, cluster);
  const { judge, chance } = players;
  const [ended, ...kept] = await beginFamilies(players, await cluster.logIn('ada@example.com'), FAMILIES);
  assert.ok(ended);
  const [token, dead] = [await cluster.issue(), await cluster.issue()];
  for (const each of [token, dead]) judge.issued(each);
  const [one, other] = await Promise.all([cluster.resourceServer(), cluster.resourceServer()]);
  const watch = new Watch({ judge, resourceServers: { one, other } });
  try {
    const backup = await postgres.backUp();
    judge.asksToRevoke(dead);
    await cluster.revoke(dead);
    judge.revoked(dead, nowMs());
    judge.asksToEnd(ended.grantId);
    const end = { path: '/oauth2/revoke', form: { token: ended.refreshToken, ...ended.application } };
    assert.equal((await insist(cluster, end, chance)).status, 200);
    judge.ended(ended.grantId, nowMs());
    for (const family of kept) await refresh(players, family);
    for (const api of [one, other])
      await eventually('it heard', async () => (await api.ask('verify', dead)).outcome === 'token_revoked');

    // A node that is served from has looked at the log within this time, and so has seen something that the backup lacks.
    await pause(MAX_LOOK_AGE_MS);

    judge.restoring();
    await postgres.stop('fast');
    postgres.restore(backup);
    await pause(MAX_LOOK_AGE_MS);
    await postgres.start();
    const untilMs = performance.now() + REFUSED_FOR_MS;
    const check = { path: '/oauth2/introspect', form: { token: dead, ...cluster.applications.api } };
    const codes = new Set<unknown>();
    while (performance.now() < untilMs) {
      for (const node of nodes) {
        assert.equal(await node.isReady(), false, `${node.name} serves from the older copy`);
        const answer = await ask(node, check);
        assert.ok(answer.kind === 'lost' || answer.status === 503, `${node.name} answers ${JSON.stringify(answer)}`);
        if (answer.kind === 'answered') codes.add(answer.body.code);
      }
      await pause(100);
    }
    t.diagnostic(`while it was behind: ${[...codes].join(', ')}`);
    assert.ok(codes.has('unavailable.store_behind'), 'they say why');
    for (const api of [one, other]) {
      const { outcome } = await api.ask('verify', token);
      assert.ok(['authority_unreachable', 'authority_epoch_went_back'].includes(outcome), `a verifier says ${outcome}`);
    }

    const settled = await cluster.command(['restore-point', '--journal', journals]);
    t.diagnostic(`restore point: epoch ${settled.epoch}`);
    judge.restored(nowMs());
    await everybodyIsReady(cluster);
  } finally {
    await watch.end();
  }
  const fresh = await cluster.issue();
  for (const api of [one, other]) {
    await eventually('a verifier goes on', async () => (await api.ask('verify', fresh)).outcome === 'accepted');
    for (const each of [token, dead]) assert.notEqual((await api.ask('verify', each)).outcome, 'accepted');
  }
  for (const family of kept) {
    const { generation } = family;
    await refresh(players, family);
    assert.equal(family.generation, generation + 1, 'by the journals a family goes on with its newest refresh token');
  }
  const again = {
    path: '/oauth2/token',
    form: { grant_type: 'refresh_token', refresh_token: ended.refreshToken, ...ended.application },
  };
  assert.equal((await insist(cluster, again, chance)).status, 400, 'and what was ended stays so');
  await askEveryNode(players);
  judge.assertNothingWrong();
  assert.deepEqual(cluster.crashes, []);
});
