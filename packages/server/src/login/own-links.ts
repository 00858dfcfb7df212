import type { Buckets, RowTerm } from '../buckets/buckets.ts';
import type { Sql, Transaction } from '../store/store.ts';
import type { MagicLink } from './link.ts';
import * as table from './table.ts';

/**
 * The rows of links that this authority wrote, and no others. Without the proof, whoever writes the database could put somebody
 * else's address into the row of a link of his own, and log in as him.
 */
export class OwnLinks {
  readonly #buckets: Pick<Buckets, 'prove' | 'isProven'>;

  constructor(buckets: Pick<Buckets, 'prove' | 'isProven'>) {
    this.#buckets = buckets;
  }

  async byId(sql: Sql, id: string): Promise<MagicLink | undefined> {
    const link = await table.byId(sql, id);
    return link && this.#isOwn(link) ? link : undefined;
  }

  /** Links of an address that were sent and can still be used, newest first. */
  async openOfAddress(sql: Sql, which: { email: string; nowMs: number }): Promise<MagicLink[]> {
    return (await table.openOfAddress(sql, which)).filter((link) => this.#isOwn(link));
  }

  async insert(tx: Transaction, link: MagicLink): Promise<void> {
    await table.insert(tx, { ...link, proof: this.#buckets.prove(nameOf(link), termsOf(link)) });
  }

  #isOwn(link: table.StoredLink): boolean {
    return this.#buckets.isProven(nameOf(link), termsOf(link), link.proof);
  }
}

function nameOf(link: MagicLink) {
  return { table: 'magic_link', id: link.id };
}

function termsOf(link: MagicLink): readonly RowTerm[] {
  return [
    ...[link.email, link.userId, link.canFinish, link.mailed, link.browserDigest, link.bucketVersion, link.record],
    ...[link.codeKeyId, link.codeMac, link.returnTo, link.clientId, link.createdAtMs, link.expiresAtMs],
  ];
}
