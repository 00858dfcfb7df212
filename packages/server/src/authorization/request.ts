/**
 * Reading an authorization request: numbered phases, each of which refuses before the next looks (RFC 6749 §4.1.1, RFC 7636,
 * RFC 9207, OpenID Connect Core §3.1.2.1).
 *
 *   1 client         unknown or disabled: a page, never a redirect
 *   2 redirect URI   not exactly a registered one: a page, never a redirect
 *   3 what we do not support          ┐
 *   4 response_type, response_mode    │
 *   5 PKCE                            │ from here on the client is told, by redirect, with `state` and `iss`
 *   6 scope, resource                 │
 *   7 prompt, max_age, hints          ┘
 */
import type { Client } from '../clients/clients.ts';
import {
  isCodeChallenge,
  isSameRedirectUri,
  isSubset,
  OAuthError,
  parseScope,
  redirectUriProblem,
} from '../oauth/oauth.ts';

export type Prompt = 'none' | 'login' | 'consent' | 'select_account';

/** A request that passed every phase. It travels sealed through the browser while the user logs in. */
export interface AuthorizationRequest {
  clientId: string;
  redirectUri: string;
  isRedirectUriSent: boolean;
  state: string | undefined;
  scope: readonly string[];
  codeChallenge: string | undefined;
  nonce: string | undefined;
  prompt: readonly Prompt[];
  maxAgeSeconds: number | undefined;
  loginHint: string | undefined;
  /** `sub` of a verified id_token_hint. */
  hintedUserId: string | undefined;
  startedAtMs: number;
}

/** A refusal that is shown to the user, because there is nobody to be trusted with a redirect. */
export class RequestNotRedirectable extends Error {
  readonly code: 'authorization.unknown_client' | 'authorization.redirect_uri';
  constructor(code: RequestNotRedirectable['code'], message: string) {
    super(message);
    this.name = 'RequestNotRedirectable';
    this.code = code;
  }
}

export interface Parameters {
  get(name: string): string | undefined;
}

/**
 * `state` and `nonce` of real clients are under 100 characters; 4,096 leave room for those who keep a page address in it. Counted
 * as it will stand in the redirect's URL.
 */
const MAX_STATE_LENGTH = 4_096;
const MAX_NONCE_LENGTH = 512;
const MAX_HINT_LENGTH = 254;

/** Phases 1 and 2: whom an answer may be sent to. @throws RequestNotRedirectable */
export function readRedirectUri(
  client: Client | undefined,
  parameters: Parameters,
): { client: Client; redirectUri: string; isSent: boolean } {
  if (!client || client.disabledAtMs !== undefined) {
    throw new RequestNotRedirectable(
      'authorization.unknown_client',
      'The application that sent you here is not registered, or was switched off.',
    );
  }
  const requested = parameters.get('redirect_uri');
  const [first, ...others] = client.redirectUris;
  if (requested === undefined && first !== undefined && others.length === 0) {
    return { client, redirectUri: first, isSent: false };
  }
  const isKnown = requested !== undefined && client.redirectUris.some((known) => isSameRedirectUri(requested, known));
  if (!isKnown || redirectUriProblem(requested) !== undefined) {
    throw new RequestNotRedirectable(
      'authorization.redirect_uri',
      'The application that sent you here asked to send you on to an address that is not registered for it.',
    );
  }
  return { client, redirectUri: requested, isSent: true };
}

/** Phases 3 to 7. `hintedUserId` is the verified hint's, or undefined. @throws OAuthError, to be sent to the client */
export function readRequest(
  target: { client: Client; redirectUri: string; isSent: boolean },
  parameters: Parameters,
  facts: { hintedUserId: string | undefined; nowMs: number },
): AuthorizationRequest {
  const { client } = target;
  refuseUnsupported(parameters);
  refuseOtherResponses(parameters);
  const codeChallenge = readChallenge(client, parameters);
  const scope = readScope(client, parameters);
  return {
    clientId: client.id,
    redirectUri: target.redirectUri,
    isRedirectUriSent: target.isSent,
    state: readState(parameters),
    scope,
    codeChallenge,
    nonce: atMost(parameters, 'nonce', MAX_NONCE_LENGTH),
    prompt: readPrompt(parameters),
    maxAgeSeconds: readMaxAge(parameters),
    loginHint: readLoginHint(parameters),
    hintedUserId: facts.hintedUserId,
    startedAtMs: facts.nowMs,
  };
}

/** `state`, for error answers too; a longer one than we return is refused rather than cut. */
export function readState(parameters: Parameters): string | undefined {
  const state = parameters.get('state');
  if (state !== undefined && encodeURIComponent(state).length > MAX_STATE_LENGTH) {
    throw badParameter('bad_param.state', `state takes more than ${MAX_STATE_LENGTH} characters of a URL.`);
  }
  return state;
}

function refuseUnsupported(parameters: Parameters): void {
  for (const name of ['request', 'request_uri', 'registration'] as const) {
    if (parameters.get(name) === undefined) continue;
    throw new OAuthError(`${name}_not_supported`, `bad_request.${name}_not_supported`, `${name} is not supported.`);
  }
}

function refuseOtherResponses(parameters: Parameters): void {
  const responseType = parameters.get('response_type');
  if (responseType === undefined) throw badParameter('missing_param.response_type', 'response_type is missing.');
  if (responseType !== 'code') {
    throw new OAuthError(
      'unsupported_response_type',
      'bad_request.bad_param.response_type',
      'The only response_type is code: no token is ever put into a URL.',
    );
  }
  const responseMode = parameters.get('response_mode');
  if (responseMode !== undefined && responseMode !== 'query') {
    throw badParameter('bad_param.response_mode', 'The only response_mode is query.');
  }
}

function readChallenge(client: Client, parameters: Parameters): string | undefined {
  const challenge = parameters.get('code_challenge');
  const method = parameters.get('code_challenge_method');
  if (challenge === undefined) {
    if (!client.isPkceRequired && method === undefined) return undefined;
    throw badParameter('missing_param.code_challenge', 'code_challenge is missing: PKCE is required.');
  }
  if (method !== 'S256') {
    throw badParameter('bad_param.code_challenge_method', 'code_challenge_method must be S256; plain is not accepted.');
  }
  if (!isCodeChallenge(challenge)) {
    throw badParameter('bad_param.code_challenge', 'code_challenge must be 43 characters of base64url.');
  }
  return challenge;
}

/** Without the parameter a client gets all its registered scopes (RFC 6749 §3.3 wants the default documented: here). */
function readScope(client: Client, parameters: Parameters): readonly string[] {
  const resource = parameters.get('resource');
  if (resource !== undefined && resource !== client.audience) {
    throw new OAuthError(
      'invalid_target',
      'bad_request.bad_param.resource',
      'The client has no access to this resource.',
    );
  }
  const parameter = parameters.get('scope');
  if (parameter === undefined) return client.scopes;
  const scope = parseScope(parameter);
  if (!scope || !isSubset(scope, client.scopes)) {
    throw new OAuthError(
      'invalid_scope',
      'bad_request.bad_param.scope',
      'The scope is malformed or goes beyond what the client is registered for.',
    );
  }
  return scope;
}

function readPrompt(parameters: Parameters): readonly Prompt[] {
  const words = new Set((parameters.get('prompt') ?? '').split(' ').filter((word) => word !== ''));
  const prompts = [...words].filter(isPrompt);
  if (prompts.length !== words.size) throw badParameter('bad_param.prompt', 'prompt has an unknown value.');
  if (words.has('none') && words.size > 1) {
    throw badParameter('bad_param.prompt', 'prompt=none goes with no other value.');
  }
  return prompts;
}

function isPrompt(word: string): word is Prompt {
  return word === 'none' || word === 'login' || word === 'consent' || word === 'select_account';
}

function readMaxAge(parameters: Parameters): number | undefined {
  const text = parameters.get('max_age');
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw badParameter('bad_param.max_age', 'max_age must be a whole number of seconds.');
  return Number(text);
}

/** A hint never causes an error (OpenID Connect Core §3.1.2.1): one that no address can be as long as is left out. */
function readLoginHint(parameters: Parameters): string | undefined {
  const hint = parameters.get('login_hint');
  return hint !== undefined && hint.length <= MAX_HINT_LENGTH ? hint : undefined;
}

function atMost(parameters: Parameters, name: string, length: number): string | undefined {
  const value = parameters.get(name);
  if (value !== undefined && value.length > length) {
    throw badParameter(`bad_param.${name}`, `${name} is longer than ${length} characters.`);
  }
  return value;
}

function badParameter(code: `missing_param.${string}` | `bad_param.${string}`, message: string): OAuthError {
  return new OAuthError('invalid_request', `bad_request.${code}`, message);
}
