/** Draws a measured run of bench/cluster-soak.ts as SVG: rows and sizes over time. Nothing in it is typed in. */
import type { Sample, TableSize } from './cluster-soak.ts';
import { picture, text } from './picture.ts';

const WIDTH = 920;
const MARGIN = 30;
const LEFT = 90;
const RIGHT = 700;
const PANEL_HEAD = 40;
const PANEL_HEIGHT = 170;
const PANEL_GAP = 40;

interface Curve {
  readonly name: string;
  readonly isOurs: boolean;
  readonly at: (sample: Sample) => number;
}

interface Panel {
  readonly title: string;
  readonly curves: readonly Curve[];
  readonly label: (value: number) => string;
}

const PANELS: readonly Panel[] = [
  {
    title: 'Rows',
    curves: [
      curve('access tokens', true, ({ tables }) => tables.access_token.rows),
      curve('dead, until vacuumed', false, ({ tables }) => tables.access_token.dead),
      curve('invalidations', true, ({ tables }) => tables.invalidation.rows),
    ],
    label: (value) => Math.round(value).toLocaleString('en'),
  },
  {
    title: 'Size on disk',
    curves: [
      curve('access tokens, table', true, ({ tables }) => tables.access_token.tableBytes),
      curve('access tokens, indexes', false, ({ tables }) => tables.access_token.indexBytes),
      curve('invalidations, both', true, ({ tables }) => both(tables.invalidation)),
      curve('grants, both', false, ({ tables }) => both(tables.oauth_grant)),
    ],
    label: (value) => `${(value / 1_000_000).toPrecision(2)} MB`,
  },
];

export function drawSoak(samples: readonly Sample[]): string {
  const seconds = samples.at(-1)?.atSeconds ?? 1;
  const issued = samples.at(-1)?.issued ?? 0;
  const rate = Math.round(issued / seconds).toLocaleString('en');
  const parts = [
    text(
      { x: MARGIN, y: 40, size: 16, kind: 'strong' },
      `${rate} tokens issued a second, and swept: ${issued.toLocaleString('en')} in ${Math.round(seconds)} seconds`,
    ),
  ];
  let top = 64;
  for (const panel of PANELS) {
    parts.push(...drawPanel(panel, samples, { top, seconds }));
    top += PANEL_HEAD + PANEL_HEIGHT + PANEL_GAP;
  }
  const description = PANELS.flatMap(({ curves, label }) =>
    curves.map(({ name, at }) => {
      const values = samples.map(at);
      const middle = values[Math.floor(values.length / 2)] ?? 0;
      return `${name}: ${label(middle)} in the middle, ${label(values.at(-1) ?? 0)} at the end`;
    }),
  ).join('; ');
  return picture({ width: WIDTH, height: top, title: 'Sweeping keeps up', description: `${description}.`, parts });
}

function drawPanel(panel: Panel, samples: readonly Sample[], at: { top: number; seconds: number }): string[] {
  const { top, seconds } = at;
  const [ceiling, floor] = [top + PANEL_HEAD, top + PANEL_HEAD + PANEL_HEIGHT];
  const most = Math.max(1, ...panel.curves.flatMap((curve) => samples.map(curve.at)));
  const x = (atSeconds: number) => LEFT + (atSeconds / seconds) * (RIGHT - LEFT);
  const y = (value: number) => floor - (value / most) * PANEL_HEIGHT;
  const line = (height: number) => `  <line class="axis" x1="${LEFT}" x2="${RIGHT}" y1="${height}" y2="${height}"/>`;
  const scale = (value: number, words: string) =>
    text({ x: LEFT - 8, y: Math.round(y(value)) + 4, size: 12, kind: 'quiet', isRight: true }, words);
  const labels = spread(
    panel.curves.map((curve) => ({ curve, height: y(curve.at(samples.at(-1) as Sample)) })), // drawn only after a sample
  );
  return [
    text({ x: MARGIN, y: top + 22, size: 14, kind: 'strong' }, panel.title),
    ...[line(floor), line(ceiling), scale(0, '0'), scale(most, panel.label(most))],
    text({ x: LEFT, y: floor + 18, size: 12, kind: 'quiet' }, '0 s'),
    text({ x: RIGHT, y: floor + 18, size: 12, kind: 'quiet', isRight: true }, `${Math.round(seconds)} s`),
    ...panel.curves.map(({ isOurs, at: valueAt }) => {
      const points = samples.map((sample) => `${x(sample.atSeconds).toFixed(1)},${y(valueAt(sample)).toFixed(1)}`);
      return `  <polyline class="${isOurs ? 'line' : 'other'}" points="${points.join(' ')}"/>`;
    }),
    ...labels.map(({ curve, height }) =>
      text({ x: RIGHT + 10, y: Math.round(height) + 4, size: 13, kind: curve.isOurs ? 'text' : 'quiet' }, curve.name),
    ),
  ];
}

/** Names stand where their curves end, but not on one another. */
function spread<Label extends { height: number }>(labels: readonly Label[]): Label[] {
  const sorted = labels.toSorted((one, other) => one.height - other.height);
  let free = Number.NEGATIVE_INFINITY;
  return sorted.map((label) => {
    const height = Math.max(label.height, free);
    free = height + 16;
    return { ...label, height };
  });
}

function curve(name: string, isOurs: boolean, at: Curve['at']): Curve {
  return { name, isOurs, at };
}

function both({ tableBytes, indexBytes }: TableSize): number {
  return tableBytes + indexBytes;
}
