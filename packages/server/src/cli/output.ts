/** What commands print: text for people, or one JSON document for programs. */
import type { Terminal } from './terminal.ts';

/** An answer in both forms. `json` holds times as ISO 8601 and no secrets but those that are shown once. */
export interface Answer {
  text: string;
  json: unknown;
}

export function reply(terminal: Terminal, options: { json?: boolean }, answer: Answer): void {
  const text = options.json ? JSON.stringify(answer.json, null, 2) : answer.text;
  terminal.stdout.write(`${printable(text)}\n`);
}

/**
 * Control and format characters written out, line ends excepted: a name or claim from outside must not move the cursor, recolour
 * or reorder what a person reads. The spelling is that of JSON, so a document stays the same document.
 */
export function printable(text: string): string {
  return text.replace(/[^\P{C}\n]/gu, (character) =>
    [...Array(character.length).keys()]
      .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

/** Columns under headings, each as wide as its widest cell. `none` stands for an empty table. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[], none: string): string {
  if (rows.length === 0) return none;
  const lines = [headings, ...rows].map((row) => row.map(oneLine));
  const widths = headings.map((_, column) => Math.max(...lines.map((row) => (row[column] ?? '').length)));
  return lines
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Names and values in two columns; a value that is undefined is left out. */
export function pairs(values: Readonly<Record<string, string | number | undefined>>): string {
  const shown = Object.entries(values).filter(([, value]) => value !== undefined);
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `  ${name.padEnd(width)}  ${oneLine(String(value))}`).join('\n');
}

/** `2026-11-24 07:19:03Z`: for people. */
export function when(ms: number | undefined): string {
  return ms === undefined
    ? ''
    : new Date(ms)
        .toISOString()
        .replace('T', ' ')
        .replace(/\.\d+Z$/, 'Z');
}

/** `2026-11-24T07:19:03.123Z`, or null: for programs. */
export function iso(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}

function oneLine(cell: string): string {
  return printable(cell).replaceAll('\n', ' ');
}
