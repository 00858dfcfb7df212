/** Every place of the running system that takes a token, and what it means to have gained something there. */
import type { Answer } from './attempt.ts';
import type { Scene } from './scene.ts';

export type Place =
  | 'api'
  | 'introspect'
  | 'userinfo'
  | 'whoami'
  | 'logout'
  | 'refresh'
  | 'code'
  | 'revoke'
  | 'link'
  | 'session'
  | 'hint';

export const PLACES: Record<Place, { where: string; present(scene: Scene, token: string): Promise<Answer> }> = {
  api: { where: 'API via verifier', present: (scene, token) => bearer(`${scene.apiOrigin}/balance`, token) },
  introspect: { where: 'introspect', present: introspect },
  userinfo: { where: 'userinfo', present: (scene, token) => bearer(`${scene.server.issuer}/userinfo`, token) },
  whoami: { where: 'whoami', present: (scene, token) => bearer(`${scene.server.issuer}/ping/whoami`, token) },
  logout: {
    where: 'logout',
    present: (scene, token) => bearer(`${scene.server.issuer}/oauth2/logout`, token, { method: 'POST' }),
  },
  refresh: {
    where: 'token (refresh)',
    async present(scene, token) {
      const { status, body } = await scene.refresh(token);
      return { status, code: codeOf(body), gained: status === 200 };
    },
  },
  code: { where: 'token (code)', present: redeem },
  revoke: { where: 'revoke', present: revoke },
  link: { where: 'login link', present: followLink },
  session: { where: 'account page', present: openAccount },
  hint: { where: 'authorize (hint)', present: hint },
};

export async function bearer(url: string, token: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, { ...init, headers: { authorization: `Bearer ${token}` }, redirect: 'manual' });
  const code = codeOf(await bodyOf(response));
  return { status: response.status, code, gained: response.ok };
}

/** The bound that the verifier of the scene promises, which is the default: what is revoked is accepted no later than this after. */
const MAX_STALENESS_MS = 30_000;

/** Calls the API with a token that it has cached, until it has heard of the revocation: some milliseconds, its bound at the most. */
export async function untilRefused(call: () => Promise<{ status: number }>): Promise<void> {
  const untilMs = performance.now() + MAX_STALENESS_MS;
  while ((await call()).status === 200 && performance.now() < untilMs) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function introspect({ server, resourceServer }: Scene, token: string): Promise<Answer> {
  const response = await server.post('/oauth2/introspect', {
    token,
    client_id: resourceServer.client.id,
    client_secret: resourceServer.secret,
  });
  const body = await bodyOf(response);
  const code = body.active === undefined ? codeOf(body) : `active: ${body.active}`;
  return { status: response.status, code, gained: body.active === true };
}

async function redeem({ server, app }: Scene, code: string): Promise<Answer> {
  const response = await server.post('/oauth2/token', {
    ...{ grant_type: 'authorization_code', code, redirect_uri: app.client.redirectUris[0] ?? '' },
    ...{ code_verifier: 'A'.repeat(43), client_id: app.client.id, client_secret: app.secret },
  });
  return { status: response.status, code: codeOf(await bodyOf(response)), gained: response.ok };
}

/** Revocation answers 200 to what it does not know; something was gained if a token of Ada's died of it. */
async function revoke(scene: Scene, token: string): Promise<Answer> {
  const { server, app, ada } = scene;
  const response = await server.post('/oauth2/revoke', {
    ...{ token, client_id: app.client.id, client_secret: app.secret },
  });
  const isAlive = (await bearer(`${server.issuer}/ping/whoami`, ada.tokens.access_token)).gained;
  return { status: response.status, code: codeOf(await bodyOf(response)), gained: !isAlive };
}

/** The link opened, and its button pressed if there is one, in Mallory's browser. */
export async function followLink(scene: Scene, token: string): Promise<Answer> {
  const browser = scene.server.browser();
  await browser.get('/login'); // so that it has a browser cookie of its own
  const page = await browser.get(`/login/link?token=${encodeURIComponent(token)}`);
  const last = page.text.includes('name="csrf"') ? await browser.submit(page, {}) : page;
  return { status: last.status, code: titleOf(last.text), gained: browser.cookies.has('__Host-session') };
}

async function openAccount({ server }: Scene, cookie: string): Promise<Answer> {
  const response = await fetch(`${server.issuer}/account`, {
    headers: { cookie: `__Host-session=${cookie}` },
    redirect: 'manual',
  });
  await response.body?.cancel();
  return { status: response.status, code: response.headers.get('location') ?? '', gained: response.status === 200 };
}

/** A hint chooses nobody's account; it gains something if it is believed. */
async function hint({ server, app }: Scene, token: string): Promise<Answer> {
  const query = new URLSearchParams({
    ...{ response_type: 'code', client_id: app.client.id, redirect_uri: app.client.redirectUris[0] ?? '' },
    ...{ code_challenge: 'A'.repeat(43), code_challenge_method: 'S256', prompt: 'none', id_token_hint: token },
  });
  const response = await fetch(`${server.issuer}/oauth2/authorize?${query}`, { redirect: 'manual' });
  await response.body?.cancel();
  const location = new URL(response.headers.get('location') ?? 'about:blank');
  const error = location.searchParams.get('error') ?? '';
  return { status: response.status, code: error, gained: response.status === 303 && error !== 'invalid_request' };
}

export async function bodyOf(response: Response): Promise<Record<string, unknown>> {
  const text = await response.text();
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? { ...body } : {};
  } catch {
    return {};
  }
}

export function codeOf(body: Record<string, unknown>): string {
  return String(body.code ?? body.error ?? '');
}

function titleOf(page: string): string {
  return /<h1[^>]*>([^<]*)</.exec(page)?.[1] ?? '';
}
