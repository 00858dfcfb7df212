import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { type Import, importsOf, type Views, viewsOf } from './source.ts';

/** A tree of files, by path from the root of the repository. Rules see nothing else, so a test can hand them any tree. */
export class Tree {
  readonly files: ReadonlyMap<string, string>;
  readonly #views = new Map<string, Views>();
  readonly #imports = new Map<string, Import[]>();

  constructor(files: Iterable<readonly [string, string]>) {
    this.files = new Map(files);
  }

  paths(matching: RegExp): string[] {
    return [...this.files.keys()].filter((path) => matching.test(path));
  }

  text(path: string): string {
    return this.files.get(path) ?? '';
  }

  views(path: string): Views {
    return remember(this.#views, path, () => viewsOf(this.text(path)));
  }

  imports(path: string): Import[] {
    return remember(this.#imports, path, () => importsOf(this.text(path)));
  }
}

export interface Violation {
  path: string;
  message: string;
}

/** One rule of the house. `reason` is printed with every violation: a rule that cannot say why is not kept. */
export interface Rule {
  name: string;
  reason: string;
  check(tree: Tree): Violation[];
}

const NOT_OURS = new Set(['node_modules', 'dist', '.git', 'coverage', 'data']);
const TEXT = /(?:\.(?:ts|tsx|mts|mjs|js|cjs|sql|md|json|sh|yml|yaml|css|html)|(?:^|\/)(?:run|Dockerfile|LICENSE))$/;

/** The working tree as it stands, committed or not. */
export function readTree(root: string): Tree {
  const files: [string, string][] = [];
  const walk = (folder: string) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && !NOT_OURS.has(entry.name)) walk(path);
      else if (entry.isFile() && TEXT.test(path))
        files.push([relative(root, path).split(sep).join('/'), readFileSync(path, 'utf8')]);
    }
  };
  walk(root);
  return new Tree(files);
}

function remember<T>(known: Map<string, T>, key: string, make: () => T): T {
  const existing = known.get(key);
  if (existing !== undefined) return existing;
  const made = make();
  known.set(key, made);
  return made;
}
