/**
 * Forward-auth: says to a reverse proxy who the access token of a request is, so that programs without an SDK need none.
 *
 *   proxy → audience and scopes that its own configuration wants, and the token → live, for that audience, unbound, in scope → identity
 *
 * Owns what a token must be for a proxy. Leaves what it is worth to `tokens/` (alarms ring as everywhere), and who may ask to
 * `routes.ts`: the answer says who somebody else's token is, so the proxies of `forwardAuthProxies` alone get one. Owns no table.
 */
import type { AccessTokenClaims } from '@countersign/protocol';
import { isSubset, OAuthError } from '../oauth/oauth.ts';
import type { Tokens } from '../tokens/tokens.ts';

/** What the proxy's configuration wants of a token. */
export interface Wanted {
  audience: string;
  /** All of them. */
  scopes: readonly string[];
}

export class ForwardAuth {
  readonly #tokens: Pick<Tokens, 'accept'>;

  constructor(given: { tokens: Pick<Tokens, 'accept'> }) {
    this.#tokens = given.tokens;
  }

  /**
   * The claims of a token that is as wanted.
   * @throws OAuthError invalid_token for one that is not live, is for another audience, or is bound to a key; insufficient_scope
   */
  async identify(token: string, wanted: Wanted, from: { address: string }): Promise<AccessTokenClaims> {
    const { claims } = await this.#tokens.accept(token, from);
    if (claims.aud !== wanted.audience) {
      throw refused('unauthorized.bad_access_token', 'The access token is not valid: it is for another API.');
    }
    // A thief of the token alone must not pass: what binds it travels in a proof that the authority does not see here.
    if (claims.cnf !== undefined) {
      throw refused('unauthorized.bad_access_token.bound', 'The access token is not valid without proof of its key.');
    }
    if (!isSubset(wanted.scopes, claims.scope.split(' '))) {
      throw new OAuthError(
        'insufficient_scope',
        'forbidden.insufficient_scope',
        'The access token does not carry the scope that this needs.',
        { scope: wanted.scopes.join(' ') },
      );
    }
    return claims;
  }
}

function refused(code: 'unauthorized.bad_access_token' | 'unauthorized.bad_access_token.bound', message: string) {
  return new OAuthError('invalid_token', code, message, { challenge: 'Bearer' });
}
