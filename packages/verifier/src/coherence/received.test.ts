import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Received } from './received.ts';

const token = { key: 'digest', handles: { token: 't', grant: 'g', client: 'c', user: 'u', key: 'k' } };

test('EB-08 whatever names a token overtakes the checks of it that began before, and no later one', () => {
  for (const [subject, handle] of Object.entries({ ...token.handles, verdict: 'digest' })) {
    const received = new Received();
    const before = received.mark();
    assert.equal(received.hasSince(before, token), false);
    received.add(subject as 'token', handle);
    assert.equal(received.hasSince(before, token), true, subject);
    assert.equal(received.hasSince(received.mark(), token), false, subject);
  }
});

test('what names another overtakes nothing: neither another handle nor the same under another subject', () => {
  const received = new Received();
  const before = received.mark();
  received.add('token', 'g');
  received.add('grant', 't');
  received.add('user', 'somebody else');
  received.add('verdict', 'another digest');
  assert.equal(received.hasSince(before, token), false);
});

test('a token without grant and user is overtaken by what it has', () => {
  const received = new Received();
  const before = received.mark();
  const bare = { key: 'digest', handles: { token: 't', client: 'c', key: 'k' } };
  received.add('user', 'u');
  assert.equal(received.hasSince(before, bare), false);
  received.add('key', 'k');
  assert.equal(received.hasSince(before, bare), true);
});

test('what had to be forgotten may have named any token', () => {
  const received = new Received();
  const [before] = [received.mark(), received.add('user', 'somebody')];
  const after = received.mark();
  for (let index = 0; index < 20_000; index++) received.add('user', `u${index}`);
  assert.equal(received.hasSince(before, token), true);
  assert.equal(received.hasSince(after, token), false, 'nothing of after it was forgotten');
});

test('something unknown overtakes all that is under way', () => {
  const received = new Received();
  const before = received.mark();
  received.addUnknown();
  assert.equal(received.hasSince(before, token), true);
  assert.equal(received.hasSince(received.mark(), token), false);
});
