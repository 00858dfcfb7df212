/** The code that is simulated: the real modules, or the same with one line spoiled. */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

export interface Cores {
  Coherence: typeof import('../../packages/verifier/src/coherence/coherence.ts').Coherence;
  Records: typeof import('../../packages/verifier/src/records.ts').Records;
  KnownTokens: typeof import('../../packages/verifier/src/known-token.ts').KnownTokens;
  AuthorityError: typeof import('../../packages/verifier/src/errors.ts').AuthorityError;
  Rounds: typeof import('../../packages/server/src/push/rounds.ts').Rounds;
}

/** One spoiled place. `from` must stand in the file exactly once, so that a mutant cannot become harmless unnoticed. */
export interface Spoiling {
  file: string;
  from: string;
  to: string;
}

const ROOT = new URL('../../', import.meta.url);
const MARK = 'mutant=';

/** Loads the cores anew with these places spoiled; without any, as they are. */
export async function loadCores(name: string, spoilings: readonly Spoiling[]): Promise<Cores> {
  const mark = spoilings.length === 0 ? '' : `?${MARK}${encodeURIComponent(name)}`;
  const sources = new Map<string, string>();
  for (const { file, from, to } of spoilings) {
    const { href } = new URL(file, ROOT);
    const source = sources.get(href) ?? readFileSync(fileURLToPath(href), 'utf8');
    const times = source.split(from).length - 1;
    if (times !== 1) throw new Error(`Mutant ${name}: ${file} holds ${times} times, not once: ${from}`);
    sources.set(
      href,
      source.replace(from, () => to),
    );
  }
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      const resolved = next(specifier, context);
      const isOurs = specifier.startsWith('.') && context.parentURL?.includes(MARK);
      return isOurs ? { ...resolved, url: `${resolved.url.split('?')[0]}${mark}` } : resolved;
    },
    load(url, context, next) {
      const source = url.endsWith(mark) ? sources.get(url.split('?')[0] ?? '') : undefined;
      return source === undefined ? next(url, context) : { format: 'module-typescript', source, shortCircuit: true };
    },
  });
  try {
    const load = (file: string) => import(new URL(file, ROOT).href + mark);
    const [{ Coherence }, { Records }, { KnownTokens }, { AuthorityError }, { Rounds }] = await Promise.all([
      load('packages/verifier/src/coherence/coherence.ts'),
      load('packages/verifier/src/records.ts'),
      load('packages/verifier/src/known-token.ts'),
      load('packages/verifier/src/errors.ts'),
      load('packages/server/src/push/rounds.ts'),
    ]);
    return { Coherence, Records, KnownTokens, AuthorityError, Rounds };
  } finally {
    hooks.deregister();
  }
}
