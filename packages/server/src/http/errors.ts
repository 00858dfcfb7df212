import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { ZodError } from 'zod';
import { type ErrorCode, OAuthError, type OAuthErrorCode } from '../oauth/oauth.ts';
import { StoreUnavailable } from '../store/store.ts';
import type { Log } from '../world/log.ts';
import type { HttpContext } from './context.ts';
import type { ErrorFacts, Html } from './page.ts';
import { BearerChallenge, HttpRefusal, PageError } from './refusals.ts';

/** The realm of every challenge: one authority, one protection space (RFC 9110 §11.5). */
const REALM = 'countersign';

/** When the store is away: long enough for a failover to be noticed, short enough that nobody gives up. */
const STORE_RETRY_SECONDS = 2;

/** Status of each OAuth error; those not named are 400 (RFC 6749 §5.2). A refusal that carries `retryAfterSeconds` is 429. */
const OAUTH_STATUS: Partial<Record<OAuthErrorCode, ContentfulStatusCode>> = {
  invalid_client: 401,
  invalid_token: 401,
  insufficient_scope: 403,
  server_error: 500,
  temporarily_unavailable: 503,
};

/** What is sent for an error, before it is decided whether a program or a person reads it. */
interface Refusal {
  status: ContentfulStatusCode;
  /** RFC 6749 §5.2 `error`; undefined for a request without credentials. */
  error: OAuthErrorCode | undefined;
  code: ErrorCode;
  message: string;
  headers?: Readonly<Record<string, string>>;
  /** Replaces the page's plain title. */
  title?: string;
}

export interface ErrorReplies {
  log: Log;
  errorPage(facts: ErrorFacts): Html;
}

/** Turns whatever was thrown into the answer. The unknown is logged, and told to nobody: they get an id to ask about. */
export function replyToError(thrown: unknown, c: HttpContext, replies: ErrorReplies): Response | Promise<Response> {
  const refusal = refusalOf(thrown);
  if (refusal.status === 500) logFailure(thrown, c, replies.log);
  if (thrown instanceof StoreUnavailable) logOutage(thrown, c, replies.log);
  for (const [name, value] of Object.entries(refusal.headers ?? {})) c.header(name, value);
  if (thrown instanceof PageError || c.var.presentation === 'page' || asksForPage(thrown, c)) {
    const { title = titleOf(refusal.status), message: sentence, code } = refusal;
    return c.html(replies.errorPage({ title, sentence, code, requestId: c.var.request.id }), refusal.status);
  }
  const { error, code, message } = refusal;
  const body = { error, error_description: message, code, message, request_id: c.var.request.id };
  return c.json(body, refusal.status);
}

/** A browser that strays to a path which does not exist gets a page; where routes exist, they say what they answer. */
function asksForPage(thrown: unknown, c: HttpContext): boolean {
  return thrown instanceof HttpRefusal && thrown.status === 404 && (c.req.header('Accept') ?? '').includes('text/html');
}

function refusalOf(thrown: unknown): Refusal {
  if (thrown instanceof OAuthError) return oauthRefusal(thrown);
  if (thrown instanceof PageError) {
    const { status, code, title, sentence: message, retryAfterSeconds } = thrown;
    return { status, error: 'invalid_request', code, title, message, headers: retryAfter(retryAfterSeconds) };
  }
  if (thrown instanceof HttpRefusal) {
    const { status, code, message, headers } = thrown;
    const error = status === 503 ? 'temporarily_unavailable' : 'invalid_request';
    return { status, error, code, message, headers };
  }
  if (thrown instanceof BearerChallenge) {
    const headers = { 'WWW-Authenticate': `Bearer realm="${REALM}"` };
    return { status: 401, error: undefined, code: 'unauthorized.missing_token', message: thrown.message, headers };
  }
  if (thrown instanceof StoreUnavailable) {
    const message = 'The service cannot answer right now. Try again in a moment.';
    // A balancer of connections learns by its probe that this node is away; who holds a connection to it learns it by this.
    const headers = { ...retryAfter(STORE_RETRY_SECONDS), Connection: 'close' };
    return { status: 503, error: 'temporarily_unavailable', code: 'unavailable.store', message, headers };
  }
  if (thrown instanceof ZodError) {
    return { status: 400, error: 'invalid_request', code: 'bad_request.schema', message: schemaMessage(thrown) };
  }
  if (thrown instanceof HTTPException && thrown.status < 500) {
    return { status: 400, error: 'invalid_request', code: 'bad_request', message: 'The request could not be read.' };
  }
  const message = 'Something went wrong on our side. The request id finds it in the log.';
  return { status: 500, error: 'server_error', code: 'internal_service', message };
}

function oauthRefusal(error: OAuthError): Refusal {
  const limited = error.retryAfterSeconds !== undefined;
  const status = limited ? 429 : (OAUTH_STATUS[error.error] ?? 400);
  const challenge = challengeOf(error);
  const headers = { ...retryAfter(error.retryAfterSeconds), ...(challenge ? { 'WWW-Authenticate': challenge } : {}) };
  return { status, error: error.error, code: error.code, message: describable(error.message), headers };
}

/** Every 401 carries a challenge (RFC 9110 §15.5.2); a scope refusal names what is missing (RFC 6750 §3). */
function challengeOf(error: OAuthError): string | undefined {
  if (error.error === 'invalid_client' && error.challenge !== 'Bearer')
    return `Basic realm="${REALM}", charset="UTF-8"`;
  const bearer =
    error.challenge === 'Bearer' || error.error === 'invalid_token' || error.error === 'insufficient_scope';
  if (!bearer) return undefined;
  const scope = error.scope === undefined ? '' : `, scope="${describable(error.scope)}"`;
  return `Bearer realm="${REALM}", error="${error.error}", error_description="${describable(error.message)}"${scope}`;
}

/** Only the characters that `error_description` may hold (RFC 6749 §5.2, RFC 6750 §3): no quote, no backslash, no line end. */
function describable(text: string): string {
  return text.replace(/["\\]/g, "'").replace(/[^\x20-\x7e]/g, ' ');
}

function retryAfter(seconds: number | undefined): Record<string, string> {
  return seconds === undefined ? {} : { 'Retry-After': String(Math.max(1, Math.ceil(seconds))) };
}

/** Names the place when it is a plain path of our schema; member names that the caller invented are not repeated. */
function schemaMessage(error: ZodError): string {
  const path = error.issues[0]?.path.map(String).join('.') ?? '';
  if (/^[A-Za-z0-9_.]{1,64}$/.test(path)) return `The body is not as this endpoint reads it: see ${path}.`;
  return 'The body does not have the shape that this endpoint reads: see its documentation.';
}

function titleOf(status: number): string {
  if (status === 404) return 'There is nothing here';
  if (status === 429) return 'Too many attempts';
  if (status >= 500) return 'Something went wrong';
  return 'This did not work';
}

function logFailure(thrown: unknown, c: HttpContext, log: Log): void {
  const error = thrown instanceof Error ? thrown : new Error('a value that is no Error was thrown');
  log.error('request failed', {
    requestId: c.var.request.id,
    error: error.name,
    message: withoutSecrets(error.message),
    stack: frames(error),
    cause: causeOf(error.cause),
  });
}

/** Why, for a full disk and a damaged file look alike from outside. */
function logOutage({ message, cause }: StoreUnavailable, c: HttpContext, log: Log): void {
  log.warn('store unavailable', {
    requestId: c.var.request.id,
    message: withoutSecrets(message),
    cause: causeOf(cause),
  });
}

/** The first of a chain: each later one only says what could not be done because of it. */
function causeOf(cause: unknown): string | undefined {
  if (!(cause instanceof Error)) return undefined;
  return causeOf(cause.cause) ?? withoutSecrets(`${cause.name}: ${cause.message}`);
}

/** Where it happened, without the message that V8 repeats at the top of a stack. */
function frames(error: Error): string {
  const lines = (error.stack ?? '').split('\n').filter((line) => line.startsWith('    at '));
  return lines.map((line) => line.trim()).join(' | ');
}

/** An unforeseen message may quote what it choked on. Whatever is as long as a secret or a token is left out. */
function withoutSecrets(message: string): string {
  return message.replace(/[A-Za-z0-9_\-+/=.~]{40,}/g, '[left out]').slice(0, 500);
}
