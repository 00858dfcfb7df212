/**
 * Identity: what a client may learn of the user. Owns ID tokens and the answers of /userinfo and /ping/whoami; owns no table.
 * Leaves accounts to users/ and logins to sessions/.
 *
 * An ID token has a key of its own and no record: third parties read it by its signature alone, so a thief of that key can forge
 * ID tokens until it is rotated, and nothing else (docs/threat-model.md). It lives five minutes for that reason.
 */
import { TOKEN_TYPES } from '@countersign/protocol';
import type { Client } from '../clients/clients.ts';
import type { Keys } from '../keys/keys.ts';
import { OAuthError } from '../oauth/oauth.ts';
import type { LiveToken } from '../tokens/tokens.ts';
import type { Users } from '../users/users.ts';
import type { Clock } from '../world/clock.ts';

const ID_TOKEN_LIFETIME_SECONDS = 300;

export class Identity {
  readonly #keys: Keys;
  readonly #users: Users;
  readonly #clock: Clock;
  readonly #issuer: string;

  constructor(given: { keys: Keys; users: Users; clock: Clock; issuer: string }) {
    this.#keys = given.keys;
    this.#users = given.users;
    this.#clock = given.clock;
    this.#issuer = given.issuer;
  }

  /** An ID token (OpenID Connect Core §2). `amr` says how the user logged in; no `acr` is claimed for a mailbox. */
  async issue(about: {
    client: Client;
    userId: string;
    sessionId: string | undefined;
    nonce: string | undefined;
    authTimeMs: number;
    amr: readonly string[];
  }): Promise<string> {
    const issuedAt = Math.floor(this.#clock.now() / 1_000);
    const { token } = await this.#keys.sign({
      purpose: 'id',
      algorithm: 'RS256',
      typ: TOKEN_TYPES.id,
      claims: {
        iss: this.#issuer,
        sub: about.userId,
        aud: about.client.id,
        iat: issuedAt,
        exp: issuedAt + ID_TOKEN_LIFETIME_SECONDS,
        auth_time: Math.floor(about.authTimeMs / 1_000),
        amr: [...about.amr],
        ...(about.nonce !== undefined && { nonce: about.nonce }),
        ...(about.sessionId !== undefined && { sid: about.sessionId }),
      },
    });
    return token;
  }

  /** Claims about the user as the token's scope allows (OpenID Connect Core §5.3). @throws OAuthError insufficient_scope */
  async userinfo({ claims, row }: LiveToken): Promise<{ sub: string; email?: string; email_verified?: true }> {
    const scope = claims.scope.split(' ');
    const user = row.userId === undefined ? undefined : await this.#users.byId(row.userId);
    if (!user || !scope.includes('openid')) {
      throw new OAuthError('insufficient_scope', 'forbidden.insufficient_scope', 'This needs the scope openid.', {
        scope: 'openid',
        challenge: 'Bearer',
      });
    }
    return { sub: user.id, ...(scope.includes('email') && { email: user.email, email_verified: true }) };
  }
}
