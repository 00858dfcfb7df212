/** A place where no secret may stand: a log line, an answer, a row, a file. */
export interface Surface {
  where: string;
  bytes: Buffer;
}

export interface Secret {
  what: string;
  /** Each way of writing it down that is looked for. */
  forms: Buffer[];
}

/** Shorter texts stand in any file by chance. */
const SHORTEST_DECODED = 16;

/** A secret that is text: itself, and where it is base64url the bytes it stands for, also as hex and as plain base64. */
export function textSecret(what: string, text: string): Secret {
  if (text.length < 6) throw new RangeError(`${what} is too short to be searched for`);
  const forms: Buffer[] = [Buffer.from(text)];
  if (text.length >= SHORTEST_DECODED && /^[\w-]+$/.test(text)) {
    forms.push(...byteForms(Buffer.from(text, 'base64url')));
  }
  return { what, forms };
}

/** A secret of bytes: raw, and as hex, base64 and base64url. */
export function byteSecret(what: string, bytes: Uint8Array): Secret {
  if (bytes.length < SHORTEST_DECODED) throw new RangeError(`${what} is too short to be searched for`);
  return { what, forms: byteForms(Buffer.from(bytes)) };
}

/** A JWS: whole, its signature, and its entropy bucket. What only names things in it (jti, kid) is no secret. */
export function tokenSecrets(what: string, token: string): Secret[] {
  const [, payload = '', signature = ''] = token.split('.');
  const claims: { eb?: unknown } = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  return [
    { what, forms: [Buffer.from(token), Buffer.from(payload)] },
    textSecret(`signature of ${what}`, signature),
    ...(typeof claims.eb === 'string' ? [textSecret(`eb of ${what}`, claims.eb)] : []),
  ];
}

/** Which secret stands where. */
export function search(secrets: readonly Secret[], surfaces: readonly Surface[]): string[] {
  const found = new Set<string>();
  for (const { where, bytes } of surfaces) {
    for (const { what, forms } of secrets) {
      if (forms.some((form) => bytes.includes(form))) found.add(`${what} in ${where}`);
    }
  }
  return [...found];
}

function byteForms(bytes: Buffer): Buffer[] {
  const hex = bytes.toString('hex');
  const texts = [hex, hex.toUpperCase(), bytes.toString('base64').replace(/=+$/, ''), bytes.toString('base64url')];
  return [bytes, ...texts.map((text) => Buffer.from(text))];
}
