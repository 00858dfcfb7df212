import type { Client } from '../clients/clients.ts';
import type { Events } from '../events/events.ts';
import { OAuthError } from '../oauth/oauth.ts';
import type { Store } from '../store/store.ts';
import type { Tokens } from '../tokens/tokens.ts';
import type { Grants } from './grants.ts';

/**
 * Revocation by a client (RFC 7009). The kind of token is recognised from the token, so a hint can neither help nor mislead. A
 * refresh token takes its whole grant along; an access token only itself, so that a client may drop one without losing the user.
 *
 * Anything that is no living token of ours is a success without effect; a token of another client is refused, kept, and noted.
 * @throws OAuthError invalid_grant for a token of another client
 */
export async function revokePresented(
  given: { grants: Grants; tokens: Tokens; events: Events; store: Store },
  presented: { client: Client; token: string; address: string },
): Promise<void> {
  const { grants, tokens, store } = given;
  const { client, token, address } = presented;
  const refresh = await grants.ofRefreshToken(token, { address, client });
  if (refresh) {
    if (refresh.grant.clientId !== client.id) return refuseForeign(given, { client, address });
    // Asked for again and again it must cost nothing: an act that is refused has left its line in the journal.
    if (refresh.grant.endedAtMs !== undefined) return;
    // An older generation of the family is still the client's word that the family shall end.
    await store.commit(grants.ending(refresh.grant, 'client'));
    return;
  }
  const judgement = await tokens.judge(token, { address, clientId: client.id });
  if (judgement.kind === 'judged' && judgement.verdict === 'live') {
    const { row } = judgement;
    if (row.clientId !== client.id) return refuseForeign(given, { client, address, tokenId: row.jti });
    await store.commit(tokens.revoking(row));
    return;
  }
  // By the clock of another node it may live: what is answered as done must be done there, too.
  const row = await tokens.recorded(token);
  if (row?.clientId === client.id) await store.commit(tokens.revoking(row));
}

async function refuseForeign(
  { events }: { events: Events },
  seen: { client: Client; address: string; tokenId?: string },
): Promise<never> {
  await events.record({
    type: 'token.foreign_revocation',
    clientId: seen.client.id,
    tokenId: seen.tokenId,
    address: seen.address,
  });
  throw new OAuthError('invalid_grant', 'forbidden.foreign_token', 'The token was not issued to this client.');
}
