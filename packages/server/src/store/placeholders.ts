/**
 * Domains write `$1 … $n`, PostgreSQL's placeholders. SQLite binds `?1 … ?n` by position. Literals, quoted names and comments
 * are passed over untouched, so that a `$1` inside them stays what it was.
 */
const TOKENS = /'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\$(\d+)/g;

/** The statement for SQLite, and how many values it takes: the highest placeholder. */
export function numberedPlaceholders(text: string): { text: string; count: number } {
  let count = 0;
  const numbered = text.replaceAll(TOKENS, (token: string, number: string | undefined) => {
    if (number === undefined) return token;
    count = Math.max(count, Number(number));
    return `?${number}`;
  });
  return { text: numbered, count };
}

/** The statement as a part of a larger one, whose first `offset` values belong to what stands before it. */
export function renumberedPlaceholders(text: string, offset: number): string {
  return text.replaceAll(TOKENS, (token: string, number: string | undefined) =>
    number === undefined ? token : `$${Number(number) + offset}`,
  );
}
