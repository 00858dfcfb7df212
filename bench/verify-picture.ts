/** Draws a measured run of bench/verify.ts as SVG: bars as long as their numbers, light and dark. Nothing in it is typed in. */
import { picture, text } from './picture.ts';
import { median } from './table.ts';
import type { VerificationResults } from './verify.ts';

const WIDTH = 920;
const BAR_LEFT = 190;
const BAR_MAX = 560;
const ROW = 26;
const PANEL_HEAD = 44;
const MARGIN = 30;

export function drawVerification({ warm, goals }: VerificationResults): string {
  const parts: string[] = [];
  let top = 24;
  for (const { tokens, speeds } of warm) {
    const title = `Verifications per second, ${tokens.toLocaleString('en')} tokens known`;
    parts.push(text({ x: MARGIN, y: top + 18, size: 16, kind: 'strong' }, title));
    top += PANEL_HEAD;
    const rows = speeds.map(({ name, perSecond }) => ({ name, perSecond: median(perSecond) }));
    rows.sort((one, other) => other.perSecond - one.perSecond);
    const most = rows[0]?.perSecond ?? 1;
    for (const [index, row] of rows.entries()) parts.push(bar({ ...row, most, top: top + index * ROW }));
    top += rows.length * ROW + 18;
  }
  for (const { what, measured, goal, isMet } of goals.slice(2 * warm.length)) {
    parts.push(
      text({ x: MARGIN, y: top + 16, size: 14, kind: 'text' }, `${what}: `, {
        strong: measured,
        after: `; goal ${goal}${isMet ? '' : ', missed'}`,
      }),
    );
    top += 24;
  }
  const description = warm
    .map(({ tokens, speeds }) => {
      const list = speeds.map(({ name, perSecond }) => `${name} ${rounded(median(perSecond))}`);
      return `${tokens.toLocaleString('en')} tokens known, verifications per second: ${list.join(', ')}.`;
    })
    .join(' ');
  return picture({ width: WIDTH, height: top + 16, title: 'Verification beside other libraries', description, parts });
}

function bar(row: { name: string; perSecond: number; most: number; top: number }): string {
  const length = Math.max((row.perSecond / row.most) * BAR_MAX, 1);
  const isOurs = row.name === 'Countersign';
  return [
    text({ x: BAR_LEFT - 12, y: row.top + 14, size: 14, kind: isOurs ? 'strong' : 'text', isRight: true }, row.name),
    `  <rect class="${isOurs ? 'ours' : 'peer'}" x="${BAR_LEFT}" y="${row.top}" width="${length.toFixed(1)}" height="18" rx="3"/>`,
    text(
      { x: BAR_LEFT + length + 8, y: row.top + 14, size: 13, kind: isOurs ? 'strong' : 'quiet' },
      rounded(row.perSecond),
    ),
  ].join('\n');
}

/** Two digits are as many as a run on another day confirms. */
function rounded(value: number): string {
  return Number(value.toPrecision(2)).toLocaleString('en');
}
