import { allowFormAction, clearHostCookie, type HttpContext, readCookie, setHostCookie } from '../http/http.ts';
import { SESSION_COOKIE } from '../sessions/sessions.ts';
import { BROWSER_COOKIE, type Finish, type FinishRequest, KNOWN_COOKIE, LINK_COOKIE, type Login } from './login.ts';
import { endPage, type LoginEnd } from './pages.ts';

/** A pending authorization request, in the words that pages and mails need. */
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

/** Where the sealed request goes on after the login, below the issuer. */
const CONTINUE_PATH = '/oauth2/authorize/continue';
/** The page with the code stays open while the mail travels; a day covers whoever comes back to an old tab. */
const BROWSER_COOKIE_SECONDS = 86_400;
/** Browsers cap the life of a cookie at 400 days (RFC 6265bis §5.5); whoever comes once a year is remembered. */
const KNOWN_COOKIE_SECONDS = 400 * 86_400;

type Described = DescribedRequest | undefined;

/** What the routes of login share: whom a page names, where it may lead, and how a login ends. */
export class LoginAnswers {
  readonly #login: Login;
  readonly #requests: PendingRequests;
  readonly #organizationName: string;

  constructor(given: { login: Login; requests: PendingRequests; organizationName: string }) {
    this.#login = given.login;
    this.#requests = given.requests;
    this.#organizationName = given.organizationName;
  }

  frameOf(c: HttpContext) {
    return { organizationName: this.#organizationName, basePath: c.var.site.basePath };
  }

  /** The app that a login is for, by its registered name; the organization itself when there is none. */
  appOf(described: Described): string {
    return described?.clientName ?? this.#organizationName;
  }

  /** The browser's cookie, made now if it has none. */
  browserOf(c: HttpContext): string {
    const browser = readCookie(c, BROWSER_COOKIE) ?? this.#login.newBrowser();
    setHostCookie(c, { name: BROWSER_COOKIE, value: browser, maxAgeSeconds: BROWSER_COOKIE_SECONDS });
    return browser;
  }

  /** Chromium applies form-action to the redirect after the form as well: the app at the end of it must be listed (HD-06). */
  async allowReturn(c: HttpContext, returnTo: string): Promise<Described> {
    const request = returnTo === '' ? undefined : await this.#requests.describe(returnTo);
    if (request) allowFormAction(c, request.redirectUri);
    return request;
  }

  /** Who finishes. `browser`: the secret of the cookie that the form was checked against. */
  finishRequest(c: HttpContext, browser: string | undefined): FinishRequest {
    const { network, userAgent } = c.var.request;
    return { browser, sessionCookie: readCookie(c, SESSION_COOKIE), userAgent, network };
  }

  /** Every secret of the time before the login is replaced or removed, so that none that was planted there lives on (ML-12). */
  enter(c: HttpContext, finish: Extract<Finish, { kind: 'finished' }>): Response {
    setHostCookie(c, { name: SESSION_COOKIE, value: finish.sessionCookie });
    setHostCookie(c, { name: BROWSER_COOKIE, value: this.#login.newBrowser(), maxAgeSeconds: BROWSER_COOKIE_SECONDS });
    const known = this.#login.rememberBrowser(readCookie(c, KNOWN_COOKIE), finish.email);
    setHostCookie(c, { name: KNOWN_COOKIE, value: known, maxAgeSeconds: KNOWN_COOKIE_SECONDS });
    clearHostCookie(c, LINK_COOKIE);
    const path =
      finish.returnTo === '' ? '/account' : `${CONTINUE_PATH}?request=${encodeURIComponent(finish.returnTo)}`;
    return c.redirect(`${c.var.site.basePath}${path}`, 303);
  }

  /** Why the login cannot go on. `returnTo`: what it was for, where this browser may know. */
  showEnd(c: HttpContext, end: LoginEnd, returnTo = ''): Response | Promise<Response> {
    return c.html(endPage(this.frameOf(c), { end, returnTo }), END_STATUS[end]);
  }
}

const END_STATUS: Record<LoginEnd, 400 | 403 | 410> = {
  expired: 410,
  used: 410,
  superseded: 410,
  invalid: 400,
  no_account: 403,
  too_many_codes: 403,
};
