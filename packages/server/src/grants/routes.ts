import { Hono } from 'hono';
import type { Clients } from '../clients/clients.ts';
import type { Events } from '../events/events.ts';
import { cors, type HttpContext, type HttpEnv, readAuthorization, readForm, requireBearer } from '../http/http.ts';
import { OAuthError } from '../oauth/oauth.ts';
import type { Store } from '../store/store.ts';
import type { Tokens } from '../tokens/tokens.ts';
import type { Grants, TokenResponse } from './grants.ts';
import { revokePresented } from './revoking.ts';

/** The back channel: tokens are obtained and given back here. The client is authenticated before anything is looked at. */
export function grantRoutes(given: {
  grants: Grants;
  tokens: Tokens;
  clients: Clients;
  events: Events;
  store: Store;
}): Hono<HttpEnv> {
  const { grants, tokens, clients, store } = given;
  const routes = new Hono<HttpEnv>();
  const pages = cors({ origins: () => clients.allowedOrigins(), methods: ['POST'] });
  for (const path of ['/oauth2/token', '/oauth2/revoke', '/oauth2/logout']) routes.use(path, pages);

  routes.post('/oauth2/token', async (c) => {
    const { client, form } = await authenticated(c);
    const grantType = form.require('grant_type');
    const { address } = c.get('request');
    const respond = (response: TokenResponse) => c.json(response);
    switch (grantType) {
      case 'authorization_code':
        refuseUnregistered(client.grantTypes.includes(grantType));
        return respond(
          await grants.redeemCode(client, {
            code: form.require('code'),
            redirectUri: form.get('redirect_uri'),
            verifier: form.get('code_verifier'),
            address,
          }),
        );
      case 'refresh_token':
        refuseUnregistered(client.grantTypes.includes(grantType));
        return respond(
          await grants.refresh(client, {
            token: form.require('refresh_token'),
            scope: form.get('scope'),
            resource: form.get('resource'),
            address,
          }),
        );
      case 'client_credentials':
        refuseUnregistered(client.grantTypes.includes(grantType));
        return respond(await grants.clientCredentials(client, form.get('scope')));
      default:
        throw new OAuthError(
          'unsupported_grant_type',
          'bad_request.bad_param.grant_type',
          'grant_type must be authorization_code, refresh_token or client_credentials.',
        );
    }
  });

  // RFC 7009: 200 for anything that is not (or no longer) a token of ours, whatever the hint says.
  routes.post('/oauth2/revoke', async (c) => {
    const { client, form } = await authenticated(c);
    await revokePresented(given, { client, token: form.require('token'), address: c.var.request.address });
    return c.json({});
  });

  // The bank-style logout: the token itself is the credential, and its whole grant ends.
  routes.post('/oauth2/logout', async (c) => {
    const { row } = await tokens.accept(requireBearer(c), c.var.request);
    const { grantId } = row;
    const act = grantId === undefined ? tokens.revoking(row) : await grants.endingById(store.read, grantId, 'client');
    // Refused: somebody else ended it meanwhile.
    if (act) await store.commit(act);
    return c.json({});
  });

  async function authenticated(c: HttpContext) {
    const form = await readForm(c);
    const client = await clients.authenticate({
      authorization: readAuthorization(c),
      form,
      network: c.get('request').network,
    });
    return { client, form };
  }

  return routes;
}

function refuseUnregistered(isRegistered: boolean): void {
  if (isRegistered) return;
  throw new OAuthError(
    'unauthorized_client',
    'bad_request.grant_type_not_registered',
    'The client is not registered for this grant_type.',
  );
}
