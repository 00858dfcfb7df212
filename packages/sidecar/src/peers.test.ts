import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOOPBACK, rangesOf, readRange } from './peers.ts';

test('SC-08 a peer is trusted by its address alone', () => {
  const isLoopback = rangesOf(LOOPBACK);
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) assert.ok(isLoopback(address), address);
  for (const address of ['10.0.0.1', '128.0.0.1', '::2', '::ffff:10.0.0.1', '', 'localhost', undefined])
    assert.ok(!isLoopback(address), address);
  const isOurs = rangesOf(['10.1.0.0/16', '192.0.2.7', '2001:db8::/32']);
  for (const address of ['10.1.255.1', '192.0.2.7', '2001:db8:1::1']) assert.ok(isOurs(address), address);
  for (const address of ['10.2.0.1', '192.0.2.8', '2001:db9::1', '127.0.0.1']) assert.ok(!isOurs(address), address);
  assert.ok(!rangesOf([])('127.0.0.1'));
});

test('a range is an address with or without a length', () => {
  assert.deepEqual(readRange('192.0.2.7'), { address: '192.0.2.7', prefix: 32, family: 'ipv4' });
  assert.deepEqual(readRange('::1/128'), { address: '::1', prefix: 128, family: 'ipv6' });
  for (const text of [
    '',
    'localhost',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0/8',
    '::/129',
    '1.2.3.4/-1',
    'fe80::1%eth0',
  ])
    assert.equal(readRange(text), undefined, text);
});
