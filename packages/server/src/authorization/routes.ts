import { Hono } from 'hono';
import {
  allowFormAction,
  answersWithPages,
  assertCsrf,
  assertSameOrigin,
  csrfToken,
  type Form,
  type HttpContext,
  type HttpEnv,
  PageError,
  readCookie,
  readForm,
  readQuery,
} from '../http/http.ts';
import type { Limits } from '../limits/limits.ts';
import { SESSION_COOKIE, type Sessions } from '../sessions/sessions.ts';
import type { Users } from '../users/users.ts';
import { type Authorization, type Outcome, RequestNotRedirectable } from './authorization.ts';
import { consentPage } from './pages.ts';

const CONSENT_FORM = 'consent';

/** The front channel. No CORS here: a page's script has no business at this endpoint (RFC 9700 §2.6). */
export function authorizationRoutes(given: {
  authorization: Authorization;
  sessions: Sessions;
  users: Users;
  limits: Limits;
  organizationName: string;
}): Hono<HttpEnv> {
  const { authorization, sessions, users, limits, organizationName } = given;
  const routes = new Hono<HttpEnv>();
  routes.use('/oauth2/authorize', answersWithPages);
  routes.use('/oauth2/authorize/*', answersWithPages);

  routes.get('/oauth2/authorize', async (c) => {
    const begun = await begin(c, readQuery(c));
    return begun.kind === 'redirect' ? c.redirect(begun.location, 303) : advance(c, begun.sealed);
  });

  // A form posted from the client's site arrives without our Lax cookie; the redirect brings the browser back with it.
  routes.post('/oauth2/authorize', async (c) => {
    const begun = await begin(c, await readForm(c));
    if (begun.kind === 'redirect') return c.redirect(begun.location, 303);
    return c.redirect(`${c.var.site.issuer}/oauth2/authorize/continue?request=${begun.sealed}`, 303);
  });

  routes.get('/oauth2/authorize/continue', async (c) => {
    count(c);
    return advance(c, readQuery(c).get('request') ?? '');
  });

  routes.post('/oauth2/authorize/consent', async (c) => {
    assertSameOrigin(c);
    count(c);
    const form = await readForm(c);
    const cookie = readCookie(c, SESSION_COOKIE);
    assertCsrf({ cookieSecret: cookie, purpose: CONSENT_FORM, presented: form.get('csrf') });
    const session = await sessions.find(cookie);
    const sealed = form.get('request') ?? '';
    const decision = form.get('decision');
    if (!session) return show(c, await authorization.advance(sealed, undefined));
    if (decision !== 'allow' && decision !== 'deny') throw requestOver();
    return show(c, await authorization.answer(sealed, session, decision === 'allow'));
  });

  /** Counts whatever may end in a code: one sealed request can be continued many times, and each time makes a row. */
  function count(c: HttpContext): void {
    const taken = limits.take('authorizePerNetwork', c.var.request.network);
    if (taken.kind === 'limited') throw tooMany(taken.retryAfterSeconds);
  }

  async function begin(c: HttpContext, parameters: Form) {
    count(c);
    try {
      return await authorization.begin(parameters);
    } catch (error) {
      if (!(error instanceof RequestNotRedirectable)) throw error;
      throw new PageError({
        status: 400,
        title: 'This application cannot be let in',
        sentence: `${error.message} Nothing was passed on to it.`,
        code: error.code,
      });
    }
  }

  async function advance(c: HttpContext, sealed: string): Promise<Response> {
    const session = await sessions.find(readCookie(c, SESSION_COOKIE));
    return show(c, await authorization.advance(sealed, session));
  }

  async function show(c: HttpContext, outcome: Outcome | undefined): Promise<Response> {
    if (!outcome) throw requestOver();
    if (outcome.kind === 'redirect') return c.redirect(outcome.location, 303);
    if (outcome.kind === 'login') return c.redirect(`${c.var.site.issuer}/login?continue=${outcome.sealed}`, 303);
    const cookie = readCookie(c, SESSION_COOKIE) ?? '';
    const session = await sessions.find(cookie);
    const user = session && (await users.byId(session.userId));
    allowFormAction(c, outcome.request.redirectUri);
    return c.html(
      consentPage({
        client: outcome.client,
        scope: outcome.request.scope,
        redirectUri: outcome.request.redirectUri,
        sealed: outcome.sealed,
        csrf: csrfToken(cookie, CONSENT_FORM),
        email: user?.email ?? '',
        organizationName,
        basePath: c.var.site.basePath,
      }),
    );
  }

  return routes;
}

function requestOver(): PageError {
  return new PageError({
    status: 400,
    title: 'This page is too old',
    sentence: 'Go back to the application and start again.',
    code: 'authorization.request_over',
  });
}

function tooMany(retryAfterSeconds: number): PageError {
  return new PageError({
    status: 429,
    title: 'Too many requests',
    sentence: 'Too many came from your network. Wait a little and try again.',
    code: 'rate_limited.authorization',
    retryAfterSeconds,
  });
}
