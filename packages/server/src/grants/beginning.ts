import { createId } from '@countersign/protocol';
import type { Client } from '../clients/clients.ts';
import type { PreparedToken } from '../tokens/tokens.ts';
import type { GrantParts } from './grants.ts';
import { mintRefreshToken } from './refresh-token.ts';
import type { AuthorizationCode, NewGrant } from './rows.ts';
import { scopeWords } from './scope.ts';
import { type TokenResponse, tokenResponse } from './token-response.ts';

/** A grant about to begin. Nothing of it is worth anything until its rows are committed. */
export interface BegunGrant {
  grant: NewGrant;
  accessToken: PreparedToken;
  response: TokenResponse;
}

/** Makes the tokens of a new grant from an approved code. */
export async function beginGrant(
  parts: GrantParts,
  { client, code }: { client: Client; code: AuthorizationCode },
): Promise<BegunGrant> {
  const { clock, random, tokens, idTokens } = parts;
  const nowMs = clock.now();
  const grantId = createId('grant', nowMs, random.bytes(8));
  const scope = scopeWords(code.scope);
  const about = {
    userId: code.userId,
    sessionId: code.sessionId,
    authTimeMs: code.authTimeMs,
    amr: code.amr,
  };
  const accessToken = await tokens.prepare({ client, user: { ...about, grantId }, scope });
  const refresh = client.grantTypes.includes('refresh_token')
    ? await mintRefreshToken(parts, { client, userId: code.userId, grantId, generation: 1 })
    : undefined;
  const idToken = scope.includes('openid') ? await idTokens.issue({ client, ...about, nonce: code.nonce }) : undefined;
  // Without a refresh token the grant is over when its one access token is.
  const lifetimeSeconds = refresh ? client.refreshAbsoluteSeconds : client.accessLifetimeSeconds;
  const expiresAtMs = nowMs + lifetimeSeconds * 1_000;
  return {
    accessToken,
    response: tokenResponse({ accessToken, scope, refreshToken: refresh?.token, idToken }),
    grant: {
      id: grantId,
      clientId: client.id,
      ...about,
      scope: code.scope,
      audience: client.audience,
      createdAtMs: nowMs,
      idleExpiresAtMs: Math.min(nowMs + client.refreshIdleSeconds * 1_000, expiresAtMs),
      expiresAtMs,
      generation: refresh ? 1 : 0,
      bucketVersion: refresh?.record.version,
      record: refresh?.record.record,
    },
  };
}
