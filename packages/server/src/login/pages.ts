import { html } from 'hono/html';
import { type Html, page } from '../http/http.ts';
import { maskedAddress } from '../users/users.ts';
import type { Finish } from './finishing.ts';
import type { LinkState, MagicLink } from './link.ts';
import { utcTime } from './mails.ts';
import { placeName } from './requester.ts';

/** What every page stands in. */
export interface Frame {
  organizationName: string;
  basePath: string;
}

/** The app that a login is for, by its registered name; the organization itself when there is none. */
export interface AppName {
  app: string;
}

/** The first page: one field, one button. */
export function loginPage(
  frame: Frame,
  given: AppName & { csrf: string; returnTo: string; email?: string | undefined; notice?: string },
): Html {
  const body = html`<p>We send you a mail with a link and a code. There is no password.</p>
${notice(given.notice)}
<form method="post" action="${frame.basePath}/login">
${hidden('csrf', given.csrf)}${hidden('continue', given.returnTo)}
<label for="email">E-mail address</label>
<input id="email" name="email" type="email" autocomplete="email" maxlength="254" required autofocus value="${given.email ?? ''}">
<button type="submit">Send me a mail</button>
</form>`;
  return page({ ...frame, title: `Log in to ${given.app}`, body });
}

/** The same for every address: what became of it is told by mail only. */
export function sentPage(
  frame: Frame,
  given: { email: string; linkId: string; csrf: string; returnTo: string; notice?: string | undefined },
): Html {
  const body = html`<p>We sent a mail to <strong>${given.email}</strong>. Open its link in this browser, or type its code here.</p>
${notice(given.notice)}
<form method="post" action="${frame.basePath}/login/code">
${hidden('csrf', given.csrf)}${hidden('login', given.linkId)}
<label for="code">Code from the mail</label>
<input id="code" name="code" class="code" type="text" inputmode="text" autocomplete="one-time-code" autocapitalize="characters" spellcheck="false" maxlength="16" required>
<button type="submit">Log in</button>
</form>
<p class="quiet">Link and code work for 10 minutes. No mail? Look in the spam folder, or <a href="${startPath(frame, given.returnTo)}">start again</a>.</p>`;
  return page({ ...frame, title: 'Look into your mail', body });
}

/** The link in the browser that started: one button, for a scanner that opens links must not log anybody in. */
export function confirmPage(frame: Frame, given: AppName & { link: MagicLink; csrf: string }): Html {
  const body = html`<p>You are about to log in as <strong>${maskedAddress(given.link.email)}</strong>.</p>
<form method="post" action="${frame.basePath}/login/link">
${hidden('csrf', given.csrf)}
<button type="submit">Log in</button>
</form>`;
  return page({ ...frame, title: `Log in to ${given.app}`, body });
}

/**
 * The link in any other browser: what was asked and by whom, and where to go on. Neither code nor button, so that a person who
 * is talked into opening somebody else's link can give nothing away here.
 */
export function otherBrowserPage(frame: Frame, given: AppName & { link: MagicLink }): Html {
  const { link } = given;
  const body = html`<p>This login was started in another browser. Go back to it and type the code from this mail there.</p>
<dl>
<dt>App</dt><dd>${given.app}</dd>
<dt>Asked from</dt><dd>${link.userAgent}</dd>
<dt>Network</dt><dd>${placeName(link.network)}</dd>
<dt>Time</dt><dd>${utcTime(link.createdAtMs)}</dd>
</dl>
<p>Was it not you? Then close this page: nothing has happened. Never tell the code to anyone.</p>`;
  return page({ ...frame, title: 'Finish where you started', body });
}

/** Why a login cannot go on. Fixed sentences: none holds input, none tells a forger how far he came. */
const ENDS: Record<'expired' | 'used' | 'superseded' | 'invalid' | 'no_account' | 'too_many_codes', [string, string]> =
  {
    expired: ['This login has expired', 'Link and code work for 10 minutes.'],
    used: ['This login was already used', 'Each link and code works once. If it was you, you are logged in.'],
    superseded: ['There is a newer mail', 'Only the link and code of the newest mail work.'],
    invalid: ['This link does not work here', 'Open it again from the mail, in the browser where you started.'],
    no_account: ['You cannot log in', 'There is no account in force with this address.'],
    too_many_codes: ['Too many codes were tried', 'The code of this mail works no more. Its link still does.'],
  };

export type LoginEnd = Exclude<Finish['kind'] | LinkState, 'finished' | 'wrong_code' | 'open'>;

export function endPage(frame: Frame, given: { end: LoginEnd; returnTo: string }): Html {
  const [title, sentence] = ENDS[given.end];
  const body = html`<p>${sentence}</p>
<p><a class="button" href="${startPath(frame, given.returnTo)}">Start again</a></p>`;
  return page({ ...frame, title, body });
}

export function logoutPage(frame: Frame, given: { csrf: string; email: string }): Html {
  const body = html`<p>You are logged in as <strong>${given.email}</strong>.</p>
<form method="post" action="${frame.basePath}/logout">
${hidden('csrf', given.csrf)}
<button type="submit">Log out</button>
</form>
<p class="quiet"><a href="${frame.basePath}/account">Stay logged in</a></p>`;
  return page({ ...frame, title: 'Log out?', body });
}

/** Where a login is begun, for the same purpose as before. */
function startPath(frame: Frame, returnTo: string): string {
  return `${frame.basePath}/login${returnTo === '' ? '' : `?continue=${encodeURIComponent(returnTo)}`}`;
}

export function hidden(name: string, value: string): Html {
  return html`<input type="hidden" name="${name}" value="${value}">`;
}

function notice(sentence: string | undefined): Html {
  return sentence === undefined ? html`` : html`<p class="notice" role="alert">${sentence}</p>`;
}
