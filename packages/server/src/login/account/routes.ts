import { Hono } from 'hono';
import {
  allowPublicCache,
  answersWithPages,
  assertCsrf,
  assertSameOrigin,
  clearHostCookie,
  csrfToken,
  type HttpContext,
  type HttpEnv,
  readCookie,
  readForm,
  STYLESHEET_PATH,
} from '../../http/http.ts';
import { SESSION_COOKIE, type Session, type Sessions } from '../../sessions/sessions.ts';
import type { User, Users } from '../../users/users.ts';
import { BROWSER_COOKIE, LINK_COOKIE, type Login } from '../login.ts';
import { logoutPage } from '../pages.ts';
import { STYLESHEET } from '../stylesheet.ts';
import { accountPage, type ConnectedApplication } from './account-page.ts';

/** The apps that a user let in; server.ts answers for it from grants and clients. */
export interface ConnectedApplications {
  list(userId: string): Promise<readonly ConnectedApplication[]>;
  /** Ends the grant if it is this user's; false otherwise. */
  end(grantId: string, userId: string): Promise<boolean>;
}

/** A new release with new styles reaches everybody within the hour. */
const STYLESHEET_AGE_SECONDS = 3600;

export interface AccountRoutesParts {
  login: Login;
  sessions: Sessions;
  users: Users;
  applications: ConnectedApplications;
  organizationName: string;
}

export function accountRoutes(parts: AccountRoutesParts): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();

  async function loggedIn(c: HttpContext): Promise<{ cookie: string; session: Session; user: User } | undefined> {
    const cookie = readCookie(c, SESSION_COOKIE);
    const session = await parts.sessions.find(cookie);
    const user = session && (await parts.users.byId(session.userId));
    return cookie !== undefined && session && user ? { cookie, session, user } : undefined;
  }

  const frameOf = (c: HttpContext) => ({
    organizationName: parts.organizationName,
    basePath: c.var.site.basePath,
  });
  const toLogin = (c: HttpContext, query = '') => c.redirect(`${c.var.site.basePath}/login${query}`, 303);

  routes.get(STYLESHEET_PATH, (c) => {
    allowPublicCache(c, STYLESHEET_AGE_SECONDS);
    return c.body(STYLESHEET, 200, { 'Content-Type': 'text/css; charset=utf-8' });
  });

  routes.get('/account', answersWithPages, async (c) => {
    const who = await loggedIn(c);
    if (!who) return toLogin(c);
    const [sessions, applications] = await Promise.all([
      parts.sessions.list(who.user.id),
      parts.applications.list(who.user.id),
    ]);
    const csrf = {
      logout: csrfToken(who.cookie, 'logout'),
      disconnect: csrfToken(who.cookie, 'disconnect'),
      endSession: csrfToken(who.cookie, 'end-session'),
    };
    const { email } = who.user;
    return c.html(accountPage(frameOf(c), { email, csrf, currentSessionId: who.session.id, sessions, applications }));
  });

  routes.post('/account/disconnect', answersWithPages, async (c) => {
    assertSameOrigin(c);
    const who = await loggedIn(c);
    if (!who) return toLogin(c);
    const form = await readForm(c);
    assertCsrf({ cookieSecret: who.cookie, purpose: 'disconnect', presented: form.get('csrf') });
    // Ended before, or somebody else's: either way it does not stand in the list that follows.
    await parts.applications.end(form.require('grant'), who.user.id);
    return c.redirect(`${c.var.site.basePath}/account`, 303);
  });

  routes.post('/account/end-session', answersWithPages, async (c) => {
    assertSameOrigin(c);
    const who = await loggedIn(c);
    if (!who) return toLogin(c);
    const form = await readForm(c);
    assertCsrf({ cookieSecret: who.cookie, purpose: 'end-session', presented: form.get('csrf') });
    await parts.login.endSession(form.require('session'), who.user.id);
    return c.redirect(`${c.var.site.basePath}/account`, 303);
  });

  routes.get('/logout', answersWithPages, async (c) => {
    const who = await loggedIn(c);
    if (!who) return toLogin(c);
    return c.html(logoutPage(frameOf(c), { csrf: csrfToken(who.cookie, 'logout'), email: who.user.email }));
  });

  routes.post('/logout', answersWithPages, async (c) => {
    assertSameOrigin(c);
    const cookie = readCookie(c, SESSION_COOKIE);
    if (await parts.sessions.find(cookie)) {
      const form = await readForm(c);
      assertCsrf({ cookieSecret: cookie, purpose: 'logout', presented: form.get('csrf') });
      await parts.login.logOut(cookie);
    }
    for (const name of [SESSION_COOKIE, BROWSER_COOKIE, LINK_COOKIE]) clearHostCookie(c, name);
    return toLogin(c, '?done=logout'); // 303: the form's fields are not sent again (BC-07)
  });

  return routes;
}
