/**
 * What is asked of a token: read once from what a program hands over, then measured in each request.
 *
 * A requirement that is read too generously lets everybody in, so reading refuses whatever it does not know, and what it hands back
 * is a copy that nothing changes any more: not the program that keeps the original, and not a member that some code hangs on
 * `Object.prototype`.
 */
import {
  bearerChallenge,
  bothChallenges,
  type ChallengeAttributes,
  dpopChallenge,
  isWord,
  type Scheme,
} from './challenge.ts';
import { REFUSALS, type Refusal, type RefusalCode } from './errors.ts';
import type { KnownToken } from './known-token.ts';
import { MODES, type Mode } from './options.ts';
import type { Proof } from './proof/proof.ts';
import { type AuthenticationRequirement, authenticationProblem } from './step-up.ts';

/** What a route needs beyond a good token. */
export interface Requirement extends AuthenticationRequirement {
  /** Scopes the token must all carry; one at least. Compared as RFC 6749 §3.3 does: case-sensitive, in any order. */
  scopes?: readonly string[];
  /** How this route verifies; default: the verifier's own mode. */
  mode?: Mode;
}

/** How a token was presented. Without it: as a bearer token. */
export interface Presentation {
  /** The scheme of the `Authorization` header. */
  scheme?: Scheme;
  /** The `DPoP` header, and the request it must be made for (RFC 9449 §4.3). */
  proof?: Proof;
}

type Reader = (value: unknown) => unknown;

/** Every member of a requirement, and how it is read; the compiler keeps it complete. */
const REQUIREMENT_READERS = {
  scopes: (value) => readWords('scopes', value, 'RFC 6749 section 3.3'),
  mode(value) {
    const mode = MODES.find((each) => each === value);
    if (!mode) throw new TypeError('Requiring a mode: `mode` must be "coherent", "strict" or "offline".');
    return mode;
  },
  acrValues: (value) => readWords('acrValues', value, 'RFC 9470 section 3'),
  maxAgeSeconds(value) {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw new TypeError('Requiring a login: `maxAgeSeconds` must be a whole number of seconds from zero up.');
  },
} as const satisfies Record<keyof Requirement, Reader>;

const ASKED_READERS = {
  ...REQUIREMENT_READERS,
  scheme(value) {
    if (value === 'Bearer' || value === 'DPoP') return value;
    throw new TypeError('Verifying a token: `scheme` must be "Bearer" or "DPoP", in this spelling.');
  },
  proof: readProof,
} as const satisfies Record<keyof (Requirement & Presentation), Reader>;

/** By name, so that no name finds what every object inherits. */
type Readers = ReadonlyMap<PropertyKey, Reader>;
const OF_REQUIREMENTS: Readers = new Map(Object.entries(REQUIREMENT_READERS));
const OF_ALL_ASKED: Readers = new Map(Object.entries(ASKED_READERS));

/**
 * What is asked of a token, as `readAsked` and `readRequirement` alone make it: frozen, with lists of its own, and beside a member
 * that is absent there is nothing to find, `Object.prototype` neither. A class, because its private mark can be neither copied nor
 * forged, and costs a fraction of what a `WeakSet` does.
 */
export class Asked implements Readonly<Requirement & Presentation> {
  declare readonly scopes?: readonly string[];
  declare readonly mode?: Mode;
  declare readonly acrValues?: readonly string[];
  declare readonly maxAgeSeconds?: number;
  declare readonly scheme?: Scheme;
  declare readonly proof?: Proof;
  readonly #isRead = true;

  private constructor() {}

  static isOne(given: unknown): given is Asked {
    return typeof given === 'object' && given !== null && #isRead in given;
  }

  /** @throws TypeError */
  static read(given: unknown, readers: Readers): Asked {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) {
      throw new TypeError(
        'Reading what is required of a token: it must be an object, as { scopes: ["accounts:read"] } is.',
      );
    }
    const copy = new Asked();
    const members = copy as unknown as Record<PropertyKey, unknown>; // written here, each by its reader, and nowhere else
    for (let level: object | null = given; level !== null && level !== Object.prototype; ) {
      for (const name of Reflect.ownKeys(level)) {
        if (level !== given && (name === 'constructor' || name in copy)) continue; // every class has one; a class below has said it
        members[name] = readerOf(name, readers)(Reflect.get(given, name));
      }
      level = Object.getPrototypeOf(level);
    }
    Object.freeze(copy);
    return copy;
  }
}

Object.setPrototypeOf(Asked.prototype, null);

/**
 * Reads what is asked of one token: a requirement, and how the token was presented. What was read before is handed back as it is.
 * Members count wherever they stand, also on a class; those of `Object.prototype` belong to nobody.
 *
 * @throws TypeError for what is no object, for a member that does not exist (`{ scope: […] }`, read as no requirement at all, would
 * let every token in), and for one that is there without saying anything (`undefined`, an empty list), as of a misspelled constant.
 */
export function readAsked(given: unknown): Asked {
  return Asked.isOne(given) ? given : Asked.read(given, OF_ALL_ASKED);
}

/** The same for a route, which knows of no presentation yet. @throws TypeError */
export function readRequirement(given: unknown): Asked {
  return Asked.read(given, OF_REQUIREMENTS);
}

/** Which requirement a good token does not meet. Looked at in each request, never remembered. */
export function unmet(requirement: Asked, token: KnownToken, nowMs: number): RefusalCode | undefined {
  const { scopes, acrValues, maxAgeSeconds } = requirement;
  if (scopes && !scopes.every((scope) => token.scopes.has(scope))) return 'scope_insufficient';
  if (acrValues === undefined && maxAgeSeconds === undefined) return undefined;
  return authenticationProblem(token.accepted.claims, requirement, nowMs);
}

/** The `WWW-Authenticate` value of a refusal: what went wrong, and what this route wants. */
export function challengeOf(code: RefusalCode, of: { realm: string; asked: Asked; takesDpop: boolean }): string {
  const refusal: Refusal = REFUSALS[code];
  const { scopes, acrValues, maxAgeSeconds, scheme, proof } = of.asked;
  const attributes: ChallengeAttributes = {
    realm: of.realm,
    ...(refusal.error && { error: refusal.error, description: refusal.description }),
    ...(code === 'scope_insufficient' && scopes && { scopes }),
    ...(code === 'authentication_insufficient' && acrValues && { acrValues }),
    ...(code === 'authentication_insufficient' && maxAgeSeconds !== undefined && { maxAgeSeconds }),
  };
  if (!of.takesDpop) return bearerChallenge(attributes);
  if (refusal.error === undefined) return bothChallenges(attributes);
  if (isPresentedByDpop(scheme, proof)) return dpopChallenge(attributes);
  // Bound, yet sent as Bearer: the client learns which scheme it should have used.
  return code === 'token_binding_unproven' ? bothChallenges(attributes, 'Bearer') : bearerChallenge(attributes);
}

/** A proof without a scheme is one of `DPoP`. */
export function isPresentedByDpop(scheme: Scheme | undefined, proof: Proof | undefined): boolean {
  return scheme === 'DPoP' || (scheme === undefined && proof !== undefined);
}

function readerOf(name: PropertyKey, readers: Readers): Reader {
  const reader = readers.get(name);
  if (reader) return reader;
  const known = [...readers.keys()].join(', ');
  throw new TypeError(
    `Reading what is required of a token: a requirement has no member ${JSON.stringify(String(name))}. It may have ${known}.`,
  );
}

function readWords(name: string, value: unknown, rfc: string): readonly string[] {
  const words: readonly unknown[] = Array.isArray(value) ? [...value] : []; // a hole becomes a member
  if (words.length > 0 && words.every(isWord)) return Object.freeze(words);
  throw new TypeError(
    `Requiring \`${name}\`: it must be a list that is not empty, each one non-empty word of printable ASCII without space, quote or backslash (${rfc}).`,
  );
}

function readProof(value: unknown): Proof {
  const { jwt, method, url }: Partial<Record<string, unknown>> = Object(value);
  if (typeof jwt === 'string' && typeof method === 'string' && typeof url === 'string') {
    return Object.freeze({ jwt, method, url });
  }
  throw new TypeError('Verifying a token: `proof` must hold jwt, method and url, each as text.');
}
