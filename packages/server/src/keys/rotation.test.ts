import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  JWKS_CACHE_MS,
  type KeyChange,
  type KeyKind,
  type KeyLife,
  type KeyPurpose,
  planRotation,
  SCHEDULES,
} from './rotation.ts';

const ACCESS: KeyKind = { purpose: 'access', algorithm: 'ES256' };
const WANTED: readonly KeyKind[] = [
  ACCESS,
  { purpose: 'id', algorithm: 'RS256' },
  { purpose: 'id', algorithm: 'ES256' },
  { purpose: 'magic-link', algorithm: 'HS256' },
  { purpose: 'handle', algorithm: 'HS256' },
];
const DAY_MS = 86_400_000;

/** The keys of an installation and what became of them, driven by nothing but the rule. */
class World {
  keys: KeyLife[] = [];
  nowMs = 0;
  #made = 0;

  step(options: { rotateNow?: KeyPurpose; wanted?: readonly KeyKind[] } = {}): KeyChange[] {
    const { wanted = WANTED, ...rotateNow } = options;
    const changes = planRotation({ keys: this.keys, wanted, nowMs: this.nowMs, ...rotateNow });
    for (const change of changes) this.#apply(change);
    return changes;
  }

  of(kind: KeyKind, state: KeyLife['state']): KeyLife[] {
    return this.keys.filter(
      (key) => key.purpose === kind.purpose && key.algorithm === kind.algorithm && key.state === state,
    );
  }

  compromise(id: string): void {
    this.#change(id, { compromisedAtMs: this.nowMs });
  }

  #apply(change: KeyChange): void {
    switch (change.kind) {
      case 'create':
        this.keys.push({
          ...change.keyKind,
          id: `key_${this.#made++}`,
          state: change.state,
          compromisedAtMs: undefined,
          createdAtMs: this.nowMs,
          activatedAtMs: change.state === 'active' ? this.nowMs : undefined,
          retiringAtMs: undefined,
        });
        return;
      case 'activate':
        this.#change(change.keyId, { state: 'active', activatedAtMs: this.nowMs });
        return;
      case 'retire_slowly':
        this.#change(change.keyId, { state: 'retiring', retiringAtMs: this.nowMs });
        return;
      case 'retire':
        this.#change(change.keyId, { state: 'retired' });
        return;
    }
  }

  #change(id: string, changed: Partial<KeyLife>): void {
    assert.ok(this.keys.some((key) => key.id === id));
    this.keys = this.keys.map((key) => (key.id === id ? { ...key, ...changed } : key));
  }
}

const rotates = (kind: KeyKind) => SCHEDULES[kind.purpose].rotateAfterMs !== undefined;

function assertSound(world: World): void {
  for (const kind of WANTED) {
    assert.equal(world.of(kind, 'active').length, 1, `one active key of ${kind.purpose} ${kind.algorithm}`);
    assert.equal(world.of(kind, 'standby').length, rotates(kind) ? 1 : 0, 'and one that waits');
  }
}

test('TC-05 an empty store gets one active key and one standby of each kind, and then nothing more', () => {
  const world = new World();
  assert.ok(world.step().every(({ kind }) => kind === 'create'));
  assertSound(world);
  assert.deepEqual(world.step(), []);
});

test('TC-05 JT-16 a key rotates when its time is over, not a millisecond before, into the one that waited', () => {
  const world = new World();
  world.step();
  const rotateAfterMs = SCHEDULES.access.rotateAfterMs ?? 0;
  const [first] = world.of(ACCESS, 'active');
  const [second] = world.of(ACCESS, 'standby');
  world.nowMs = rotateAfterMs - 1;
  world.step();
  assert.equal(world.of(ACCESS, 'active')[0]?.id, first?.id);
  world.nowMs = rotateAfterMs;
  world.step();
  assert.equal(world.of(ACCESS, 'active')[0]?.id, second?.id);
  assert.equal(world.of(ACCESS, 'retiring')[0]?.id, first?.id);
  assertSound(world);
});

test('JT-16 a due rotation waits until everybody can have seen the next key', () => {
  const world = new World();
  world.step();
  world.nowMs = SCHEDULES.access.rotateAfterMs ?? 0;
  // The standby was lost just now, and one was made anew.
  const [waiting] = world.of(ACCESS, 'standby');
  world.keys = world.keys.filter(({ id }) => id !== waiting?.id);
  const [old] = world.of(ACCESS, 'active');
  world.step();
  world.nowMs += JWKS_CACHE_MS - 1;
  assert.deepEqual(world.step({ wanted: [ACCESS, ...WANTED.slice(1)] }).filter(isAccess(world)), []);
  assert.equal(world.of(ACCESS, 'active')[0]?.id, old?.id);
  world.nowMs += 1;
  world.step();
  assert.notEqual(world.of(ACCESS, 'active')[0]?.id, old?.id);
});

function isAccess(world: World) {
  return (change: KeyChange) =>
    change.kind === 'create'
      ? change.keyKind.purpose === 'access'
      : world.keys.some(({ id, purpose }) => id === change.keyId && purpose === 'access');
}

test('JT-16 a key stays readable until the last token it signed has expired, and is retired then', () => {
  const world = new World();
  world.step();
  const [old] = world.of(ACCESS, 'active');
  world.step({ rotateNow: 'access' });
  const { readableAfterMs } = SCHEDULES.access;
  world.nowMs = readableAfterMs - 1;
  world.step();
  assert.equal(world.of(ACCESS, 'retiring')[0]?.id, old?.id);
  world.nowMs = readableAfterMs;
  world.step();
  assert.equal(world.of(ACCESS, 'retired')[0]?.id, old?.id);
});

test('TC-05 a compromised active key is replaced at once, also where none waits', () => {
  for (const isWaiting of [true, false]) {
    const world = new World();
    world.step();
    if (!isWaiting) world.keys = world.keys.filter(({ state }) => state !== 'standby');
    const [leaked] = world.of(ACCESS, 'active');
    world.compromise(leaked?.id ?? '');
    world.step();
    const [next] = world.of(ACCESS, 'active');
    assert.notEqual(next?.id, leaked?.id);
    assert.equal(next?.compromisedAtMs, undefined);
    assertSound(world);
    assert.deepEqual(world.step(), []);
  }
});

test('TC-05 a compromised standby never signs: it is retired and another one is made', () => {
  const world = new World();
  world.step();
  const [leaked] = world.of(ACCESS, 'standby');
  world.compromise(leaked?.id ?? '');
  world.step();
  assert.equal(world.keys.find(({ id }) => id === leaked?.id)?.state, 'retired');
  assertSound(world);
});

test('an operator can have a purpose rotated now; other purposes stay as they are', () => {
  const world = new World();
  world.step();
  const before = world.keys.filter(({ state }) => state === 'active').map(({ id, purpose }) => ({ id, purpose }));
  world.step({ rotateNow: 'id' });
  for (const { id, purpose } of before) {
    assert.equal(world.keys.find((key) => key.id === id)?.state, purpose === 'id' ? 'retiring' : 'active');
  }
  assertSound(world);
});

test('keys of a kind that is wanted no more stop signing and stay readable; the waiting one goes', () => {
  const world = new World();
  world.step();
  const [active, standby] = [world.of(ACCESS, 'active')[0], world.of(ACCESS, 'standby')[0]];
  const wanted: KeyKind[] = [{ purpose: 'access', algorithm: 'Ed25519' }, ...WANTED.slice(1)];
  world.step({ wanted });
  assert.equal(world.keys.find(({ id }) => id === active?.id)?.state, 'retiring');
  assert.equal(world.keys.find(({ id }) => id === standby?.id)?.state, 'retired');
  assert.deepEqual(world.step({ wanted }), []);
});

const act = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(120 * DAY_MS) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(2 * JWKS_CACHE_MS) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compromise' as const), which: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lose' as const), which: fc.nat(30) }) },
);

test('JT-16 TC-05 over random histories: one signs, one waits, known before it signs, readable after, never back', () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
      const world = new World();
      world.step();
      let emergency = true; // the first keys of an installation are nobody's surprise
      for (const done of acts) {
        const before = new Map(world.keys.map((key) => [key.id, key]));
        if (done.kind === 'wait') world.nowMs += done.ms;
        const rotating = world.keys.filter((key) => rotates(key));
        const hit = rotating[done.kind === 'wait' ? -1 : done.which % rotating.length];
        emergency = done.kind !== 'wait';
        if (hit && done.kind === 'compromise' && hit.compromisedAtMs === undefined) world.compromise(hit.id);
        if (hit && done.kind === 'lose') world.keys = world.keys.filter(({ id }) => id !== hit.id);
        world.step();
        assertSound(world);
        assert.deepEqual(world.step(), [], 'applying the plan leaves nothing to do');
        assertLawful(world, before, emergency);
      }
    }),
    { numRuns: 300 },
  );
});

const ORDER = ['standby', 'active', 'retiring', 'retired'];

function assertLawful(world: World, before: ReadonlyMap<string, KeyLife>, isEmergency: boolean): void {
  for (const key of world.keys) {
    const was = before.get(key.id);
    if (was) assert.ok(ORDER.indexOf(key.state) >= ORDER.indexOf(was.state), 'no state returns');
    if (key.state === 'active') assert.equal(key.compromisedAtMs, undefined, 'a compromised key never signs');
    const beganNow = key.state === 'active' && was?.state !== 'active';
    if (beganNow && !isEmergency) {
      assert.ok(key.createdAtMs + JWKS_CACHE_MS <= world.nowMs, 'published before it signs, by the age of caches');
    }
    if (key.state === 'retired' && was?.state === 'retiring') {
      assert.ok(
        (was.retiringAtMs ?? 0) + SCHEDULES[key.purpose].readableAfterMs <= world.nowMs,
        'readable to the last',
      );
    }
  }
}
