/** Commands and files as the pages of docs/operating show them, to be followed by a test. */
import { readFileSync } from 'node:fs';

/** The blocks of one kind (``` with this word) under a heading of any level, in order; `''` for commands. */
export function documentedBlocks(page: string, heading: string, kind = ''): string[] {
  const text = readFileSync(new URL(`../../docs/operating/${page}`, import.meta.url), 'utf8');
  const section = text.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`));
  const blocks = [...(section ?? '').matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].filter((block) => block[1] === kind);
  if (blocks.length === 0) throw new Error(`${page} shows nothing of this kind under "${heading}"`);
  return blocks.map((block) => (block[2] ?? '').trim());
}

/** The words of the only command of a block, without the program's own name, with other words in the place of some. Each must be there. */
export function wordsOf(block: string, changes: Readonly<Record<string, string>> = {}): string[] {
  const changed = Object.entries(changes).reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`The documented command has no "${from}": ${text}`);
    return text.replaceAll(from, to);
  }, block);
  const [program, ...words] = changed.split(/\s+/);
  if (program !== 'countersign' || block.includes('\n')) throw new Error(`Not one command: ${block}`);
  return words;
}
