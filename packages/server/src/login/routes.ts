import { Hono } from 'hono';
import {
  answersWithPages,
  assertCsrf,
  assertSameOrigin,
  csrfToken,
  type HttpContext,
  type HttpEnv,
  PageError,
  readCookie,
  readForm,
  readQuery,
} from '../http/http.ts';
import type { Limits } from '../limits/limits.ts';
import { emailAddress, MAX_ADDRESS_LENGTH } from '../users/users.ts';
import { type AccountRoutesParts, accountRoutes } from './account/routes.ts';
import { type DescribedRequest, LoginAnswers, type PendingRequests } from './answering-pages.ts';
import { linkRoutes } from './link/routes.ts';
import { BROWSER_COOKIE, KNOWN_COOKIE, type MagicLink } from './login.ts';
import { loginPage, sentPage } from './pages.ts';

export type { ConnectedApplication } from './account/account-page.ts';
export type { ConnectedApplications } from './account/routes.ts';

export interface LoginRoutesParts extends AccountRoutesParts {
  requests: PendingRequests;
  limits: Pick<Limits, 'take'>;
}

/** GET and POST /login, /login/sent, /login/code, /login/link; /logout and /account; the stylesheet. */
export function loginRoutes(parts: LoginRoutesParts): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  const { login } = parts;
  const answers = new LoginAnswers(parts);

  /** A text that is none of ours ends here with a page: it never decides where anybody is sent. */
  async function described(returnTo: string): Promise<DescribedRequest | undefined> {
    if (returnTo === '') return undefined;
    const request = await parts.requests.describe(returnTo);
    if (!request) throw requestOver();
    return request;
  }

  routes.get('/login', answersWithPages, async (c) => {
    const query = readQuery(c);
    const returnTo = query.get('continue') ?? '';
    const request = await described(returnTo);
    const csrf = csrfToken(answers.browserOf(c), 'login');
    const notice = query.get('done') === 'logout' ? { notice: 'You are logged out.' } : {};
    return c.html(
      loginPage(answers.frameOf(c), {
        app: answers.appOf(request),
        csrf,
        returnTo,
        email: request?.loginHint,
        ...notice,
      }),
    );
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
      const csrf = csrfToken(answers.browserOf(c), 'login');
      const notice = 'This is not an e-mail address we can write to. It looks like name@example.org.';
      const email = form.get('email')?.slice(0, MAX_ADDRESS_LENGTH); // back in its field, to be mended
      return c.html(loginPage(answers.frameOf(c), { app: answers.appOf(request), csrf, returnTo, email, notice }), 400);
    }
    const client = request && { id: request.clientId, name: request.clientName };
    const known = readCookie(c, KNOWN_COOKIE);
    const linkId = await login.start({ email: address.address, browser, known, returnTo, client, userAgent, network });
    return c.redirect(`${c.var.site.basePath}/login/sent?login=${linkId}`, 303);
  });

  async function showSent(c: HttpContext, link: MagicLink, notice?: string) {
    await answers.allowReturn(c, link.returnTo);
    const csrf = csrfToken(readCookie(c, BROWSER_COOKIE) ?? '', 'login-code');
    const { email, id: linkId, returnTo } = link;
    const status = notice === undefined ? 200 : 400;
    return c.html(sentPage(answers.frameOf(c), { email, linkId, csrf, returnTo, notice }), status);
  }

  routes.get('/login/sent', answersWithPages, async (c) => {
    const link = await login.startedBy(readCookie(c, BROWSER_COOKIE), readQuery(c).get('login') ?? '');
    return link ? showSent(c, link) : answers.showEnd(c, 'invalid');
  });

  routes.post('/login/code', answersWithPages, async (c) => {
    assertSameOrigin(c);
    const form = await readForm(c);
    const browser = readCookie(c, BROWSER_COOKIE);
    assertCsrf({ cookieSecret: browser, purpose: 'login-code', presented: form.get('csrf') });
    const linkId = form.get('login') ?? '';
    const finish = await login.finishByCode(
      { linkId, code: form.get('code') ?? '' },
      answers.finishRequest(c, browser),
    );
    if (finish.kind === 'finished') return answers.enter(c, finish);
    const link = await login.startedBy(browser, linkId);
    if (finish.kind !== 'wrong_code') return answers.showEnd(c, finish.kind, link?.returnTo);
    return link ? showSent(c, link, 'This is not the code of the newest mail.') : answers.showEnd(c, 'invalid');
  });

  routes.route('/', linkRoutes({ login, answers }));
  routes.route('/', accountRoutes(parts));
  return routes;
}

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
