/**
 * Keeps what clients were told and what verifiers did, and says what of it must not be. It knows nothing of nodes and stores: only
 * what can be seen from outside, with the moments at which it was seen, by a clock that all processes of the machine share.
 *
 *     issued, rotated      told to a client: from then on it is there, at every node
 *     asked to end         may be dead or not
 *     ended                told to a client: from then on dead at every node, and within the bound at every verifier
 */
import assert from 'node:assert/strict';
import { REFUSALS } from '@countersign/verifier';
import type { Seen } from '../coherence/resource-server.ts';
import { opened } from '../scenarios/oauth-calls.ts';

/** How often the same answer is given again; a client whose answers were lost more often than that has to log in again. */
const MAX_REPEATS = 3;
const SHOWN = 10;

interface Known {
  family: string | undefined;
  isAskedToEnd: boolean;
  endedAtMs: number | undefined;
  /** A later one of its family was acknowledged, under a policy by which that ends it after the overlap. */
  isSuperseded: boolean;
}

export class Judge {
  readonly #boundMs: number;
  readonly #clocksDiffer: boolean;
  readonly #tokens = new Map<string, Known>();
  readonly #successors = new Map<string, string>();
  readonly #families = new Map<string, { isAskedToEnd: boolean; endedAtMs: number | undefined }>();
  readonly #violations: string[] = [];
  readonly counts = {
    issued: 0,
    rotated: 0,
    repeated: 0,
    revoked: 0,
    ended: 0,
    accepted: 0,
    refused: 0,
    unavailable: 0,
    died: 0,
  };

  /**
   * `boundMs`: what a verifier was given for revocations to arrive, and what a story allows beside it. `clocksDiffer`: by more than the
   * leeway, so that good tokens may be refused and honest families end; everything else must hold all the same.
   */
  constructor(given: { boundMs: number; clocksDiffer?: boolean }) {
    this.#boundMs = given.boundMs;
    this.#clocksDiffer = given.clocksDiffer ?? false;
  }

  get violations(): readonly string[] {
    return this.#violations;
  }

  /** An access token was handed to a client. */
  issued(token: string, family?: string): void {
    if (this.#tokens.has(token)) return;
    this.counts.issued += 1;
    const of = family === undefined ? undefined : this.#family(family);
    this.#tokens.set(token, {
      ...{ family, isSuperseded: false },
      ...{ isAskedToEnd: of?.isAskedToEnd ?? false, endedAtMs: of?.endedAtMs },
    });
  }

  /** `presented` was exchanged for `successor`. `supersedes`: by its client's policy, which ends older access tokens. */
  rotated(given: {
    family: string;
    presented: string;
    successor: string;
    accessToken: string;
    supersedes: boolean;
  }): void {
    const { family, presented, successor, accessToken, supersedes } = given;
    const first = this.#successors.get(presented);
    if (first === undefined) this.counts.rotated += 1;
    else this.counts.repeated += 1;
    if (first !== undefined && first !== successor)
      this.#violations.push(`family ${family} forked: a refresh token has two successors`);
    this.#successors.set(presented, first ?? successor);
    if (supersedes && !this.#tokens.has(accessToken)) {
      for (const known of this.#tokens.values()) if (known.family === family) known.isSuperseded = true;
    }
    this.issued(accessToken, family);
  }

  /** The newest refresh token of an honest client was refused; `lost` of its answers had been lost before. */
  refusedRefresh(given: { family: string; status: number; error: unknown; lost: number }): void {
    const { family, status, error, lost } = given;
    if (this.#family(family).isAskedToEnd || lost > MAX_REPEATS) return;
    this.counts.died += 1;
    if (this.#clocksDiffer) return;
    this.#violations.push(`family ${family} died: its newest refresh token was answered ${status} ${String(error)}`);
  }

  asksToRevoke(token: string): void {
    this.#known(token).isAskedToEnd = true;
  }

  revoked(token: string, atMs: number): void {
    const known = this.#known(token);
    this.counts.revoked += 1;
    known.isAskedToEnd = true;
    known.endedAtMs ??= atMs;
  }

  asksToEnd(family: string): void {
    this.#family(family).isAskedToEnd = true;
    for (const known of this.#tokens.values()) if (known.family === family) known.isAskedToEnd = true;
  }

  ended(family: string, atMs: number): void {
    this.asksToEnd(family);
    this.counts.ended += 1;
    this.#family(family).endedAtMs ??= atMs;
    for (const known of this.#tokens.values()) if (known.family === family) known.endedAtMs ??= atMs;
  }

  /** The database is being put back: whatever is known may be lost from now on, and no family need live. */
  restoring(): void {
    for (const known of this.#tokens.values()) known.isAskedToEnd = true;
    for (const family of this.#families.values()) family.isAskedToEnd = true;
  }

  /** A restore was settled: access tokens from before are dead, all of them. */
  restored(atMs: number): void {
    this.restoring();
    for (const known of this.#tokens.values()) known.endedAtMs ??= atMs;
  }

  /** What a verifier made of a token. */
  saw(verifier: string, token: string, { outcome, atMs }: Seen): void {
    const known = this.#known(token);
    if (outcome === 'accepted') {
      this.counts.accepted += 1;
      const lateMs = atMs - (known.endedAtMs ?? Number.POSITIVE_INFINITY);
      if (lateMs > this.#boundMs)
        this.#violations.push(
          `${verifier} accepted ${named(token)} ${Math.round(lateMs)} ms after its end was acknowledged`,
        );
      return;
    }
    if (!(outcome in REFUSALS)) {
      this.counts.unavailable += 1; // it failed closed
      return;
    }
    this.counts.refused += 1;
    if (!this.#mayBeDead(known, outcome === 'token_superseded'))
      this.#violations.push(`${verifier} refused ${named(token)}, which nobody took back: ${outcome}`);
  }

  /** What a node said of a token when it was asked at `askedAtMs`. */
  heard(node: string, token: string, said: { verdict: string; askedAtMs: number }): void {
    const known = this.#known(token);
    const isDead = known.endedAtMs !== undefined && known.endedAtMs < said.askedAtMs;
    if (said.verdict === 'live') {
      if (isDead) this.#violations.push(`${node} said that ${named(token)} lives, whose end was acknowledged`);
    } else if (!this.#mayBeDead(known, said.verdict === 'superseded')) {
      this.#violations.push(`${node} lost ${named(token)}, which nobody took back: ${said.verdict}`);
    }
  }

  /** Something else that must not be, in words. */
  saysWrong(what: string): void {
    this.#violations.push(what);
  }

  tokens(): string[] {
    return [...this.#tokens.keys()];
  }

  isEnded(token: string): boolean {
    return this.#known(token).endedAtMs !== undefined;
  }

  assertNothingWrong(): void {
    const more = Math.max(this.#violations.length - SHOWN, 0);
    const shown = this.#violations.slice(0, SHOWN).join('\n');
    assert.equal(this.#violations.length, 0, `${shown}${more > 0 ? `\nand ${more} more` : ''}`);
  }

  #mayBeDead(known: Known, saysSuperseded: boolean): boolean {
    return this.#clocksDiffer || known.isAskedToEnd || (saysSuperseded && known.isSuperseded);
  }

  #known(token: string): Known {
    const known = this.#tokens.get(token);
    if (!known) throw new Error(`Nobody told of ${named(token)}`);
    return known;
  }

  #family(id: string): { isAskedToEnd: boolean; endedAtMs: number | undefined } {
    const known = this.#families.get(id) ?? { isAskedToEnd: false, endedAtMs: undefined };
    this.#families.set(id, known);
    return known;
  }
}

function named(token: string): string {
  return String(opened(token).claims.jti);
}
