import type { GuardVerifier } from '../guard/guard.ts';
import type { VerifiedClaims } from '../results.ts';
import { AUDIENCE } from './fake-authority.ts';

export const ORIGIN = new URL(AUDIENCE).origin;

/** Accepts every token, and remembers what it was asked: for tests of what comes before and after a verification. */
export function accepting(): {
  verifier: GuardVerifier;
  claims: VerifiedClaims;
  asked: { token: string | undefined; asked: Parameters<GuardVerifier['verify']>[1] }[];
} {
  const calls: ReturnType<typeof accepting>['asked'] = [];
  const claims = {
    ...{ iss: 'https://login.example', sub: 'user_1', aud: AUDIENCE, client_id: 'oauth2client_app' },
    ...{ jti: 'acctok_1', iat: 0, exp: 1, scope: 'accounts:read' },
  };
  const verifier: GuardVerifier = {
    audience: AUDIENCE,
    origin: ORIGIN,
    verify: async (token, asked) => {
      calls.push({ token, asked: asked && { ...asked } });
      return { kind: 'accepted', basis: 'record', claims, expiresAtMs: 1000 };
    },
  };
  return { verifier, claims, asked: calls };
}
