import { OAuthError } from '../oauth/oauth.ts';

/** More than any request of OAuth or the developer API needs; each parameter costs a decode and a map entry. */
export const MAX_PARAMETERS = 64;

/** `params[background_color]` is among the longest names in use. */
const MAX_NAME_LENGTH = 128;

/** Twice the longest token (8,192 characters), so that percent-encoding never makes a good one too long. */
const MAX_VALUE_LENGTH = 16_384;

/**
 * Parameters of a form body or a query, each at most once. An empty value counts as omitted (RFC 6749 §3.1); unknown ones are
 * simply never asked for. Kept in a Map, so that a parameter called `__proto__` is only a name.
 */
export class Form {
  readonly #values: ReadonlyMap<string, string>;

  constructor(values: ReadonlyMap<string, string>) {
    this.#values = values;
  }

  /** The value, or undefined when it is missing or empty. */
  get(name: string): string | undefined {
    return this.#values.get(name) || undefined;
  }

  /** The value; throws `invalid_request` with code `bad_request.missing_param.<name>` when there is none. */
  require(name: string): string {
    const value = this.get(name);
    if (value === undefined) {
      throw new OAuthError('invalid_request', `bad_request.missing_param.${name}`, `The parameter ${name} is missing.`);
    }
    return value;
  }

  /** Names of the parameters that have a value, in the order sent. */
  names(): string[] {
    return [...this.#values].filter(([, value]) => value !== '').map(([name]) => name);
  }
}

/**
 * Reads `application/x-www-form-urlencoded` text strictly: percent signs are followed by two hex digits, the bytes are UTF-8, no
 * parameter comes twice (RFC 6749 §3.1; two parsers that each pick another one of two values are an attack). Throws
 * `invalid_request`.
 */
export function parseForm(text: string): Form {
  const values = new Map<string, string>();
  if (text === '') return new Form(values);
  const pairs = text.split('&', MAX_PARAMETERS + 1);
  if (pairs.length > MAX_PARAMETERS) {
    throw new OAuthError(
      'invalid_request',
      'bad_request.too_many_params',
      `Send at most ${MAX_PARAMETERS} parameters.`,
    );
  }
  for (const pair of pairs) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decodePart(equals < 0 ? pair : pair.slice(0, equals));
    const value = decodePart(equals < 0 ? '' : pair.slice(equals + 1));
    if (name.length > MAX_NAME_LENGTH || value.length > MAX_VALUE_LENGTH) {
      throw new OAuthError('invalid_request', 'bad_request.param_too_long', 'A parameter is too long.');
    }
    if (values.has(name)) throw duplicate(name);
    values.set(name, value);
  }
  return new Form(values);
}

/** One name or value of form encoding: `+` is a space. Throws `invalid_request` on what is no UTF-8 or holds a NUL. */
export function decodePart(text: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw malformed();
  }
  if (decoded.includes('\0')) throw malformed(); // no parameter holds one, and PostgreSQL cannot store it
  return decoded;
}

export function malformed(): OAuthError {
  return new OAuthError(
    'invalid_request',
    'bad_request.malformed_form',
    'The parameters are not valid application/x-www-form-urlencoded UTF-8.',
  );
}

function duplicate(name: string): OAuthError {
  const known = /^[a-z][a-z0-9_]{0,39}$/.test(name); // else it is the caller's own text, which is not repeated
  if (!known) return new OAuthError('invalid_request', 'bad_request.duplicate_param', 'A parameter was sent twice.');
  const code = `bad_request.duplicate_param.${name}` as const;
  return new OAuthError('invalid_request', code, `The parameter ${name} was sent twice.`);
}
