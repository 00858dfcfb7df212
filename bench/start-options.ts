import { readFileSync } from 'node:fs';

/** The options that `npm start` gives to Node, read from where they stand, so that the benches run what everybody runs. */
export function startOptions(): string[] {
  const manifest: { scripts: Record<string, string> } = JSON.parse(
    readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
  );
  return (manifest.scripts.start ?? '').split(' ').filter((word) => word.startsWith('--'));
}
