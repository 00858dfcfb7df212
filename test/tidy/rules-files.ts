import { SHARED_READS } from './levels.ts';
import { isTest, placeOf, SOURCE } from './places.ts';
import { lineOf } from './source.ts';
import type { Rule, Tree, Violation } from './tree.ts';

/** Past this a file holds a second noun. Aim for 300. */
const MAX_LINES = 400;
/** A test file is a list, read by its names; it may be longer. */
const MAX_TEST_LINES = 600;

const SQL =
  /\bSELECT\s[^;]{0,600}?\sFROM\s|\bINSERT\s+(?:OR\s+\w+\s+)?INTO\s|\bUPDATE\s+\w+\s+SET\s|\bDELETE\s+FROM\s/g;

const sql: Rule = {
  name: 'SQL stands in table.ts',
  reason: 'a table whose statements stand together can be changed by reading one file',
  check: (tree) =>
    tree
      .paths(/^packages\/[^/]+\/src\/.*\.ts$/)
      .filter((path) => !isTest(path) && placeOf(path)?.name !== 'store' && !path.endsWith('/table.ts'))
      .flatMap((path) =>
        [...tree.views(path).strings.matchAll(SQL)].map((match) => ({
          path,
          message: `line ${lineOf(tree.text(path), match.index)}: holds SQL; move it to table.ts`,
        })),
      ),
};

const WRITE = /\b(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE|DELETE\s+FROM)\s+(\w+)/g;
const READ = /\b(?:FROM|JOIN)\s+(\w+)/g;

const owners: Rule = {
  name: 'a table has one owner',
  reason: 'an invariant of a table holds only while everything that writes it stands in one file',
  check(tree) {
    const tables = tablesOf(tree);
    const writers = new Map<string, Set<string>>();
    const domains = tree
      .paths(/^packages\/server\/src\/[^/]+\/table\.ts$/)
      .map((path) => ({ path, domain: placeOf(path)?.name ?? '', text: tree.views(path).strings }));
    for (const { domain, text } of domains) {
      for (const table of named(text, WRITE, tables)) writers.set(table, (writers.get(table) ?? new Set()).add(domain));
    }
    return domains.flatMap(({ path, domain, text }): Violation[] => {
      const shared = named(text, WRITE, tables).filter((table) => (writers.get(table)?.size ?? 0) > 1);
      const foreign = named(text, READ, tables).filter((table) => {
        const owner = writers.get(table);
        return (
          owner && !owner.has(domain) && !SHARED_READS.some((read) => read.domain === domain && read.table === table)
        );
      });
      return [
        ...shared.map((table) => ({
          path,
          message: `writes ${table}, which ${[...(writers.get(table) ?? [])].join(' and ')} write`,
        })),
        ...foreign.map((table) => ({
          path,
          message: `reads ${table} of ${[...(writers.get(table) ?? [])].join(', ')}; ask its face, or name the read in SHARED_READS with its reason`,
        })),
      ];
    });
  },
};

function tablesOf(tree: Tree): Set<string> {
  const migrations = tree.paths(/\/migrations\/[^/]+\.sql$/).map((path) => tree.text(path));
  return new Set(firstGroups(migrations.join('\n'), /\bCREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)/g));
}

function named(text: string, statement: RegExp, tables: Set<string>): string[] {
  return [...new Set(firstGroups(text, statement))].filter((table) => tables.has(table));
}

function firstGroups(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1] ?? '');
}

const length: Rule = {
  name: 'files stay short',
  reason: 'past a few hundred lines a file holds a second noun; find it',
  check: (tree) =>
    tree.paths(SOURCE).flatMap((path) => {
      const lines = tree.text(path).split('\n').length - 1;
      const most = isTest(path) ? MAX_TEST_LINES : MAX_LINES;
      return lines > most ? [{ path, message: `has ${lines} lines, over ${most}` }] : [];
    }),
};

const todos: Rule = {
  name: 'no loose ends',
  reason: 'a note in the code that no issue holds is read by nobody; write TODO(#n)',
  check: (tree) =>
    tree.paths(/\.[cm]?[jt]s$/).flatMap((path) => {
      const { comments } = tree.views(path);
      return [...comments.matchAll(/\b(?:TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))/g)].map((match) => ({
        path,
        message: `line ${lineOf(comments, match.index)}: ${match[0]} without an issue`,
      }));
    }),
};

const skips: Rule = {
  name: 'no test is left out in silence',
  reason: 'a skipped test guards nothing; say why: { skip: "reason" } or t.skip("reason")',
  check: (tree) =>
    tree.paths(/\.test\.ts$|\/conformance\.ts$/).flatMap((path) => {
      const { code } = tree.views(path);
      const silent =
        /\b(?:test|it|describe|suite)\.(?:only|skip|todo)\b|\b(?:only|skip|todo):\s*true\b|\.(?:skip|todo)\(\s*\)/g;
      return [...code.matchAll(silent)].map((match) => ({
        path,
        message: `line ${lineOf(code, match.index)}: ${match[0]}`,
      }));
    }),
};

const decisions: Rule = {
  name: 'decision pages are numbered once',
  reason: 'a number names one decision for ever',
  check(tree) {
    const first = new Map<string, string>();
    return tree.paths(/^docs\/decisions\/(?!README\.md$)/).flatMap((path): Violation[] => {
      const number = /^docs\/decisions\/(\d{4})-[a-z0-9-]+\.md$/.exec(path)?.[1];
      if (number === undefined) return [{ path, message: 'is not named NNNN-what-was-decided.md' }];
      const other = first.get(number);
      first.set(number, other ?? path);
      return other === undefined ? [] : [{ path, message: `has the number of ${other}` }];
    });
  },
};

const lockfile: Rule = {
  name: 'the lockfile names no registry',
  reason: 'integrity pins what is installed; where it comes from is the installer’s own setting',
  check: (tree) =>
    tree.paths(/(?:^|\/)package-lock\.json$/).flatMap((path) => {
      const remote = tree.text(path).match(/"resolved":\s*"(?:[a-z+]+:)?\/\/[^"]*"/g) ?? [];
      return remote.length > 0 ? [{ path, message: `has ${remote.length} remote "resolved" entries` }] : [];
    }),
};

export const FILE_RULES: readonly Rule[] = [sql, owners, length, todos, skips, decisions, lockfile];
