import type { ErrorCode } from './error-codes.ts';

/** Error codes a client meets, each from the document that defines it. */
export const OAUTH_ERRORS = [
  // RFC 6749 §4.1.2.1 and §5.2
  'invalid_request',
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
  'unsupported_grant_type',
  'unsupported_response_type',
  'invalid_scope',
  'access_denied',
  'server_error',
  'temporarily_unavailable',
  // RFC 6750 §3.1
  'invalid_token',
  'insufficient_scope',
  // RFC 8707 §2
  'invalid_target',
  // OpenID Connect Core §3.1.2.6
  'login_required',
  'consent_required',
  'interaction_required',
  'request_not_supported',
  'request_uri_not_supported',
  'registration_not_supported',
  // RFC 7009 §2.2.1
  'unsupported_token_type',
] as const;

export type OAuthErrorCode = (typeof OAUTH_ERRORS)[number];

/**
 * A refusal that the protocol names. `error` is the RFC's word; `code` is ours, finer and stable, for programs that must tell
 * causes apart (`bad_request.missing_param.code`); `message` is one English sentence in the characters RFC 6749 §5.2 allows,
 * and never repeats input or a secret.
 */
export class OAuthError extends Error {
  readonly error: OAuthErrorCode;
  readonly code: ErrorCode;
  /** For `insufficient_scope`: what was needed. */
  readonly scope: string | undefined;
  /** The client used the Authorization header, so the answer must challenge it (RFC 6749 §5.2). */
  readonly challenge: 'Basic' | 'Bearer' | undefined;
  /** The client may try again after so many seconds: the refusal is a limit. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    error: OAuthErrorCode,
    code: ErrorCode,
    message: string,
    extra: { scope?: string; challenge?: 'Basic' | 'Bearer'; retryAfterSeconds?: number } = {},
  ) {
    super(message);
    this.name = 'OAuthError';
    this.error = error;
    this.code = code;
    this.scope = extra.scope;
    this.challenge = extra.challenge;
    this.retryAfterSeconds = extra.retryAfterSeconds;
  }
}
