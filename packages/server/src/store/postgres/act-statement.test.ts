import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Step } from '../store.ts';
import { ActStatements, MAX_SHAPES } from './act-statement.ts';

const asking: Step = { text: 'SELECT 1 WHERE $1 = 1', values: [1], must: { rows: 1, why: 'one' } };
const adding: Step = { text: 'INSERT INTO t (a, b) VALUES ($1, $2)', values: ['a', 'b'] };

test('steps become one statement, whose values stand in the order of the steps', () => {
  const statement = new ActStatements().of({ steps: [asking, adding] });
  assert.equal(
    statement?.text,
    'WITH s0 AS (SELECT 1 WHERE $1 = 1), s1 AS (INSERT INTO t (a, b) VALUES ($2, $3) RETURNING 1) ' +
      'SELECT countersign_act(ARRAY[(SELECT count(*) FROM s0)]::bigint[], ARRAY[$4::bigint]::bigint[])',
  );
  assert.deepEqual(statement?.values, [1, 'a', 'b', 1]);
  assert.deepEqual(statement?.conditions, [asking]);
});

test('acts of the same steps share one text, and nothing of their values', () => {
  const statements = new ActStatements();
  const first = statements.of({ steps: [asking, adding] });
  const second = statements.of({ steps: [{ ...asking, values: [7] }, adding] });
  assert.equal(second?.text, first?.text);
  assert.deepEqual(second?.values, [7, 'a', 'b', 1]);
});

test('steps with the same texts and other conditions are another statement', () => {
  const statements = new ActStatements();
  const plain = statements.of({ steps: [asking, adding] });
  const strict = statements.of({ steps: [asking, { ...adding, must: { rows: 1, why: 'added' } }] });
  assert.notEqual(strict?.text, plain?.text);
  assert.equal(strict?.conditions.length, 2);
  assert.equal(statements.of({ steps: [asking, adding] })?.text, plain?.text);
});

test('a step given too few or too many values is refused, however often its act was put together', () => {
  const statements = new ActStatements();
  statements.of({ steps: [asking, adding] });
  for (const values of [['a'], ['a', 'b', 'c']]) {
    assert.throws(() => statements.of({ steps: [asking, { ...adding, values }] }), /takes 2 values and was given/);
  }
});

test('acts of more kinds than are remembered are put together again', () => {
  const statements = new ActStatements();
  const first = statements.of({ steps: [asking, adding] });
  for (let kind = 0; kind < MAX_SHAPES + 100; kind++) {
    const other = statements.of({
      steps: [asking, { text: `DELETE FROM t WHERE a = $1 AND ${kind} = ${kind}`, values: [1] }],
    });
    assert.match(other?.text ?? '', new RegExp(`a = \\$2 AND ${kind} = ${kind} RETURNING`));
  }
  assert.ok(statements.remembered <= MAX_SHAPES);
  assert.deepEqual(statements.of({ steps: [asking, adding] }), first);
});

test('an act of more values than a statement takes is refused before anything is sent', () => {
  const statements = new ActStatements();
  const wide: Step = {
    text: `SELECT 1 WHERE 1 IN (${Array.from({ length: 1_000 }, (_, at) => `$${at + 1}`)})`,
    values: [],
    must: { rows: 1, why: '' },
  };
  const steps = (count: number) => ({
    steps: Array.from({ length: count }, () => ({ ...wide, values: Array<number>(1_000).fill(1) })),
  });
  assert.equal(statements.of(steps(65))?.values.length, 65_065);
  assert.throws(() => statements.of(steps(66)), /66066 values/);
});
