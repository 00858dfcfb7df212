import { isId, TOKEN_TYPES } from '@countersign/protocol';
import { type Buckets, digestOf } from '../buckets/buckets.ts';
import type { Events } from '../events/events.ts';
import type { Keys } from '../keys/keys.ts';
import type { Store } from '../store/store.ts';
import type { Clock } from '../world/clock.ts';
import { type LinkState, linkClaims, linkState, type MagicLink } from './link.ts';
import type { OwnLinks } from './own-links.ts';

/**
 * What a presented link is. `state` tells people apart what they may know (use the newest mail, start again); `invalid` tells
 * them nothing, whatever the verdict behind it.
 */
export type LinkVerdict =
  | { kind: 'known'; state: LinkState; link: MagicLink; keyId: string }
  | { kind: 'expired' }
  | { kind: 'invalid'; verdict: 'refused' | 'unknown' | 'tampered' | 'forged' };

export interface VerdictParts {
  store: Store;
  clock: Clock;
  keys: Pick<Keys, 'verify'>;
  buckets: Pick<Buckets, 'isOurs' | 'matches'>;
  events: Pick<Events, 'record'>;
  links: OwnLinks;
  issuer: string;
}

/** Verifies links in the order that holds for every token: shape, header, signature, `eb` form, claims, record. */
export class LinkVerdicts {
  readonly #given: VerdictParts;

  constructor(given: VerdictParts) {
    this.#given = given;
  }

  /**
   * Consumes nothing, however often it is asked. A forged or tampered link rings: it was signed with our key. `address` is the
   * network address of whoever presents it.
   */
  async of(token: string, address: string): Promise<LinkVerdict> {
    const { keys, buckets, clock, issuer, store, links } = this.#given;
    const verified = await keys.verify({ purpose: 'magic-link', typ: TOKEN_TYPES.magicLink, token });
    if (verified.kind === 'refused') return { kind: 'invalid', verdict: 'refused' };
    const { keyId, parsed } = verified;
    const read = linkClaims(parsed.claims, { issuer, nowMs: clock.now() });
    if (read.kind === 'expired') return { kind: 'expired' };
    if (read.kind === 'impossible') return this.#ring('forged', { keyId, jti: parsed.claims.jti, address });
    const { jti, eb } = read.claims;
    const link = await links.byId(store.read, jti);
    if (!link) {
      if (buckets.isOurs('magic-link', jti, eb)) return { kind: 'invalid', verdict: 'unknown' };
      return this.#ring('forged', { keyId, jti, address });
    }
    const stored = { version: link.bucketVersion, record: link.record };
    if (!buckets.matches(stored, jti, digestOf(parsed.signingInput)))
      return this.#ring('tampered', { keyId, jti, address });
    return { kind: 'known', state: linkState(link, clock.now()), link, keyId };
  }

  async #ring(
    verdict: 'forged' | 'tampered',
    seen: { keyId: string; jti: unknown; address: string },
  ): Promise<LinkVerdict> {
    await this.#given.events.record({
      type: verdict === 'forged' ? 'alarm.forged' : 'alarm.tampered',
      keyId: seen.keyId,
      // A forger writes what he likes as `jti`; only what could be an id of ours is repeated.
      tokenId: isId('maglnk', seen.jti) ? seen.jti : undefined,
      address: seen.address,
      detail: { kind: 'magic-link' },
    });
    return { kind: 'invalid', verdict };
  }
}
