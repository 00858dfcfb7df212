import { AuthorityError } from './errors.ts';
import { abortAfter, type Fetch } from './world.ts';

/** Longest answer read: the largest true one, 256 answers with handles, is under 128 KiB. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/** Who this resource server is to the authority: a confidential client with the resource-server role. */
export interface Credentials {
  clientId: string;
  clientSecret: string;
}

interface Call {
  url: string;
  /** What is being done, for error messages: "checking tokens". */
  doing: string;
  /** Sent as JSON by POST; without it the call is a GET. */
  body?: object;
}

/**
 * HTTPS to the authority: JSON in and out, a time limit and a size limit on each call, no redirect followed (a redirect could
 * carry credentials and tokens to another origin). Every failure is an `AuthorityError`.
 */
export class AuthorityConnection {
  readonly #fetch: Fetch;
  readonly #timeoutMs: number;
  readonly #authorization: string;

  constructor(parts: { fetch: Fetch; timeoutMs: number; credentials: Credentials }) {
    this.#fetch = parts.fetch;
    this.#timeoutMs = parts.timeoutMs;
    this.#authorization = basicAuthorization(parts.credentials);
  }

  /** A document anybody may read; sent without credentials. */
  readPublic(call: Call): Promise<unknown> {
    return this.#exchange(call, {});
  }

  /** A call as this resource server. Returns the parsed JSON, of which nothing is verified yet. */
  call(call: Call): Promise<unknown> {
    return this.#exchange(call, { authorization: this.#authorization });
  }

  /** A call that the authority may answer with 409: `conflict`. */
  async post(call: Call & { body: object }): Promise<'done' | 'conflict'> {
    const { status } = await this.#send(call, { authorization: this.#authorization });
    if (status === 409) return 'conflict';
    refuseFailure(call.doing, status);
    return 'done';
  }

  /** An answer without end, as this resource server. Ends with `signal`, by the authority, or by the network. */
  async open(call: Call & { signal: AbortSignal }): Promise<ReadableStream<Uint8Array>> {
    let response: Response;
    try {
      response = await this.#fetch(call.url, {
        redirect: 'error',
        signal: call.signal,
        headers: { accept: 'text/event-stream', authorization: this.#authorization },
      });
    } catch (cause) {
      throw unreachable(call.doing, cause);
    }
    try {
      refuseFailure(call.doing, response.status);
      if (response.body && response.headers.get('content-type')?.startsWith('text/event-stream')) return response.body;
    } catch (error) {
      await discard(response);
      throw error;
    }
    await discard(response);
    throw new AuthorityError('authority_answer_invalid', `${call.doing}: the answer is no event stream.`);
  }

  async #exchange(call: Call, headers: Record<string, string>): Promise<unknown> {
    const { status, text } = await this.#send(call, headers);
    refuseFailure(call.doing, status);
    return parseJson(call.doing, text);
  }

  async #send(call: Call, headers: Record<string, string>): Promise<{ status: number; text: string | undefined }> {
    try {
      const response = await this.#fetch(call.url, {
        redirect: 'error',
        signal: abortAfter(this.#timeoutMs),
        ...(call.body === undefined
          ? { headers: { accept: 'application/json', ...headers } }
          : {
              method: 'POST',
              headers: { accept: 'application/json', 'content-type': 'application/json', ...headers },
              body: JSON.stringify(call.body),
            }),
      });
      return { status: response.status, text: await readLimited(response) };
    } catch (cause) {
      throw unreachable(call.doing, cause);
    }
  }
}

/** Lets go of a body that nobody reads, or its socket would stay open. */
async function discard(response: Response): Promise<void> {
  try {
    await response.body?.cancel();
  } catch {
    // It had ended by itself.
  }
}

/** RFC 6749 §2.3.1: id and secret are form-urlencoded before they are joined, so that a colon in either stays readable. */
function basicAuthorization(credentials: Credentials): string {
  const joined = `${formEncode(credentials.clientId)}:${formEncode(credentials.clientSecret)}`;
  return `Basic ${Buffer.from(joined, 'utf8').toString('base64')}`;
}

function formEncode(value: string): string {
  return new URLSearchParams([['', value]]).toString().slice(1);
}

/** The body as text, or undefined where it is longer than any true answer. */
async function readLimited(response: Response): Promise<string | undefined> {
  if (!response.body) return '';
  const reader = response.body.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(chunks).toString('utf8');
    length += value.byteLength;
    if (length > MAX_ANSWER_BYTES) {
      await reader.cancel();
      return undefined;
    }
    chunks.push(value);
  }
}

function refuseFailure(doing: string, status: number): void {
  if (status >= 200 && status < 300) return;
  if (status === 401 || status === 403) {
    throw new AuthorityError(
      'authority_credentials_refused',
      `${doing}: the authority refused this resource server's credentials (HTTP ${status}). Check the client id, its secret, and that the client has the resource-server role.`,
    );
  }
  if (status === 429 || status >= 500) {
    throw new AuthorityError(
      'authority_unreachable',
      `${doing}: the authority could not answer (HTTP ${status}). Look at its log; the verifier asks again by itself.`,
    );
  }
  throw new AuthorityError(
    'authority_answer_invalid',
    `${doing}: the authority answered HTTP ${status}. Check that the issuer is a Countersign authority of a matching version.`,
  );
}

function parseJson(doing: string, text: string | undefined): unknown {
  try {
    if (text !== undefined) return JSON.parse(text);
  } catch {
    // Told below without the parser's message, which quotes the body.
  }
  throw new AuthorityError(
    'authority_answer_invalid',
    `${doing}: the authority's answer is not JSON of a plausible length. Check that no proxy stands between and answers for it.`,
  );
}

function unreachable(doing: string, cause: unknown): AuthorityError {
  const reason = systemCode(cause);
  const trust = reason && /CERT|SIGNATURE|ISSUER/.test(reason);
  return new AuthorityError(
    'authority_unreachable',
    `${doing}: no answer from the authority (${reason ?? 'aborted or not reachable'}). ${
      trust
        ? 'Its certificate is not trusted here: start Node with NODE_EXTRA_CA_CERTS set to the file of the CA.'
        : 'Check that it runs, that the issuer is right and that the network lets HTTPS through.'
    }`,
    { cause },
  );
}

/** `ECONNREFUSED`, `SELF_SIGNED_CERT_IN_CHAIN`, …: the innermost code is the telling one; `fetch` itself says "fetch failed". */
function systemCode(error: unknown): string | undefined {
  let code: string | undefined;
  for (let depth = 0, at = error; depth < 4 && at instanceof Error; depth++, at = at.cause) {
    if (at.name === 'TimeoutError') return 'timed out';
    if ('code' in at && typeof at.code === 'string' && /^[A-Z0-9_]{1,64}$/.test(at.code)) code = at.code;
  }
  return code;
}
