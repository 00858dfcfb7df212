import type { Buckets, RowTerm } from '../buckets/buckets.ts';
import type { Sql, Step } from '../store/store.ts';
import type { AuthorizationCode, GrantRow, NewGrant } from './rows.ts';
import {
  insertingCode,
  insertingGrant,
  selectCode,
  selectGrant,
  selectGrants,
  selectLiveGrantsOfUser,
} from './table.ts';

/**
 * The rows of grants and codes that this authority wrote, and no others. Without the proof, whoever writes the database could make
 * a code for any user, or widen the scope of a grant of his own and have it refreshed into a genuine token.
 */
export class OwnRows {
  readonly #buckets: Pick<Buckets, 'prove' | 'isProven'>;

  constructor(buckets: Pick<Buckets, 'prove' | 'isProven'>) {
    this.#buckets = buckets;
  }

  async grant(sql: Sql, id: string): Promise<GrantRow | undefined> {
    const grant = await selectGrant(sql, id);
    return grant && this.#isOwnGrant(grant) ? grant : undefined;
  }

  async grants(sql: Sql, page: { after: string; limit: number }): Promise<GrantRow[]> {
    return (await selectGrants(sql, page)).filter((grant) => this.#isOwnGrant(grant));
  }

  async liveGrantsOfUser(sql: Sql, of: { userId: string; nowMs: number }): Promise<GrantRow[]> {
    return (await selectLiveGrantsOfUser(sql, of)).filter((grant) => this.#isOwnGrant(grant));
  }

  insertingGrant(grant: NewGrant): Step {
    return insertingGrant({ ...grant, proof: this.#buckets.prove(grantName(grant), grantTerms(grant)) });
  }

  async code(sql: Sql, digest: Uint8Array): Promise<AuthorizationCode | undefined> {
    const code = await selectCode(sql, digest);
    return code && this.#buckets.isProven(codeName(code), codeTerms(code), code.proof) ? code : undefined;
  }

  insertingCode(code: AuthorizationCode): Step {
    return insertingCode({ ...code, proof: this.#buckets.prove(codeName(code), codeTerms(code)) });
  }

  #isOwnGrant(grant: NewGrant & { proof: Uint8Array }): boolean {
    return this.#buckets.isProven(grantName(grant), grantTerms(grant), grant.proof);
  }
}

function grantName(grant: { id: string }) {
  return { table: 'oauth_grant', id: grant.id };
}

/** What was agreed. Session and generation change with its life; the refresh token has a record of its own. */
function grantTerms(grant: NewGrant): readonly RowTerm[] {
  const { clientId, userId, scope, audience, authTimeMs, amr, createdAtMs, expiresAtMs } = grant;
  return [clientId, userId, scope, audience, authTimeMs, amr, createdAtMs, expiresAtMs];
}

function codeName(code: { id: string }) {
  return { table: 'authorization_code', id: code.id };
}

function codeTerms(code: AuthorizationCode): readonly RowTerm[] {
  return [
    ...[code.digest, code.clientId, code.userId, code.sessionId, code.redirectUri, code.isRedirectUriSent],
    ...[code.codeChallenge, code.scope, code.nonce, code.authTimeMs, code.amr, code.createdAtMs, code.expiresAtMs],
  ];
}
