const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** Reads `10s`, `15m`, `6h` or `30d` into seconds; undefined for anything else. A bare number is refused: its unit would be a guess. */
export function durationSeconds(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,7})([smhd])$/.exec(text) ?? [];
  const factor = SECONDS[unit ?? ''];
  return count === undefined || factor === undefined ? undefined : Number(count) * factor;
}

/** The same back, in the largest unit that is whole: `900` → `15m`. */
export function durationText(seconds: number): string {
  const fitting = Object.entries(SECONDS).findLast(([, factor]) => seconds % factor === 0);
  return fitting && seconds > 0 ? `${seconds / fitting[1]}${fitting[0]}` : `${seconds}s`;
}
