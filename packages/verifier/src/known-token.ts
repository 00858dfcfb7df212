import type { AccessTokenClaims, Handles } from '@countersign/protocol';
import type { Accepted, VerifiedClaims } from './results.ts';

/** What is kept of a token that was found good: what callers get, and what each request is measured against. */
export interface KnownToken {
  /** Frozen all the way down: every request with this token gets this very object, and none may change it for the next. */
  readonly accepted: Accepted;
  readonly scopes: ReadonlySet<string>;
}

/** Distinct texts, lists and scopes remembered; past it they are forgotten and begin anew, which costs memory and nothing else. */
const MAX_SHARED = 10_000;

/** Characters of a text or list that is kept once. Claims come here before the record was asked, so a key's thief chooses them. */
const MAX_SHARED_LENGTH = 1_024;

/**
 * Makes what is kept of tokens. What many tokens share (issuer, audience, client, scope, ways of logging in) is kept once: of a
 * hundred thousand tokens it would be half the memory.
 */
export class KnownTokens {
  readonly #texts = new Map<string, string>();
  readonly #lists = new Map<string, string[]>();
  readonly #scopes = new Map<string, ReadonlySet<string>>();

  /** Claims as callers see them: without the entropy bucket, which has done its work, and read-only. */
  publicClaims({ eb: _, ...claims }: AccessTokenClaims): VerifiedClaims {
    for (const name of ['iss', 'aud', 'client_id', 'scope'] as const) claims[name] = this.#sharedText(claims[name]);
    if (isListOfTexts(claims.amr)) claims.amr = this.#sharedList(claims.amr);
    return deepFreeze(claims);
  }

  /** Handles as callers see them: clients and keys are shared by many tokens, too. */
  sharedHandles(handles: Handles): Handles {
    const { token, grant, user } = handles;
    const [client, key] = [this.#sharedText(handles.client), this.#sharedText(handles.key)];
    // A user's token has them all. Written out in one piece, the engine stores them in a quarter less.
    if (grant !== undefined && user !== undefined) return Object.freeze({ token, grant, client, user, key });
    return Object.freeze({ ...handles, client, key });
  }

  known(accepted: Accepted): KnownToken {
    return { accepted: Object.freeze(accepted), scopes: this.#scopesOf(accepted.claims.scope) };
  }

  #scopesOf(scope: string): ReadonlySet<string> {
    const known = this.#scopes.get(scope);
    if (known) return known;
    const scopes = new Set(scope.split(' '));
    if (scope.length > MAX_SHARED_LENGTH) return scopes;
    if (this.#scopes.size >= MAX_SHARED) this.#scopes.clear();
    this.#scopes.set(scope, scopes);
    return scopes;
  }

  #sharedList(list: string[]): string[] {
    const name = JSON.stringify(list);
    const known = this.#lists.get(name);
    if (known) return known;
    if (name.length > MAX_SHARED_LENGTH) return list;
    if (this.#lists.size >= MAX_SHARED) this.#lists.clear();
    this.#lists.set(name, list);
    return list;
  }

  #sharedText(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    if (text.length > MAX_SHARED_LENGTH) return text;
    if (this.#texts.size >= MAX_SHARED) this.#texts.clear();
    this.#texts.set(text, text);
    return text;
  }
}

/** The types promise no more of `amr` than the token's signature does. */
function isListOfTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === 'object' && member !== null) deepFreeze(member);
  return Object.freeze(value);
}
