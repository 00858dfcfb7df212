/**
 * The vocabulary of OAuth 2 and OpenID Connect: error codes as the RFCs spell them, scopes, redirect URIs, PKCE. Pure; knows
 * neither requests nor statuses nor the store.
 */
export { ERROR_CODES, type ErrorCode } from './error-codes.ts';
export { OAUTH_ERRORS, OAuthError, type OAuthErrorCode } from './errors.ts';
export { isCodeChallenge, verifierFits } from './pkce.ts';
export { isSameRedirectUri, redirectUriProblem, withParameters } from './redirect-uri.ts';
export { isScopeToken, isSubset, parseScope } from './scope.ts';
