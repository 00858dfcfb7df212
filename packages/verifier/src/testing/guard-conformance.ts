/**
 * What every middleware must do, as tests: `guardConformance('Express', subject)` registers them. Each drives the real
 * framework over a real socket, before the real verifier and an authority over TLS. A sixth framework joins by
 * serving the suite's routes in its own idiom.
 */
import assert from 'node:assert/strict';
import { createHash, hash } from 'node:crypto';
import { Agent, type Server } from 'node:http';
import { after, before, describe, test } from 'node:test';
import type { GuardedToken, GuardVerifier } from '../guard/guard.ts';
import { ProofClient } from '../proof/testing/proofs.ts';
import type { Requirement } from '../requirement.ts';
import { createVerifier, type Verifier } from '../verifier.ts';
import { ORIGIN } from './accepting.ts';
import { AUDIENCE, type FakeAuthority, startFakeAuthority } from './fake-authority.ts';
import { assertRefused, type ExpectedRefusal, listen, type Sent, send } from './wire.ts';

export interface ConformanceRoute {
  path: string;
  requirement: Requirement;
  /** A handler that does not look at the token must be guarded as well. */
  handle(given: {
    token(): GuardedToken;
    readBody(): Promise<string>;
  }): Promise<{ body: string; cacheControl?: string }>;
}

/** Handlers of one app. `onHandled` hears of each call: no refused request may cause one. */
function routesFor(onHandled: () => void): ConformanceRoute[] {
  const route = (path: string, requirement: Requirement, handle: ConformanceRoute['handle']): ConformanceRoute => ({
    ...{ path, requirement },
    handle(given) {
      onHandled();
      return handle(given);
    },
  });
  return [
    route('/me', {}, async ({ token }) => ({ body: JSON.stringify(token()) })),
    route('/echo', {}, async ({ readBody }) => ({ body: await readBody() })),
    route('/pay', { scopes: ['pay'] }, async () => ({ body: 'paid' })),
    route('/cached', {}, async () => ({ body: 'x', cacheControl: 'private, max-age=5' })),
    route('/broken', {}, async () => {
      throw new Error('the handler broke');
    }),
  ];
}

/** What an app may say of all its answers before the guard, and must not say of what is behind it. */
export const WHOLE_APP_CACHE_CONTROL = 'public, max-age=60';

export interface ConformanceSubject {
  /**
   * Serves the routes for every method, each behind a guard of its own; does not listen yet. An error of `handle` goes the
   * framework's way and ends as 500.
   */
  createServer(verifier: GuardVerifier, routes: readonly ConformanceRoute[]): Server | Promise<Server>;
  /** Whether the adapter itself sets headers of what passes; the Web guard sees no response. */
  setsNoStore: boolean;
}

/** Far more than a socket's buffers hold at once, so that a body left unread is noticed. */
const LARGE_BODY_CHARACTERS = 1_000_000;
const JKT = createHash('sha256').update('a key of the client').digest('base64url');
const realm = `realm="${AUDIENCE}"`;

/** Both schemes, and no error (RFC 6750 §3.1). */
const MISSING = {
  status: 401,
  challenge: new RegExp(`^Bearer ${realm}, DPoP (?!.*error=)`),
  error: 'invalid_token',
  code: 'token_missing',
};
const INVALID = {
  status: 401,
  challenge: `Bearer ${realm}, error="invalid_token", error_description="The access token is not valid."`,
  error: 'invalid_token',
  code: 'token_invalid',
};
const EXPIRED = {
  ...INVALID,
  challenge: `Bearer ${realm}, error="invalid_token", error_description="The access token has expired."`,
  code: 'token_expired',
};
const REPEATED = {
  status: 400,
  challenge: `Bearer ${realm}, error="invalid_request", error_description="The request carries more than one access token. Send one, in the Authorization header."`,
  error: 'invalid_request',
  code: 'credentials_repeated',
};
const MALFORMED = {
  ...REPEATED,
  challenge: `Bearer ${realm}, error="invalid_request", error_description="The Authorization header must be the word Bearer or DPoP, one space and the access token."`,
  code: 'credentials_malformed',
};
const NO_SCOPE = {
  status: 403,
  challenge: `Bearer ${realm}, error="insufficient_scope", error_description="The access token does not carry the scope this resource needs.", scope="pay"`,
  error: 'insufficient_scope',
  code: 'scope_insufficient',
};

interface Tokens {
  good: string;
  expired: string;
  revoked: string;
  forged: string;
}

interface RefusedCase {
  what: string;
  request(tokens: Tokens): Sent;
  answer: ExpectedRefusal;
}

const bearer = (token: string): [string, string] => ['Authorization', `Bearer ${token}`];
const form: [string, string] = ['Content-Type', 'application/x-www-form-urlencoded'];

const REFUSED: readonly RefusedCase[] = [
  { what: 'BR-04 no credentials', request: () => ({ path: '/me' }), answer: MISSING },
  {
    what: 'another scheme',
    request: () => ({ path: '/me', headers: [['Authorization', 'Basic YTpi']] }),
    answer: MISSING,
  },
  {
    what: 'BR-02 a token in the query alone',
    request: ({ good }) => ({ path: `/me?access_token=${good}` }),
    answer: MISSING,
  },
  {
    what: 'BR-01 a token in a form',
    request: ({ good }) => ({ method: 'POST', path: '/me', headers: [form], body: `access_token=${good}` }),
    answer: MISSING,
  },
  { what: 'HEAD without credentials', request: () => ({ method: 'HEAD', path: '/me' }), answer: MISSING },
  { what: 'OPTIONS without credentials', request: () => ({ method: 'OPTIONS', path: '/me' }), answer: MISSING },
  {
    what: 'BR-03 two Authorization lines',
    request: ({ good }) => ({ path: '/me', headers: [bearer(good), bearer(good)] }),
    answer: REPEATED,
  },
  {
    what: 'BR-03 a bearer token behind a line of another scheme',
    request: ({ good }) => ({ path: '/me', headers: [['authorization', 'Basic YTpi'], bearer(good)] }),
    answer: REPEATED,
  },
  {
    what: 'BR-03 a bearer token before a line of another scheme',
    request: ({ good }) => ({ path: '/me', headers: [bearer(good), ['AUTHORIZATION', 'DPoP x']] }),
    answer: REPEATED,
  },
  {
    what: 'BR-03 two DPoP credentials',
    request: ({ good }) => {
      const line: [string, string] = ['Authorization', `DPoP ${good}`];
      return { path: '/me', headers: [line, line] };
    },
    answer: REPEATED,
  },
  {
    what: 'BR-03 two tokens in one line',
    request: ({ good }) => ({ path: '/me', headers: [['Authorization', `Bearer ${good}, Bearer ${good}`]] }),
    answer: REPEATED,
  },
  {
    what: 'BR-03 a token in the header and one in the query, its name escaped',
    request: ({ good }) => ({ path: '/me?a=1&access%5Ftoken=x', headers: [bearer(good)] }),
    answer: REPEATED,
  },
  {
    what: 'a scheme without a token',
    request: () => ({ path: '/me', headers: [['Authorization', 'Bearer']] }),
    answer: MALFORMED,
  },
  {
    what: 'a token of two words',
    request: () => ({ path: '/me', headers: [bearer('a b')] }),
    answer: MALFORMED,
  },
  { what: 'BR-05 no token at all', request: () => ({ path: '/me', headers: [bearer('x')] }), answer: INVALID },
  {
    what: 'BR-05 a revoked token',
    request: ({ revoked }) => ({ path: '/me', headers: [bearer(revoked)] }),
    answer: INVALID,
  },
  {
    what: 'BR-05 a forged token',
    request: ({ forged }) => ({ path: '/me', headers: [bearer(forged)] }),
    answer: INVALID,
  },
  {
    what: 'BR-05 an expired token',
    request: ({ expired }) => ({ path: '/me', headers: [bearer(expired)] }),
    answer: EXPIRED,
  },
  {
    what: 'BR-05 a token without the scope',
    request: ({ good }) => ({ path: '/pay', headers: [bearer(good)] }),
    answer: NO_SCOPE,
  },
];

export function guardConformance(framework: string, { createServer, setsNoStore }: ConformanceSubject): void {
  describe(`guard contract on ${framework}`, () => {
    let authority: FakeAuthority;
    let verifier: Verifier;
    let tokens: Tokens;
    let app: Awaited<ReturnType<typeof listen>>;
    /** How often a handler ran. */
    let handled = 0;
    /** What the verifier was asked last. */
    let asked: Parameters<GuardVerifier['verify']>[1];

    const serve = async (verify: GuardVerifier['verify']) => {
      const routes = routesFor(() => handled++);
      return listen(await createServer({ audience: AUDIENCE, origin: verifier.origin, verify }, routes));
    };
    const call = (sent: Sent) => send(app.port, sent);
    /** Serves with another verifier for the time of `work`. */
    const servingWith = async (verify: GuardVerifier['verify'], work: (port: number) => Promise<void>) => {
      const other = await serve(verify);
      try {
        await work(other.port);
      } finally {
        await other.close();
      }
    };

    before(async () => {
      authority = await startFakeAuthority();
      verifier = createVerifier({ ...authority.options(), origin: ORIGIN });
      const [good, expired, revoked] = [await authority.issue(), await authority.issue(), await authority.issue()];
      authority.record(expired, 'expired');
      authority.record(revoked, 'revoked');
      tokens = { good, expired, revoked, forged: authority.forge(authority.claims()) };
      app = await serve((token, requirement) => {
        asked = requirement && { ...requirement };
        return verifier.verify(token, requirement);
      });
    });
    after(async () => {
      await app.close();
      await verifier.close();
      await authority.close();
    });

    test('BR-01 a good token passes, whatever the case of the scheme, and its handler finds claims and handles', async () => {
      for (const scheme of ['Bearer', 'bEaReR']) {
        const answer = await call({ path: '/me', headers: [['Authorization', `${scheme} ${tokens.good}`]] });
        assert.equal(answer.status, 200);
        const token: GuardedToken = JSON.parse(answer.body);
        assert.equal(token.claims.sub, 'user_1');
        assert.equal(token.handles?.client, 'c1');
        assert.equal(token.basis, 'record');
        const [header, payload, signature] = tokens.good.split('.');
        for (const part of [header, payload, signature]) assert.ok(part && !answer.body.includes(part));
        assert.ok(!('eb' in token.claims));
      }
    });

    for (const { what, request, answer } of REFUSED) {
      test(`${what}: ${answer.status} ${answer.code}`, async () => {
        const sent = request(tokens);
        const handledBefore = handled;
        assertRefused(await call(sent), answer, sent.method);
        assert.equal(handled, handledBefore, 'the handler was called');
      });
    }

    test('an authority that cannot be asked closes the door with 503 and says nothing more', async () => {
      const verify: GuardVerifier['verify'] = async () => ({
        ...{ kind: 'unavailable', status: 503, code: 'authority_unreachable', message: 'connection refused' },
      });
      await servingWith(verify, async (port) => {
        const answer = await send(port, { path: '/me', headers: [bearer(tokens.good)] });
        assertRefused(answer, { status: 503, error: 'temporarily_unavailable', code: 'verification_unavailable' });
        assert.ok(!answer.body.includes('refused'));
        assert.equal(answer.headers['retry-after'], '1');
      });
    });

    test('LG-04 a verifier that breaks ends as the framework’s error, never as a pass', async () => {
      const breaks: GuardVerifier['verify'][] = [
        async () => Promise.reject(new Error('a bug')),
        async () => Promise.reject(undefined),
        async () => Promise.reject(0),
        async () => Promise.reject('route'),
        () => {
          throw new Error('a bug');
        },
        async () => JSON.parse('{"kind":"refused"}'),
        async () => JSON.parse('null'),
      ];
      const handledBefore = handled;
      for (const verify of breaks) {
        await servingWith(verify, async (port) => {
          const answer = await send(port, { path: '/cached', headers: [bearer(tokens.good)] });
          assert.equal(answer.status, 500);
          assert.equal(handled, handledBefore, 'the handler was called');
          assert.ok(!answer.body.includes(tokens.good));
        });
      }
    });

    test('an error of the handler stays the handler’s', async () => {
      const answer = await call({ path: '/broken', headers: [bearer(tokens.good)] });
      assert.equal(answer.status, 500);
      assert.equal(answer.headers['www-authenticate'], undefined);
    });

    const defaultsToNoStore = async () => {
      const headers = [bearer(tokens.good)];
      assert.equal((await call({ path: '/me', headers })).headers['cache-control'], 'no-store');
      assert.equal((await call({ path: '/cached', headers })).headers['cache-control'], 'private, max-age=5');
    };
    if (setsNoStore) test('what passes is no-store unless the handler says otherwise', defaultsToNoStore);

    test('a body is left to the handler, unread', async () => {
      const body = 'amount=5&'.repeat(LARGE_BODY_CHARACTERS / 9);
      const headers = [bearer(tokens.good), ['Content-Type', 'text/plain'] as [string, string]];
      const answer = await call({ method: 'POST', path: '/echo', headers, body });
      assert.equal(answer.status, 200);
      assert.ok(answer.body === body);
    });

    test('a connection is good for another request after a refusal, also of a body that nobody read', async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      try {
        assert.equal((await call({ path: '/me', agent })).status, 401);
        const body = 'x'.repeat(1000);
        const refused = await call({ method: 'POST', path: '/echo', headers: [form], body, agent });
        assert.deepEqual([refused.status, refused.reusedSocket], [401, true]);
        const passed = await call({ path: '/me', headers: [bearer(tokens.good)], agent });
        assert.deepEqual([passed.status, passed.reusedSocket], [200, true]);
      } finally {
        agent.destroy();
      }
    });

    test('a hundred requests at once each find their own token', async () => {
      const subjects = Array.from({ length: 100 }, (_, index) => `user_${index}`);
      const held = await Promise.all(subjects.map((sub) => authority.issue({ sub })));
      const answers = await Promise.all(held.map((token) => call({ path: '/me', headers: [bearer(token)] })));
      const seen = answers.map((answer) => (JSON.parse(answer.body) as GuardedToken).claims.sub);
      assert.deepEqual(seen, subjects);
    });

    test('a client that goes away while its token is verified harms nobody', async () => {
      for (const token of ['x', tokens.good]) {
        const asking = Promise.withResolvers<void>();
        const gone = Promise.withResolvers<void>();
        const verify: GuardVerifier['verify'] = async (presented, requirement) => {
          asking.resolve();
          await gone.promise;
          return verifier.verify(presented, requirement);
        };
        await servingWith(verify, async (port) => {
          const leave = new AbortController();
          const left = send(port, { path: '/me', headers: [bearer(token)], signal: leave.signal });
          await asking.promise;
          leave.abort();
          await assert.rejects(left, { name: 'AbortError' });
          gone.resolve();
          const stays = await send(port, { path: '/me', headers: [bearer(tokens.good)] });
          assert.equal(stays.status, 200);
        });
      }
    });

    test('SC-02 a proof is shown to the verifier with the method and the public URL, whatever Host and forwarding headers say', async () => {
      const token = await authority.issue({ cnf: { jkt: JKT } });
      const elsewhere: [string, string][] = [
        ['X-Forwarded-Host', 'evil.example'],
        ['X-Forwarded-Proto', 'http'],
        ['X-Original-Url', '/other'],
        ['Forwarded', 'host=evil.example;proto=http'],
      ];
      const headers: [string, string][] = [['Authorization', `DPoP ${token}`], ['DPoP', 'a.b.c'], ...elsewhere];
      for (const method of ['GET', 'HEAD', 'DELETE']) {
        await call({ method, path: '/me?a=%2F', headers, host: 'evil.example' });
        assert.deepEqual(asked, { scheme: 'DPoP', proof: { jwt: 'a.b.c', method, url: `${ORIGIN}/me` } });
      }
    });

    test('SC-02 SC-03 a bound token passes with a proof of its own for this request, once', async () => {
      const client = new ProofClient();
      const token = await authority.issue({ cnf: { jkt: client.jkt } });
      const { clock } = authority.options();
      const prove = (method: string) =>
        client.prove(clock, {
          claims: { htm: method, htu: `${ORIGIN}/me`, ath: hash('sha256', token, 'base64url') },
        });
      const ask = (proof: string) =>
        call({
          path: '/me?a=b',
          headers: [
            ['Authorization', `DPoP ${token}`],
            ['DPoP', proof],
          ],
        });
      const proof = prove('GET');
      assert.equal((await ask(proof)).status, 200);
      for (const bad of [proof, prove('POST')]) {
        const answer = await ask(bad);
        const { error, code } = JSON.parse(answer.body);
        assert.deepEqual([answer.status, error, code], [401, 'invalid_dpop_proof', 'proof_invalid']);
        assert.match(answer.headers['www-authenticate'] ?? '', /^DPoP .*error="invalid_dpop_proof"/);
        assert.equal(answer.headers['cache-control'], 'no-store');
      }
    });

    test('SC-02 without a proof, and with two, a bound token is refused', async () => {
      const token = await authority.issue({ cnf: { jkt: JKT } });
      const without = await call({ path: '/me', headers: [['Authorization', `DPoP ${token}`]] });
      assert.equal(without.status, 401);
      assert.ok(without.headers['www-authenticate']);
      assert.deepEqual(asked, { scheme: 'DPoP' });
      const two = await call({
        path: '/me',
        headers: [
          ['Authorization', `DPoP ${token}`],
          ['DPoP', 'a.b.c'],
          ['dpop', 'a.b.c'],
        ],
      });
      assert.equal(two.status, 401);
      assert.equal(asked?.proof?.jwt, 'a.b.c, a.b.c');
    });

    test('SC-03 a bound token sent as a bearer token is refused, with a proof beside it or not', async () => {
      const token = await authority.issue({ cnf: { jkt: JKT } });
      for (const proof of [[], [['DPoP', 'a.b.c'] as [string, string]]]) {
        const answer = await call({ path: '/me', headers: [bearer(token), ...proof] });
        assert.equal(answer.status, 401);
        assert.deepEqual(asked, { scheme: 'Bearer' });
      }
    });
  });
}
