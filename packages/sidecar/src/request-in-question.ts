/** The request that a proxy asks about: what a proof of possession (RFC 9449 §4.3) must have been made for. */
export interface RequestInQuestion {
  method: string;
  /** Path as the client sent it, without its query. */
  path: string;
}

/** A question as it came over the wire. */
export interface Question {
  method: string;
  /** The request target, unread. */
  target: string;
  /** The value of each line of a header; the name is in lower case. */
  lines(name: string): readonly string[];
}

/** The headers in which proxies say so: as nginx is set up in the documentation, and as Traefik and Caddy do by themselves. */
const PAIRS = [
  { method: 'x-original-method', uri: 'x-original-uri' },
  { method: 'x-forwarded-method', uri: 'x-forwarded-uri' },
] as const;

/** RFC 9110 §9.1 and §5.6.2. No method in use is half as long. */
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/;
const TARGET = /^\/[\x21-\x7e]*$/;

type Said = RequestInQuestion | 'absent' | 'unclear';

/**
 * What the proxy says of the request; `appended` is the target that Envoy appends to the path it calls, asking by the request's
 * own method. Undefined unless it says so in exactly one way, once: a client behind Traefik can add nginx's headers, but cannot
 * take Traefik's away, so two ways mean that one of them is the client's.
 */
export function requestInQuestion(question: Question, appended: string): RequestInQuestion | undefined {
  const inPath: Said = appended === '' ? 'absent' : read([question.method], [appended]);
  const said = [inPath, ...PAIRS.map(({ method, uri }) => read(question.lines(method), question.lines(uri)))];
  const [only, ...others] = said.filter((each) => each !== 'absent');
  return only === undefined || only === 'unclear' || others.length > 0 ? undefined : only;
}

function read(methods: readonly string[], targets: readonly string[]): Said {
  const [method, target] = [methods[0], targets[0]];
  if (method === undefined && target === undefined) return 'absent';
  if (methods.length !== 1 || targets.length !== 1 || method === undefined || target === undefined) return 'unclear';
  if (!METHOD.test(method) || !TARGET.test(target)) return 'unclear';
  return { method, path: /^[^?#]*/.exec(target)?.[0] ?? '' };
}
