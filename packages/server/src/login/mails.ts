import { html } from 'hono/html';
import { spacedCode } from './code.ts';

/** What both mails say of the request, so that its reader can tell whether it was his own (ML-14). */
export interface MailFacts {
  /** The client's registered name, or the organization's. */
  app: string;
  organizationName: string;
  /** From a fixed list: see `browserName`. */
  browser: string;
  /** See `placeName`. */
  place: string;
  requestedAtMs: number;
}

export interface MailContent {
  subject: string;
  text: string;
  html: string;
}

/** No account and no sign-up, or an account that is out of force: said here, to the owner of the mailbox, and nowhere else. */
export type NoLogin = 'no_account' | 'disabled';

const REASON: Record<NoLogin, string> = {
  no_account: 'There is no account with this address, so nobody can be logged in with it.',
  disabled:
    'The account with this address is disabled, so nobody can be logged in with it. Ask whoever runs this service.',
};

const NOT_YOU = 'Was it not you? Then ignore this mail: nothing happens without it.';
const WARNING = 'Never tell the code to anyone, and type it only on the page where you asked for it.';

/** The mail with link and code. `link` begins with the issuer: no other host ever stands in a mail (ML-10). */
export async function loginMail(
  facts: MailFacts & { link: string; code: string; expiresAtMs: number },
): Promise<MailContent> {
  const app = oneLine(facts.app);
  const code = spacedCode(facts.code);
  const until = utcTime(facts.expiresAtMs);
  const text = `Log in to ${app}

Open this link in the browser where you asked for it:
${facts.link}

Or type this code there: ${code}

Link and code work once, until ${until}.

${requestText(facts)}

${NOT_YOU}
${WARNING}
`;
  const body = html`<p>Open this link in the browser where you asked for it:</p>
<p><a href="${facts.link}" style="display:inline-block;padding:12px 20px;border-radius:8px;background:#1d4ed8;color:#ffffff;text-decoration:none">Log in to ${app}</a></p>
<p>Or type this code there:</p>
<p style="font:600 28px/1.4 monospace;letter-spacing:3px;margin:0">${code}</p>
<p>Link and code work once, until ${until}.</p>
${requestTable(facts)}
<p>${NOT_YOU}<br>${WARNING}</p>`;
  return { subject: `Log in to ${app}`, text, html: await frame(`Log in to ${app}`, body) };
}

/** The mail that is sent in the place of the other when there is nothing to log in to. Neither link nor code. */
export async function noLoginMail(facts: MailFacts & { reason: NoLogin }): Promise<MailContent> {
  const app = oneLine(facts.app);
  const text = `Log in to ${app}

Somebody asked to log in to ${app} with this address.
${REASON[facts.reason]}

${requestText(facts)}

Was it not you? Then ignore this mail.
`;
  const body = html`<p>Somebody asked to log in to ${app} with this address.</p>
<p>${REASON[facts.reason]}</p>
${requestTable(facts)}
<p>Was it not you? Then ignore this mail.</p>`;
  return { subject: `Log in to ${app}`, text, html: await frame(`Log in to ${app}`, body) };
}

const UTC = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' });

/** `24 Nov 2026, 12:24 UTC` */
export function utcTime(atMs: number): string {
  return `${UTC.format(atMs)} UTC`;
}

/** A name from a registration becomes part of a header: no line break, no control or direction character passes. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ').trim();
}

function requestRows(facts: MailFacts): [string, string][] {
  const rows: [string, string][] = [
    ['App', oneLine(facts.app)],
    ['Asked from', facts.browser],
    ['Network', facts.place],
    ['Time', utcTime(facts.requestedAtMs)],
  ];
  if (facts.app !== facts.organizationName) rows.push(['Sent by', oneLine(facts.organizationName)]);
  return rows;
}

function requestText(facts: MailFacts): string {
  return requestRows(facts)
    .map(([name, value]) => `${`${name}:`.padEnd(12)}${value}`)
    .join('\n');
}

function requestTable(facts: MailFacts): ReturnType<typeof html> {
  const rows = requestRows(facts).map(
    ([name, value]) => html`<tr><td style="padding:2px 16px 2px 0;color:#6b7280">${name}</td><td>${value}</td></tr>`,
  );
  return html`<table role="presentation" style="border-collapse:collapse">${rows}</table>`;
}

/** No image, no remote resource, no tracking: everything that is shown stands in the mail itself. */
async function frame(title: string, body: ReturnType<typeof html>): Promise<string> {
  const document = await html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${title}</title></head>
<body style="margin:0;padding:24px;font:16px/1.5 system-ui,sans-serif">
<h1 style="font-size:20px">${title}</h1>
${body}
</body>
</html>
`;
  return document.toString();
}
