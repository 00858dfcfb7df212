import { html } from 'hono/html';
import { type Html, page } from '../../http/http.ts';
import type { Session } from '../../sessions/sessions.ts';
import { utcTime } from '../mails.ts';
import { type Frame, hidden } from '../pages.ts';
import { placeName } from '../requester.ts';

/** An app that the user let in, as `ConnectedApplications` tells of it. */
export interface ConnectedApplication {
  grantId: string;
  clientName: string;
  /** Space-delimited. */
  scope: string;
  createdAtMs: number;
}

export interface AccountFacts {
  email: string;
  csrf: { logout: string; disconnect: string; endSession: string };
  currentSessionId: string;
  sessions: readonly Session[];
  applications: readonly ConnectedApplication[];
}

/** Who is logged in, where else, and which apps have access, each with the button that ends it (RV-08, SE-06). */
export function accountPage(frame: Frame, account: AccountFacts): Html {
  const body = html`<p>You are logged in as <strong>${account.email}</strong>.</p>
<form method="post" action="${frame.basePath}/logout">
${hidden('csrf', account.csrf.logout)}
<button type="submit" class="secondary">Log out</button>
</form>
<h2>Connected apps</h2>
${account.applications.length === 0 ? html`<p class="quiet">No app has access to your account.</p>` : applicationList(frame, account)}
<h2>Where you are logged in</h2>
<ul class="cards">${account.sessions.map((session) => sessionItem(frame, account, session))}</ul>`;
  return page({ ...frame, title: 'Your account', body });
}

function applicationList(frame: Frame, account: AccountFacts): Html {
  const items = account.applications.map(
    (application) => html`<li>
<strong>${application.clientName}</strong>
<span class="quiet">${application.scope}</span>
<span class="quiet">since ${utcTime(application.createdAtMs)}</span>
<form method="post" action="${frame.basePath}/account/disconnect">
${hidden('csrf', account.csrf.disconnect)}${hidden('grant', application.grantId)}
<button type="submit" class="secondary" aria-label="Disconnect ${application.clientName}">Disconnect</button>
</form>
</li>`,
  );
  return html`<ul class="cards">${items}</ul>`;
}

function sessionItem(frame: Frame, account: AccountFacts, session: Session): Html {
  const isThisOne = session.id === account.currentSessionId;
  return html`<li>
<strong>${session.userAgent}</strong>${isThisOne ? html` <span class="quiet">(this browser)</span>` : ''}
<span class="quiet">network ${placeName(session.network)}, since ${utcTime(session.createdAtMs)}</span>
${isThisOne ? '' : endSessionForm(frame, account, session)}
</li>`;
}

function endSessionForm(frame: Frame, account: AccountFacts, session: Session): Html {
  return html`<form method="post" action="${frame.basePath}/account/end-session">
${hidden('csrf', account.csrf.endSession)}${hidden('session', session.id)}
<button type="submit" class="secondary" aria-label="Log out ${session.userAgent}, since ${utcTime(session.createdAtMs)}">Log out there</button>
</form>`;
}
