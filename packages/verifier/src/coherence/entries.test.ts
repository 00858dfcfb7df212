import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Handles } from '@countersign/protocol';
import { Entries, isAlive, type NewEntry } from './entries.ts';

const always = () => true;

function entry(name: string, given: Partial<NewEntry<string>> & { of?: Partial<Handles> } = {}): NewEntry<string> {
  const { of, ...rest } = given;
  return {
    ...{ key: name, value: name, generation: 1, expiresAtSeconds: 2_000_000_000, deadlineMs: 60_000, cost: 1 },
    handles: { token: `token-${name}`, client: 'client', key: 'key', ...of },
    ...rest,
  };
}

function filled(maxCost: number, names: readonly string[]): Entries<string> {
  const entries = new Entries<string>(maxCost);
  for (const name of names) entries.put(entry(name), always);
  return entries;
}

function known(entries: Entries<string>, names: string): string {
  return [...names].filter((name) => entries.get(name)).join('');
}

function visit(entries: Entries<string>, name: string): void {
  const found = entries.get(name);
  assert.ok(found);
  found.isVisited = true;
}

test('EB-08 a token is held once, however its signature is spelled', () => {
  const entries = filled(10, []);
  entries.put(entry('a', { of: { token: 'same' } }), always);
  entries.put(entry('b', { of: { token: 'same' } }), always);
  assert.equal(known(entries, 'ab'), 'b');
  assert.equal(entries.size, 1);
  entries.put(entry('b', { of: { token: 'other' } }), always);
  assert.equal(entries.size, 1);
  entries.invalidate('token', 'same', () => {});
  assert.equal(known(entries, 'b'), 'b', 'the name it had before is nobody’s');
  entries.invalidate('token', 'other', () => {});
  assert.equal(entries.size, 0);
});

for (const subject of ['token', 'grant', 'user', 'client', 'key'] as const) {
  test(`EB-08 an invalidation by ${subject} forgets all it names, and nothing else`, () => {
    const entries = filled(10, []);
    const isSingle = subject === 'token';
    for (const name of isSingle ? ['a'] : ['a', 'b', 'c'])
      entries.put(entry(name, { of: { [subject]: 'dead' } }), always);
    entries.put(entry('d', { of: { [subject]: 'good' } }), always);
    entries.put(entry('e', { of: { user: 'u', grant: 'g' } }), always);
    entries.invalidate(subject, 'nobody', () => {});
    assert.equal(entries.size, isSingle ? 3 : 5);
    entries.invalidate(subject, 'dead', () => {});
    assert.equal(known(entries, 'abcde'), 'de');
    entries.invalidate(subject, 'dead', () => {});
    assert.equal(known(entries, 'abcde'), 'de');
  });
}

test('a group that lost members still names those it has', () => {
  const entries = filled(10, []);
  for (const name of 'abc') entries.put(entry(name, { of: { user: 'u' } }), always);
  entries.forget('a');
  entries.forget('b');
  entries.forget('b');
  assert.equal(known(entries, 'abc'), 'c');
  entries.put(entry('d', { of: { user: 'u' } }), always);
  entries.invalidate('user', 'u', () => {});
  assert.equal(entries.size, 0);
});

test('EB-08 what was hit since the hand last passed stays; what was not goes, the oldest first', () => {
  const entries = filled(4, [...'abcd']);
  visit(entries, 'a');
  visit(entries, 'c');
  entries.put(entry('e'), always);
  assert.equal(known(entries, 'abcde'), 'acde', 'a was hit, b was not');
  entries.put(entry('f'), always);
  assert.equal(known(entries, 'acdef'), 'acef', 'the hand went on from there: c was hit, d was not');
});

test('a parade of tokens used once does not push out those in use', () => {
  const entries = filled(10, [...'abcde']);
  for (let index = 0; index < 1_000; index++) {
    for (const name of 'abcde') visit(entries, name);
    entries.put(entry(`once-${index}`), always);
  }
  assert.equal(known(entries, 'abcde'), 'abcde');
  assert.equal(entries.size, 10);
});

test('a hit does not keep an entry that proves nothing any more', () => {
  const entries = filled(3, [...'abc']);
  for (const name of 'abc') visit(entries, name);
  entries.put(entry('d'), ({ key }) => key !== 'b');
  assert.equal(known(entries, 'abcd'), 'acd');
});

test('all entries hit: the hand goes round once, and one leaves', () => {
  const entries = filled(3, [...'abc']);
  for (const name of 'abc') visit(entries, name);
  entries.put(entry('d'), always);
  assert.equal(known(entries, 'abcd'), 'bcd');
});

test('EB-08 the bound is on cost: a large token takes the room of several, one past the bound is not held', () => {
  const entries = filled(4, [...'abcd']);
  entries.put(entry('large', { cost: 3 }), always);
  assert.equal(known(entries, 'abcd'), 'd');
  assert.equal(entries.size, 2);
  entries.put(entry('too large', { cost: 5 }), always);
  assert.equal(entries.get('too large'), undefined);
  assert.equal(entries.size, 2);
  entries.forget('large');
  for (const name of 'efg') entries.put(entry(name), always);
  assert.equal(known(entries, 'defg'), 'defg', 'the room it took is free again');
});

test('the hand survives the removal of what it points at', () => {
  const entries = filled(3, [...'abc']);
  visit(entries, 'a');
  entries.put(entry('d'), always); // b leaves, the hand points at c
  entries.forget('c');
  entries.put(entry('e'), always);
  entries.put(entry('f'), always);
  assert.equal(entries.size, 3);
  for (const name of 'adef') entries.forget(name);
  assert.equal(entries.size, 0);
  entries.put(entry('g'), always);
  assert.equal(known(entries, 'g'), 'g');
});

test('EB-08 an entry ends by either clock', () => {
  const entries = filled(1, []);
  entries.put(entry('a', { expiresAtSeconds: 1_000, deadlineMs: 500 }), always);
  const held = entries.get('a');
  assert.ok(held);
  assert.equal(isAlive(held, { wallMs: 999_999, monotonicMs: 499 }), true);
  assert.equal(isAlive(held, { wallMs: 1_000_000, monotonicMs: 499 }), false);
  assert.equal(isAlive(held, { wallMs: 999_999, monotonicMs: 500 }), false);
});
