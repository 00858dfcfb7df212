import { Hono } from 'hono';
import {
  answersWithPages,
  assertCsrf,
  assertSameOrigin,
  csrfToken,
  type HttpContext,
  type HttpEnv,
  readCookie,
  readForm,
  readQuery,
  setHostCookie,
} from '../../http/http.ts';
import type { LoginAnswers } from '../answering-pages.ts';
import { LINK_LIFETIME_MS } from '../link.ts';
import { BROWSER_COOKIE, LINK_COOKIE, type Login } from '../login.ts';
import { confirmPage, otherBrowserPage } from '../pages.ts';

/** What a link's token is made of, as long as a cookie may be; anything else is no link of ours. */
const TOKEN = /^[A-Za-z0-9_.-]{1,512}$/;

/** GET and POST /login/link: the link of a mail, shown by the one and spent by the other. */
export function linkRoutes({ login, answers }: { login: Login; answers: LoginAnswers }): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();

  // HEAD comes here too and sets nothing: scanners look at links with it (ML-02).
  routes.get('/login/link', answersWithPages, async (c) => {
    const token = readQuery(c, { secrets: 'allowed' }).get('token');
    if (token !== undefined) return moveTokenToCookie(c, token);
    const stored = readCookie(c, LINK_COOKIE);
    return stored === undefined ? answers.showEnd(c, 'invalid') : showLink(c, stored);
  });

  /** The token leaves the address bar, the history and every Referer before anything is shown (ML-11). */
  async function moveTokenToCookie(c: HttpContext, token: string) {
    if (!TOKEN.test(token)) return answers.showEnd(c, 'invalid');
    const browser = readCookie(c, BROWSER_COOKIE);
    const { verdict } = await login.inspect(token, { browser, address: c.var.request.address });
    if (verdict.kind !== 'known') return answers.showEnd(c, verdict.kind);
    if (c.req.method !== 'HEAD') {
      setHostCookie(c, { name: LINK_COOKIE, value: token, maxAgeSeconds: LINK_LIFETIME_MS / 1000 });
    }
    return c.redirect(`${c.var.site.basePath}/login/link`, 303);
  }

  async function showLink(c: HttpContext, token: string) {
    const browser = readCookie(c, BROWSER_COOKIE);
    const presented = { browser, address: c.var.request.address };
    const { verdict, inStartingBrowser } = await login.inspect(token, presented);
    if (verdict.kind !== 'known') return answers.showEnd(c, verdict.kind);
    const { link, state } = verdict;
    if (state !== 'open') return answers.showEnd(c, state, inStartingBrowser ? link.returnTo : '');
    const app = answers.appOf(await answers.allowReturn(c, link.returnTo));
    if (!inStartingBrowser || browser === undefined) return c.html(otherBrowserPage(answers.frameOf(c), { app, link }));
    return c.html(confirmPage(answers.frameOf(c), { app, link, csrf: csrfToken(browser, 'login-link') }));
  }

  routes.post('/login/link', answersWithPages, async (c) => {
    assertSameOrigin(c);
    const form = await readForm(c);
    const browser = readCookie(c, BROWSER_COOKIE);
    assertCsrf({ cookieSecret: browser, purpose: 'login-link', presented: form.get('csrf') });
    const finish = await login.finishByLink(readCookie(c, LINK_COOKIE) ?? '', answers.finishRequest(c, browser));
    if (finish.kind === 'finished') return answers.enter(c, finish);
    return answers.showEnd(c, finish.kind === 'wrong_code' ? 'invalid' : finish.kind);
  });

  return routes;
}
