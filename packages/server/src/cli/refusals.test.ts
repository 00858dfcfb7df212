import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreRefusal } from '../store/store.ts';
import { CommandRefused, failureOf } from './refusals.ts';

test('what is expected says what to do, without a stack; a bug shows where it is', () => {
  assert.deepEqual(failureOf(new CommandRefused('a_code', 'Do this.')), { code: 'a_code', message: 'Do this.' });
  const refusal = new StoreRefusal('migration_failed', 'It failed.', { cause: new Error('near "X"') });
  assert.deepEqual(failureOf(refusal), { code: 'migration_failed', message: 'It failed.\nCause: near "X"' });
  const full = Object.assign(new Error('ENOSPC: whatever'), { code: 'ENOSPC', path: '/data/x' });
  assert.match(failureOf(full).message, /^The operating system refused \(\/data\/x\): the disk is full\./);
  const bug = failureOf(new TypeError('x is not a function'));
  assert.equal(bug.code, 'unexpected');
  assert.match(bug.message, /is a bug[\s\S]*refusals\.test\.ts/);
  assert.equal(failureOf('text').code, 'unexpected');
});
