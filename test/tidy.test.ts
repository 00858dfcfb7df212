/**
 * The shape of the tree, kept by a test: what another language's compiler would insist on. The rules stand in test/tidy/, each
 * a pure function of a tree, and each is shown here to fire on a small tree that breaks it and to be silent on one that does not.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EXAMPLES } from './tidy/examples.ts';
import { FILE_RULES } from './tidy/rules-files.ts';
import { IMPORT_RULES } from './tidy/rules-imports.ts';
import { WORLD_RULES } from './tidy/rules-world.ts';
import { importsOf, viewsOf } from './tidy/source.ts';
import { type Rule, readTree, Tree } from './tidy/tree.ts';

const RULES: readonly Rule[] = [...IMPORT_RULES, ...WORLD_RULES, ...FILE_RULES];

describe('this tree', () => {
  const tree = readTree(fileURLToPath(new URL('..', import.meta.url)));
  for (const rule of RULES) {
    test(rule.name, () => {
      const found = rule.check(tree).map(({ path, message }) => `  ${path}: ${message}`);
      assert.equal(found.length, 0, `${rule.name}, because ${rule.reason}\n${found.join('\n')}\n`);
    });
  }
});

describe('every rule fires', () => {
  for (const example of EXAMPLES) {
    test(`${example.rule}: ${example.breaks}`, () => {
      const rule = RULES.find(({ name }) => name === example.rule);
      assert.ok(rule, `no rule is called "${example.rule}"`);
      const bad = rule.check(new Tree(Object.entries(example.bad)));
      assert.equal(bad.length, example.times ?? 1, JSON.stringify(bad));
      assert.deepEqual(rule.check(new Tree(Object.entries(example.good))), [], 'and is silent on what is allowed');
    });
  }

  test('no rule is without an example', () => {
    const shown = new Set(EXAMPLES.map(({ rule }) => rule));
    const unshown = RULES.filter(({ name }) => !shown.has(name)).map(({ name }) => name);
    assert.deepEqual(unshown, []);
  });
});

describe('reading source', () => {
  const source = [
    "import type { A } from './a.ts'; // from './not-this.ts'",
    "export * from './b.ts';",
    "import './c.ts';",
    "const d = await import('./d.ts');",
    "type E = import('./e.ts').E;",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is source to be read
    'const f = `from "./no.ts" ${g(`x ${"}"} y`, { h: 1 })} import "./no.ts"`;',
    `const i = /['"\`/]/.test(j) ? k / l : m / 2;`,
    "/* import './no.ts' */ Array.from('abc');",
  ].join('\n');

  test('imports are found wherever they tie, and nowhere else', () => {
    const found = importsOf(source).map(({ specifier }) => specifier);
    assert.deepEqual(found, ['./a.ts', './b.ts', './c.ts', './d.ts', './e.ts']);
  });

  test('code, strings and comments are told apart', () => {
    const { code, strings, comments } = viewsOf(source);
    for (const view of [code, strings, comments]) assert.equal(view.length, source.length);
    assert.match(code, /g\(` {2}\$\{" "\} {2}`, \{ h: 1 \}\)/);
    assert.match(code, /\? k \/ l : m \/ 2;/);
    assert.match(strings, /from "\.\/no\.ts"/);
    assert.match(comments, /from '\.\/not-this\.ts'/);
    assert.doesNotMatch(comments, /abc/);
  });
});
