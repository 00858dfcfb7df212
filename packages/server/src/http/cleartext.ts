import { parseAuthorization } from './authorization-header.ts';
import { queryOf, readBody } from './body.ts';
import type { HttpContext } from './context.ts';
import { parseCookies } from './cookies.ts';
import { tolerantPath } from './path.ts';
import { HttpRefusal } from './refusals.ts';

/** Something that came over plain http where a secret may stand. Not verified: anyone can send anything here. */
export type CleartextCandidate =
  | { kind: 'bearer'; token: string }
  | { kind: 'basic' | 'secret'; clientId: string; clientSecret: string }
  | { kind: 'cookie'; name: string; value: string }
  | { kind: 'parameter'; name: string; value: string };

export interface CleartextSighting {
  /** Of the peer; of the client, when a trusted proxy marked the request. */
  address: string;
  network: string;
  /** Who brought it: counted for the limit, so that one misconfigured proxy is one peer, whatever its clients' addresses. */
  peerNetwork: string;
  method: string;
  /** Path by which it would be routed; holds no query. */
  path: string;
  candidates: CleartextCandidate[];
}

/** What to do with plain http. */
export interface CleartextRules {
  /** Paths that people open in a browser; only these are redirected. */
  isPage(path: string): boolean;
  /** Names, without `__Host-`, of the cookies that are credentials. Others of this host may be many and are nobody's loss here. */
  credentialCookies: readonly string[];
  /** Verifies candidates, revokes and alarms. Told only when there are any; awaited, so that the revocation precedes the answer. */
  onCredential(sighting: CleartextSighting): Promise<void>;
}

/** Parameters whose values are worth a look. */
const PARAMETERS = ['token', 'access_token', 'refresh_token', 'code', 'client_secret', 'id_token_hint'];

/** One request carries few credentials; more would be work made for us by a stranger. Counted apart for cookies, so that none is hidden. */
const MAX_CANDIDATES = 8;

/**
 * Hands on what a request over plain http exposed. Comes before every refusal: what was on the wire was on it whatever the answer,
 * and a token beside a body that is too large is as exposed as any.
 */
export async function tellExposed(c: HttpContext, path: string, rules: CleartextRules): Promise<void> {
  const candidates = await candidatesOf(c, rules.credentialCookies);
  if (candidates.length === 0) return;
  const { address, network, peerNetwork } = c.var.request;
  await rules.onCredential({ address, network, peerNetwork, method: c.req.method, path, candidates });
}

/**
 * Answers a request that came over plain http. A page is redirected to its https address below the issuer, with its query unless
 * that held a credential; everything else is refused: following a redirect would teach a client to send its credentials in the
 * clear first (RFC 6749 §3.2, ASVS 4.1.2).
 */
export function answerCleartext(c: HttpContext, path: string, rules: CleartextRules): Response {
  if ((c.req.method === 'GET' || c.req.method === 'HEAD') && rules.isPage(path)) {
    const query = parametersOf(queryOf(c)).length > 0 ? '' : queryOf(c);
    // Below the issuer, in the spelling that was sent; the Host header has no part in it.
    const { issuer, basePath } = c.var.site;
    const target = tolerantPath(new URL(c.req.raw.url).pathname, basePath);
    return c.redirect(`${issuer}${target}${query === '' ? '' : `?${query}`}`, 301);
  }
  throw new HttpRefusal(403, 'forbidden.cleartext', 'This is served over https only. What was sent was not protected.');
}

async function candidatesOf(c: HttpContext, cookieNames: readonly string[]): Promise<CleartextCandidate[]> {
  const authorization = parseAuthorization(c.req.header('Authorization'));
  const names = cookieNames.map((name) => `__Host-${name}`);
  const cookies = parseCookies(c.req.header('Cookie') ?? '').filter(([name]) => names.includes(name));
  const sent = [
    ...(authorization.kind === 'bearer' || authorization.kind === 'basic' ? [authorization] : []),
    ...parametersOf(queryOf(c)),
    ...parametersOf(await bodyText(c)),
  ];
  return [
    ...sent.slice(0, MAX_CANDIDATES),
    ...cookies.map(([name, value]): CleartextCandidate => ({ kind: 'cookie', name, value })).slice(0, MAX_CANDIDATES),
  ];
}

function parametersOf(text: string): CleartextCandidate[] {
  const parameters = new URLSearchParams(text);
  const [clientId, clientSecret] = [parameters.get('client_id'), parameters.get('client_secret')];
  const found = [...parameters]
    .filter(([name, value]) => PARAMETERS.includes(name) && value !== '')
    .map(([name, value]): CleartextCandidate => ({ kind: 'parameter', name, value }));
  // A secret says something only together with its client.
  return clientId && clientSecret ? [{ kind: 'secret', clientId, clientSecret }, ...found] : found;
}

/** Read leniently: whatever is in it was on the wire. Of a body past the cap nothing is looked at. */
async function bodyText(c: HttpContext): Promise<string> {
  if (c.req.method === 'GET' || c.req.method === 'HEAD') return '';
  const type = (c.req.header('Content-Type') ?? '').toLowerCase();
  const isJson = type.startsWith('application/json');
  if (!isJson && !type.startsWith('application/x-www-form-urlencoded')) return '';
  try {
    const text = Buffer.from(await readBody(c)).toString('utf8');
    return isJson ? membersOf(text) : text;
  } catch (error) {
    if (error instanceof HttpRefusal) return ''; // too large or broken off: the headers still count
    throw error;
  }
}

/** The texts in a JSON object, as a form would send them. */
function membersOf(json: string): string {
  try {
    const members: [string, unknown][] = Object.entries(Object(JSON.parse(json)));
    const texts = members.filter((member): member is [string, string] => typeof member[1] === 'string');
    return new URLSearchParams(texts).toString();
  } catch {
    return ''; // no JSON, so no reader of ours would find anything in it
  }
}
