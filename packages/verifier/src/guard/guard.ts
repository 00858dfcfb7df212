/**
 * Whether a request may pass: the one decision behind every middleware. It knows no framework. It is given what came over the
 * wire, as it came, and answers either who asks or what to send back.
 *
 * Owns where a credential may stand, how many there may be, and how a refusal looks. Leaves the token to the verifier, reading
 * requests to `node-message.ts` and `web-request.ts`, and to each adapter its framework's way of going on.
 *
 * No method is let by: HEAD and OPTIONS need a token like any other. A CORS preflight carries none, so whoever serves other
 * origins answers it before the guard.
 */
import type { Handles } from '@countersign/protocol';
import { readTokenCredentials } from '../bearer.ts';
import { bearerChallenge } from '../challenge.ts';
import { REFUSALS } from '../errors.ts';
import { type Asked, type Presentation, type Requirement, readAsked, readRequirement } from '../requirement.ts';
import type { Accepted, VerifiedClaims, VerifyResult } from '../results.ts';
import type { Verifier } from '../verifier.ts';

/** What handlers behind a guard find of the token. The token itself is not here: nothing that is logged can leak it. */
export interface GuardedToken {
  /** What it rests on: signature and record, or, where the route is `offline`, the signature alone. */
  basis: Accepted['basis'];
  claims: VerifiedClaims;
  /** Opaque names for grouping; none where the route takes a signature alone (`offline`). */
  handles?: Handles;
}

/** What a guard needs of a verifier. */
export type GuardVerifier = Pick<Verifier, 'audience' | 'origin' | 'verify'>;

/** A request as it came over the wire. */
export interface PresentedRequest {
  method: string;
  /** The request target: path and query, or a whole URL, of which the origin is ignored. */
  target: string;
  /** The value of each `Authorization` line. Where a framework joins lines, one value with commas. */
  authorization: readonly string[];
  /** The value of each `DPoP` line, likewise. */
  dpop: readonly string[];
}

export interface RefusedRequest {
  kind: 'refuse';
  status: 400 | 401 | 403 | 503;
  /** By name in lower case. */
  headers: Readonly<Record<string, string>>;
  /** JSON text: `{ error, error_description, code }`. */
  body: string;
}

export type Decision = { kind: 'pass'; token: GuardedToken } | RefusedRequest;

/** Seconds after which a request that could not be decided may be tried again: the verifier itself asks again as soon. */
const RETRY_AFTER_SECONDS = 1;

/**
 * Makes the decision for one route. The promise rejects only where the verifier has a bug, with an `Error`; an adapter hands that to its
 * framework's error path, and never lets the request pass.
 *
 * The requirement is read once, here: what the program does to its object later changes nothing.
 *
 * @throws TypeError for what no token can meet, for a member that no requirement has, and for one that says nothing.
 */
export function requestGuard(
  verifier: GuardVerifier,
  requirement: Requirement = {},
): (request: PresentedRequest) => Promise<Decision> {
  const required = readRequirement(requirement);
  const asBearer = readAsked({ ...required, scheme: 'Bearer' });
  const { audience: realm, origin } = verifier;
  return async (request) => {
    const credentials = readTokenCredentials(request.authorization);
    if (credentials.kind === 'repeated' || (credentials.kind === 'token' && hasQueryToken(request.target))) {
      return refuseRequest(realm, {
        code: 'credentials_repeated',
        description: 'The request carries more than one access token. Send one, in the Authorization header.',
      });
    }
    if (credentials.kind === 'malformed') {
      return refuseRequest(realm, {
        code: 'credentials_malformed',
        description: 'The Authorization header must be the word Bearer or DPoP, one space and the access token.',
      });
    }
    let asked: Asked = required;
    if (credentials.kind === 'token') {
      asked = credentials.scheme === 'Bearer' ? asBearer : readAsked({ ...required, ...byDpop(request, origin) });
    }
    const result = await askVerifier(verifier, credentials.kind === 'token' ? credentials.token : undefined, asked);
    if (result.kind !== 'accepted') return refuse(result);
    const { basis, claims, handles } = result;
    return { kind: 'pass', token: { basis, claims, ...(handles === undefined ? {} : { handles }) } };
  };
}

/** Frameworks take an error that is falsy, or a word of theirs such as `route`, for leave to go on: whatever fails here is an Error. */
async function askVerifier(verifier: GuardVerifier, ...asked: Parameters<Verifier['verify']>): Promise<VerifyResult> {
  try {
    return await verifier.verify(...asked);
  } catch (error) {
    if (error instanceof Error) throw error;
    throw new Error('Guarding a request: the verifier failed without saying why.', { cause: error });
  }
}

/**
 * Without a `DPoP` line, or without an origin that a proof could name, there is no proof, and the verifier refuses the scheme.
 * Several lines make one value with a comma in it, which is no JWT: it refuses that too (RFC 9449 §4.3, checks 1 and 2). Beside
 * a bearer token the line means nothing.
 */
function byDpop({ method, target, dpop }: PresentedRequest, origin: string | undefined): Presentation {
  if (dpop.length === 0 || origin === undefined) return { scheme: 'DPoP' };
  return { scheme: 'DPoP', proof: { jwt: dpop.join(', '), method, url: `${origin}${pathOf(target)}` } };
}

const SCHEME_AND_AUTHORITY = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i;

/**
 * The path of a request target, as it was sent. Cut out by hand, because a URL parser reads the target `//evil.example/` as
 * another host. A client that sends the whole URL (RFC 9112 §3.2.2) names a host of its own choice, which is dropped.
 */
function pathOf(target: string): string {
  const path = /^[^?#]*/.exec(target.replace(SCHEME_AND_AUTHORITY, ''))?.[0] ?? '';
  return path.startsWith('/') ? path : `/${path}`;
}

/** More than one way of sending a token makes a request invalid (RFC 6750 §2); alone, a token in the query is no credential. */
function hasQueryToken(target: string): boolean {
  const start = target.indexOf('?');
  return start >= 0 && new URLSearchParams(target.slice(start + 1)).has('access_token');
}

function refuseRequest(realm: string, { code, description }: { code: string; description: string }): RefusedRequest {
  return refusal({
    status: 400,
    challenge: bearerChallenge({ realm, error: 'invalid_request', description }),
    body: { error: 'invalid_request', error_description: description, code },
  });
}

function refuse(result: Exclude<VerifyResult, { kind: 'accepted' }>): RefusedRequest {
  if (result.kind === 'unavailable') {
    // The caller learns that the fault is not his; which fault it is stands in the counters.
    return refusal({
      status: result.status,
      retryAfterSeconds: RETRY_AFTER_SECONDS,
      body: {
        error: 'temporarily_unavailable',
        error_description: 'The access token cannot be verified at the moment. Try again later.',
        code: 'verification_unavailable',
      },
    });
  }
  const { status, challenge, code } = result;
  const reason = REFUSALS[code];
  return refusal({
    ...{ status, challenge },
    body: {
      error: 'error' in reason ? reason.error : 'invalid_token',
      error_description: reason.description,
      code: reason.publicCode,
    },
  });
}

function refusal(answer: {
  status: RefusedRequest['status'];
  challenge?: string;
  retryAfterSeconds?: number;
  body: { error: string; error_description: string; code: string };
}): RefusedRequest {
  return {
    kind: 'refuse',
    status: answer.status,
    headers: {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      ...(answer.challenge === undefined ? {} : { 'www-authenticate': answer.challenge }),
      ...(answer.retryAfterSeconds === undefined ? {} : { 'retry-after': String(answer.retryAfterSeconds) }),
    },
    body: JSON.stringify(answer.body),
  };
}
