import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UnavailableCode, Verifier, VerifyResult } from '@countersign/verifier';
import { Outages } from './outages.ts';

type Status = Pick<ReturnType<Verifier['status']>, 'stalenessMs' | 'maxStalenessMs'>;

/** An hour after the clock's start, which no test means. */
const START_MS = 3_600_000;

function setUp(status: Partial<Status> = {}) {
  const now = { ms: START_MS };
  const lines: string[] = [];
  const told: Status = { stalenessMs: undefined, maxStalenessMs: 30_000, ...status };
  const note = (message: string, fields?: object) => void lines.push(JSON.stringify({ message, ...fields }));
  const verifier = { status: () => told } as Pick<Verifier, 'status'>; // of which nothing else is read
  const outages = new Outages({ log: { info: note, warn: note }, verifier, monotonicMs: () => now.ms });
  const pass = (seconds: number) => {
    now.ms += seconds * 1_000;
    if (told.stalenessMs !== undefined) told.stalenessMs += seconds * 1_000;
  };
  return { outages, lines, pass, status: told };
}

const away = (code: UnavailableCode = 'authority_unreachable'): VerifyResult => ({
  kind: 'unavailable',
  code,
  status: 503,
  message: 'for the operator',
});
const accepted = (basis: 'record' | 'signature' = 'record'): VerifyResult => ({
  kind: 'accepted',
  basis,
  claims: {
    iss: 'https://login.example',
    sub: 'user_1',
    aud: 'https://api.example',
    client_id: 'oauth2client_1',
    jti: 'acctok_1',
    iat: 0,
    exp: 900,
    scope: '',
  },
  expiresAtMs: 0,
});
const refused: VerifyResult = { kind: 'refused', code: 'token_missing', status: 401, challenge: 'Bearer' };
const revoked: VerifyResult = {
  kind: 'refused',
  code: 'token_revoked',
  verdict: 'revoked',
  status: 401,
  challenge: '',
};

test('an outage is told once, with its reason, and so is its end', () => {
  const { outages, lines, pass } = setUp();
  outages.heard(accepted());
  for (let request = 0; request < 5; request++) outages.heard(away());
  pass(5);
  outages.heard(accepted());
  outages.heard(accepted());
  assert.deepEqual(lines, [
    '{"message":"tokens cannot be verified","code":"authority_unreachable","reason":"for the operator"}',
    '{"message":"tokens can be verified again"}',
  ]);
});

test('a refusal is no end of an outage, and neither is a token that is remembered', () => {
  const { outages, lines, pass, status } = setUp({ stalenessMs: 3_000 });
  outages.heard(away());
  for (let second = 0; second < 20; second++) {
    pass(1);
    for (const result of [refused, revoked, accepted(), accepted('signature'), away()]) outages.heard(result);
  }
  assert.equal(lines.length, 1);
  pass(5);
  status.stalenessMs = 4_000;
  outages.heard(accepted());
  assert.equal(lines.length, 2, 'a nonce came back that was sent after the last miss');
});

test('a signature alone is no end of an outage, and a record that was asked for is', () => {
  for (const status of [{}, { stalenessMs: 31_000 }]) {
    const { outages, lines, pass } = setUp(status);
    outages.heard(away());
    pass(2);
    outages.heard(accepted('signature'));
    assert.equal(lines.length, 1);
    pass(2);
    outages.heard(accepted());
    assert.equal(lines.length, 2);
  }
});

test('an authority that comes and goes, or is away for changing reasons, writes two lines a minute', () => {
  const { outages, lines, pass } = setUp();
  const codes: UnavailableCode[] = ['authority_unreachable', 'check_contended', 'authority_answer_invalid'];
  for (let second = 0; second < 600; second++) {
    outages.heard(away(codes[second % codes.length]));
    pass(1);
    outages.heard(accepted());
  }
  assert.ok(lines.length <= 20, `${lines.length} lines in ten minutes`);
  assert.ok(lines.length >= 18, 'and it is told again and again');
  const steady = setUp();
  for (let second = 0; second < 600; second++) {
    steady.outages.heard(away(codes[second % codes.length]));
    steady.pass(1);
  }
  assert.ok(steady.lines.length > 1 && steady.lines.length <= 10, `${steady.lines.length} lines in ten minutes`);
});

test('an outage that began too soon after another to be told is told when it lasts', () => {
  const { outages, lines, pass } = setUp();
  outages.heard(away());
  pass(2);
  outages.heard(accepted());
  pass(2);
  outages.heard(away());
  assert.equal(lines.length, 2);
  pass(60);
  outages.heard(away());
  assert.equal(lines.length, 3);
});
