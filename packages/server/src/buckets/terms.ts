/** One column of a row, as a proof covers it. */
export type RowTerm = string | number | boolean | Uint8Array | undefined | readonly string[];

/** What a row is called: no two rows of the store have both in common. */
export interface RowName {
  table: string;
  id: string;
}

/** A row's name and terms in one spelling: each term with its type and length, so that no two rows spell alike. */
export function spellRow(row: RowName, terms: readonly RowTerm[]): Buffer {
  // Text is gathered and encoded once: a row is spelled at each reading of it.
  const parts: Uint8Array[] = [];
  let text = '';
  for (const term of [row.table, row.id, ...terms]) {
    if (term instanceof Uint8Array) {
      parts.push(Buffer.from(`${text}b${term.length}:`, 'utf8'), term);
      text = '';
    } else text += spellTerm(term);
  }
  return Buffer.concat([...parts, Buffer.from(text, 'utf8')]);
}

function spellTerm(term: Exclude<RowTerm, Uint8Array>): string {
  if (term === undefined) return 'u;';
  if (typeof term === 'number' || typeof term === 'boolean') return `${typeof term}:${term};`;
  return typeof term === 'string' ? framed('s', term) : framed('l', JSON.stringify(term));
}

/** With its length in bytes of UTF-8. */
function framed(type: string, text: string): string {
  return `${type}${Buffer.byteLength(text, 'utf8')}:${text}`;
}
