import { Hono } from 'hono';
import { html } from 'hono/html';
import { answersWithPages, type HttpContext, type HttpEnv, PageError, page } from '../http/http.ts';
import type { DevelopmentMailbox, ReceivedMail } from './mailbox.ts';

/** An address of the issuer in a mail's text, up to the end of its line. */
const LINK = /^https:\/\/\S+$/m;

/** GET /dev/mailbox: the mails of this server, for a developer. Composed in development mode only, else the path is unknown. */
export function mailboxRoutes(parts: { mailbox: DevelopmentMailbox; organizationName: string }): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  const frameOf = (c: HttpContext) => ({ organizationName: parts.organizationName, basePath: c.var.site.basePath });

  routes.get('/dev/mailbox', answersWithPages, (c) => {
    const frame = frameOf(c);
    const items = parts.mailbox.list().map(
      (mail) => html`<li>
<strong><a href="${frame.basePath}/dev/mailbox/${mail.id}">${mail.subject}</a></strong>
<span class="quiet">to ${mail.to}, ${time(mail)}</span>
</li>`,
    );
    const body = html`<p class="quiet">Mails of this server stay here and are not sent: it runs in development mode. Reload to see new ones.</p>
${items.length === 0 ? html`<p>No mail yet.</p>` : html`<ul class="cards">${items}</ul>`}`;
    return c.html(page({ ...frame, title: 'Development mailbox', body }));
  });

  routes.get('/dev/mailbox/:id', answersWithPages, (c) => {
    const frame = frameOf(c);
    const mail = parts.mailbox.byId(c.req.param('id'));
    if (!mail) throw noSuchMail();
    const link = LINK.exec(mail.text)?.[0];
    const body = html`<p class="quiet">To ${mail.to}, ${time(mail)}</p>
${link === undefined ? '' : html`<p><a class="button" href="${link}">Open the link</a></p>`}
<pre>${mail.text}</pre>
<p><a href="${frame.basePath}/dev/mailbox">All mails</a></p>`;
    return c.html(page({ ...frame, title: mail.subject, body }));
  });

  return routes;
}

const TIME = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium', timeZone: 'UTC' });

function time(mail: ReceivedMail): string {
  return `${TIME.format(mail.receivedAtMs)} UTC`;
}

function noSuchMail(): PageError {
  return new PageError({
    status: 404,
    title: 'There is no such mail',
    sentence: 'The development mailbox keeps the newest 50 mails until the server stops.',
    code: 'mailbox.unknown_mail',
  });
}
