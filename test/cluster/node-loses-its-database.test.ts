import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../../packages/verifier/src/testing/eventually.ts';
import { lastAccepted, nowMs } from '../coherence/resource-server.ts';
import type { TcpProxy } from '../coherence/tcp-proxy.ts';
import { ask } from './asking.ts';
import { BOUND_MS, Cluster, MARGIN_MS } from './cluster.ts';
import { STORY_TIMEOUT_MS } from './play.ts';
import { WITHOUT_POSTGRES } from './private-postgres.ts';

let cluster: Cluster | undefined;

before(async () => {
  if (WITHOUT_POSTGRES === false) cluster = await Cluster.open();
});
after(() => cluster?.close());

interface Fault {
  name: string;
  begin(proxy: TcpProxy): void;
  end(proxy: TcpProxy): void;
}

const FAULTS: readonly Fault[] = [
  {
    name: 'its connections break and new ones are refused',
    begin(proxy) {
      proxy.isRefusing = true;
      proxy.cut();
    },
    end(proxy) {
      proxy.isRefusing = false;
    },
  },
  {
    name: 'what it sends goes nowhere, and nothing says so',
    begin: (proxy) => proxy.hold(),
    end: (proxy) => proxy.release(),
  },
];

for (const fault of FAULTS) {
  test(`a node loses its database (${fault.name}): it and its verifiers fail closed, the others serve, and it recovers by itself`, {
    skip: WITHOUT_POSTGRES,
    timeout: STORY_TIMEOUT_MS,
  }, async (t) => {
    assert.ok(cluster);
    const [lost, other] = [cluster.node(0), cluster.node(1)];
    const [token, dead] = [await cluster.issue(), await cluster.issue()];
    const issue = {
      path: '/oauth2/token',
      form: { grant_type: 'client_credentials', ...cluster.applications.machine },
    };
    const options = { whenStale: 'refuse' } as const;
    const behindIt = await cluster.resourceServer(options, lost.way);
    // Its stream and its connections are the lost node's when the fault begins.
    cluster.front.pinned = lost;
    const atFront = await cluster.resourceServer();
    for (const api of [behindIt, atFront]) {
      for (const each of [token, dead]) assert.equal((await api.ask('verify', each)).outcome, 'accepted');
    }

    cluster.front.pinned = undefined;
    fault.begin(lost.database);
    const lostAtMs = nowMs();
    try {
      const watching = behindIt.ask('watch', dead, BOUND_MS + MARGIN_MS + 1_000);
      await cluster.revoke(dead, other);
      await eventually('it is not ready', async () => !(await lost.isReady()));
      const answer = await ask(lost, issue);
      assert.ok(answer.kind === 'lost' || answer.status >= 500, 'it issues nothing');
      for (const node of cluster.nodes) if (node !== lost) assert.ok(await node.isReady(), `${node.name} serves`);
      await eventually(
        'who can go elsewhere hears of it',
        async () => (await atFront.ask('verify', dead)).outcome === 'token_revoked',
      );
      await eventually(
        'who can go elsewhere is served',
        async () => (await atFront.ask('verify', token)).outcome === 'accepted',
      );
      await eventually('the front has noticed', () => !cluster?.front.ready.has(lost));
      // A connection that led to it ends with one answer that says so.
      await eventually('who asks again is served', async () => {
        const again = await ask({ origin: cluster?.issuer ?? '' }, issue);
        return again.kind === 'answered' && again.status === 200;
      });
      const sightings = await watching;
      t.diagnostic(
        `accepted for ${Math.round(lastAccepted(sightings) - lostAtMs)} ms, then ${sightings.at(-1)?.outcome}`,
      );
      assert.ok(lastAccepted(sightings) - lostAtMs <= BOUND_MS + MARGIN_MS, 'and not beyond the bound');
      assert.equal(sightings.at(-1)?.outcome, 'verification_stale');
    } finally {
      fault.end(lost.database);
    }
    const fromMs = nowMs();
    await eventually('it is ready', () => lost.isReady());
    t.diagnostic(`ready ${Math.round(nowMs() - fromMs)} ms after the end`);
    await eventually(
      'its verifier is served',
      async () => (await behindIt.ask('verify', token)).outcome === 'accepted',
    );
    assert.equal((await behindIt.ask('verify', dead)).outcome, 'token_revoked');
    await Promise.all([behindIt.end(), atFront.end()]);
    assert.deepEqual(cluster.crashes, []);
  });
}
