import { html } from 'hono/html';
import type { Client } from '../clients/clients.ts';
import { type Html, page } from '../http/http.ts';

/** What a scope means to a person. Scopes of resource servers are shown as registered: only their owners know their meaning. */
const SCOPES_IN_WORDS: Record<string, string> = {
  openid: 'know that it is you',
  email: 'see your e-mail address',
  offline_access: 'act for you while you are away',
};

/** The consent page: who asks, for what, where, for how long. Two buttons, one form. */
export function consentPage(facts: {
  client: Client;
  scope: readonly string[];
  redirectUri: string;
  sealed: string;
  csrf: string;
  email: string;
  organizationName: string;
  basePath: string;
}): Html {
  const { client, scope } = facts;
  const days = Math.ceil(client.refreshAbsoluteSeconds / 86_400);
  const lasts = client.grantTypes.includes('refresh_token')
    ? `for up to ${days} ${days === 1 ? 'day' : 'days'}, or until you disconnect it on your account page`
    : `for ${Math.ceil(client.accessLifetimeSeconds / 60)} minutes`;
  const body = html`<p><strong>${client.name}</strong> asks to act for <strong>${facts.email}</strong>. It would:</p>
<ul>
${scope.map((word) => html`<li>${SCOPES_IN_WORDS[word] ?? html`use <code>${word}</code>`}</li>`)}
</ul>
<p>At <code>${client.audience}</code>, ${lasts}.</p>
<p>Afterwards you return to <code>${new URL(facts.redirectUri).host || facts.redirectUri}</code>. If you do not know this application, say no.</p>
<form method="post" action="${facts.basePath}/oauth2/authorize/consent">
<input type="hidden" name="request" value="${facts.sealed}">
<input type="hidden" name="csrf" value="${facts.csrf}">
<div class="choices">
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny" class="secondary">Do not allow</button>
</div>
</form>`;
  return page({
    title: `Let ${client.name} in?`,
    body,
    organizationName: facts.organizationName,
    basePath: facts.basePath,
  });
}
