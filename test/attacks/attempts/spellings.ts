/** Headers, algorithms and spellings: what fails before the signature, or in it, costs no look-up and rings nothing. */
import { createHmac, randomBytes } from 'node:crypto';
import type { Attempt } from '../attempt.ts';
import {
  encoded,
  headerFor,
  inventedBucket,
  inventedId,
  type Json,
  partsOf,
  respelled,
  signed,
  TYP,
} from '../forging.ts';
import { PLACES } from '../places.ts';
import type { Scene } from '../scene.ts';

interface Spelling {
  name: string;
  token(scene: Scene): string | Promise<string>;
}

const good = (scene: Scene) => scene.mallory.tokens.access_token;

/** Claims of a forgery for Ada, whose signature the attacker wants not to be looked at. */
function wanted(scene: Scene): Json {
  const { claims } = partsOf(scene.ada.tokens.access_token);
  return { ...claims, jti: inventedId('acctok', scene.server.clock.now()), eb: inventedBucket() };
}

/** Signed for good with the leaked key, under a header that differs by `changes`. */
function underHeader(changes: (scene: Scene) => Json): Spelling['token'] {
  return (scene) => {
    const key = scene.leak.active('access');
    return signed(key, { ...headerFor(key, TYP.access), ...changes(scene) }, wanted(scene));
  };
}

function hmacWith(secret: (scene: Scene) => string | Uint8Array): Spelling['token'] {
  return (scene) => {
    const key = scene.leak.active('access');
    const sign = (input: string) => createHmac('sha256', secret(scene)).update(input).digest();
    return signed({ sign }, { ...headerFor(key, TYP.access), alg: 'HS256' }, wanted(scene));
  };
}

function publicPem(scene: Scene): string {
  return String(scene.leak.active('access').publicKey?.export({ type: 'spki', format: 'pem' }));
}

const ALGORITHMS: Spelling[] = [
  ...['none', 'None', 'NONE', 'nOnE', ''].map((alg) => ({
    name: `attack-27 alg "${alg}", no signature`,
    token: (scene: Scene) => {
      const header = { ...headerFor(scene.leak.active('access'), TYP.access), alg };
      return `${encoded(header)}.${encoded(wanted(scene))}.`;
    },
  })),
  {
    name: 'attack-27 alg none with a signature of one byte',
    token: (scene) =>
      `${encoded({ alg: 'none', typ: TYP.access, kid: scene.leak.active('access').id })}.${encoded(wanted(scene))}.AA`,
  },
  { name: 'attack-27 HS256, the public key’s PEM as secret', token: hmacWith(publicPem) },
  { name: 'attack-26 HS256, the PEM with white space before it', token: hmacWith((scene) => `\n ${publicPem(scene)}`) },
  {
    name: 'attack-27 HS256, the public JWK as secret',
    token: hmacWith((scene) => JSON.stringify(scene.leak.active('access').publicKey?.export({ format: 'jwk' }))),
  },
  {
    name: 'attack-27 HS256, the public key’s DER as secret',
    token: hmacWith((scene) => {
      const der = scene.leak.active('access').publicKey?.export({ type: 'spki', format: 'der' });
      return der ?? new Uint8Array(0);
    }),
  },
  { name: 'attack-25 HS256 with the empty secret', token: hmacWith(() => '') },
  ...['RS256', 'PS256', 'ES384', 'ES512', 'ES256K', 'EdDSA', 'Ed25519', 'es256', 'HS512'].map((alg) => ({
    name: `alg ${alg} on the ES256 key`,
    token: underHeader(() => ({ alg })),
  })),
  { name: 'alg as an array', token: underHeader(() => ({ alg: ['ES256'] })) },
  { name: 'alg missing', token: underHeader(() => ({ alg: undefined })) },
  ...[
    ['r = s = 0', Buffer.alloc(64)],
    ['r = s = 1', Buffer.concat([Buffer.alloc(31), Buffer.of(1), Buffer.alloc(31), Buffer.of(1)])],
    ['64 random bytes', randomBytes(64)],
    ['63 bytes', randomBytes(63)],
    ['65 bytes', randomBytes(65)],
    ['as DER', Buffer.from('3006020100020100', 'hex')],
  ].map(([what, signature]) => ({
    name: `attack-31 ES256 signature of ${what}`,
    token: (scene: Scene) => {
      const key = scene.leak.active('access');
      return `${encoded(headerFor(key, TYP.access))}.${encoded(wanted(scene))}.${encoded(signature ?? '')}`;
    },
  })),
  {
    name: 'signed by a key of the attacker’s own, under our kid',
    token: (scene) => {
      const { id, algorithm } = scene.leak.active('access');
      const other = scene.leak.active('id', 'ES256');
      return signed(other, { alg: algorithm, typ: TYP.access, kid: id }, wanted(scene));
    },
  },
];

const HEADERS: Spelling[] = [
  ...(
    [
      ['a path', '../../../../dev/null'],
      ['SQL', "x' UNION SELECT 'AAAA' --"],
      ['unknown', 'key_0000000000000000000000'],
      ['empty', ''],
      ['an array', ['a']],
      ['a number', 0],
      ['null', null],
      ['a URL', 'https://evil.example/jwks'],
      ['__proto__', '__proto__'],
      ['constructor', 'constructor'],
      ['missing', undefined],
    ] as const
  ).map(([what, kid]) => ({ name: `kid is ${what}`, token: underHeader(() => ({ kid })) })),
  ...(['refresh', 'magic-link', 'id', 'login-code', 'handle'] as const).map((purpose) => ({
    name: `kid names the ${purpose} key, which signed it`,
    token: (scene: Scene) => {
      const key = scene.leak.active(purpose);
      return signed(key, { alg: key.algorithm, typ: TYP.access, kid: key.id }, wanted(scene));
    },
  })),
  { name: 'attack-28 crit names a member that nobody knows', token: underHeader(() => ({ crit: ['x'], x: 1 })) },
  { name: 'attack-28 an empty crit', token: underHeader(() => ({ crit: [] })) },
  { name: 'attack-28 crit b64, payload not encoded', token: underHeader(() => ({ crit: ['b64'], b64: false })) },
  { name: 'b64 without crit', token: underHeader(() => ({ b64: true })) },
  { name: 'jku of the attacker', token: underHeader(() => ({ jku: 'https://evil.example/jwks' })) },
  { name: 'x5u of the attacker', token: underHeader(() => ({ x5u: 'https://evil.example/cert' })) },
  {
    name: 'jwk in the header',
    token: underHeader((scene) => ({ jwk: scene.leak.active('access').publicKey?.export({ format: 'jwk' }) })),
  },
  { name: 'x5c in the header', token: underHeader(() => ({ x5c: ['AAAA'] })) },
  { name: 'zip in the header', token: underHeader(() => ({ zip: 'DEF' })) },
  { name: 'cty JWT', token: underHeader(() => ({ cty: 'JWT' })) },
  { name: 'typ missing', token: underHeader(() => ({ typ: undefined })) },
  { name: 'typ JWT', token: underHeader(() => ({ typ: 'JWT' })) },
  {
    name: 'a header member twice',
    token: (scene) => {
      const key = scene.leak.active('access');
      return signed(key, `{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"${key.id}"}`, wanted(scene));
    },
  },
  {
    name: 'header with a space',
    token: (scene) => {
      const key = scene.leak.active('access');
      return signed(key, `{"alg": "ES256","typ":"at+jwt","kid":"${key.id}"}`, wanted(scene));
    },
  },
];

/** Mallory's own good token, in a spelling that a careless decoder reads as the same bytes. */
const RESPELT: Spelling[] = [
  { name: 'padding after the signature', token: (scene) => `${good(scene)}==` },
  { name: 'padding after the payload', token: (scene) => good(scene).replace(/\.([^.]*)$/, '=.$1') },
  { name: 'trailing bits in the signature', token: (scene) => withTrailingBits(good(scene)) },
  { name: '+ and / in place of - and _', token: (scene) => respeltAlphabet(good(scene)) },
  { name: 'a dot at the end', token: (scene) => `${good(scene)}.` },
  { name: 'a dot at the start', token: (scene) => `.${good(scene)}` },
  { name: 'five segments, as a JWE', token: (scene) => `${good(scene)}.AAAA.AAAA` },
  { name: 'two segments', token: (scene) => good(scene).split('.').slice(0, 2).join('.') },
  { name: 'attack-31 thousands of dots', token: () => '.'.repeat(7_000) },
  { name: 'a token of 12,000 characters', token: (scene) => `${good(scene)}${'A'.repeat(11_000)}` },
];

/** The signature is not part of a token's identity: who re-spells it holds the same token, and must not be able to ring. */
const SAME_TOKEN: Attempt[] = (['api', 'introspect', 'userinfo'] as const).map((place) => ({
  name: 're-spelled ECDSA signature (n − s) of a good token: the same token',
  where: PLACES[place].where,
  kind: 'same_token',
  run: (scene) => PLACES[place].present(scene, respelled(good(scene))),
}));

const DEAD_SAME_TOKEN: Attempt[] = (['api', 'introspect'] as const).map((place) => ({
  name: 're-spelled signature of a token that was revoked',
  where: PLACES[place].where,
  async run(scene) {
    const { access_token } = await scene.freshTokens({ browser: scene.mallory.browser });
    await PLACES.revoke.present(scene, access_token);
    return PLACES[place].present(scene, respelled(access_token));
  },
}));

export const SPELLING_ATTEMPTS: Attempt[] = [
  ...[...ALGORITHMS, ...HEADERS, ...RESPELT].flatMap(({ name, token }) =>
    (['api', 'introspect'] as const).map((place) => ({
      name,
      where: PLACES[place].where,
      run: async (scene: Scene) => PLACES[place].present(scene, await token(scene)),
    })),
  ),
  ...SAME_TOKEN,
  ...DEAD_SAME_TOKEN,
];

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** 64 bytes leave four bits over in the last character; a lax decoder drops them. */
function withTrailingBits(token: string): string {
  const last = BASE64URL.indexOf(token.at(-1) ?? 'A');
  return token.slice(0, -1) + BASE64URL.charAt(last ^ 1);
}

/** A token without either character would be no test; the claims of one are long enough to hold some, or the signature is. */
function respeltAlphabet(token: string): string {
  const other = token.replaceAll('-', '+').replaceAll('_', '/');
  return other === token ? `${token.slice(0, -1)}+` : other;
}
