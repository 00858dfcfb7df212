/** What must work before the attacks and after them: a server that refuses everybody would pass any list of attacks. */
import type { Attempt } from '../attempt.ts';
import { bearer, PLACES, untilRefused } from '../places.ts';

export const HONEST: Attempt[] = [
  ...(['api', 'introspect', 'userinfo', 'whoami'] as const).map(
    (place): Attempt => ({
      name: 'Ada’s access token of the first hour',
      where: PLACES[place].where,
      kind: 'control',
      run: (scene) => PLACES[place].present(scene, scene.ada.tokens.access_token),
    }),
  ),
  {
    name: 'Ada’s session of the first hour',
    where: PLACES.session.where,
    kind: 'control',
    run: (scene) => PLACES.session.present(scene, scene.ada.browser.cookies.get('__Host-session') ?? ''),
  },
  {
    name: 'Ada’s refresh token: nobody was logged out',
    where: PLACES.refresh.where,
    kind: 'control',
    async run(scene) {
      const { status, body } = await scene.refresh(scene.ada.tokens.refresh_token);
      if (status === 200) {
        const { access_token, refresh_token } = body;
        Object.assign(scene.ada.tokens, { access_token, refresh_token });
      }
      return { status, code: String(body.error ?? ''), gained: status === 200 };
    },
  },
  {
    name: 'a link in the browser that waits for it',
    where: PLACES.link.where,
    kind: 'control',
    async run(scene) {
      const browser = await scene.server.logIn('honest@example.com');
      return { status: 200, code: '', gained: browser.cookies.has('__Host-session') };
    },
  },
  {
    name: 'a code with its own verifier',
    where: PLACES.code.where,
    kind: 'control',
    async run(scene) {
      const { access_token } = await scene.freshTokens();
      return PLACES.introspect.present(scene, access_token);
    },
  },
  {
    name: 'an ID token as a hint',
    where: PLACES.hint.where,
    kind: 'control',
    run: async (scene) => PLACES.hint.present(scene, (await scene.genuine()).id),
  },
  {
    name: 'the client revokes its own token: it is dead at the API within the bound',
    where: PLACES.revoke.where,
    kind: 'control',
    async run(scene) {
      const { access_token } = await scene.freshTokens();
      const before = await PLACES.api.present(scene, access_token);
      await PLACES.revoke.present(scene, access_token);
      await untilRefused(() => PLACES.api.present(scene, access_token));
      const after = await PLACES.api.present(scene, access_token);
      return { ...after, gained: before.gained && !after.gained };
    },
  },
  {
    name: 'logging out by the token itself',
    where: PLACES.logout.where,
    kind: 'control',
    async run(scene) {
      const { access_token } = await scene.freshTokens();
      return bearer(`${scene.server.issuer}/oauth2/logout`, access_token, { method: 'POST' });
    },
  },
];
