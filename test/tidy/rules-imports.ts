import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import { levelOf, OPEN_FOLDERS, OUTLETS, PACKAGE_IMPORTS, PURE_PACKAGES, ROOTS } from './levels.ts';
import { isTest, NAMESPACE, type Place, placeOf, SOURCE } from './places.ts';
import { lineOf } from './source.ts';
import type { Rule, Tree, Violation } from './tree.ts';

interface Edge {
  path: string;
  from: Place;
  /** What is imported, as a path from the root where the import is relative. */
  target: string;
  to: Place | undefined;
  line: number;
}

/** Relative imports of one package's sources. */
function edges(tree: Tree, packageName?: string): Edge[] {
  return tree.paths(SOURCE).flatMap((path) => {
    const from = placeOf(path);
    if (!from || (packageName !== undefined && from.package !== packageName)) return [];
    return tree
      .imports(path)
      .filter(({ specifier }) => specifier.startsWith('.'))
      .map(({ specifier, offset }) => {
        const target = posix.join(posix.dirname(path), specifier);
        return { path, from, target, to: placeOf(target), line: lineOf(tree.text(path), offset) };
      });
  });
}

const levels: Rule = {
  name: 'imports go down the levels',
  reason:
    'folders without cycles can be read, tested and replaced one at a time (docs/decisions/0001-levels-of-the-house.md)',
  check(tree) {
    const unknown = tree
      .paths(/^packages\/server\/src\//)
      .filter((path) => path.endsWith('.ts') && !isTest(path))
      .filter((path) => levelOf(placeOf(path)?.name ?? '') === undefined)
      .map((path) => ({ path, message: `has no level; name its folder in test/tidy/levels.ts` }));
    const wrong = edges(tree, 'server').flatMap(({ path, from, to, target, line }): Violation[] => {
      if (isTest(path) || !to || from.name === to.name) return [];
      const [fromLevel, toLevel] = [levelOf(from.name), levelOf(to.name)];
      if (fromLevel === undefined || toLevel === undefined || toLevel < fromLevel) return [];
      const direction = toLevel === fromLevel ? 'sideways' : 'up';
      const message = `line ${line}: imports ${direction}, ${from.name} (${fromLevel}) → ${target} (${toLevel}); declare the interface it needs and let server.ts pass the implementation`;
      return [{ path, message }];
    });
    return [...unknown, ...wrong];
  },
};

const faces: Rule = {
  name: 'x/x.ts is the face of x/',
  reason: 'what a folder does not show can be changed by reading that folder alone',
  check: (tree) =>
    edges(tree, 'server').flatMap(({ path, from, to, target, line }) => {
      if (!to || from.name === to.name || to.isRoot || OPEN_FOLDERS.has(to.name)) return [];
      const wires = from.name === 'server.ts' || isTest(path);
      const open = wires ? [`${to.name}.ts`, 'routes.ts', 'job.ts'] : [`${to.name}.ts`];
      if (open.includes(to.rest)) return [];
      return [
        {
          path,
          message: `line ${line}: imports ${target}; only ${open.join(', ')} of ${to.name}/ may be imported here`,
        },
      ];
    }),
};

const outlets: Rule = {
  name: 'nothing waits for an outlet',
  reason: 'outlets read events later, so a broken webhook cannot break a login',
  check: (tree) =>
    edges(tree, 'server').flatMap(({ path, from, to, target, line }) => {
      if (!to || !OUTLETS.has(to.name) || from.name === to.name || isTest(path)) return [];
      if (from.name === 'admin' || from.isRoot || (ROOTS as readonly string[]).includes(from.name)) return [];
      return [{ path, message: `line ${line}: imports the outlet ${target}; append an event instead` }];
    }),
};

const packages: Rule = {
  name: 'packages keep their distance',
  reason:
    'server and verifier read the protocol each with code of their own, and whoever installs one gets nothing of the other',
  check(tree) {
    const foreign = tree.paths(SOURCE).flatMap((path) =>
      tree.imports(path).flatMap(({ specifier, offset }): Violation[] => {
        const from = placeOf(path)?.package ?? '';
        const allowed = PACKAGE_IMPORTS[from];
        if (!allowed) return [{ path, message: `package ${from} is not in test/tidy/levels.ts` }];
        const name = specifier.startsWith(NAMESPACE)
          ? (specifier.slice(NAMESPACE.length).split('/')[0] ?? '')
          : undefined;
        if (name === undefined || name === from || allowed.includes(name)) return [];
        return [{ path, message: `line ${lineOf(tree.text(path), offset)}: ${from} may not import ${specifier}` }];
      }),
    );
    const leaving = edges(tree)
      .filter(({ from, to }) => from.package !== to?.package)
      .map(({ path, line, target }) => ({
        path,
        message: `line ${line}: leaves its package by path (${target}); import it by name`,
      }));
    return [...foreign, ...leaving];
  },
};

const dependencies: Rule = {
  name: 'what is imported is declared',
  reason: 'an undeclared import works only by luck of hoisting, and a new dependency shall be a visible diff',
  check: (tree) =>
    tree.paths(/^(?:packages|examples)\/[^/]+\/src\/.*\.ts$/).flatMap((path) => {
      const folder = path.split('/').slice(0, 2).join('/');
      const own = manifestNames(tree.text(`${folder}/package.json`), ['dependencies', 'peerDependencies']);
      const forTests = isTest(path) ? installedHere(tree) : [];
      const self = `${NAMESPACE}${folder.split('/')[1]}`;
      return tree.imports(path).flatMap(({ specifier, offset }): Violation[] => {
        if (specifier.startsWith('.')) return [];
        const line = lineOf(tree.text(path), offset);
        if (isBuiltin(specifier)) {
          const pure = PURE_PACKAGES.has(placeOf(path)?.package ?? '') && !isTest(path);
          return pure ? [{ path, message: `line ${line}: imports ${specifier}; this package runs anywhere` }] : [];
        }
        const name = specifier
          .split('/')
          .slice(0, specifier.startsWith('@') ? 2 : 1)
          .join('/');
        if (name === self || own.includes(name) || forTests.includes(name)) return [];
        return [
          {
            path,
            message: `line ${line}: imports ${name || specifier}, which ${folder}/package.json does not declare`,
          },
        ];
      });
    }),
};

const tests: Rule = {
  name: 'nobody imports a test, and imports are literal',
  reason:
    'a test is read alone, and what only tests use is not published; an import that is computed cannot be checked by any of these rules',
  check(tree) {
    const toTests = edges(tree)
      .filter(({ path, target }) => target.endsWith('.test.ts') || (isTest(target) && !isTest(path)))
      .map(({ path, line, target }) => ({
        path,
        message: `line ${line}: imports ${target}, which only tests may use`,
      }));
    const computed = tree
      .paths(SOURCE)
      .filter((path) =>
        /\bimport\s*\(\s*(?!['"])\S|(?<![.\w])(?:createRequire\s*\(|require\s*\(\s*['"])/.test(tree.views(path).code),
      )
      .map((path) => ({ path, message: 'imports by a computed name or by require; write a literal import' }));
    return [...toTests, ...computed];
  },
};

const barrels: Rule = {
  name: 'no barrels',
  reason:
    'the path of an import says whose it is; an index.ts hides that and ties every file of a folder to every other',
  check: (tree) =>
    tree.paths(/^packages\/server\/src\/.+\/index\.ts$/).map((path) => ({
      path,
      message: 'is a barrel; the face of a folder carries the folder’s name',
    })),
};

function manifestNames(manifest: string, members: readonly string[]): string[] {
  const parsed: Record<string, Record<string, string> | undefined> = JSON.parse(manifest || '{}');
  return members.flatMap((member) => Object.keys(parsed[member] ?? {}));
}

/** Tests run only in this repository, where whatever any of its packages declares is installed. */
function installedHere(tree: Tree): string[] {
  return tree
    .paths(/(?:^|\/)package\.json$/)
    .flatMap((path) => manifestNames(tree.text(path), ['dependencies', 'devDependencies']));
}

export const IMPORT_RULES: readonly Rule[] = [levels, faces, outlets, packages, dependencies, tests, barrels];
