/**
 * The database in other hands. A copy logs nobody in. Who can also write takes things away and brings revoked things back, but
 * cannot make a token or a row of his own, nor turn his own into another's.
 */
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import type { Answer, Attempt } from '../attempt.ts';
import { insertRow, readRow, startOnCopy, storedValues, writeRow } from '../database.ts';
import { encoded, headerFor, inventedId, type Json, partsOf, signed, TYP } from '../forging.ts';
import { recordUnder } from '../leak.ts';
import { PLACES, type Place } from '../places.ts';
import type { Scene } from '../scene.ts';

const TRIED_AT: Place[] = ['session', 'api', 'whoami', 'introspect', 'refresh', 'code', 'link', 'hint'];

const COPIED: Attempt[] = [
  ...TRIED_AT.map(
    (place): Attempt => ({
      name: 'attack-38 every value of a copied database as a credential',
      where: PLACES[place].where,
      run: async (scene) => tryAll(await storedValues(scene), (value) => PLACES[place].present(scene, value)),
    }),
  ),
  {
    name: 'every value of a copied database as the client’s secret',
    where: 'token (secret)',
    run: async (scene) =>
      tryAll(await storedValues(scene), async (value) => {
        const response = await scene.server.post('/oauth2/introspect', {
          ...{ token: 'x', client_id: scene.resourceServer.client.id, client_secret: value },
        });
        await response.body?.cancel();
        return { status: response.status, code: '', gained: response.ok };
      }),
  },
  {
    name: 'Ada’s stored record as the eb of a forged token',
    where: PLACES.api.where,
    alarm: 'forged',
    async run(scene) {
      const { claims } = partsOf(scene.ada.tokens.access_token);
      const { record } = await readRow(scene, 'SELECT record FROM access_token WHERE jti = $1', String(claims.jti));
      return forged(scene, { ...claims, eb: encoded(bytesOf(record)) });
    },
  },
  {
    name: 'a copy started with another master key',
    where: 'start',
    run: (scene) => refusedStart(scene, { masterKey: randomBytes(32) }),
  },
];

async function tryAll(values: string[], present: (value: string) => Promise<Answer>): Promise<Answer> {
  if (values.length < 50) throw new Error('The copy shows too little to be one');
  const answers: Answer[] = [];
  for (const value of values) answers.push(await present(value));
  const worst = answers.find(({ gained, status }) => gained || status >= 500);
  return worst ?? { status: answers[0]?.status ?? 0, code: `${values.length} values tried`, gained: false };
}

async function refusedStart(scene: Scene, options: Parameters<typeof startOnCopy>[1]): Promise<Answer> {
  const error = await startOnCopy(scene, options);
  return { status: 0, code: error ?? 'started', gained: error !== 'SealBroken' };
}

function forged(scene: Scene, claims: Json, place: Place = 'api'): Promise<Answer> {
  const key = scene.leak.active('access');
  return PLACES[place].present(scene, signed(key, headerFor(key, TYP.access), claims));
}

/** A row like that of Mallory's own token, with another id and this record. */
async function insertTokenRow(scene: Scene, given: { jti: string; record: Uint8Array; userId: string }): Promise<void> {
  const own = String(partsOf(scene.mallory.tokens.access_token).claims.jti);
  await writeRow(
    scene,
    `INSERT INTO access_token (jti, grant_id, client_id, user_id, session_id, audience, key_id, bucket_version, record,
       issued_at_ms, expires_at_ms)
     SELECT $1, grant_id, client_id, $2, session_id, audience, key_id, bucket_version, $3, issued_at_ms, expires_at_ms
     FROM access_token WHERE jti = $4`,
    ...[given.jti, given.userId, given.record, own],
  );
}

/** The row is put right afterwards: read again, by Ada's account page for one, it would ring again, and rightly. */
async function refreshedAs(scene: Scene, change: { column: 'user_id' | 'scope'; value: string }): Promise<Answer> {
  const { refresh_token } = await scene.freshTokens({ browser: scene.mallory.browser, scope: 'openid' });
  const id = String(partsOf(refresh_token).claims.gid);
  const { before } = await readRow(scene, `SELECT ${change.column} AS before FROM oauth_grant WHERE id = $1`, id);
  await writeRow(scene, `UPDATE oauth_grant SET ${change.column} = $1 WHERE id = $2`, change.value, id);
  const answer = await PLACES.refresh.present(scene, refresh_token);
  await writeRow(scene, `UPDATE oauth_grant SET ${change.column} = $1 WHERE id = $2`, String(before), id);
  return answer;
}

async function plantedSession(scene: Scene, proof: 'zero' | 'copied from Ada’s'): Promise<Answer> {
  const cookie = randomBytes(32).toString('base64url');
  const id = inventedId('sess', scene.server.clock.now());
  const hers = await readRow(
    scene,
    'SELECT * FROM browser_session WHERE user_id = $1 AND ended_at_ms IS NULL LIMIT 1',
    scene.ada.userId,
  );
  const planted = {
    ...{ ...hers, id, digest: createHash('sha256').update(cookie).digest() },
    ...(proof === 'zero' && { proof: Buffer.alloc(bytesOf(hers.proof).length) }),
  };
  await insertRow(scene, 'browser_session', planted);
  const answer = await PLACES.session.present(scene, cookie);
  await writeRow(scene, 'DELETE FROM browser_session WHERE id = $1', id);
  return answer;
}

function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new Error('The column does not hold bytes');
}

const WRITTEN: Attempt[] = [
  {
    name: 'a written row, the token signed by a key of his own',
    where: PLACES.api.where,
    async run(scene) {
      const jti = inventedId('acctok', scene.server.clock.now());
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const own = {
        sign: (input: string) =>
          sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' as const }),
      };
      const token = signed(own, headerFor(scene.leak.active('access'), TYP.access), {
        ...partsOf(scene.ada.tokens.access_token).claims,
        jti,
      });
      await insertTokenRow(scene, {
        jti,
        userId: scene.ada.userId,
        record: recordUnder(randomBytes(32), jti, partsOf(token).input),
      });
      return PLACES.api.present(scene, token);
    },
  },
  ...(
    [
      ['the record under a guessed bucket key', () => recordUnder(randomBytes(32), 'x', 'x')],
      ['the record a plain hash', () => createHash('sha256').update('x').digest()],
      ['the record empty', () => new Uint8Array(0)],
      [
        'the record copied from Ada’s row',
        async (scene: Scene) => {
          const jti = String(partsOf(scene.ada.tokens.access_token).claims.jti);
          const { record } = await readRow(scene, 'SELECT record FROM access_token WHERE jti = $1', jti);
          return bytesOf(record);
        },
      ],
    ] as const
  ).map(
    ([what, record]): Attempt => ({
      name: `a written row and the leaked signing key, ${what}`,
      where: PLACES.api.where,
      alarm: 'tampered',
      async run(scene) {
        const jti = inventedId('acctok', scene.server.clock.now());
        await insertTokenRow(scene, { jti, userId: scene.ada.userId, record: await record(scene) });
        return forged(scene, { ...partsOf(scene.ada.tokens.access_token).claims, jti });
      },
    }),
  ),
  ...(['userinfo', 'whoami', 'introspect'] as const).map(
    (place): Attempt => ({
      name: 'the row of his own good token made Ada’s',
      where: PLACES[place].where,
      alarm: 'tampered',
      async run(scene) {
        const { access_token } = await scene.freshTokens({ browser: scene.mallory.browser });
        const jti = String(partsOf(access_token).claims.jti);
        await writeRow(scene, 'UPDATE access_token SET user_id = $1 WHERE jti = $2', scene.ada.userId, jti);
        return PLACES[place].present(scene, access_token);
      },
    }),
  ),
  {
    name: 'the row of his own grant made Ada’s, then refreshed',
    where: PLACES.refresh.where,
    alarm: 'tampered',
    run: (scene) => refreshedAs(scene, { column: 'user_id', value: scene.ada.userId }),
  },
  {
    name: 'a wider scope in the row of his own grant, then refreshed',
    where: PLACES.refresh.where,
    alarm: 'tampered',
    run: (scene) => refreshedAs(scene, { column: 'scope', value: 'openid email accounts:read admin' }),
  },
  ...(['zero', 'copied from Ada’s'] as const).map(
    (proof): Attempt => ({
      name: `a session row for Ada with the digest of his own cookie, its proof ${proof}`,
      where: PLACES.session.where,
      alarm: 'tampered',
      run: (scene) => plantedSession(scene, proof),
    }),
  ),
  {
    name: 'his own waiting link made Ada’s',
    where: 'login link',
    alarm: 'tampered',
    async run(scene) {
      const browser = scene.server.browser();
      const token = await scene.freshLink('mallory-too@example.net', browser);
      const page = await browser.get(`/login/link?token=${token}`);
      const id = String(partsOf(token).claims.jti);
      const { email, userId } = scene.ada;
      await writeRow(scene, 'UPDATE magic_link SET email = $1, user_id = $2 WHERE id = $3', email, userId, id);
      const { status } = await browser.submit(page, {});
      await writeRow(scene, 'DELETE FROM magic_link WHERE id = $1', id);
      return { status, code: '', gained: browser.cookies.has('__Host-session') };
    },
  },
  {
    name: 'his own record moved to Ada’s grant',
    where: PLACES.refresh.where,
    alarm: 'forged',
    async run(scene) {
      const own = await scene.freshTokens({ browser: scene.mallory.browser });
      const victim = await scene.freshTokens();
      const { gid } = partsOf(own.refresh_token).claims;
      const { record } = await readRow(scene, 'SELECT record FROM oauth_grant WHERE id = $1', String(gid));
      const victimId = String(partsOf(victim.refresh_token).claims.gid);
      await writeRow(scene, 'UPDATE oauth_grant SET record = $1 WHERE id = $2', bytesOf(record), victimId);
      const key = scene.leak.active('refresh');
      const claims = { ...partsOf(own.refresh_token).claims, gid: victimId };
      return PLACES.refresh.present(scene, signed(key, headerFor(key, TYP.refresh), claims));
    },
  },
  {
    name: 'the published key replaced by his own',
    where: PLACES.introspect.where,
    async run(scene) {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const key = scene.leak.active('access');
      const { old } = await readRow(scene, 'SELECT public_jwk AS old FROM signing_key WHERE id = $1', key.id);
      const jwk = { ...publicKey.export({ format: 'jwk' }), kid: key.id, alg: 'ES256', use: 'sig' };
      await writeRow(scene, 'UPDATE signing_key SET public_jwk = $1 WHERE id = $2', JSON.stringify(jwk), key.id);
      await scene.server.authority.keys.reload();
      const own = {
        sign: (input: string) =>
          sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' as const }),
      };
      const token = signed(own, headerFor(key, TYP.access), partsOf(scene.ada.tokens.access_token).claims);
      const answer = await PLACES.introspect.present(scene, token);
      await writeRow(scene, 'UPDATE signing_key SET public_jwk = $1 WHERE id = $2', String(old), key.id);
      return answer;
    },
  },
  {
    name: 'a sealed key moved to another row',
    where: 'start',
    run: (scene) =>
      refusedStart(scene, {
        masterKey: scene.server.masterKey,
        alter: (tx) =>
          tx.run(`UPDATE signing_key SET sealed_private =
            (SELECT sealed_private FROM signing_key WHERE purpose = 'login-code' LIMIT 1) WHERE purpose = 'handle'`),
      }),
  },
  {
    name: 'the bucket key replaced by one of his own',
    where: 'start',
    run: (scene) =>
      refusedStart(scene, {
        masterKey: scene.server.masterKey,
        alter: (tx) => tx.run('UPDATE bucket_key SET sealed_key = $1', randomBytes(61)),
      }),
  },
  {
    name: 'the copy as it stands, with its master key: starts, so what was refused was the change',
    where: 'start',
    kind: 'control',
    async run(scene) {
      const error = await startOnCopy(scene, { masterKey: scene.server.masterKey });
      return { status: 0, code: error ?? 'started', gained: error === undefined };
    },
  },
];

/**
 * What writing does give, so that nobody reads more out of the list than is in it. Each runs like an attempt and must succeed: the
 * day it fails, docs/threat-model.md says too little of us.
 */
const CONCEDED: Attempt[] = [
  {
    name: 'the mark of a revocation removed: a token that he holds lives again',
    where: PLACES.introspect.where,
    kind: 'conceded',
    // Not at the API: its verifier remembers for some seconds that the token is dead.
    async run(scene) {
      const { access_token } = await scene.freshTokens({ browser: scene.mallory.browser });
      await PLACES.revoke.present(scene, access_token);
      const dead = await PLACES.introspect.present(scene, access_token);
      if (dead.gained) throw new Error('The token was not revoked to begin with');
      const jti = String(partsOf(access_token).claims.jti);
      await writeRow(scene, 'UPDATE access_token SET revoked_at_ms = NULL WHERE jti = $1', jti);
      return PLACES.introspect.present(scene, access_token);
    },
  },
];

export const DATABASE_ATTEMPTS: Attempt[] = [...COPIED, ...WRITTEN];
export const CONCEDED_TO_DATABASE_WRITERS: Attempt[] = CONCEDED;
