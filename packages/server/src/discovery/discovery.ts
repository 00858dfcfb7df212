/**
 * Discovery: what this authority says of itself. Owns the two metadata documents (RFC 8414, OpenID Connect Discovery) and the key
 * set; owns no table. Both documents come from one object, so they cannot disagree, and it lists only what is served.
 */
import type { VerifierMetadata } from '@countersign/protocol';
import type { Keys } from '../keys/keys.ts';

/** Everything announced. Members without elements are left out (RFC 8414 §3.2). */
export function metadata(issuer: string): Record<string, unknown> & VerifierMetadata {
  const secretMethods = ['client_secret_basic', 'client_secret_post'];
  return {
    issuer,
    authorization_endpoint: `${issuer}/oauth2/authorize`,
    token_endpoint: `${issuer}/oauth2/token`,
    revocation_endpoint: `${issuer}/oauth2/revoke`,
    introspection_endpoint: `${issuer}/oauth2/introspect`,
    userinfo_endpoint: `${issuer}/userinfo`,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials'],
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: [...secretMethods, 'none'],
    revocation_endpoint_auth_methods_supported: [...secretMethods, 'none'],
    introspection_endpoint_auth_methods_supported: secretMethods,
    authorization_response_iss_parameter_supported: true,
    scopes_supported: ['openid', 'email', 'offline_access'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    claims_supported: [
      'sub',
      'iss',
      'aud',
      'iat',
      'exp',
      'auth_time',
      'amr',
      'nonce',
      'sid',
      'email',
      'email_verified',
    ],
    prompt_values_supported: ['none', 'login', 'consent', 'select_account'],
    claims_parameter_supported: false,
    request_parameter_supported: false,
    request_uri_parameter_supported: false,
    countersign_check_endpoint: `${issuer}/verifier/check`,
    countersign_report_endpoint: `${issuer}/verifier/report`,
    countersign_keys_endpoint: `${issuer}/verifier/keys`,
    countersign_stream_endpoint: `${issuer}/verifier/stream`,
    countersign_pulse_endpoint: `${issuer}/verifier/pulse`,
  };
}

/** The published key set (RFC 7517 §5): public members only. */
export function keySet(keys: Keys): { keys: object[] } {
  return { keys: keys.publicKeys() };
}
