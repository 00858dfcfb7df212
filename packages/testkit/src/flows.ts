/** What people, clients and resource servers do, each in one call, over HTTPS and through the pages. */
import { createHash, randomBytes } from 'node:crypto';
import type { Authority, OutgoingMail } from '@countersign/server';
import { Browser } from './browser.ts';

type Registration = Parameters<Authority['clients']['add']>[0];
type Client = Awaited<ReturnType<Authority['clients']['add']>>['client'];

/** The answer of the token endpoint (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3). */
export interface TokenSet {
  access_token: string;
  token_type: string;
  expires_in: number;
  scope: string;
  refresh_token?: string;
  id_token?: string;
}

/** Who authorizes which client. `parameters` are added to the request, and replace its own. */
export interface CodeFlow {
  browser: Browser;
  client: Client;
  scope?: string;
  parameters?: Record<string, string>;
}

/** What a test asks of people, clients and resource servers. Each throws where the authority does not do as asked, but `post`. */
export interface Flows {
  browser(userAgent?: string): Browser;
  /** Waits for the newest mail to an address that came after `after` mails. */
  mailTo(address: string, after?: number): Promise<OutgoingMail>;
  /** A browser that is logged in, by following the link of a mail. */
  logIn(email: string, browser?: Browser): Promise<Browser>;
  addClient(registration?: Partial<Registration>): Promise<{ client: Client; secret: string }>;
  /** A resource server's credentials for the default audience. */
  addResourceServer(audience?: string): Promise<{ client: Client; secret: string }>;
  /** Runs the code flow with PKCE, agreeing to everything, up to the code. */
  obtainCode(flow: CodeFlow): Promise<{ code: string; verifier: string; redirectUri: string; location: URL }>;
  obtainTokens(flow: CodeFlow & { secret: string | undefined }): Promise<TokenSet>;
  /** `POST` of a form as it is given; `init` over it. */
  post(path: string, form: Record<string, string>, init?: RequestInit): Promise<Response>;
}

/** Where the flows happen. */
export interface Stage {
  issuer: string;
  authority: Authority;
  mails: readonly OutgoingMail[];
}

export const DEFAULT_AUDIENCE = 'https://api.example';
const REDIRECT_URI = 'https://app.example/callback';
/** How often a mail is looked for, and the pause between: the server's own job may hold it at that moment. */
const MAIL_TRIES = 400;
const MAIL_PAUSE_MS = 10;

/** The flows against a running authority. */
export function flowsOf(stage: Stage): Flows {
  const { issuer } = stage;
  const browser = (userAgent?: string) => new Browser(new URL(issuer).origin, userAgent);
  return {
    browser,
    mailTo: (address, after = 0) => mailTo(stage, address, after),
    logIn: (email, inBrowser = browser()) => logIn(stage, email, inBrowser),
    addClient: (registration = {}) => addClient(stage, registration),
    addResourceServer: (audience = DEFAULT_AUDIENCE) =>
      addClient(stage, {
        name: 'Resource server',
        redirectUris: [],
        grantTypes: [],
        scopes: [],
        resourceServerFor: [audience],
      }),
    obtainCode,
    obtainTokens: (flow) => obtainTokens(stage, flow),
    post: (path, form, init) => post(stage, path, form, init),
  };
}

async function mailTo({ authority, mails }: Stage, address: string, after: number): Promise<OutgoingMail> {
  for (let tries = 0; tries < MAIL_TRIES; tries++) {
    await authority.mail.sendDue();
    const mail = mails.slice(after).findLast(({ to }) => to === address);
    if (mail) return mail;
    await new Promise((resolve) => setTimeout(resolve, MAIL_PAUSE_MS));
  }
  throw new Error(`No mail to ${address} arrived`);
}

async function logIn(stage: Stage, email: string, browser: Browser): Promise<Browser> {
  const after = stage.mails.length;
  const sent = await browser.submit(await browser.get('/login'), { email });
  if (sent.status !== 200) throw new Error(`Starting the login answered ${sent.status}: ${sent.text.slice(0, 300)}`);
  const link = linkIn(await mailTo(stage, email, after));
  const finished = await browser.submit(await browser.get(link), {});
  if (!browser.cookies.has('__Host-session')) throw new Error(`Not logged in: ${finished.text.slice(0, 500)}`);
  return browser;
}

async function addClient({ authority }: Stage, registration: Partial<Registration>) {
  const added = await authority.clients.add({
    name: 'Test application',
    isConfidential: true,
    redirectUris: [REDIRECT_URI],
    scopes: ['openid', 'email', 'offline_access', 'accounts:read'],
    audience: DEFAULT_AUDIENCE,
    ...registration,
  });
  return { client: added.client, secret: added.secret ?? '' };
}

async function obtainCode({ browser, client, scope, parameters }: CodeFlow) {
  const verifier = randomBytes(32).toString('base64url');
  const redirectUri = client.redirectUris[0] ?? REDIRECT_URI;
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: client.id,
    redirect_uri: redirectUri,
    state: randomBytes(16).toString('base64url'),
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...(scope !== undefined && { scope }),
    ...parameters,
  });
  let page = await browser.get(`/oauth2/authorize?${query}`);
  if (page.status === 200) page = await browser.submit(page, { decision: 'allow' }, { action: '/consent' });
  const location = new URL(page.headers.get('location') ?? 'about:blank');
  const code = location.searchParams.get('code');
  if (!code) throw new Error(`No code: ${page.status} ${location.href} ${page.text.slice(0, 500)}`);
  return { code, verifier, redirectUri, location };
}

async function obtainTokens(stage: Stage, flow: CodeFlow & { secret: string | undefined }): Promise<TokenSet> {
  const { code, verifier, redirectUri } = await obtainCode(flow);
  const response = await post(stage, '/oauth2/token', {
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: redirectUri,
    client_id: flow.client.id,
    ...(flow.secret !== undefined && { client_secret: flow.secret }),
  });
  const body = await response.text();
  if (response.status !== 200) throw new Error(`No tokens: ${response.status} ${body}`);
  return JSON.parse(body) as TokenSet; // a success of the authority's own
}

function post({ issuer }: Stage, path: string, form: Record<string, string>, init: RequestInit = {}) {
  return fetch(new URL(path, issuer), { method: 'POST', body: new URLSearchParams(form), ...init });
}

/** The login link in a mail. */
export function linkIn(mail: OutgoingMail): string {
  const link = /https:\/\/\S+\/login\/link\?token=\S+/.exec(mail.text)?.[0];
  if (!link) throw new Error(`No link in the mail "${mail.subject}"`);
  return link;
}

/** The six characters in a mail, as the page wants them. */
export function codeIn(mail: OutgoingMail): string {
  const code = /code there: ([A-Z0-9]{3}-[A-Z0-9]{3})$/m.exec(mail.text)?.[1];
  if (!code) throw new Error(`No code in the mail "${mail.subject}"`);
  return code;
}
