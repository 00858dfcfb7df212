/**
 * The authority as the protocol describes it, over real TLS, with real keys and records of real digests: enough to show each
 * check of the verifier failing for its own reason. Shares no code with the server; `intercept` lets it lie.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import {
  type CheckAnswer,
  type CheckRequest,
  createId,
  type Handles,
  type Verdict,
  type VerifierKey,
} from '@countersign/protocol';
import { CompactSign } from 'jose';
import type { Mode } from '../options.ts';
import { selfSignedCertificate } from './certificates.ts';
import { FakeStreams } from './fake-streams.ts';

export const AUDIENCE = 'https://api.example';
export const CREDENTIALS = { clientId: 'oauth2client_api:1', clientSecret: 'a secret+with/odd:characters' };

export interface SigningKey {
  kid: string;
  alg: VerifierKey['alg'];
  status: VerifierKey['status'];
  privateKey: KeyObject;
  publicKey: KeyObject;
}

interface TokenRecord {
  digest: string;
  verdict: Verdict;
  expMs: number;
}

/** Each token has a grant of its own; all have one client, user and key. */
export function handlesOf(jti: string): Handles {
  return { token: `t-${jti}`, grant: `g-${jti}`, client: 'c1', user: 'u1', key: 'k1' };
}

export class FakeAuthority {
  readonly issuer: string;
  readonly keys: SigningKey[] = [newSigningKey('ES256')];
  /** What this resource server is registered for. */
  audiences = [AUDIENCE];
  readonly records = new Map<string, TokenRecord>();
  readonly seen = { metadata: 0, keys: 0, checks: [] as CheckRequest['tokens'][], reports: [] as string[] };
  epoch = 1;
  /** The clock of the authority and of verifiers made by `options`. */
  nowMs = Date.now();
  /** Replaces an answer: given the path's last word and the true body, returns a status, headers and another body. */
  intercept: (
    endpoint: string,
    body: unknown,
  ) => { status?: number; headers?: Record<string, string>; body?: unknown } | undefined = () => undefined;
  readonly streams = new FakeStreams();
  readonly #server: Server;

  constructor(server: Server, path: string) {
    this.#server = server;
    this.issuer = `https://localhost:${(server.address() as AddressInfo).port}${path}`; // listening on TCP
    server.on('request', async (request, response) => {
      let text = '';
      for await (const chunk of request) text += chunk;
      const endpoint = request.url?.split('?')[0]?.split('/').at(-1) ?? '';
      const isStream = endpoint === 'stream' && request.headers.authorization === EXPECTED_AUTHORIZATION;
      if (isStream && !this.intercept(endpoint, {})) {
        this.streams.open({ url: request.url ?? '', response, epoch: this.epoch });
        return;
      }
      const truth = this.#answer({ url: request.url ?? '', authorization: request.headers.authorization, text });
      const lie = this.intercept(endpoint, truth.body);
      response.writeHead(lie?.status ?? truth.status, { 'content-type': 'application/json', ...lie?.headers });
      const body = lie && 'body' in lie ? lie.body : truth.body;
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    });
  }

  /** Options of a verifier for this authority, with both clocks steered by `nowMs`. */
  options() {
    return {
      issuer: this.issuer,
      audience: AUDIENCE,
      credentials: CREDENTIALS,
      mode: 'strict' as Mode,
      clock: { now: () => this.nowMs, monotonicMs: () => this.nowMs },
    };
  }

  /** Takes a token back: the record says so from now on, and every stream is told. */
  revoke(token: string): void {
    this.record(token, 'revoked');
    this.streams.invalidate('token', handlesOf(String(payloadOf(token).jti)).token, true);
  }

  key(index = 0): SigningKey {
    const key = this.keys[index];
    if (!key) throw new Error('no such key');
    return key;
  }

  claims(overrides: Record<string, unknown> = {}): Record<string, unknown> {
    const iat = Math.floor(this.nowMs / 1000);
    return {
      iss: this.issuer,
      sub: 'user_1',
      aud: AUDIENCE,
      client_id: 'oauth2client_app',
      jti: createId('acctok', this.nowMs, randomBytes(8)),
      iat,
      exp: iat + 900,
      eb: randomBytes(48).toString('base64url'),
      scope: 'accounts:read profile',
      ...overrides,
    };
  }

  /** Issues a token as the authority does: signs it and records its digest. */
  async issue(overrides: Record<string, unknown> = {}, key = this.key()): Promise<string> {
    const claims = this.claims(overrides);
    const token = await new CompactSign(Buffer.from(JSON.stringify(claims)))
      .setProtectedHeader({ alg: key.alg, typ: 'at+jwt', kid: key.kid })
      .sign(key.privateKey);
    this.record(token);
    return token;
  }

  /** Signs anything with the authority's key, as its thief can, and records nothing. */
  forge(claims: Record<string, unknown>, header: Record<string, unknown> = {}, key = this.key()): string {
    return signCompact({ alg: key.alg, typ: 'at+jwt', kid: key.kid, ...header }, claims, key);
  }

  record(token: string, verdict: Verdict = 'live'): void {
    const { jti, exp } = payloadOf(token);
    this.records.set(String(jti), { digest: digestOf(token), verdict, expMs: Number(exp) * 1000 });
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #answer(request: { url: string; authorization: string | undefined; text: string }): {
    status: number;
    body: unknown;
  } {
    const path = new URL(this.issuer).pathname.replace(/\/$/, '');
    if (request.url === `/.well-known/oauth-authorization-server${path}`) {
      this.seen.metadata++;
      return {
        status: 200,
        body: {
          issuer: this.issuer,
          countersign_check_endpoint: `${this.issuer}/verifier/check`,
          countersign_report_endpoint: `${this.issuer}/verifier/report`,
          countersign_keys_endpoint: `${this.issuer}/verifier/keys`,
          countersign_stream_endpoint: `${this.issuer}/verifier/stream`,
          countersign_pulse_endpoint: `${this.issuer}/verifier/pulse`,
        },
      };
    }
    if (request.authorization !== EXPECTED_AUTHORIZATION) return { status: 401, body: { error: 'invalid_client' } };
    switch (request.url.slice(path.length)) {
      case '/verifier/keys': {
        this.seen.keys++;
        return { status: 200, body: { keys: this.keys.map(publish), audiences: this.audiences } };
      }
      case '/verifier/check': {
        const { tokens } = JSON.parse(request.text) as CheckRequest; // our own verifier sent it
        this.seen.checks.push(tokens);
        return { status: 200, body: { epoch: this.epoch, answers: tokens.map((token) => this.#check(token)) } };
      }
      case '/verifier/report': {
        const { token } = JSON.parse(request.text) as { token: string }; // our own verifier sent it
        this.seen.reports.push(token);
        return { status: 202, body: {} };
      }
      case '/verifier/pulse':
        return { status: this.streams.pulse(JSON.parse(request.text)) ? 202 : 409, body: {} };
      default:
        return { status: 404, body: {} };
    }
  }

  #check({ jti, digest }: CheckRequest['tokens'][number]): CheckAnswer {
    const record = this.records.get(jti);
    if (!record) return { jti, verdict: 'unknown' };
    if (record.digest !== digest) return { jti, verdict: 'tampered' };
    if (record.verdict !== 'live') return { jti, verdict: record.verdict };
    return { jti, verdict: 'live', expires_in_ms: Math.max(0, record.expMs - this.nowMs), handles: handlesOf(jti) };
  }
}

/** One identity for all fakes of a process, which trusts it from here on. */
const identity = selfSignedCertificate(Date.now());
setDefaultCACertificates([...getCACertificates('default'), identity.certificate]);

/** For other processes, which must be told to trust it. PEM. */
export const CA_CERTIFICATE = identity.certificate;

/** Starts one on a free port of loopback. */
export async function startFakeAuthority(path = ''): Promise<FakeAuthority> {
  const server = createServer({ cert: identity.certificate, key: identity.privateKey });
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  return new FakeAuthority(server, path);
}

export function newSigningKey(alg: VerifierKey['alg'], status: VerifierKey['status'] = 'good'): SigningKey {
  const pair =
    alg === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : alg === 'Ed25519'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { kid: createId('key', Date.now(), randomBytes(8)), alg, status, ...pair };
}

/** A key as `/verifier/keys` shows it. */
export function publish(key: SigningKey): VerifierKey {
  const jwk = { ...key.publicKey.export({ format: 'jwk' }), kid: key.kid, alg: key.alg, use: 'sig' };
  return { kid: key.kid, alg: key.alg, jwk, status: key.status };
}

/** A compact JWS of any header, signed the way the key signs, whatever the header says. */
export function signCompact(header: unknown, claims: unknown, key: SigningKey): string {
  const input = `${encodeJson(header)}.${encodeJson(claims)}`;
  const signature = sign(key.alg === 'Ed25519' ? null : 'sha256', Buffer.from(input), {
    key: key.privateKey,
    dsaEncoding: 'ieee-p1363',
  });
  return `${input}.${signature.toString('base64url')}`;
}

export function encodeJson(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

export function payloadOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
}

function digestOf(token: string): string {
  return createHash('sha256')
    .update(token.slice(0, token.lastIndexOf('.')))
    .digest('base64url');
}

/** RFC 6749 §2.3.1 written out by hand, so that a slip in the verifier's own encoding shows. */
const EXPECTED_AUTHORIZATION = `Basic ${Buffer.from('oauth2client_api%3A1:a+secret%2Bwith%2Fodd%3Acharacters').toString(
  'base64',
)}`;
