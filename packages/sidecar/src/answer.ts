/**
 * The answer to a proxy's question. Knows no socket: it is given what came over the wire, as it came, and answers 200 with all
 * identity headers, 401 or 403 with a challenge that is ready to be passed on, or 503; never anything else, of which a proxy
 * would make a failure of its own.
 *
 * Owns where the requirement, the credential and the request in question stand. Leaves the token to the verifier, and whether the
 * peer may ask at all to `sidecar.ts`.
 */
import { FORWARD_AUTH_PATH, identityHeaders, readForwardAuthQuery } from '@countersign/protocol';
import {
  bearerChallenge,
  REFUSALS,
  readTokenCredentials,
  type Verifier,
  type VerifyResult,
} from '@countersign/verifier';
import { type Question, requestInQuestion } from './request-in-question.ts';

/**
 * Scopes that the proxy's configuration demands, where the query is not its own (Envoy). They only add to what is demanded
 * otherwise: whoever else sends it shuts himself out.
 */
export const REQUIRED_SCOPE_HEADER = 'countersign-required-scope';

export interface Answer {
  status: 200 | 401 | 403 | 503;
  /** By name. */
  headers: Readonly<Record<string, string>>;
  /** JSON text `{ error, error_description, code }`, or nothing. */
  body: string;
}

/** Why a question is refused whatever its token is. Stable. */
export type QuestionRefusal = 'not_a_proxy' | 'forward_auth_query';

export interface Answering {
  verifier: Pick<Verifier, 'audience' | 'origin' | 'verify'>;
  /** Scopes that every token needs. */
  scopes: readonly string[];
  /** Hears of each verification, without token or claims. */
  onResult(result: VerifyResult): void;
}

/** Whether a request target is a question: the path itself, or the path with the original target behind it. */
export function isQuestion(target: string): boolean {
  return (
    target === FORWARD_AUTH_PATH ||
    [`${FORWARD_AUTH_PATH}?`, `${FORWARD_AUTH_PATH}/`].some((start) => target.startsWith(start))
  );
}

/** @throws Error where the verifier has a bug; such a question must not be answered by 200. */
export async function answer(question: Question, { verifier, scopes, onResult }: Answering): Promise<Answer> {
  const wanted = readWanted(question, verifier.audience);
  if (wanted.kind === 'malformed') return refuseQuestion('forward_auth_query', wanted.why);
  const credentials = readTokenCredentials(question.lines('authorization'));
  if (credentials.kind === 'repeated' || credentials.kind === 'malformed') {
    return refuseCredentials(credentials.kind, verifier.audience);
  }
  const all = [...new Set([...scopes, ...wanted.scopes])];
  const demanded = all.length > 0 ? { scopes: all } : {}; // an empty list says nothing, and is refused as a slip
  const result =
    credentials.kind === 'none'
      ? await verifier.verify(undefined, demanded)
      : await verifier.verify(credentials.token, {
          ...demanded,
          scheme: credentials.scheme,
          ...(credentials.scheme === 'DPoP' && proofOf(question, verifier.origin)),
        });
  onResult(result);
  if (result.kind === 'accepted') return { status: 200, headers: noStore(identityHeaders(result.claims)), body: '' };
  return refuseToken(result);
}

/** `403`: who is no proxy of ours learns nothing of anybody's token. */
export function refuseQuestion(code: QuestionRefusal, description: string): Answer {
  return refusal({ status: 403, error: 'invalid_request', description, code });
}

/** Also for what goes wrong in here: nothing is passed that was not verified. */
export function unavailable(): Answer {
  return refusal({
    ...{ status: 503, error: 'temporarily_unavailable', code: 'verification_unavailable' },
    description: 'The access token cannot be verified at the moment. Try again later.',
  });
}

function readWanted(question: Question, audience: string): ReturnType<typeof readForwardAuthQuery> {
  const { target } = question;
  const start = target.indexOf('?');
  // Behind an appended path the query is the client's, and says nothing.
  const query = appendedTo(target) !== '' || start < 0 ? '' : target.slice(start + 1);
  const demanded = question.lines(REQUIRED_SCOPE_HEADER).map((value) => `scope=${encodeURIComponent(value)}`);
  const scopes: string[] = [];
  for (const each of [query, ...demanded].map(readForwardAuthQuery)) {
    if (each.kind === 'malformed') return each;
    if (each.audience !== undefined && each.audience !== audience) {
      return { kind: 'malformed', why: 'This sidecar answers for another audience.' };
    }
    scopes.push(...each.scopes);
  }
  return { kind: 'asked', audience, scopes };
}

/** What stands behind the path of the question: nothing, or the original path and query. */
function appendedTo(target: string): string {
  const rest = target.slice(FORWARD_AUTH_PATH.length);
  return rest.startsWith('/') ? rest : '';
}

/** Several `DPoP` lines make one text that is no proof (RFC 9449 §4.3, check 1). No known request: no proof can be for it. */
function proofOf(question: Question, origin: string | undefined) {
  const request = requestInQuestion(question, appendedTo(question.target));
  const jwt = question.lines('dpop').join(', ');
  if (jwt === '' || origin === undefined || request === undefined) return {};
  return { proof: { jwt, method: request.method, url: `${origin}${request.path}` } };
}

/** 401 and not 400: that is what proxies pass on. */
function refuseCredentials(kind: 'repeated' | 'malformed', realm: string): Answer {
  const description =
    kind === 'repeated'
      ? 'The request carries more than one credential. Send one, in the Authorization header.'
      : 'The Authorization header must be the word Bearer or DPoP, one space and the access token.';
  const challenge = bearerChallenge({ realm, error: 'invalid_request', description });
  return refusal({ status: 401, error: 'invalid_request', description, code: `credentials_${kind}`, challenge });
}

function refuseToken(result: Exclude<VerifyResult, { kind: 'accepted' }>): Answer {
  if (result.kind === 'unavailable') return unavailable();
  const { status, challenge, code } = result;
  const reason = REFUSALS[code];
  const error = 'error' in reason ? reason.error : 'invalid_token';
  return refusal({ status, error, description: reason.description, code: reason.publicCode, challenge });
}

function refusal(of: {
  status: 401 | 403 | 503;
  error: string;
  description: string;
  code: string;
  challenge?: string;
}): Answer {
  const { status, error, description, code, challenge } = of;
  return {
    status,
    headers: noStore({
      'Content-Type': 'application/json',
      ...(challenge !== undefined && { 'WWW-Authenticate': challenge }),
    }),
    body: JSON.stringify({ error, error_description: description, code }),
  };
}

function noStore(headers: Record<string, string>): Record<string, string> {
  return { ...headers, 'Cache-Control': 'no-store' };
}
