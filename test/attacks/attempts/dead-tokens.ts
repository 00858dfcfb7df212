/** Tokens that were good once. All are refused, and none of them rings: nothing was forged. */
import type { Answer, Attempt } from '../attempt.ts';
import { bearer, PLACES } from '../places.ts';
import type { Scene } from '../scene.ts';

interface Death {
  name: string;
  /** A token that was good, was shown to be so, and is not any more. */
  token(scene: Scene): Promise<string>;
}

async function goodToken(scene: Scene, options: Parameters<Scene['freshTokens']>[0] = {}) {
  const tokens = await scene.freshTokens({ browser: scene.mallory.browser, ...options });
  const before = await PLACES.introspect.present(scene, tokens.access_token);
  if (!before.gained) throw new Error('The token was not good to begin with');
  return tokens;
}

const DEATHS: Death[] = [
  {
    name: 'a revoked token',
    async token(scene) {
      const { access_token } = await goodToken(scene);
      await PLACES.revoke.present(scene, access_token);
      return access_token;
    },
  },
  {
    name: 'a token whose refresh token was revoked',
    async token(scene) {
      const tokens = await goodToken(scene);
      await PLACES.revoke.present(scene, tokens.refresh_token);
      return tokens.access_token;
    },
  },
  {
    name: 'a superseded token after its overlap',
    async token(scene) {
      const tokens = await goodToken(scene);
      await scene.refresh(tokens.refresh_token);
      scene.server.clock.advance(11_000);
      return tokens.access_token;
    },
  },
  {
    name: 'an expired token within the leeway of clocks',
    async token(scene) {
      const { access_token } = await goodToken(scene, { registered: scene.brief });
      scene.server.clock.advance(62_000);
      return access_token;
    },
  },
  {
    name: 'a token expired long ago',
    async token(scene) {
      const { access_token } = await goodToken(scene, { registered: scene.brief });
      scene.server.clock.advance(400_000);
      await scene.server.runJobs();
      return access_token;
    },
  },
  {
    name: 'a token after its bearer logged out',
    async token(scene) {
      const { access_token } = await goodToken(scene);
      await bearer(`${scene.server.issuer}/oauth2/logout`, access_token, { method: 'POST' });
      return access_token;
    },
  },
  {
    name: 'attack-10 a token of a user who was disabled',
    async token(scene) {
      const email = `eve-${scene.server.clock.now()}@example.org`;
      const browser = await scene.server.logIn(email);
      const { access_token } = await goodToken(scene, { browser });
      const { users, revocation, store } = scene.server.authority;
      const user = await users.byEmail(email);
      await revocation.disableUser(user?.id ?? '');
      await store.write((tx) => users.enable(tx, user?.id ?? '')); // what died with the disabling stays dead
      return access_token;
    },
  },
  {
    name: 'a token of a client that was disabled',
    async token(scene) {
      const registered = await scene.server.addClient({ name: 'Gone' });
      const { access_token } = await goodToken(scene, { registered });
      await scene.server.authority.revocation.disableClient(registered.client.id);
      return access_token;
    },
  },
];

const ELSEWHERE: Attempt[] = [
  {
    name: 'attack-21 a good token introspected by a resource server of another audience',
    where: 'introspect',
    run: (scene) => introspectAs(scene, scene.otherResourceServer),
  },
  {
    name: 'attack-21 a good token introspected by an ordinary client',
    where: 'introspect',
    run: (scene) => introspectAs(scene, scene.malloryApp),
  },
  {
    name: 'a good token of another API',
    where: PLACES.api.where,
    async run(scene) {
      const { access_token } = await scene.freshTokens({ registered: scene.elsewhere });
      return PLACES.api.present(scene, access_token);
    },
  },
  {
    name: 'a good token of another client, revoked by Mallory’s',
    where: PLACES.revoke.where,
    async run(scene) {
      const { client, secret } = scene.malloryApp;
      const token = scene.ada.tokens.access_token;
      const response = await scene.server.post('/oauth2/revoke', {
        ...{ token, client_id: client.id, client_secret: secret },
      });
      const isAlive = (await PLACES.introspect.present(scene, token)).gained;
      return { status: response.status, code: (await response.json()).code, gained: !isAlive };
    },
  },
];

async function introspectAs(scene: Scene, { client, secret }: Scene['app']): Promise<Answer> {
  const token = scene.ada.tokens.access_token;
  const response = await scene.server.post('/oauth2/introspect', {
    ...{ token, client_id: client.id, client_secret: secret },
  });
  const body = await response.json();
  return { status: response.status, code: body.code ?? `active: ${body.active}`, gained: body.active === true };
}

export const DEAD_TOKEN_ATTEMPTS: Attempt[] = [
  ...DEATHS.flatMap(({ name, token }) =>
    (['api', 'introspect', 'userinfo'] as const).map((place) => ({
      name,
      where: PLACES[place].where,
      run: async (scene: Scene) => PLACES[place].present(scene, await token(scene)),
    })),
  ),
  ...ELSEWHERE,
];
