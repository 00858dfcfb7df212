import { Hono } from 'hono';
import {
  allowFormAction,
  answersWithPages,
  assertCsrf,
  assertSameOrigin,
  clearHostCookie,
  csrfToken,
  type HttpContext,
  type HttpEnv,
  PageError,
  readCookie,
  readForm,
  readQuery,
  setHostCookie,
} from '../http/http.ts';
import type { Limits } from '../limits/limits.ts';
import { SESSION_COOKIE } from '../sessions/sessions.ts';
import { emailAddress, MAX_ADDRESS_LENGTH } from '../users/users.ts';
import { type AccountRoutesParts, accountRoutes } from './account/routes.ts';
import { LINK_LIFETIME_MS } from './link.ts';
import { BROWSER_COOKIE, type Finish, type FinishRequest, LINK_COOKIE, type MagicLink } from './login.ts';
import { confirmPage, endPage, type LoginEnd, loginPage, otherBrowserPage, sentPage } from './pages.ts';

export type { ConnectedApplication } from './account/account-page.ts';
export type { ConnectedApplications } from './account/routes.ts';

export interface DescribedRequest {
  clientId: string;
  clientName: string;
  redirectUri: string;
  /** The address that the app expects, as it sent it; fills the field in and decides nothing. */
  loginHint: string | undefined;
}

/** What a login is for, as its owner (authorization) reads it from the sealed text that login carries. */
export interface PendingRequests {
  /** Undefined when the text is none of ours, or over. `redirectUri` was validated for the client. */
  describe(sealed: string): Promise<DescribedRequest | undefined>;
}

export interface LoginRoutesParts extends AccountRoutesParts {
  requests: PendingRequests;
  limits: Pick<Limits, 'take'>;
}

/** Where the sealed request goes on after the login, below the issuer. */
const CONTINUE_PATH = '/oauth2/authorize/continue';
/** The page with the code stays open while the mail travels; a day covers whoever comes back to an old tab. */
const BROWSER_COOKIE_SECONDS = 86_400;
/** What a link's token is made of, as long as a cookie may be; anything else is no link of ours. */
const TOKEN = /^[A-Za-z0-9_.-]{1,512}$/;

type Described = DescribedRequest | undefined;

/** GET and POST /login, /login/sent, /login/code, /login/link; /logout and /account; the stylesheet. */
export function loginRoutes(parts: LoginRoutesParts): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  const { login, organizationName } = parts;

  const frameOf = (c: HttpContext) => ({ organizationName, basePath: c.var.site.basePath });
  const appOf = (described: Described) => described?.clientName ?? organizationName;

  /** A text that is none of ours ends here with a page: it never decides where anybody is sent. */
  async function described(returnTo: string): Promise<Described> {
    if (returnTo === '') return undefined;
    const request = await parts.requests.describe(returnTo);
    if (!request) throw requestOver();
    return request;
  }

  /** The browser's cookie, made now if it has none. */
  function browserOf(c: HttpContext): string {
    const browser = readCookie(c, BROWSER_COOKIE) ?? login.newBrowser();
    setHostCookie(c, { name: BROWSER_COOKIE, value: browser, maxAgeSeconds: BROWSER_COOKIE_SECONDS });
    return browser;
  }

  /** Chromium applies form-action to the redirect after the form as well: the app at the end of it must be listed (HD-06). */
  async function allowReturn(c: HttpContext, returnTo: string): Promise<Described> {
    const request = returnTo === '' ? undefined : await parts.requests.describe(returnTo);
    if (request) allowFormAction(c, request.redirectUri);
    return request;
  }

  routes.get('/login', answersWithPages, async (c) => {
    const query = readQuery(c);
    const returnTo = query.get('continue') ?? '';
    const request = await described(returnTo);
    const csrf = csrfToken(browserOf(c), 'login');
    const notice = query.get('done') === 'logout' ? { notice: 'You are logged out.' } : {};
    return c.html(loginPage(frameOf(c), { app: appOf(request), csrf, returnTo, email: request?.loginHint, ...notice }));
  });

  routes.post('/login', answersWithPages, async (c) => {
    assertSameOrigin(c);
    const form = await readForm(c);
    const browser = readCookie(c, BROWSER_COOKIE);
    assertCsrf({ cookieSecret: browser, purpose: 'login', presented: form.get('csrf') });
    const { network, userAgent } = c.var.request;
    const taken = parts.limits.take('loginPerNetwork', network); // tells of the network, so it may be told
    if (taken.kind === 'limited') throw tooManyLogins(taken.retryAfterSeconds);
    const returnTo = form.get('continue') ?? '';
    const request = await described(returnTo);
    const address = emailAddress(form.get('email') ?? '');
    if (address.kind === 'refused' || browser === undefined) {
      const csrf = csrfToken(browserOf(c), 'login');
      const notice = 'This is not an e-mail address we can write to. It looks like name@example.org.';
      const email = form.get('email')?.slice(0, MAX_ADDRESS_LENGTH); // back in its field, to be mended
      return c.html(loginPage(frameOf(c), { app: appOf(request), csrf, returnTo, email, notice }), 400);
    }
    const client = request && { id: request.clientId, name: request.clientName };
    const linkId = await login.start({ email: address.address, browser, returnTo, client, userAgent, network });
    return c.redirect(`${c.var.site.basePath}/login/sent?login=${linkId}`, 303);
  });

  async function showSent(c: HttpContext, link: MagicLink, notice?: string) {
    await allowReturn(c, link.returnTo);
    const csrf = csrfToken(readCookie(c, BROWSER_COOKIE) ?? '', 'login-code');
    const { email, id: linkId, returnTo } = link;
    const status = notice === undefined ? 200 : 400;
    return c.html(sentPage(frameOf(c), { email, linkId, csrf, returnTo, notice }), status);
  }

  routes.get('/login/sent', answersWithPages, async (c) => {
    const link = await login.startedBy(readCookie(c, BROWSER_COOKIE), readQuery(c).get('login') ?? '');
    return link ? showSent(c, link) : showEnd(c, 'invalid');
  });

  routes.post('/login/code', answersWithPages, async (c) => {
    assertSameOrigin(c);
    const form = await readForm(c);
    const browser = readCookie(c, BROWSER_COOKIE);
    assertCsrf({ cookieSecret: browser, purpose: 'login-code', presented: form.get('csrf') });
    const linkId = form.get('login') ?? '';
    const finish = await login.finishByCode({ linkId, code: form.get('code') ?? '' }, finishRequest(c, browser));
    if (finish.kind === 'finished') return enter(c, finish);
    const link = await login.startedBy(browser, linkId);
    if (finish.kind !== 'wrong_code') return showEnd(c, finish.kind, link?.returnTo);
    return link ? showSent(c, link, 'This is not the code of the newest mail.') : showEnd(c, 'invalid');
  });

  // HEAD comes here too and sets nothing: scanners look at links with it (ML-02).
  routes.get('/login/link', answersWithPages, async (c) => {
    const token = readQuery(c, { secrets: 'allowed' }).get('token');
    if (token !== undefined) return moveTokenToCookie(c, token);
    const stored = readCookie(c, LINK_COOKIE);
    return stored === undefined ? showEnd(c, 'invalid') : showLink(c, stored);
  });

  /** The token leaves the address bar, the history and every Referer before anything is shown (ML-11). */
  async function moveTokenToCookie(c: HttpContext, token: string) {
    if (!TOKEN.test(token)) return showEnd(c, 'invalid');
    const browser = readCookie(c, BROWSER_COOKIE);
    const { verdict } = await login.inspect(token, { browser, address: c.var.request.address });
    if (verdict.kind !== 'known') return showEnd(c, verdict.kind);
    if (c.req.method !== 'HEAD') {
      setHostCookie(c, { name: LINK_COOKIE, value: token, maxAgeSeconds: LINK_LIFETIME_MS / 1000 });
    }
    return c.redirect(`${c.var.site.basePath}/login/link`, 303);
  }

  async function showLink(c: HttpContext, token: string) {
    const browser = readCookie(c, BROWSER_COOKIE);
    const presented = { browser, address: c.var.request.address };
    const { verdict, inStartingBrowser } = await login.inspect(token, presented);
    if (verdict.kind !== 'known') return showEnd(c, verdict.kind);
    const { link, state } = verdict;
    if (state !== 'open') return showEnd(c, state, inStartingBrowser ? link.returnTo : '');
    const app = appOf(await allowReturn(c, link.returnTo));
    if (!inStartingBrowser || browser === undefined) return c.html(otherBrowserPage(frameOf(c), { app, link }));
    return c.html(confirmPage(frameOf(c), { app, link, csrf: csrfToken(browser, 'login-link') }));
  }

  routes.post('/login/link', answersWithPages, async (c) => {
    assertSameOrigin(c);
    const form = await readForm(c);
    const browser = readCookie(c, BROWSER_COOKIE);
    assertCsrf({ cookieSecret: browser, purpose: 'login-link', presented: form.get('csrf') });
    const finish = await login.finishByLink(readCookie(c, LINK_COOKIE) ?? '', finishRequest(c, browser));
    if (finish.kind === 'finished') return enter(c, finish);
    return showEnd(c, finish.kind === 'wrong_code' ? 'invalid' : finish.kind);
  });

  function finishRequest(c: HttpContext, browser: string | undefined): FinishRequest {
    const { network, userAgent } = c.var.request;
    return { browser, sessionCookie: readCookie(c, SESSION_COOKIE), userAgent, network };
  }

  /** Every secret of the time before the login is replaced or removed, so that none that was planted there lives on (ML-12). */
  function enter(c: HttpContext, finish: Extract<Finish, { kind: 'finished' }>) {
    setHostCookie(c, { name: SESSION_COOKIE, value: finish.sessionCookie });
    setHostCookie(c, { name: BROWSER_COOKIE, value: login.newBrowser(), maxAgeSeconds: BROWSER_COOKIE_SECONDS });
    clearHostCookie(c, LINK_COOKIE);
    const path =
      finish.returnTo === '' ? '/account' : `${CONTINUE_PATH}?request=${encodeURIComponent(finish.returnTo)}`;
    return c.redirect(`${c.var.site.basePath}${path}`, 303);
  }

  function showEnd(c: HttpContext, end: LoginEnd, returnTo = '') {
    const status = END_STATUS[end];
    return c.html(endPage(frameOf(c), { end, returnTo }), status);
  }

  routes.route('/', accountRoutes(parts));
  return routes;
}

const END_STATUS: Record<LoginEnd, 400 | 403 | 410> = {
  expired: 410,
  used: 410,
  superseded: 410,
  invalid: 400,
  no_account: 403,
  too_many_codes: 403,
};

function requestOver(): PageError {
  return new PageError({
    status: 400,
    title: 'Start again in the app',
    sentence:
      'What you were logging in for is not known here, or was open for too long. Go back to the app and try again.',
    code: 'login.request_over',
  });
}

function tooManyLogins(retryAfterSeconds: number): PageError {
  return new PageError({
    status: 429,
    title: 'Too many attempts',
    sentence: 'There were too many login attempts from this network. Try again in a few minutes.',
    code: 'login.network_limited',
    retryAfterSeconds,
  });
}
