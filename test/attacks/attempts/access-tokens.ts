/** Access tokens signed with the leaked key: minted, rewritten, without a good bucket, with claims that no authority writes. */
import type { Attempt, Ring } from '../attempt.ts';
import {
  claimsWithout,
  encoded,
  headerFor,
  inventedBucket,
  inventedId,
  type Json,
  partsOf,
  signed,
  TYP,
} from '../forging.ts';
import { PLACES, type Place } from '../places.ts';
import type { Scene } from '../scene.ts';

interface Forgery {
  name: string;
  alarm?: Ring;
  /** Claims to sign with the leaked access key. */
  claims(scene: Scene): Json | string | Promise<Json | string>;
  places?: Place[];
}

/** A token that looks like one of Ada's in everything, except that nobody issued it. */
function minted(scene: Scene, changes: Json = {}): Json {
  const { claims } = partsOf(scene.ada.tokens.access_token);
  return { ...claims, jti: inventedId('acctok', scene.server.clock.now()), eb: inventedBucket(), ...changes };
}

/** Mallory's own good token: his own jti and eb, with other words around them. */
function rewritten(scene: Scene, changes: Json): Json {
  return { ...partsOf(scene.mallory.tokens.access_token).claims, ...changes };
}

const EVERYWHERE: Place[] = ['api', 'introspect', 'userinfo', 'whoami', 'logout', 'revoke'];

const MINTED: Forgery[] = [
  { name: 'minted from nothing, for Ada', alarm: 'forged', claims: (scene) => minted(scene), places: EVERYWHERE },
  {
    name: 'minted with a tag made by the leaked bucket key: unknown, as a lost row would be',
    claims(scene) {
      const jti = inventedId('acctok', scene.server.clock.now());
      const { exp } = minted(scene);
      return minted(scene, { jti, eb: scene.leak.tagged('access', `${jti}.${exp}`) });
    },
    places: EVERYWHERE,
  },
  {
    name: 'minted, the tag made for another kind of token',
    alarm: 'forged',
    claims(scene) {
      const jti = inventedId('acctok', scene.server.clock.now());
      return minted(scene, { jti, eb: scene.leak.tagged('refresh', jti) });
    },
  },
  {
    name: 'minted with the eb of a good token of his own',
    alarm: 'forged',
    claims: (scene) => minted(scene, { eb: partsOf(scene.mallory.tokens.access_token).claims.eb }),
  },
  {
    name: 'minted for the attacker’s own client (client_credentials)',
    alarm: 'forged',
    claims: ({ malloryApp, ...scene }) =>
      minted({ malloryApp, ...scene }, { sub: malloryApp.client.id, client_id: malloryApp.client.id }),
  },
];

const REWRITTEN: Forgery[] = [
  {
    name: 'own jti and eb, another sub',
    alarm: 'tampered',
    claims: (scene) => rewritten(scene, { sub: scene.ada.userId }),
    places: EVERYWHERE,
  },
  {
    name: 'own jti and eb, the sub of nobody',
    alarm: 'tampered',
    claims: (scene) => rewritten(scene, { sub: 'root' }),
  },
  {
    name: 'own jti and eb, a wider scope',
    alarm: 'tampered',
    async claims(scene) {
      const { access_token } = await scene.freshTokens({ browser: scene.mallory.browser, scope: 'openid' });
      return { ...partsOf(access_token).claims, scope: 'openid email accounts:read admin' };
    },
  },
  {
    name: 'own jti and eb, another client_id',
    alarm: 'tampered',
    claims: (scene) => rewritten(scene, { client_id: scene.malloryApp.client.id }),
  },
  {
    name: 'own token of another API, its aud rewritten',
    alarm: 'tampered',
    async claims(scene) {
      const { access_token } = await scene.freshTokens({
        browser: scene.mallory.browser,
        registered: scene.elsewhere,
      });
      return { ...partsOf(access_token).claims, aud: partsOf(scene.mallory.tokens.access_token).claims.aud };
    },
  },
  {
    name: 'own jti and eb, a later exp',
    alarm: 'tampered',
    claims(scene) {
      const exp = Number(partsOf(scene.mallory.tokens.access_token).claims.exp);
      return rewritten(scene, { exp: exp + 3_600 });
    },
  },
  {
    name: 'own expired token, given a new life',
    alarm: 'tampered',
    async claims(scene) {
      const { access_token } = await scene.freshTokens({ browser: scene.mallory.browser, registered: scene.brief });
      scene.server.clock.advance(70_000);
      const { claims } = partsOf(access_token);
      return { ...claims, exp: Number(claims.exp) + 3_600 };
    },
    places: ['api'],
  },
  {
    name: 'own jti and eb, bound to a key of his choice (cnf)',
    alarm: 'tampered',
    claims: (scene) => rewritten(scene, { cnf: { jkt: 'A'.repeat(43) } }),
  },
  {
    name: 'own jti and eb, another session (sid)',
    alarm: 'tampered',
    claims: (scene) => rewritten(scene, { sid: partsOf(scene.ada.tokens.access_token).claims.sid }),
  },
  {
    name: 'own jti and eb, one more claim',
    alarm: 'tampered',
    claims: (scene) => rewritten(scene, { role: 'admin' }),
  },
  {
    name: 'own claims in another order',
    alarm: 'tampered',
    claims: (scene) => Object.fromEntries(Object.entries(rewritten(scene, {})).reverse()),
  },
  {
    name: 'Ada’s jti with his own eb',
    alarm: 'tampered',
    claims: (scene) => rewritten(scene, { jti: partsOf(scene.ada.tokens.access_token).claims.jti }),
  },
  {
    name: 'Ada’s jti with a tag made by the leaked bucket key',
    alarm: 'tampered',
    claims(scene) {
      const jti = String(partsOf(scene.ada.tokens.access_token).claims.jti);
      const { exp } = minted(scene);
      return minted(scene, { jti, eb: scene.leak.tagged('access', `${jti}.${exp}`) });
    },
  },
];

const BUCKETS: Forgery[] = [
  {
    name: 'own token without eb',
    alarm: 'forged',
    claims: (scene) => claimsWithout(rewritten(scene, {}), 'eb'),
    places: EVERYWHERE,
  },
  ...(
    [
      ['empty', ''],
      ['null', null],
      ['a number', 42],
      ['true', true],
      ['an object', {}],
      ['47 bytes', encoded(new Uint8Array(47))],
      ['49 bytes', encoded(new Uint8Array(49))],
      ['48 zero bytes in plain base64 with padding', `${'A'.repeat(63)}=`],
      ['64 characters outside base64url', '+/'.repeat(32)],
      ['4,000 characters', 'A'.repeat(4_000)],
    ] as const
  ).map(
    ([what, eb]): Forgery => ({
      name: `own token, its eb ${what}`,
      alarm: 'forged',
      claims: (scene) => rewritten(scene, { eb }),
    }),
  ),
  {
    name: 'own token, its eb an array around the good one',
    alarm: 'forged',
    claims: (scene) => rewritten(scene, { eb: [rewritten(scene, {}).eb] }),
  },
  {
    name: 'own token, its eb of 48 zero bytes',
    alarm: 'tampered',
    claims: (scene) => rewritten(scene, { eb: encoded(new Uint8Array(48)) }),
  },
  {
    name: 'own token with the eb of another good token of his own',
    alarm: 'tampered',
    async claims(scene) {
      const other = await scene.freshTokens({ browser: scene.mallory.browser });
      return rewritten(scene, { eb: partsOf(other.access_token).claims.eb });
    },
  },
  {
    name: 'own token, one bit of its eb turned',
    alarm: 'tampered',
    claims(scene) {
      const bytes = Buffer.from(String(rewritten(scene, {}).eb), 'base64url');
      bytes[40] = (bytes[40] ?? 0) ^ 1;
      return rewritten(scene, { eb: encoded(bytes) });
    },
  },
];

const IMPOSSIBLE: Forgery[] = [
  ...['iss', 'sub', 'aud', 'client_id', 'jti', 'iat', 'exp', 'scope'].map(
    (name): Forgery => ({
      name: `minted without ${name}`,
      alarm: 'forged',
      claims: (scene) => claimsWithout(minted(scene), name),
    }),
  ),
  {
    name: 'a foreign issuer under our key',
    alarm: 'forged',
    claims: (scene) => rewritten(scene, { iss: 'https://evil.example' }),
  },
  {
    name: 'a life longer than any that was ever given',
    alarm: 'forged',
    claims(scene) {
      const iat = Number(rewritten(scene, {}).iat);
      return rewritten(scene, { exp: iat + 10 * 365 * 86_400 });
    },
  },
  {
    name: 'aud as an array',
    alarm: 'forged',
    claims: (scene) => rewritten(scene, { aud: [rewritten(scene, {}).aud] }),
  },
  ...(
    [
      ['text', '9999999999'],
      ['null', null],
      ['a fraction', 9_999_999_999.5],
      ['an array', [9_999_999_999]],
      ['negative', -1],
    ] as const
  ).map(
    ([what, exp]): Forgery => ({
      name: `attack-30 exp is ${what}`,
      alarm: 'forged',
      claims: (scene) => rewritten(scene, { exp }),
    }),
  ),
  { name: 'attack-30 nbf is text', alarm: 'forged', claims: (scene) => rewritten(scene, { nbf: 'never' }) },
  { name: 'nbf in the past', alarm: 'forged', claims: (scene) => rewritten(scene, { nbf: 0 }) },
  { name: 'jti is a number', alarm: 'forged', claims: (scene) => minted(scene, { jti: 1 }) },
  { name: 'jti is SQL', alarm: 'forged', claims: (scene) => minted(scene, { jti: "' OR 1=1 --" }) },
  { name: 'jti is __proto__', alarm: 'forged', claims: (scene) => minted(scene, { jti: '__proto__' }) },
  {
    name: 'iat in the future: not for now, so refused quietly',
    claims(scene) {
      const iat = Math.floor(scene.server.clock.now() / 1_000) + 3_600;
      return rewritten(scene, { iat, exp: iat + 600 });
    },
  },
  {
    name: 'minted, but expired long ago: refused quietly',
    claims: (scene) => minted(scene, { iat: 1_700_000_000, exp: 1_700_000_900 }),
  },
  {
    name: 'a claim twice, the second Ada’s',
    claims(scene) {
      const text = JSON.stringify(rewritten(scene, {}));
      return text.replace(/\}$/, `,"sub":"${scene.ada.userId}"}`);
    },
  },
  { name: 'claims with a space between', claims: (scene) => JSON.stringify(rewritten(scene, {}), null, 1) },
  { name: 'claims that are an array', claims: (scene) => JSON.stringify([rewritten(scene, {})]) },
  {
    name: 'a claim named __proto__',
    // JSON.parse makes it an own member, so the text is canonical; the bytes are not those recorded.
    alarm: 'tampered',
    claims: (scene) => JSON.stringify(rewritten(scene, {})).replace(/\}$/, ',"__proto__":{"scope":"admin"}}'),
  },
];

export const ACCESS_TOKEN_ATTEMPTS: Attempt[] = [...MINTED, ...REWRITTEN, ...BUCKETS, ...IMPOSSIBLE].flatMap(
  (forgery) =>
    (forgery.places ?? (['api', 'introspect'] as const)).map((place) => ({
      name: forgery.name,
      where: PLACES[place].where,
      ...(forgery.alarm && { alarm: forgery.alarm }),
      async run(scene: Scene) {
        const key = scene.leak.active('access');
        const token = signed(key, headerFor(key, TYP.access), await forgery.claims(scene));
        return PLACES[place].present(scene, token);
      },
    })),
);
