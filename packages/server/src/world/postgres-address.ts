/**
 * Where a PostgreSQL server is, read from a URL of the form that every tool for it takes:
 * `postgres://user:password@host:5432/database?sslmode=verify-full`. A socket is named by its folder: `?host=/var/run/postgresql`.
 *
 * Whoever can read the connection can log in as the authority, so the line is encrypted and the server's certificate checked unless
 * the server is on this machine, or the operator says `sslmode=disable` in so many words. libpq's modes between the two encrypt for
 * whoever answers; here `require` and `verify-ca` check as `verify-full` does.
 */
export interface PostgresAddress {
  /** A name or address, or the folder of a socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** Absent: as PostgreSQL's own tools choose them, from the environment or the account. */
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** `plain`: by socket, on this machine, or by the operator's word. */
  readonly line: 'verified' | 'plain';
  /** The line is plain and leads to another machine. */
  readonly isExposed: boolean;
}

const DEFAULT_PORT = 5432;
const VERIFIED_MODES = new Set(['require', 'verify-ca', 'verify-full']);
const PARAMETERS = new Set(['sslmode', 'host']);

/** Undefined for what is no such URL, or asks for what this does not do: an option that is ignored would be believed. */
export function readPostgresAddress(text: string): PostgresAddress | undefined {
  const url = URL.parse(text);
  if (url === null || !['postgres:', 'postgresql:'].includes(url.protocol) || url.hash !== '') return undefined;
  if ([...url.searchParams.keys()].some((name) => !PARAMETERS.has(name))) return undefined;
  const mode = url.searchParams.get('sslmode') ?? undefined;
  if (mode !== undefined && mode !== 'disable' && !VERIFIED_MODES.has(mode)) return undefined;
  const decoded = [url.hostname, url.pathname.slice(1), url.username, url.password].map(decode);
  if (decoded.some((part) => part === undefined)) return undefined;
  const [named = '', database = '', user = '', password = ''] = decoded;
  const host = url.searchParams.get('host') ?? (named.startsWith('[') ? named.slice(1, -1) : named);
  if (host === '' || database === '') return undefined;
  const isHere = host.startsWith('/') || host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
  const line = mode === undefined ? (isHere ? 'plain' : 'verified') : mode === 'disable' ? 'plain' : 'verified';
  return {
    host,
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    database,
    user: user === '' ? undefined : user,
    password: password === '' ? undefined : password,
    line,
    isExposed: line === 'plain' && !isHere,
  };
}

function decode(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}
