import type { PreparedToken } from '../tokens/tokens.ts';

/** RFC 6749 §5.1, with `id_token` of OpenID Connect Core §3.1.3.3. */
export interface TokenResponse {
  access_token: string;
  token_type: 'Bearer';
  expires_in: number;
  scope: string;
  refresh_token?: string;
  id_token?: string;
}

/** Optional members are left out, not null. */
export function tokenResponse(made: {
  accessToken: PreparedToken;
  scope: readonly string[];
  refreshToken?: string | undefined;
  idToken?: string | undefined;
}): TokenResponse {
  const { accessToken, scope, refreshToken, idToken } = made;
  return {
    access_token: accessToken.token,
    token_type: 'Bearer',
    expires_in: accessToken.expiresInSeconds,
    scope: scope.join(' '),
    ...(refreshToken !== undefined && { refresh_token: refreshToken }),
    ...(idToken !== undefined && { id_token: idToken }),
  };
}
