import type { ErrorCode } from '../oauth/oauth.ts';

/**
 * A refusal of HTTP itself, before or beside OAuth: no such path, wrong method, too large, a state that does not fit. Answered as JSON, or as a page where
 * people look.
 */
export class HttpRefusal extends Error {
  readonly status: 400 | 403 | 404 | 405 | 409 | 413 | 414 | 503;
  readonly code: ErrorCode;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: HttpRefusal['status'], code: ErrorCode, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.name = 'HttpRefusal';
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/**
 * A request without credentials at a route that needs a bearer token. The challenge then names no error, for the client may
 * simply not have known (RFC 6750 §3.1).
 */
export class BearerChallenge extends Error {
  constructor() {
    super('This needs an access token: send it as "Authorization: Bearer <token>".');
    this.name = 'BearerChallenge';
  }
}

/**
 * A refusal that a person reads. `title` and `sentence` are fixed texts that hold no input; `code` is stable and shown small, for
 * support.
 */
export class PageError extends Error {
  readonly status: 400 | 401 | 403 | 404 | 409 | 410 | 429 | 500 | 503;
  readonly title: string;
  readonly sentence: string;
  readonly code: ErrorCode;
  readonly retryAfterSeconds: number | undefined;

  constructor(facts: {
    status: PageError['status'];
    title: string;
    sentence: string;
    code: ErrorCode;
    retryAfterSeconds?: number;
  }) {
    super(facts.sentence);
    this.name = 'PageError';
    this.status = facts.status;
    this.title = facts.title;
    this.sentence = facts.sentence;
    this.code = facts.code;
    this.retryAfterSeconds = facts.retryAfterSeconds;
  }
}
