import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { HttpContext } from './context.ts';
import { PageError } from './refusals.ts';

/**
 * Refuses a form that another site sent. A browser states where a request comes from in `Sec-Fetch-Site` or in `Origin`, and pages
 * cannot forge either; whichever speaks must say "from here", and one must speak. Throws a 403 page.
 *
 * `Origin: null` says nothing: browsers send it for our own forms, because our pages are `Referrer-Policy: no-referrer` (Fetch
 * §3.2, "append a request Origin header"), and for sandboxed foreign ones. Then only `Sec-Fetch-Site` can tell them apart.
 */
export function assertSameOrigin(c: HttpContext): void {
  const site = c.req.header('Sec-Fetch-Site');
  const header = c.req.header('Origin');
  const origin = header === 'null' ? undefined : header;
  const siteAgrees = site === undefined || site === 'same-origin' || site === 'none';
  const originAgrees = origin === undefined || origin === c.var.site.origin;
  const silent = site === undefined && origin === undefined;
  const sandboxed = header === 'null' && site !== 'same-origin';
  if (silent || sandboxed || !siteAgrees || !originAgrees) throw foreignForm('form.foreign_origin');
}

/**
 * A token for one kind of form, bound to the cookie of the browser it was made for: HMAC-SHA-256 under the cookie's secret, so it
 * needs no storage and dies with the cookie.
 */
export function csrfToken(cookieSecret: string, purpose: string): string {
  return createHmac('sha256', cookieSecret).update(`csrf\0${purpose}`).digest('base64url');
}

/** Throws a 403 page unless `presented` is the token for this cookie and purpose. */
export function assertCsrf(check: {
  cookieSecret: string | undefined;
  purpose: string;
  presented: string | undefined;
}): void {
  const { cookieSecret, purpose, presented } = check;
  if (!cookieSecret || presented === undefined) throw foreignForm('form.missing_token');
  if (!equal(presented, csrfToken(cookieSecret, purpose))) throw foreignForm('form.wrong_token');
}

function equal(left: string, right: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}

function foreignForm(code: PageError['code']): PageError {
  return new PageError({
    status: 403,
    title: 'This form could not be accepted',
    sentence:
      'It did not come from this page, or the page was open for too long. Go back, reload the page and send it again.',
    code,
  });
}
