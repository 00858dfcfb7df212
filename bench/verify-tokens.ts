/**
 * What is verified in the benches: access tokens of the shape and length that the authority writes, and an authority that answers
 * for them inside the process, through the verifier's `fetch` option. So no socket and no other process is in the figures; its own
 * time is, and counts against the verifier. Each token has a grant and a user of its own, which is the most that memory can hold.
 */
import { generateKeyPairSync, hash, type KeyObject, randomBytes, sign } from 'node:crypto';
import {
  type AccessTokenClaims,
  type CheckRequest,
  type CheckResponse,
  createId,
  type Handles,
  type StreamMessage,
  TOKEN_TYPES,
  type VerifierKeys,
  type VerifierMetadata,
} from '@countersign/protocol';
import type { VerifierOptions } from '../packages/verifier/src/index.ts';

export const ISSUER = 'https://login.example.com';
export const AUDIENCE = 'https://api.example.com';
const SCOPE = 'openid profile accounts:read';
/** Longer than any run, so that no token ends in one. */
const LIFETIME_SECONDS = 3_600;

export interface TokenSigner {
  readonly kid: string;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export function newTokenSigner(): TokenSigner {
  return { kid: newId('key'), ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) };
}

/**
 * Tokens as bytes. Each call of a subject gets a string of its own, made from them before the clock starts: nothing can be known
 * again by the identity of a string or by a hash that the engine keeps in it, as it cannot when a token arrives over a socket.
 */
export class Tokens {
  readonly #bytes: Buffer;
  readonly #starts: number[] = [0];

  constructor(signer: TokenSigner, count: number) {
    const pieces: Buffer[] = [];
    for (let made = 0; made < count; made++) {
      const piece = Buffer.from(newToken(signer), 'latin1');
      pieces.push(piece);
      this.#starts.push((this.#starts.at(-1) ?? 0) + piece.length);
    }
    this.#bytes = Buffer.concat(pieces);
  }

  get count(): number {
    return this.#starts.length - 1;
  }

  get meanLength(): number {
    return this.#bytes.length / this.count;
  }

  fresh(index: number): string {
    return this.#bytes.toString('latin1', this.#starts[index], this.#starts[index + 1]);
  }
}

function newToken({ kid, privateKey }: TokenSigner): string {
  const nowSeconds = Math.floor(Date.now() / 1_000);
  const claims: AccessTokenClaims = {
    ...{ iss: ISSUER, sub: newId('user'), aud: AUDIENCE, client_id: CLIENT_ID, jti: newId('acctok') },
    ...{ iat: nowSeconds, exp: nowSeconds + LIFETIME_SECONDS, scope: SCOPE, sid: newId('sess') },
    ...{ auth_time: nowSeconds, amr: ['email'], eb: randomBytes(48).toString('base64url') },
  };
  const input = `${encode({ alg: 'ES256', typ: TOKEN_TYPES.access, kid })}.${encode(claims)}`;
  const signature = sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function newId(prefix: Parameters<typeof createId>[0]): string {
  return createId(prefix, Date.now(), randomBytes(8));
}

const CLIENT_ID = newId('oauth2client');

/** Options of a verifier for tokens of this signer: all defaults, but for the network. */
export function verifierOptions(signer: TokenSigner): VerifierOptions {
  const credentials = { clientId: newId('oauth2client'), clientSecret: randomBytes(32).toString('base64url') };
  return { issuer: ISSUER, audience: AUDIENCE, credentials, fetch: authorityFetch(signer) };
}

/** An authority to which every token is live, and which revokes nothing. */
function authorityFetch(signer: TokenSigner): NonNullable<VerifierOptions['fetch']> {
  const streams = new Streams();
  return async (url, init) => {
    const { pathname, searchParams } = new URL(url);
    const body = typeof init.body === 'string' ? init.body : '{}';
    switch (pathname) {
      case '/verifier/check':
        return Response.json(check(JSON.parse(body) as CheckRequest)); // the verifier sent it
      case '/verifier/stream':
        return new Response(streams.open(searchParams.get('nonce') ?? ''), {
          headers: { 'content-type': 'text/event-stream' },
        });
      case '/verifier/pulse':
        streams.echo(String((JSON.parse(body) as { nonce: string }).nonce)); // the verifier sent it
        return Response.json({}, { status: 202 });
      case '/verifier/keys':
        return Response.json(keysOf(signer));
      default:
        return Response.json(METADATA);
    }
  };
}

const METADATA: VerifierMetadata = {
  issuer: ISSUER,
  countersign_check_endpoint: `${ISSUER}/verifier/check`,
  countersign_report_endpoint: `${ISSUER}/verifier/report`,
  countersign_keys_endpoint: `${ISSUER}/verifier/keys`,
  countersign_stream_endpoint: `${ISSUER}/verifier/stream`,
  countersign_pulse_endpoint: `${ISSUER}/verifier/pulse`,
};

function keysOf({ kid, publicKey }: TokenSigner): VerifierKeys {
  const jwk = { ...publicKey.export({ format: 'jwk' }) };
  return { keys: [{ kid, alg: 'ES256', jwk, status: 'good' }], audiences: [AUDIENCE] };
}

function check({ tokens }: CheckRequest): CheckResponse {
  return {
    epoch: 1,
    answers: tokens.map(({ jti }) => ({
      ...{ jti, verdict: 'live', expires_in_ms: LIFETIME_SECONDS * 1_000, handles: handlesOf(jti) },
    })),
  };
}

/** As long as true ones (128 bits), and as distinct. */
function handlesOf(jti: string): Handles {
  const bits = hash('sha512', jti, 'base64url');
  return {
    ...{ token: bits.slice(0, 22), grant: bits.slice(22, 44), client: CLIENT_HANDLE },
    ...{ user: bits.slice(44, 66), key: KEY_HANDLE },
  };
}

const CLIENT_HANDLE = randomBytes(16).toString('base64url');
const KEY_HANDLE = randomBytes(16).toString('base64url');

/** The one stream of a verifier: a hello, then an echo for each nonce. */
class Streams {
  #send: (message: StreamMessage) => void = () => {};

  open(nonce: string): ReadableStream<Uint8Array> {
    return new ReadableStream({
      start: (controller) => {
        this.#send = ({ kind, ...data }) =>
          controller.enqueue(Buffer.from(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`));
        this.#send({ kind: 'hello', stream: 'bench', epoch: 1, cursor: 0, resumed: false });
        this.echo(nonce);
      },
    });
  }

  echo(nonce: string): void {
    this.#send({ kind: 'heartbeat', nonce, cursor: 0 });
  }
}
