import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { healthRoutes, type Readiness } from './routes.ts';

const GOOD: Readiness = {
  ...{ isAccepting: () => true, isKeyed: () => true, isTimely: async () => true },
  readStore: async () => 1,
};

function probing(readiness: Readiness) {
  const routes = healthRoutes(readiness);
  return async (path: string) => {
    const response = await routes.request(path);
    return { status: response.status, body: await response.json() };
  };
}

describe('probes', () => {
  test('DP-02 a server that has all it needs is alive, ready and started', async () => {
    const probe = probing(GOOD);
    for (const path of ['/livez', '/readyz', '/startupz']) {
      assert.deepEqual(await probe(path), { status: 200, body: { status: 'ok' } }, path);
    }
  });

  const lacking: [string, Partial<Readiness>][] = [
    ['is shutting down', { isAccepting: () => false }],
    ['has no key to sign with', { isKeyed: () => false }],
    ['has a clock that is far off', { isTimely: async () => false }],
    ['cannot read its store', { readStore: () => Promise.reject(new Error('disk I/O error at /secret/path')) }],
  ];
  for (const [what, lack] of lacking) {
    test(`DP-02 one that ${what} is alive, not ready, and does not say why`, async () => {
      const probe = probing({ ...GOOD, ...lack });
      assert.equal((await probe('/livez')).status, 200);
      assert.deepEqual(await probe('/readyz'), { status: 503, body: { status: 'unready' } });
      assert.deepEqual(await probe('/startupz'), { status: 503, body: { status: 'starting' } });
    });
  }

  test('DP-02 what has started stays started while it is unready', async () => {
    let isAccepting = true;
    const probe = probing({ ...GOOD, isAccepting: () => isAccepting });
    assert.equal((await probe('/readyz')).status, 200);
    isAccepting = false;
    assert.equal((await probe('/readyz')).status, 503);
    assert.equal((await probe('/startupz')).status, 200);
  });
});
