/** For each rule a tree that breaks it and the nearest tree that does not. */
export interface Example {
  rule: string;
  breaks: string;
  bad: Record<string, string>;
  good: Record<string, string>;
  /** How many violations the bad tree has; one unless said. */
  times?: number;
}

const SERVER = 'packages/server/src';
const MIGRATION = {
  [`${SERVER}/store/migrations/0001-a.sql`]: 'CREATE TABLE client (id TEXT);\nCREATE TABLE key (id TEXT);',
};

const IMPORTS: readonly Example[] = [
  {
    rule: 'imports go down the levels',
    breaks: 'up',
    bad: { [`${SERVER}/keys/keys.ts`]: "import { Tokens } from '../tokens/tokens.ts';" },
    good: { [`${SERVER}/tokens/tokens.ts`]: "import { Keys } from '../keys/keys.ts';\nimport './rule.ts';" },
  },
  {
    rule: 'imports go down the levels',
    breaks: 'sideways, for a type',
    bad: { [`${SERVER}/login/login.ts`]: "import type { Grants } from '../grants/grants.ts';" },
    good: { [`${SERVER}/login/login.test.ts`]: "import { Grants } from '../grants/grants.ts';" },
  },
  {
    rule: 'imports go down the levels',
    breaks: 'a domain imports the composition root',
    bad: { [`${SERVER}/admin/admin.ts`]: "type S = import('../server.ts').S;" },
    good: {
      [`${SERVER}/server.ts`]: "import { Admin } from './admin/admin.ts';",
      [`${SERVER}/main.ts`]: "import { start } from './cli/cli.ts';\nimport './server.ts';",
    },
  },
  {
    rule: 'imports go down the levels',
    breaks: 'a folder without a level',
    bad: { [`${SERVER}/helpers/helpers.ts`]: '' },
    good: { [`${SERVER}/world/clock.ts`]: '' },
  },
  {
    rule: 'x/x.ts is the face of x/',
    breaks: 'another’s rules, and its routes outside server.ts',
    times: 3,
    bad: {
      [`${SERVER}/tokens/tokens.ts`]: "import '../keys/rotation.ts';",
      [`${SERVER}/tokens/tokens.test.ts`]: "import '../keys/table.ts';",
      [`${SERVER}/admin/admin.ts`]: "export { x } from '../login/routes.ts';",
    },
    good: {
      [`${SERVER}/tokens/tokens.ts`]:
        "import '../keys/keys.ts';\nimport '../world/clock.ts';\nimport './inner/rule.ts';",
      [`${SERVER}/server.ts`]: "import './login/routes.ts';\nimport './keys/job.ts';\nimport './keys/keys.ts';",
    },
  },
  {
    rule: 'nothing waits for an outlet',
    breaks: 'a flow imports alarms',
    bad: { [`${SERVER}/grants/grants.ts`]: "import '../alarms/alarms.ts';" },
    good: {
      [`${SERVER}/admin/admin.ts`]: "import '../alarms/alarms.ts';",
      [`${SERVER}/server.ts`]: "import './alarms/alarms.ts';",
    },
  },
  {
    rule: 'packages keep their distance',
    breaks: 'verifier and server import each other, protocol anything, one by path',
    times: 4,
    bad: {
      'packages/verifier/src/a.test.ts': "import '@countersign/server';",
      'packages/server/src/server.ts': "import '@countersign/verifier/hono';",
      'packages/protocol/src/ids.ts': "import '@countersign/server';",
      'packages/verifier/src/b.ts': "import '../../protocol/src/ids.ts';",
    },
    good: {
      'packages/verifier/src/a.ts': "import '@countersign/protocol';\nimport './b.ts';",
      'packages/testkit/src/a.ts': "import '@countersign/server';",
    },
  },
  {
    rule: 'what is imported is declared',
    breaks: 'a package nobody declared, and Node in a package that runs anywhere',
    times: 3,
    bad: {
      'packages/verifier/package.json': '{"dependencies":{"jose":"6"}}',
      'packages/verifier/src/a.ts': "import 'left-pad/x';\nimport 'fast-check';",
      'package.json': '{"devDependencies":{"fast-check":"4"}}',
      'packages/protocol/src/a.ts': "import 'node:crypto';",
    },
    good: {
      'packages/verifier/package.json': '{"dependencies":{"jose":"6","@scope/x":"1"},"peerDependencies":{"hono":"4"}}',
      'packages/verifier/src/a.ts': "import 'jose/jwt';\nimport 'hono';\nimport 'node:crypto';\nimport '@scope/x/y';",
      'packages/verifier/src/a.test.ts': "import 'fast-check';",
      'package.json': '{"devDependencies":{"fast-check":"4"}}',
    },
  },
  {
    rule: 'nobody imports a test, and imports are literal',
    breaks: 'a test or what only tests use is imported, a name is computed',
    times: 3,
    bad: {
      'packages/verifier/src/d.ts': "import './testing/fake.ts';",
      'packages/verifier/src/a.ts': "import './b.test.ts';",
      'packages/verifier/src/c.ts': 'await import(name);',
    },
    good: {
      'packages/verifier/src/a.test.ts': "import './testing/fake.ts';",
      'packages/verifier/src/a.ts': "await import('./b.ts'); form.require('x'); class F { require(name: string) {} }",
    },
  },
  {
    rule: 'no barrels',
    breaks: 'index.ts in a folder',
    bad: { [`${SERVER}/keys/index.ts`]: '' },
    good: { [`${SERVER}/index.ts`]: '', 'packages/protocol/src/index.ts': '' },
  },
];

const WORLD: readonly Example[] = [
  {
    rule: 'only world/ reaches for the world',
    breaks: 'time, chance, network, timers, sockets',
    times: 8,
    bad: {
      [`${SERVER}/keys/keys.ts`]: [
        "import { connect } from 'node:tls';",
        'Date.now(); new Date(); Math.random(); randomBytes(8); fetch(url); setTimeout(step, 1); AbortSignal.timeout(9);',
      ].join('\n'),
    },
    good: {
      [`${SERVER}/world/clock.ts`]: "import { connect } from 'node:tls'; Date.now();",
      [`${SERVER}/keys/keys.ts`]:
        '// Date.now()\nclock.now(); new Date(atMs); app.fetch(request); this.#fetch(url); "Math.random()";',
      [`${SERVER}/keys/keys.test.ts`]: 'Date.now();',
    },
  },
  {
    rule: 'only world/ reaches for the world',
    breaks: 'the verifier outside its world.ts, protocol anywhere',
    times: 3,
    bad: {
      'packages/verifier/src/keys.ts': 'const send = globalThis.fetch; Date.now();',
      'packages/protocol/src/world.ts': 'Date.now();',
    },
    good: {
      'packages/verifier/src/world.ts': 'Date.now(); globalThis.fetch(url); setImmediate(work);',
      'packages/protocol/src/ids.ts': '/** createId(Date.now()) */',
      'packages/testkit/src/clock.ts': 'Date.now();',
    },
  },
  {
    rule: 'only main.ts touches process',
    breaks: 'an environment read mid-code',
    times: 2,
    bad: {
      [`${SERVER}/config/config.ts`]: "import { env } from 'node:process';",
      'examples/api/src/api.ts': 'process.env.PORT;',
    },
    good: { [`${SERVER}/main.ts`]: 'process.env;', [`${SERVER}/config/config.ts`]: 'job.process.run();' },
  },
  {
    rule: 'no console',
    breaks: 'a line printed by a domain',
    bad: { [`${SERVER}/keys/keys.ts`]: "console.log('x');" },
    good: { [`${SERVER}/cli/cli.ts`]: "console.log('x');", [`${SERVER}/main.ts`]: "console.log('x');" },
  },
  {
    rule: 'only http/ and routes know requests and statuses',
    breaks: 'hono, a Response and a status in a domain',
    times: 3,
    bad: {
      [`${SERVER}/grants/grants.ts`]:
        "import { Hono } from 'hono';\nconst a = new Response(); const b = { status: 400 };",
    },
    good: {
      [`${SERVER}/grants/routes.ts`]: "import { Hono } from 'hono';\nnew Response(); ({ status: 400 });",
      [`${SERVER}/http/http.ts`]: 'new Response();',
      [`${SERVER}/login/mails.ts`]: "import { html } from 'hono/html';",
      [`${SERVER}/authorization/request.ts`]: "interface Request { status: 'open' }\nconst request: Request = given;",
    },
  },
  {
    rule: 'certificates are always checked',
    breaks: 'TC-02: a switch that turns the check off',
    times: 3,
    bad: {
      'scripts/demo.ts': "connect({ rejectUnauthorized: false }); env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';",
      '.ci/run': 'export NODE_TLS_REJECT_UNAUTHORIZED=0',
    },
    good: {
      'scripts/demo.ts': '// never rejectUnauthorized: false\nconnect({ ca, rejectUnauthorized: true });',
      [`${SERVER}/config/config.ts`]: "environment['NODE_TLS_REJECT_UNAUTHORIZED'];",
      'test/scenarios/start.test.ts':
        "test('TC-02 start is refused', () => start({ NODE_TLS_REJECT_UNAUTHORIZED: '0' }));",
    },
  },
];

const FILES: readonly Example[] = [
  {
    rule: 'SQL stands in table.ts',
    breaks: 'a statement in a face',
    times: 2,
    bad: { [`${SERVER}/keys/keys.ts`]: "sql.all('SELECT id FROM key'); tx.run(`UPDATE key SET id = $1`);" },
    good: {
      [`${SERVER}/keys/table.ts`]: "sql.all('SELECT id FROM key');",
      [`${SERVER}/store/migrate.ts`]: "sql.all('SELECT number FROM schema_migration');",
      [`${SERVER}/keys/keys.ts`]: "// SELECT id FROM key\nthrow new Error('Select a key from the list');",
    },
  },
  {
    rule: 'a table has one owner',
    breaks: 'two domains write one table',
    times: 2,
    bad: {
      ...MIGRATION,
      [`${SERVER}/clients/table.ts`]: '`INSERT INTO client (id) VALUES ($1)`',
      [`${SERVER}/grants/table.ts`]: '`UPDATE client SET id = $1`',
    },
    good: {
      ...MIGRATION,
      [`${SERVER}/clients/table.ts`]: '`INSERT INTO client (id) VALUES ($1)`; `SELECT id FROM client`',
    },
  },
  {
    rule: 'a table has one owner',
    breaks: 'a domain joins a table of another',
    bad: {
      ...MIGRATION,
      [`${SERVER}/clients/table.ts`]: '`INSERT INTO client (id) VALUES ($1)`',
      [`${SERVER}/keys/table.ts`]: '`INSERT INTO key (id) VALUES ($1)`; `SELECT key.id FROM key JOIN client ON true`',
    },
    good: {
      ...MIGRATION,
      [`${SERVER}/clients/table.ts`]: '`INSERT INTO client (id) VALUES ($1)`',
      [`${SERVER}/keys/table.ts`]:
        '`INSERT INTO key (id) VALUES ($1)`; `WITH due AS (SELECT id FROM key) SELECT id FROM due`',
    },
  },
  {
    rule: 'files stay short',
    breaks: '401 lines, or 601 of a test',
    times: 2,
    bad: { [`${SERVER}/keys/keys.ts`]: '\n'.repeat(401), [`${SERVER}/keys/a.test.ts`]: '\n'.repeat(601) },
    good: { [`${SERVER}/keys/keys.ts`]: '\n'.repeat(400), [`${SERVER}/keys/a.test.ts`]: '\n'.repeat(600) },
  },
  {
    rule: 'no loose ends',
    breaks: 'a note without an issue',
    bad: { 'scripts/a.ts': '// TODO later' },
    good: { 'scripts/a.ts': "// TODO(#12) later\nconst TODO = 'TODO';" },
  },
  {
    rule: 'no test is left out in silence',
    breaks: 'only, skip without a reason',
    times: 4,
    bad: { 'test/a.test.ts': "test.only('a'); it.skip('b'); test('c', { skip: true }); t.skip();" },
    good: { 'test/a.test.ts': "test('a', { skip: 'needs x' }); t.skip('needs x'); list.skip(2);" },
  },
  {
    rule: 'decision pages are numbered once',
    breaks: 'one number twice, and a page without one',
    times: 2,
    bad: { 'docs/decisions/0001-a.md': '', 'docs/decisions/0001-b.md': '', 'docs/decisions/notes.md': '' },
    good: { 'docs/decisions/0001-a.md': '', 'docs/decisions/0002-b.md': '', 'docs/decisions/README.md': '' },
  },
  {
    rule: 'the lockfile names no registry',
    breaks: 'a remote address',
    bad: { 'package-lock.json': '{"packages":{"a":{"resolved": "https://registry.example/a.tgz"}}}' },
    good: { 'package-lock.json': '{"packages":{"a":{"resolved": "packages/a", "link": true}}}' },
  },
];

export const EXAMPLES: readonly Example[] = [...IMPORTS, ...WORLD, ...FILES];
