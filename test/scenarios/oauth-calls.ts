/** What a client and a resource server send, as the stories in this folder need it. */
import type { Browser, Page, TestServer } from '@countersign/testkit';

export type Application = Awaited<ReturnType<TestServer['addClient']>>;
export type Code = Pick<Awaited<ReturnType<TestServer['obtainCode']>>, 'code' | 'verifier' | 'redirectUri'>;

/** Members that the stories read; whatever else an answer holds stays unknown. */
export interface Body {
  [member: string]: unknown;
  access_token?: string;
  refresh_token?: string;
  id_token?: string;
  scope?: string;
  error?: string;
  error_description?: string;
  code?: string;
  active?: boolean;
}

export interface Answer {
  status: number;
  headers: Headers;
  body: Body;
}

export async function read(response: Response): Promise<Answer> {
  const text = await response.text();
  const body = JSON.parse(text) as Body; // the stories assert what they read of it
  return { status: response.status, headers: response.headers, body };
}

/** The client's credentials as form parameters; a public client has only its id. */
export function credentials({ client, secret }: Application): Record<string, string> {
  return { client_id: client.id, ...(secret !== '' && { client_secret: secret }) };
}

export function basic(id: string, secret: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` };
}

export async function redeem(
  server: TestServer,
  application: Application,
  { code, verifier, redirectUri }: Code,
  changes: Record<string, string> = {},
): Promise<Answer> {
  const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: redirectUri };
  return read(await server.post('/oauth2/token', { ...form, ...credentials(application), ...changes }));
}

export async function refresh(
  server: TestServer,
  application: Application,
  token: string | undefined,
  more: Record<string, string> = {},
): Promise<Answer> {
  const form = { grant_type: 'refresh_token', refresh_token: token ?? '', ...credentials(application), ...more };
  return read(await server.post('/oauth2/token', form));
}

export async function revoke(
  server: TestServer,
  application: Application,
  token: string,
  more: Record<string, string> = {},
): Promise<Answer> {
  return read(await server.post('/oauth2/revoke', { token, ...credentials(application), ...more }));
}

export async function introspect(server: TestServer, resourceServer: Application, token: string): Promise<Answer> {
  return read(await server.post('/oauth2/introspect', { token, ...credentials(resourceServer) }));
}

export async function isActive(server: TestServer, resourceServer: Application, token: string): Promise<boolean> {
  return (await introspect(server, resourceServer, token)).body.active === true;
}

export async function userinfo(server: TestServer, token: string): Promise<Answer> {
  return read(await fetch(`${server.issuer}/userinfo`, { headers: { authorization: `Bearer ${token}` } }));
}

/** A good authorization request; a change to `null` leaves a parameter out. */
export function authorizationQuery(
  { client }: Application,
  changes: Record<string, string | null> = {},
): URLSearchParams {
  const parameters = {
    response_type: 'code',
    client_id: client.id,
    redirect_uri: client.redirectUris[0] ?? '',
    state: 'the-state',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', // RFC 7636 appendix B
    code_challenge_method: 'S256',
    ...changes,
  };
  return new URLSearchParams(
    Object.entries(parameters).filter((entry): entry is [string, string] => entry[1] !== null),
  );
}

/** Follows the request within the authority. `answer` is what went to the client, if anything did. */
export async function authorize(
  browser: Browser,
  application: Application,
  changes: Record<string, string | null> = {},
): Promise<{ page: Page; answer: URLSearchParams | undefined }> {
  return sentOn(await browser.get(`/oauth2/authorize?${authorizationQuery(application, changes)}`));
}

export function sentOn(page: Page): { page: Page; answer: URLSearchParams | undefined } {
  const location = page.headers.get('location');
  return { page, answer: location === null ? undefined : new URL(location).searchParams };
}

/** Header and claims of a compact JWS, unverified. */
export function opened(token: string): { header: Record<string, unknown>; claims: Record<string, unknown> } {
  const [header = '', claims = ''] = token.split('.', 2);
  const part = (text: string) => JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Record<string, unknown>; // ours
  return { header: part(header), claims: part(claims) };
}
