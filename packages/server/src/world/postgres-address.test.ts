import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPostgresAddress } from './postgres-address.ts';

test('a URL says where, as whom, and how the line is kept', () => {
  assert.deepEqual(readPostgresAddress('postgres://ann:p%40ss@db.example:6432/auth'), {
    ...{ host: 'db.example', port: 6432, database: 'auth', user: 'ann', password: 'p@ss' },
    ...{ line: 'verified', isExposed: false },
  });
  assert.deepEqual(readPostgresAddress('postgresql://localhost/auth'), {
    ...{ host: 'localhost', port: 5432, database: 'auth', user: undefined, password: undefined },
    ...{ line: 'plain', isExposed: false },
  });
  assert.equal(readPostgresAddress('postgres://ann@[::1]/auth')?.host, '::1');
  assert.equal(readPostgresAddress('postgres:///auth?host=/var/run/postgresql')?.host, '/var/run/postgresql');
});

test('plain text leads to another machine only where that is said, and is then exposed', () => {
  const line = (text: string) => {
    const address = readPostgresAddress(text);
    return [address?.line, address?.isExposed];
  };
  for (const mode of ['require', 'verify-ca', 'verify-full']) {
    assert.deepEqual(line(`postgres://db.example/auth?sslmode=${mode}`), ['verified', false]);
    assert.deepEqual(line(`postgres://127.0.0.1/auth?sslmode=${mode}`), ['verified', false]);
  }
  assert.deepEqual(line('postgres://db.example/auth'), ['verified', false]);
  assert.deepEqual(line('postgres://db.example/auth?sslmode=disable'), ['plain', true]);
  assert.deepEqual(line('postgres://127.0.0.2/auth'), ['plain', false]);
  assert.deepEqual(
    line('postgres://127.0.0.1.evil.example/auth'),
    ['verified', false],
    'a name that begins like an address',
  );
});

test('what would be ignored, or would check nothing, is no address', () => {
  for (const text of [
    'mysql://db.example/auth',
    'postgres://db.example',
    'postgres:///auth',
    'db.example/auth',
    'postgres://db.example/auth?sslmode=no-verify',
    'postgres://db.example/auth?sslmode=prefer',
    'postgres://db.example/auth?uselibpqcompat=true&sslmode=require',
    'postgres://db.example/auth?options=-c%20fsync%3Doff',
    'postgres://ann:%zz@db.example/auth',
  ]) {
    assert.equal(readPostgresAddress(text), undefined, text);
  }
});
