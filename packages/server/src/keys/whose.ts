/**
 * Whose database this is. Two issuers over one would each call the other's tokens forged; two algorithms would each retire the other's
 * key. So the first start writes its settings down, and whoever comes with others is refused.
 *
 * An algorithm is changed on purpose by one command (`countersign keys adopt`), or by a new start of the only server of a data folder. What is
 * written down holds from then on: nodes that run follow it within a second, whatever they were started with.
 */
import { type Sql, type Store, StoreRefusal } from '../store/store.ts';
import { insertAuthority, selectAuthority, updateAuthority } from './table.ts';

export type AccessAlgorithm = 'ES256' | 'Ed25519';

export interface Whose {
  readonly issuer: string;
  readonly accessAlgorithm: AccessAlgorithm;
}

/** @throws StoreRefusal `other_settings` where it is another's, unless `own` settings are to hold from now on (`adopts`) */
export async function requireOwn(store: Store, own: Whose, { adopts }: { adopts: boolean }): Promise<void> {
  const written = await selectAuthority(store.read);
  if (written && isSame(written, own)) return;
  await store.write(async (tx) => {
    const known = await selectAuthority(tx);
    if (known === undefined) return insertAuthority(tx, own);
    if (!adopts) await requireNoOther(tx, own);
    await updateAuthority(tx, own);
  });
}

/**
 * The same before anything is done that the refusal would leave half done. A database that says nothing yet is anybody's.
 * @throws StoreRefusal `other_settings`
 */
export async function requireNoOther(sql: Sql, own: Whose): Promise<void> {
  const known = await selectAuthority(sql);
  if (known && !isSame(known, own)) throw refusalOf(known, own);
}

function isSame(one: Whose, other: Whose): boolean {
  return one.issuer === other.issuer && one.accessAlgorithm === other.accessAlgorithm;
}

function refusalOf(known: Whose, own: Whose): StoreRefusal {
  const differing = known.issuer === own.issuer ? 'accessAlgorithm' : 'issuer';
  return new StoreRefusal(
    'other_settings',
    `Opening the store: it belongs to the authority with ${differing} ${known[differing]}, and here ${differing} is ${own[differing]}. Run ` +
      'this with the settings of the servers over it, or name another database. Only if they are to be changed, for all of them: ' +
      'countersign keys adopt',
  );
}
