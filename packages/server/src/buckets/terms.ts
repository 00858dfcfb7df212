/** One column of a row, as a proof covers it. */
export type RowTerm = string | number | boolean | Uint8Array | undefined | readonly string[];

/** What a row is called: no two rows of the store have both in common. */
export interface RowName {
  table: string;
  id: string;
}

/** A row's name and terms in one spelling: each term with its type and length, so that no two rows spell alike. */
export function spellRow(row: RowName, terms: readonly RowTerm[]): Buffer {
  return Buffer.concat([row.table, row.id, ...terms].flatMap(spellTerm));
}

function spellTerm(term: RowTerm): Buffer[] {
  if (term === undefined) return [Buffer.from('u;')];
  if (typeof term === 'number' || typeof term === 'boolean') return [Buffer.from(`${typeof term}:${term};`)];
  if (typeof term === 'string') return framed('s', Buffer.from(term, 'utf8'));
  if (term instanceof Uint8Array) return framed('b', Buffer.from(term));
  return framed('l', Buffer.from(JSON.stringify(term), 'utf8'));
}

function framed(type: string, bytes: Buffer): Buffer[] {
  return [Buffer.from(`${type}${bytes.length}:`), bytes];
}
