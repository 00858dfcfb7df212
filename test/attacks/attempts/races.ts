/** A hundred at once: one code, one link and one refresh token have one successor each, whoever wins. */
import type { Answer, Attempt } from '../attempt.ts';
import { bodyOf } from '../places.ts';
import type { Scene } from '../scene.ts';

const AT_ONCE = 100;

/** Gained: more than the one that is everybody's right. `isOne`: exactly one must have come of it. */
function outcome(answers: { status: number; made: string | undefined }[], what: string): Answer {
  const distinct = new Set(answers.flatMap(({ made }) => (made === undefined ? [] : [made])));
  const served = answers.filter(({ status }) => status < 400).length;
  if (answers.some(({ status }) => status >= 500)) return { status: 500, code: 'the server failed', gained: false };
  return {
    status: 200,
    code: `${distinct.size} distinct ${what}, ${served} of ${AT_ONCE} served`,
    gained: distinct.size !== 1,
  };
}

async function allAtOnce(
  request: () => Promise<{ status: number; made: string | undefined }>,
): Promise<{ status: number; made: string | undefined }[]> {
  return Promise.all(Array.from({ length: AT_ONCE }, request));
}

export const RACE_ATTEMPTS: Attempt[] = [
  {
    name: `attack-06 one code, redeemed ${AT_ONCE} times at once`,
    where: 'token (code)',
    async run(scene) {
      const { client, secret } = scene.app;
      const { code, verifier, redirectUri } = await scene.server.obtainCode({ browser: scene.ada.browser, client });
      const answers = await allAtOnce(() =>
        tokenRequest(scene, {
          ...{ grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: redirectUri },
          ...{ client_id: client.id, client_secret: secret },
        }),
      );
      return outcome(answers, 'grants');
    },
  },
  {
    name: `attack-01 attack-04 one refresh token, used ${AT_ONCE} times at once`,
    where: 'token (refresh)',
    async run(scene) {
      const { refresh_token } = await scene.freshTokens();
      const { client, secret } = scene.app;
      const answers = await allAtOnce(() =>
        tokenRequest(scene, {
          ...{ grant_type: 'refresh_token', refresh_token },
          ...{ client_id: client.id, client_secret: secret },
        }),
      );
      return outcome(answers, 'successors');
    },
  },
  {
    name: `attack-07 one link, its button pressed ${AT_ONCE} times at once`,
    where: 'login link',
    async run(scene) {
      const browser = scene.server.browser();
      const token = await scene.freshLink('race@example.com', browser);
      const page = await browser.get(`/login/link?token=${token}`);
      const csrf = /name="csrf" value="([^"]*)"/.exec(page.text)?.[1] ?? '';
      const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const headers = { cookie, origin: scene.server.issuer, 'sec-fetch-site': 'same-origin' };
      const answers = await allAtOnce(async () => {
        const response = await scene.server.post('/login/link', { csrf }, { headers, redirect: 'manual' });
        await response.body?.cancel();
        const session = response.headers.getSetCookie().find((one) => one.startsWith('__Host-session='));
        return { status: response.status, made: session?.split(';')[0] };
      });
      return outcome(answers, 'sessions');
    },
  },
];

async function tokenRequest(scene: Scene, form: Record<string, string>) {
  const response = await scene.server.post('/oauth2/token', form);
  const body = await bodyOf(response);
  return { status: response.status, made: response.ok ? String(body.refresh_token) : undefined };
}
