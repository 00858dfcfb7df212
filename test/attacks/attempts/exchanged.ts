/** Every kind of token at every place that takes another: genuine ones of Ada's, and forged ones under another purpose's key. */
import type { Attempt } from '../attempt.ts';
import { inventedBucket, inventedId, type Json, partsOf, signed, TYP } from '../forging.ts';
import { PLACES, type Place } from '../places.ts';
import type { Genuine, Scene } from '../scene.ts';

const KINDS: { kind: keyof Genuine; rightPlaces: Place[] }[] = [
  { kind: 'access', rightPlaces: ['api', 'introspect', 'userinfo', 'whoami', 'logout', 'revoke'] },
  { kind: 'refresh', rightPlaces: ['refresh', 'revoke'] },
  { kind: 'link', rightPlaces: [] }, // at the link page it meets another browser than the one that waits for it
  { kind: 'id', rightPlaces: ['hint'] },
  { kind: 'code', rightPlaces: [] }, // at the token endpoint it meets a verifier that is not its own
  { kind: 'session', rightPlaces: ['session'] },
];

const ALL_PLACES = Object.keys(PLACES) as Place[]; // a record keyed by Place

const GENUINE: Attempt[] = KINDS.flatMap(({ kind, rightPlaces }) =>
  ALL_PLACES.filter((place) => !rightPlaces.includes(place)).map((place) => ({
    name: `Ada’s ${kind}, genuine, used as something else or by somebody else`,
    where: PLACES[place].where,
    run: async (scene: Scene) => PLACES[place].present(scene, (await scene.genuine())[kind]),
  })),
);

const PURPOSES = ['access', 'refresh', 'magic-link', 'id'] as const;
const READ_AT: Record<(typeof PURPOSES)[number], Place> = {
  access: 'api',
  refresh: 'refresh',
  'magic-link': 'link',
  id: 'hint',
};

/** Claims as the victim's kind of token has them, so that nothing but the key is wrong. */
async function claimsOf(scene: Scene, purpose: (typeof PURPOSES)[number]): Promise<Json> {
  const genuine = await scene.genuine();
  const nowMs = scene.server.clock.now();
  switch (purpose) {
    case 'access':
      return { ...partsOf(genuine.access).claims, jti: inventedId('acctok', nowMs), eb: inventedBucket() };
    case 'refresh':
      return { ...partsOf(genuine.refresh).claims, jti: inventedId('reftok', nowMs), eb: inventedBucket() };
    case 'magic-link':
      return { ...partsOf(genuine.link).claims, jti: inventedId('maglnk', nowMs), eb: inventedBucket() };
    case 'id':
      return partsOf(genuine.id).claims;
  }
}

const UNDER_ANOTHER_KEY: Attempt[] = PURPOSES.flatMap((target) =>
  PURPOSES.filter((purpose) => purpose !== target).flatMap((purpose) =>
    [true, false].map((isOwnKid) => ({
      name: `${target} token, forged with the ${purpose} key, under ${isOwnKid ? 'that key’s' : 'the right key’s'} kid`,
      where: PLACES[READ_AT[target]].where,
      async run(scene: Scene) {
        const key = scene.leak.active(purpose);
        const kid = isOwnKid ? key.id : scene.leak.active(target).id;
        const header = { alg: isOwnKid ? key.algorithm : scene.leak.active(target).algorithm, typ: TYP[target], kid };
        return PLACES[READ_AT[target]].present(scene, signed(key, header, await claimsOf(scene, target)));
      },
    })),
  ),
);

/** An ID token is read by its signature alone, and no resource of ours reads it: forged, it opens nothing here. */
const FORGED_ID_TOKEN: Attempt[] = (['userinfo', 'whoami', 'api', 'introspect', 'logout'] as const).map((place) => ({
  name: 'a forged ID token for Ada, under the leaked id key',
  where: PLACES[place].where,
  async run(scene: Scene) {
    const key = scene.leak.active('id');
    const claims = await claimsOf(scene, 'id');
    return PLACES[place].present(scene, signed(key, { alg: key.algorithm, typ: TYP.id, kid: key.id }, claims));
  },
}));

export const EXCHANGED_ATTEMPTS: Attempt[] = [...GENUINE, ...UNDER_ANOTHER_KEY, ...FORGED_ID_TOKEN];
