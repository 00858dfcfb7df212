/** Names further apart than this, or than half of what was typed, are no slip of the keyboard. */
const MAX_DISTANCE = 4;

/** The known name closest to one that is not known, or undefined when none is close: "did you mean". */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const byDistance = known
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .sort((left, right) => left.distance - right.distance);
  const [best] = byDistance;
  return best && best.distance <= Math.min(MAX_DISTANCE, name.length / 2) ? best.candidate : undefined;
}

/** Insertions, deletions and replacements that turn one word into the other (Levenshtein). */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, at) => at);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}
