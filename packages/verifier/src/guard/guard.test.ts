import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Requirement } from '../requirement.ts';
import { accepting, ORIGIN } from '../testing/accepting.ts';
import { AUDIENCE } from '../testing/fake-authority.ts';
import { type GuardedToken, type PresentedRequest, requestGuard } from './guard.ts';
import { readNodeRequest } from './node-message.ts';
import { keepToken, tokenOf } from './tokens.ts';

function presented(request: Partial<PresentedRequest>): PresentedRequest {
  return { method: 'GET', target: '/', authorization: ['DPoP x'], dpop: ['a.b.c'], ...request };
}

test('SC-02 the address of a proof is the public origin and the path as sent, without query, fragment or foreign host', async () => {
  const addresses = {
    '/me': '/me',
    '/me?a=/b#c': '/me',
    '/me#c?d': '/me',
    '/a%2Fb/../c//d': '/a%2Fb/../c//d',
    '//evil.example/me': '//evil.example/me',
    '/\\evil.example/': '/\\evil.example/',
    'https://evil.example/me?a': '/me',
    'http://user:secret@evil.example:81': '/',
    '*': '/*',
    '': '/',
  };
  for (const [target, path] of Object.entries(addresses)) {
    const { verifier, asked } = accepting();
    await requestGuard(verifier)(presented({ target, method: 'PATCH' }));
    assert.deepEqual(asked[0]?.asked?.proof, { jwt: 'a.b.c', method: 'PATCH', url: `${ORIGIN}${path}` }, target);
  }
});

test('where no public origin is known, there is no proof', async () => {
  const { verifier, asked } = accepting();
  await requestGuard({ ...verifier, origin: undefined })(presented({}));
  assert.deepEqual(asked[0]?.asked, { scheme: 'DPoP' });
});

test('the verifier is asked for what the route requires, and told nothing else', async () => {
  const { verifier, asked } = accepting();
  const requirement: Requirement = { scopes: ['pay'], mode: 'strict', acrValues: ['phr'], maxAgeSeconds: 60 };
  const decide = requestGuard(verifier, requirement);
  await decide(presented({ authorization: ['Bearer x'] }));
  await decide(presented({ authorization: [] }));
  assert.deepEqual(asked, [
    { token: 'x', asked: { ...requirement, scheme: 'Bearer' } },
    { token: undefined, asked: requirement },
  ]);
});

test('two credentials are refused before the verifier is asked, so that neither is used up', async () => {
  const { verifier, asked } = accepting();
  const decide = requestGuard(verifier);
  for (const request of [
    { authorization: ['Bearer x', 'Bearer x'] },
    { authorization: ['DPoP x', 'DPoP x'] },
    { authorization: ['Basic x', 'DPoP x'] },
    { authorization: ['DPoP x, DPoP y'] },
    { authorization: ['', 'Bearer x'] },
    { target: '/?access_token=y' },
    { target: '/?b=c&%61ccess_token' },
  ]) {
    const decision = await decide(presented(request));
    assert.equal(decision.kind === 'refuse' && decision.status, 400, JSON.stringify(request));
  }
  assert.deepEqual(asked, []);
});

test('what passes holds the claims and handles of the answer, and neither token nor proof', async () => {
  const decision = await requestGuard(accepting().verifier)(presented({ authorization: ['DPoP secret-token'] }));
  assert.equal(decision.kind, 'pass');
  assert.deepEqual(Object.keys(decision.token), ['basis', 'claims']);
  assert.ok(!/secret-token|a\.b\.c/.test(JSON.stringify(decision)));
});

test('a refusal repeats nothing that came with the request', async () => {
  const { verifier } = accepting();
  const request = presented({ target: '/?access_token=secret-1', authorization: ['Bearer secret-2, Bearer secret-3'] });
  const decision = await requestGuard(verifier)(request);
  assert.ok(!JSON.stringify(decision).includes('secret'));
});

test('a step-up refusal says what is required, and its code', async () => {
  const { verifier } = accepting();
  const challenge = `Bearer realm="${AUDIENCE}", error="insufficient_user_authentication", max_age="60"`;
  const refusing: typeof verifier = {
    ...verifier,
    verify: async () => ({ kind: 'refused', code: 'authentication_insufficient', status: 401, challenge }),
  };
  const decision = await requestGuard(refusing, { maxAgeSeconds: 60 })(presented({}));
  assert.ok(decision.kind === 'refuse');
  assert.equal(decision.headers['www-authenticate'], challenge);
  const { error, code } = JSON.parse(decision.body);
  assert.deepEqual([error, code], ['insufficient_user_authentication', 'authentication_insufficient']);
});

test('a requirement with a member that none has stops the start, where it would otherwise let everybody in', () => {
  const { verifier } = accepting();
  for (const text of ['{"scope":["pay"]}', '{"scheme":"Bearer"}', '{"constructor":1}', '{"__proto__":{}}']) {
    const requirement: Requirement = JSON.parse(text);
    assert.throws(
      () => requestGuard(verifier, requirement),
      /has no member "[a-z_]+"\. It may have scopes, mode/,
      text,
    );
  }
  assert.throws(() => requestGuard(verifier, { scopes: [''] }), TypeError);
  assert.throws(() => requestGuard(verifier, JSON.parse('{"mode":"lax"}')), TypeError);
});

test('lines are read as they came, in any case, and only those', () => {
  const rawHeaders = ['X', 'authorization', 'AUTHORIZATION', 'Bearer x', 'dPoP', 'p', 'authorization', 'Bearer y'];
  const request = { method: 'GET', url: '/cut', originalUrl: '/whole/cut', rawHeaders };
  assert.deepEqual(readNodeRequest(request), {
    ...{ method: 'GET', target: '/whole/cut' },
    ...{ authorization: ['Bearer x', 'Bearer y'], dpop: ['p'] },
  });
});

test('a token is found with its own request and no other, whatever stands on prototypes', () => {
  const token: GuardedToken = { basis: 'record', claims: { ...accepting().claims } };
  const request = {};
  keepToken(request, token);
  assert.equal(tokenOf(request), token);
  const prototype: { token?: unknown } = Object.prototype;
  prototype.token = token;
  try {
    for (const other of [{}, Object.create(request), { ...request }]) {
      assert.throws(() => tokenOf(other), /no guard has let this request pass/);
    }
  } finally {
    delete prototype.token;
  }
});
