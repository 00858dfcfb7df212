import { isRoot, isTest, placeOf, SOURCE } from './places.ts';
import { lineOf } from './source.ts';
import type { Rule, Tree, Violation } from './tree.ts';

interface Pattern {
  pattern: RegExp;
  what: string;
}

const NOT_A_MEMBER = '(?<![.\\w#])';

const WORLD: readonly Pattern[] = [
  {
    pattern: /\bDate\.now\b|\bnew Date\s*\(\s*\)|\bnew Date\b(?!\s*\()|\bperformance\.now\b|\bhrtime\b/g,
    what: 'the time',
  },
  {
    pattern: /\bMath\.random\b|\b(?:randomBytes|randomUUID|randomInt|randomFill\w*|getRandomValues)\b/g,
    what: 'chance',
  },
  { pattern: new RegExp(`${NOT_A_MEMBER}fetch\\s*\\(|\\bglobalThis\\.fetch\\b`, 'g'), what: 'the network' },
  { pattern: /\b(?:setTimeout|setInterval|setImmediate)\b|\bAbortSignal\.timeout\b/g, what: 'timers' },
];

const WORLD_MODULES =
  /^(?:node:)?(?:net|tls|http|https|http2|dgram|dns|timers|child_process|worker_threads|cluster)(?:\/|$)/;

/** The one place of each package that holds the real clock, chance, network and timers. A package not named here is free. */
const WORLD_HOMES: Readonly<Record<string, string>> = {
  server: 'world',
  verifier: 'world.ts',
  protocol: 'nowhere: it is pure',
};

const world: Rule = {
  name: 'only world/ reaches for the world',
  reason: 'what is given can be steered: clock, chance and network of a test are the test’s own',
  check: (tree) =>
    tree
      .paths(SOURCE)
      .filter((path) => !isTest(path))
      .flatMap((path) => {
        const place = placeOf(path);
        const home = WORLD_HOMES[place?.package ?? ''];
        if (home === undefined || place?.name === home) return [];
        const modules = tree.imports(path).filter(({ specifier }) => WORLD_MODULES.test(specifier));
        return [
          ...matches(tree, path, WORLD, (what) => `reaches for ${what}; have it given (its place is ${home})`),
          ...modules.map(({ specifier, offset }) => ({
            path,
            message: `line ${lineOf(tree.text(path), offset)}: imports ${specifier} (its place is ${home})`,
          })),
        ];
      }),
};

/** Where the environment is read: by each process once, and by the testkit, for which engine a whole run of tests stands on. */
const READS_PROCESS = /\/src\/main\.ts$|^packages\/testkit\/src\/engine\.ts$/;

const processRule: Rule = {
  name: 'only main.ts touches process',
  reason: 'settings are parsed once at the edge; an environment read mid-code is a setting that nobody documents',
  check: (tree) =>
    tree
      .paths(/^(?:packages|examples)\/[^/]+\/src\/.*\.ts$/)
      .filter((path) => !isTest(path) && !READS_PROCESS.test(path))
      .flatMap((path) => [
        ...matches(
          tree,
          path,
          [{ pattern: new RegExp(`${NOT_A_MEMBER}process\\.`, 'g'), what: 'process' }],
          (what) => `touches ${what}`,
        ),
        ...tree
          .imports(path)
          .filter(({ specifier }) => /^(?:node:)?process$/.test(specifier))
          .map(() => ({ path, message: 'imports node:process' })),
      ]),
};

const consoleRule: Rule = {
  name: 'no console',
  reason:
    'lines for operators go through the log, which is structured and redacted; only main.ts and the commands speak to a person',
  check: (tree) =>
    tree
      .paths(SOURCE)
      .filter((path) => !isTest(path) && !path.endsWith('/src/main.ts') && placeOf(path)?.name !== 'cli')
      .flatMap((path) =>
        matches(
          tree,
          path,
          [{ pattern: new RegExp(`${NOT_A_MEMBER}console\\.`, 'g'), what: 'console' }],
          (what) => `uses ${what}`,
        ),
      ),
};

const KNOWS_HTTP = /(?:^|\/)(?:routes|(?:[a-z-]+-)?pages?)\.ts$/;

const requests: Rule = {
  name: 'only http/ and routes know requests and statuses',
  reason: 'one place turns outcomes into responses; a rule that knows no request can be tested without one',
  check: (tree) =>
    serverSources(tree)
      .filter((path) => {
        const place = placeOf(path);
        return place && !isRoot(place) && !['http', 'world'].includes(place.name) && !KNOWS_HTTP.test(path);
      })
      .flatMap((path) => {
        const imports = tree.imports(path).filter(
          ({ specifier }) => /^@?hono(?:\/|$)/.test(specifier) && specifier !== 'hono/html', // a template, no request
        );
        return [
          ...imports.map(({ specifier }) => ({ path, message: `imports ${specifier}; move it to routes.ts` })),
          ...matches(
            tree,
            path,
            requestPatterns(tree.views(path).code),
            (what) => `knows ${what}; move it to routes.ts`,
          ),
        ];
      }),
};

/** A domain may call a type of its own Request or Response; then the name is not the web's. */
function requestPatterns(code: string): Pattern[] {
  const foreign = ['Request', 'Response'].filter(
    (name) =>
      !new RegExp(`\\b(?:interface|type|class)\\s+${name}\\b|\\bimport\\b[^;]*\\b${name}\\b[^;]*\\bfrom\\b`).test(code),
  );
  const names = foreign.map((name) => ({
    pattern: new RegExp(`${NOT_A_MEMBER}${name}\\b(?!\\s*:)`, 'g'),
    what: `the web’s ${name}`,
  }));
  return [...names, { pattern: /\bstatus(?:Code)?\s*[:=]\s*[1-5]\d\d\b/g, what: 'a status' }];
}

const TC_02_HOME = /^packages\/server\/src\/config\/|^test\/tidy(?:\/|\.test\.ts$)/;

const certificates: Rule = {
  name: 'certificates are always checked',
  reason: 'TC-02: what is switched off for development is off in somebody’s production',
  check: (tree) =>
    tree
      .paths(/\.(?:ts|mts|mjs|js|cjs|json|sh|yml|yaml)$|^\.ci\/|Dockerfile$/)
      .filter((path) => !TC_02_HOME.test(path))
      .flatMap((path) => {
        const isScript = /\.[cm]?[jt]s$/.test(path);
        const text = isScript ? withoutComments(tree, path) : tree.text(path);
        const found: string[] = [];
        if (/rejectUnauthorized['"]?\s*[:=]\s*(?!true\b|['"]?\w+['"]?\s*===)\S/.test(text))
          found.push('rejectUnauthorized other than true');
        if (/NODE_TLS_REJECT_UNAUTHORIZED/.test(text) && !(isTest(path) && /TC-02/.test(text))) {
          found.push('NODE_TLS_REJECT_UNAUTHORIZED');
        }
        return found.map((what) => ({ path, message: `holds ${what}; give the CA to whoever must trust it` }));
      }),
};

function serverSources(tree: Tree): string[] {
  return tree.paths(/^packages\/server\/src\/.*\.ts$/).filter((path) => !isTest(path));
}

function withoutComments(tree: Tree, path: string): string {
  const { comments } = tree.views(path);
  return tree
    .text(path)
    .replace(/[^\n]/g, (character, offset: number) => (comments.charAt(offset) === ' ' ? character : ' '));
}

function matches(tree: Tree, path: string, patterns: readonly Pattern[], say: (what: string) => string): Violation[] {
  const { code } = tree.views(path);
  return patterns.flatMap(({ pattern, what }) =>
    [...code.matchAll(pattern)].map((match) => ({ path, message: `line ${lineOf(code, match.index)}: ${say(what)}` })),
  );
}

export const WORLD_RULES: readonly Rule[] = [world, processRule, consoleRule, requests, certificates];
