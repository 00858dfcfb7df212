/** Refresh tokens: forged with every leaked key, genuine ones in wrong hands, and old generations. No forgery may end a family. */
import type { Answer, Attempt, Ring } from '../attempt.ts';
import { headerFor, inventedBucket, inventedId, type Json, partsOf, signed, TYP } from '../forging.ts';
import { codeOf } from '../places.ts';
import type { Scene } from '../scene.ts';

const WHERE = 'token (refresh)';

/** A family that was refreshed twice, so that it has a current, a previous and an older generation. */
interface Family {
  first: string;
  second: string;
  third: string;
}

async function familyOf(scene: Scene): Promise<Family> {
  const { refresh_token: first } = await scene.freshTokens();
  const second = await successor(scene, first);
  const third = await successor(scene, second);
  scene.server.clock.advance(11_000); // past grace and past the time of clumsy retries
  return { first, second, third };
}

async function successor(scene: Scene, token: string): Promise<string> {
  const { status, body } = await scene.refresh(token);
  if (status !== 200) throw new Error(`Refreshing answered ${status}: ${codeOf(body)}`);
  return String(body.refresh_token);
}

interface Forgery {
  name: string;
  alarm?: Ring;
  claims(given: { scene: Scene; family: Family; own: Json; victim: Json }): Json;
  registered?(scene: Scene): Scene['app'];
}

const tagFor = (scene: Scene, claims: Json) =>
  scene.leak.tagged('refresh', `${claims.jti}.${claims.gid}.${claims.gen}`);

/** With the bucket key as well: the tag is right for whatever the claims say. */
const tagged = (scene: Scene, claims: Json): Json => ({ ...claims, eb: tagFor(scene, claims) });

const FORGERIES: Forgery[] = [
  {
    name: 'minted for Ada’s family, its next generation',
    alarm: 'forged',
    claims: ({ victim, scene }) => ({
      ...victim,
      jti: inventedId('reftok', scene.server.clock.now()),
      gen: Number(victim.gen) + 1,
      eb: inventedBucket(),
    }),
  },
  {
    name: 'minted for Ada’s family, its current generation',
    alarm: 'forged',
    claims: ({ victim, scene }) => ({
      ...victim,
      jti: inventedId('reftok', scene.server.clock.now()),
      eb: inventedBucket(),
    }),
  },
  {
    name: 'minted for Ada’s family, its previous generation',
    alarm: 'forged',
    claims: ({ victim }) => ({ ...victim, gen: Number(victim.gen) - 1, eb: inventedBucket() }),
  },
  {
    name: 'minted for Ada’s family, its first generation',
    alarm: 'forged',
    claims: ({ victim }) => ({ ...victim, gen: 1, eb: inventedBucket() }),
  },
  {
    name: 'own jti and eb, in Ada’s family',
    alarm: 'forged',
    claims: ({ own, victim }) => ({ ...own, gid: victim.gid, gen: victim.gen }),
  },
  {
    name: 'own jti and eb, as an old generation of Ada’s family',
    alarm: 'forged',
    claims: ({ own, victim }) => ({ ...own, gid: victim.gid, gen: 1 }),
  },
  { name: 'own token, another sub', alarm: 'tampered', claims: ({ own, victim }) => ({ ...own, sub: victim.sub }) },
  {
    name: 'own token, another client_id',
    alarm: 'tampered',
    claims: ({ own, scene }) => ({ ...own, client_id: scene.malloryApp.client.id }),
  },
  { name: 'own token, a later iat', alarm: 'tampered', claims: ({ own }) => ({ ...own, iat: Number(own.iat) + 1 }) },
  { name: 'own token, a scope added', alarm: 'tampered', claims: ({ own }) => ({ ...own, scope: 'admin' }) },
  { name: 'own token without eb', alarm: 'forged', claims: ({ own }) => ({ ...own, eb: undefined }) },
  { name: 'own token, its eb empty', alarm: 'forged', claims: ({ own }) => ({ ...own, eb: '' }) },
  { name: 'own token, its eb an array', alarm: 'forged', claims: ({ own }) => ({ ...own, eb: [own.eb] }) },
  { name: 'own token, its gen a text', alarm: 'forged', claims: ({ own }) => ({ ...own, gen: String(own.gen) }) },
  { name: 'own token, generation 0', alarm: 'forged', claims: ({ own }) => ({ ...own, gen: 0 }) },
  {
    name: 'own token, a generation past all numbers',
    alarm: 'forged',
    claims: ({ own }) => ({ ...own, gen: 2 ** 53 }),
  },
  {
    name: 'minted for a family that never was',
    alarm: 'forged',
    claims: ({ victim, scene }) => ({
      ...victim,
      gid: inventedId('grant', scene.server.clock.now()),
      eb: inventedBucket(),
    }),
  },
  {
    name: 'a foreign issuer under our key',
    alarm: 'forged',
    claims: ({ own }) => ({ ...own, iss: 'https://evil.example' }),
  },
  {
    name: 'with the bucket key too: Ada’s next generation (unknown)',
    claims: ({ victim, scene }) => tagged(scene, { ...victim, gen: Number(victim.gen) + 1 }),
  },
  {
    name: 'with the bucket key too: Ada’s current generation',
    alarm: 'tampered',
    claims: ({ victim, scene }) => tagged(scene, victim),
  },
  {
    name: 'with the bucket key too: Ada’s previous generation',
    alarm: 'tampered',
    claims: ({ victim, scene }) => tagged(scene, { ...victim, gen: Number(victim.gen) - 1 }),
  },
  {
    name: 'with the bucket key too: an old generation, under the credentials of another client',
    claims: ({ victim, scene }) => tagged(scene, { ...victim, gen: 1 }),
    registered: (scene) => scene.malloryApp,
  },
];

const FORGED: Attempt[] = FORGERIES.map(({ name, alarm, claims, registered }) => ({
  name,
  where: WHERE,
  ...(alarm && { alarm }),
  async run(scene) {
    const family = await familyOf(scene);
    const own = await scene.freshTokens({ browser: scene.mallory.browser });
    const key = scene.leak.active('refresh');
    const forged = claims({
      ...{ scene, family },
      own: partsOf(own.refresh_token).claims,
      victim: partsOf(family.third).claims,
    });
    const token = signed(key, headerFor(key, TYP.refresh), forged);
    const refreshed = await scene.refresh(token, registered ? { registered: registered(scene) } : {});
    return unharmed(scene, family, { refreshed, own: own.refresh_token });
  },
}));

/** Whatever the forgery was, Ada's family and the forger's own go on: a stolen key ends nobody's grant. */
async function unharmed(
  scene: Scene,
  family: Family,
  seen: { refreshed: { status: number; body: Record<string, unknown> }; own?: string },
): Promise<Answer> {
  const { status, body } = seen.refreshed;
  await successor(scene, family.third);
  if (seen.own !== undefined) await successor(scene, seen.own);
  return { status, code: codeOf(body), gained: status === 200 };
}

const MISUSED: Attempt[] = [
  {
    name: 'attack-09 Ada’s current token, presented by another client',
    where: WHERE,
    async run(scene) {
      const family = await familyOf(scene);
      const refreshed = await scene.refresh(family.third, { registered: scene.malloryApp });
      return unharmed(scene, family, { refreshed });
    },
  },
  {
    name: 'Ada’s current token without client authentication',
    where: WHERE,
    async run(scene) {
      const family = await familyOf(scene);
      const refreshed = await scene.refresh(family.third, { isAuthenticated: false });
      return unharmed(scene, family, { refreshed });
    },
  },
  {
    name: 'an old generation without client authentication: ends nothing',
    where: WHERE,
    async run(scene) {
      const family = await familyOf(scene);
      const refreshed = await scene.refresh(family.first, { isAuthenticated: false });
      return unharmed(scene, family, { refreshed });
    },
  },
  {
    name: 'an old generation, presented by another client: ends nothing',
    where: WHERE,
    async run(scene) {
      const family = await familyOf(scene);
      const refreshed = await scene.refresh(family.first, { registered: scene.malloryApp });
      return unharmed(scene, family, { refreshed });
    },
  },
  ...(['first', 'second'] as const).map(
    (generation): Attempt => ({
      name: `the ${generation} of three generations, with the client’s credentials: stolen, so the family ends`,
      where: WHERE,
      alarm: 'replayed',
      async run(scene) {
        const family = await familyOf(scene);
        const { status, body } = await scene.refresh(family[generation]);
        const after = await scene.refresh(family.third);
        return { status, code: codeOf(body), gained: status === 200 || after.status === 200 };
      },
    }),
  ),
  {
    name: 'a wider scope than was granted',
    where: WHERE,
    async run(scene) {
      const { refresh_token } = await scene.freshTokens({ browser: scene.mallory.browser, scope: 'openid' });
      const { client, secret } = scene.app;
      const response = await scene.server.post('/oauth2/token', {
        ...{ grant_type: 'refresh_token', refresh_token, scope: 'openid accounts:read' },
        ...{ client_id: client.id, client_secret: secret },
      });
      return { status: response.status, code: codeOf(await response.json()), gained: response.ok };
    },
  },
];

export const REFRESH_ATTEMPTS: Attempt[] = [...FORGED, ...MISUSED];

/** Both keys and the client's own credentials together still obtain nothing, but can end a family. It rings. */
export const CONCEDED_TO_CLIENT_THIEVES: Attempt[] = [
  {
    name: 'refresh key, bucket key and the client’s credentials: an old generation of Ada’s family ends it',
    where: WHERE,
    kind: 'conceded',
    alarm: 'replayed',
    async run(scene) {
      const family = await familyOf(scene);
      const key = scene.leak.active('refresh');
      const claims = tagged(scene, { ...partsOf(family.third).claims, gen: 1 });
      const { status, body } = await scene.refresh(signed(key, headerFor(key, TYP.refresh), claims));
      if (status === 200) throw new Error('It was refreshed, which is not conceded');
      const after = await scene.refresh(family.third);
      return { status, code: codeOf(body), gained: after.status !== 200 };
    },
  },
];
