import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emailAddress, MAX_ADDRESS_LENGTH, maskedAddress } from './address.ts';

test('an ordinary address is lower-cased and kept', () => {
  assert.deepEqual(emailAddress(' Ann.O+tag@Example.ORG '), { kind: 'address', address: 'ann.o+tag@example.org' });
});

test('ML-13 attack-16: nothing but ASCII passes, and it is refused before it is folded', () => {
  const kelvin = 'mar\u212a@example.org';
  const dotlessI = 'm\u0131ke@example.org';
  const fullWidthAt = 'ann\uff20example.org';
  const homographDomain = 'ann@ex\u0430mple.org';
  for (const text of [kelvin, dotlessI, fullWidthAt, homographDomain, 'ann@example.org\u200b', 'ann@bücher.example']) {
    assert.deepEqual(emailAddress(text), { kind: 'refused', code: 'address_not_ascii' });
  }
});

test('ML-13: no line break, second header or second recipient gets in', () => {
  for (const text of ['a@x.com\nBcc: b@x.com', 'a@x.com\r\n', '\na@x.com', 'a@x.com\u0000', 'a b@x.com']) {
    assert.deepEqual(emailAddress(text), { kind: 'refused', code: 'address_not_ascii' }, JSON.stringify(text));
  }
  for (const text of ['a@x.com,b@x.com', 'a@x.com%0aBcc:b@x.com', '<a@x.com>', 'a@b@x.com', 'a@x.com;b@x.com']) {
    assert.deepEqual(emailAddress(text), { kind: 'refused', code: 'address_malformed' }, text);
  }
});

test('quotes, comments, literals, empty atoms and bare hosts are refused', () => {
  const wrong = [
    '"a"@x.com',
    'a(b)@x.com',
    'a@[127.0.0.1]',
    'a@127.0.0.1',
    '.a@x.com',
    'a.@x.com',
    'a..b@x.com',
    'a@x..com',
    'a@-x.com',
    'a@x-.com',
    'a@localhost',
    'a@x.com.',
    '@x.com',
    'a@',
    'a',
    'a@x.c',
  ];
  for (const text of wrong) assert.deepEqual(emailAddress(text), { kind: 'refused', code: 'address_malformed' }, text);
});

test('lengths: local part 64, whole 254', () => {
  assert.equal(emailAddress(`${'a'.repeat(64)}@x.com`).kind, 'address');
  assert.equal(emailAddress(`${'a'.repeat(65)}@x.com`).kind, 'refused');
  const domain = `${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(57)}.com`;
  assert.equal(`${'a'.repeat(64)}@${domain}`.length, MAX_ADDRESS_LENGTH);
  assert.equal(emailAddress(`${'a'.repeat(64)}@${domain}`).kind, 'address');
  assert.deepEqual(emailAddress(`${'a'.repeat(64)}@d${domain}`), { kind: 'refused', code: 'address_too_long' });
  assert.deepEqual(emailAddress('  '), { kind: 'refused', code: 'address_missing' });
});

test('a masked address keeps one letter and the domain', () => {
  assert.equal(maskedAddress('ann@example.org'), 'a***@example.org');
});
