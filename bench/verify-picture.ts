/** Draws a measured run of bench/verify.ts as SVG: bars as long as their numbers, light and dark. Nothing in it is typed in. */
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
  const height = top + 16;
  const title = 'Verification beside other libraries';
  const description = warm
    .map(({ tokens, speeds }) => {
      const list = speeds.map(({ name, perSecond }) => `${name} ${rounded(median(perSecond))}`);
      return `${tokens.toLocaleString('en')} tokens known, verifications per second: ${list.join(', ')}.`;
    })
    .join(' ');
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title description" font-family="system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif">`,
    `  <title id="title">${title}</title>`,
    `  <desc id="description">${escaped(description)}</desc>`,
    STYLE,
    `  <rect class="ground" width="${WIDTH}" height="${height}" rx="12"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
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

function text(
  at: { x: number; y: number; size: number; kind: 'strong' | 'text' | 'quiet'; isRight?: boolean },
  words: string,
  more?: { strong: string; after: string },
): string {
  const anchor = at.isRight ? ' text-anchor="end"' : '';
  const rest = more ? `<tspan class="strong">${escaped(more.strong)}</tspan>${escaped(more.after)}` : '';
  return `  <text class="${at.kind}" x="${at.x.toFixed(0)}" y="${at.y}" font-size="${at.size}"${anchor}>${escaped(words)}${rest}</text>`;
}

/** Two digits are as many as a run on another day confirms. */
function rounded(value: number): string {
  return Number(value.toPrecision(2)).toLocaleString('en');
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

const STYLE = `  <style>
    .ground { fill: #ffffff; }
    .strong { fill: #1f2328; font-weight: 600; }
    .text { fill: #1f2328; }
    .quiet { fill: #57606a; }
    .ours { fill: #0969da; }
    .peer { fill: #afb8c1; }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #0d1117; }
      .strong, .text { fill: #e6edf3; }
      .quiet { fill: #9198a1; }
      .ours { fill: #58a6ff; }
      .peer { fill: #484f58; }
    }
  </style>`;
