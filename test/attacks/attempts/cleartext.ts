/** Credentials on the plaintext port: a good one is taken back and rings, anything else is refused and changes nothing. */
import type { Answer, Attempt } from '../attempt.ts';
import { headerFor, inventedBucket, inventedId, partsOf, signed, TYP } from '../forging.ts';
import { bodyOf, codeOf, PLACES } from '../places.ts';
import type { Scene } from '../scene.ts';

async function inTheClear(scene: Scene, path: string, init: RequestInit): Promise<Omit<Answer, 'gained'>> {
  const response = await fetch(`${scene.server.plaintextOrigin}${path}`, { redirect: 'manual', ...init });
  return { status: response.status, code: codeOf(await bodyOf(response)) };
}

const authorized = (token: string): RequestInit => ({ headers: { authorization: `Bearer ${token}` } });

export const CLEARTEXT_ATTEMPTS: Attempt[] = [
  {
    name: 'a good access token in the clear: no answer, and dead afterwards',
    where: 'http userinfo',
    alarm: 'cleartext',
    async run(scene) {
      const { access_token } = await scene.freshTokens();
      const answer = await inTheClear(scene, '/userinfo', authorized(access_token));
      return { ...answer, gained: answer.status === 200 || (await PLACES.api.present(scene, access_token)).gained };
    },
  },
  {
    name: 'a good refresh token in the clear: no answer, and its grant ends',
    where: 'http token',
    alarm: 'cleartext',
    async run(scene) {
      const { refresh_token, access_token } = await scene.freshTokens();
      const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token });
      const answer = await inTheClear(scene, '/oauth2/token', { method: 'POST', body });
      return { ...answer, gained: answer.status === 200 || (await PLACES.api.present(scene, access_token)).gained };
    },
  },
  {
    name: 'a forged access token in the clear: forged, and nothing else',
    where: 'http userinfo',
    alarm: 'forged',
    async run(scene) {
      const key = scene.leak.active('access');
      const { claims } = partsOf(scene.ada.tokens.access_token);
      const jti = inventedId('acctok', scene.server.clock.now());
      const token = signed(key, headerFor(key, TYP.access), { ...claims, jti, eb: inventedBucket() });
      const answer = await inTheClear(scene, '/userinfo', authorized(token));
      return { ...answer, gained: answer.status === 200 };
    },
  },
  {
    name: 'a revoked token in the clear: nobody’s loss',
    where: 'http userinfo',
    async run(scene) {
      const { access_token } = await scene.freshTokens();
      await PLACES.revoke.present(scene, access_token);
      const answer = await inTheClear(scene, '/userinfo', authorized(access_token));
      return { ...answer, gained: answer.status === 200 };
    },
  },
  {
    name: 'Ada’s jti in the clear, with an invented token around it: her token lives on',
    where: 'http userinfo',
    async run(scene) {
      const { input } = partsOf(scene.ada.tokens.access_token);
      const answer = await inTheClear(scene, '/userinfo', authorized(`${input}.${'A'.repeat(86)}`));
      return { ...answer, gained: !(await PLACES.api.present(scene, scene.ada.tokens.access_token)).gained };
    },
  },
];
