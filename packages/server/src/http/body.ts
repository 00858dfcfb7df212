import type { ZodType, z } from 'zod';
import { OAuthError } from '../oauth/oauth.ts';
import type { HttpContext } from './context.ts';
import { Form, malformed, parseForm } from './form.ts';
import { HttpRefusal } from './refusals.ts';

/** 256 tokens to check at once are 30 KiB of JSON, the largest form a few tokens; twice that is room enough. */
export const MAX_BODY_BYTES = 64 * 1024;

/** Deeper than any schema of ours by far; bounds the recursion of parser and schema. */
const MAX_JSON_DEPTH = 16;

/**
 * Parameters that are secrets. In a URL they end up in logs, histories and Referer headers, so a request that puts one there is
 * refused and its sender learns of it (RFC 6749 §2.3.1, RFC 9700 §4.3). An `access_token` there is ignored instead, so that the
 * answer is the plain 401 of a request without credentials.
 */
const SECRET_PARAMETERS = ['client_secret', 'client_assertion', 'code', 'code_verifier', 'refresh_token', 'token'];

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The parameters of a form body. Never looks at the query, except to refuse secrets in it.
 *
 * Throws `invalid_request` (`bad_request.content_type`, `.malformed_form`, `.duplicate_param.<name>`, `.secret_in_query`) or 413.
 * A body of length zero needs no content type and is an empty form.
 */
export async function readForm(c: HttpContext): Promise<Form> {
  refuseSecretsInQuery(c);
  const type = contentType(c);
  const bytes = await readBody(c);
  if (bytes.length === 0 && (type === undefined || type === 'application/x-www-form-urlencoded'))
    return new Form(new Map());
  if (type !== 'application/x-www-form-urlencoded') throw wrongContentType('application/x-www-form-urlencoded');
  return parseForm(decodeUtf8(bytes));
}

/**
 * The parameters of the query, by the rules of a form. `secrets: 'allowed'` is for a page that a mailed link opens: such a link
 * can carry its token nowhere else.
 */
export function readQuery(c: HttpContext, options: { secrets?: 'allowed' } = {}): Form {
  if (options.secrets !== 'allowed') refuseSecretsInQuery(c);
  return parseForm(queryOf(c));
}

/**
 * A JSON body in the shape of `schema`. Throws `invalid_request` (`bad_request.content_type`, `.malformed_json`, `.json_depth`)
 * or 413, and the schema's own error (answered as `bad_request.schema`).
 */
export async function readJson<Schema extends ZodType>(c: HttpContext, schema: Schema): Promise<z.output<Schema>> {
  refuseSecretsInQuery(c);
  if (contentType(c) !== 'application/json') throw wrongContentType('application/json');
  const text = decodeUtf8(await readBody(c));
  refuseDeepJson(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new OAuthError('invalid_request', 'bad_request.malformed_json', 'The body is not valid JSON.');
  }
  return schema.parse(value);
}

/**
 * The body, at most `MAX_BODY_BYTES`; throws 413 beyond. With a Content-Length node's parser hands over exactly so many bytes, so
 * it is enough to look at the number; without one the stream is counted and given up in the middle.
 */
export async function readBody(c: HttpContext): Promise<Uint8Array> {
  const known = c.get('body');
  if (known) return known;
  refuseLargeBody(c);
  const bytes = await bytesOf(c.req.raw);
  c.set('body', bytes);
  return bytes;
}

async function bytesOf(request: Request): Promise<Uint8Array> {
  try {
    if (!request.headers.has('content-length')) return await countedBytes(request.body);
    return new Uint8Array(await request.arrayBuffer());
  } catch (error) {
    if (error instanceof HttpRefusal) throw error;
    // The sender went away in the middle: nobody reads the answer, and it is no fault of ours to be logged as one.
    throw new HttpRefusal(400, 'bad_request.incomplete_body', 'The body ended before it was complete.');
  }
}

/** Refuses by Content-Length alone, before any route has spent work on the request. */
export function refuseLargeBody(c: HttpContext): void {
  const length = c.req.raw.headers.get('content-length');
  if (length !== null && Number(length) > MAX_BODY_BYTES) throw tooLarge();
}

async function countedBytes(body: ReadableStream<Uint8Array> | null): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = body?.getReader();
  for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) {
    length += part.value.length;
    if (length > MAX_BODY_BYTES) {
      await reader?.cancel();
      throw tooLarge();
    }
    chunks.push(part.value);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/** Media type without parameters, lower case. A charset other than UTF-8 makes it a type that nothing here reads. */
function contentType(c: HttpContext): string | undefined {
  const header = c.req.raw.headers.get('content-type');
  if (header === null) return undefined;
  const [type = '', ...parameters] = header.split(';').map((part) => part.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length);
  const readable = charset === undefined || /^"?(utf-8|us-ascii)"?$/.test(charset);
  return readable ? type : `${type}; other charset`;
}

function refuseSecretsInQuery(c: HttpContext): void {
  const query = queryOf(c);
  if (query === '') return;
  const found = queryNames(query).find((name) => SECRET_PARAMETERS.includes(name));
  if (found === undefined) return;
  const message = `Send ${found} in the body: whatever stands in a URL is written to logs.`;
  throw new OAuthError('invalid_request', 'bad_request.secret_in_query', message);
}

/** Names in a query, also in one that is malformed elsewhere. */
function queryNames(query: string): string[] {
  return [...new URLSearchParams(query).keys()];
}

export function queryOf(c: HttpContext): string {
  const url = c.req.raw.url;
  const start = url.indexOf('?');
  if (start < 0) return '';
  const end = url.indexOf('#', start);
  return url.slice(start + 1, end < 0 ? undefined : end);
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw malformed();
  }
}

/** Counts open brackets outside strings before the parser recurses. */
function refuseDeepJson(text: string): void {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (inString) {
      if (character === '\\') at++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') depth--;
    if (depth > MAX_JSON_DEPTH) {
      throw new OAuthError('invalid_request', 'bad_request.json_depth', `Nest JSON at most ${MAX_JSON_DEPTH} deep.`);
    }
  }
}

function wrongContentType(expected: string): OAuthError {
  return new OAuthError('invalid_request', 'bad_request.content_type', `Send the body as ${expected}, in UTF-8.`);
}

function tooLarge(): HttpRefusal {
  const message = `The body is larger than ${MAX_BODY_BYTES / 1024} KiB.`;
  return new HttpRefusal(413, 'bad_request.body_too_large', message);
}
