/** What the benches' pictures have in common: an SVG in light and dark, its words, its colours. */

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly title: string;
  /** What it shows, in words, for whoever does not see it. */
  readonly description: string;
  readonly parts: readonly string[];
}

export function picture({ width, height, title, description, parts }: Picture): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title description" font-family="system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif">`,
    `  <title id="title">${escaped(title)}</title>`,
    `  <desc id="description">${escaped(description)}</desc>`,
    STYLE,
    `  <rect class="ground" width="${width}" height="${height}" rx="12"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

/** A line of text; `more` goes on with a number in bold and what follows it. */
export function text(
  at: { x: number; y: number; size: number; kind: 'strong' | 'text' | 'quiet'; isRight?: boolean },
  words: string,
  more?: { strong: string; after: string },
): string {
  const anchor = at.isRight ? ' text-anchor="end"' : '';
  const rest = more ? `<tspan class="strong">${escaped(more.strong)}</tspan>${escaped(more.after)}` : '';
  return `  <text class="${at.kind}" x="${at.x.toFixed(0)}" y="${at.y}" font-size="${at.size}"${anchor}>${escaped(words)}${rest}</text>`;
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
    .line { fill: none; stroke: #0969da; stroke-width: 2; stroke-linejoin: round; }
    .other { fill: none; stroke: #8c959f; stroke-width: 2; stroke-linejoin: round; }
    .axis { stroke: #d0d7de; stroke-width: 1; }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #0d1117; }
      .strong, .text { fill: #e6edf3; }
      .quiet { fill: #9198a1; }
      .ours { fill: #58a6ff; }
      .peer { fill: #484f58; }
      .line { stroke: #58a6ff; }
      .other { stroke: #6e7681; }
      .axis { stroke: #30363d; }
    }
  </style>`;
