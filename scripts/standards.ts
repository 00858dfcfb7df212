/**
 * `npm run standards`: writes docs/standards-status.md, which requirements of the standards hold, from the names of the tests,
 * and prints those that nothing shows yet. With `--check` it writes nothing and exits 1 if the page is stale or one is missing.
 *
 * scripts/standards.tsv is the hand-kept part: the requirements, and for those that cannot hold wholly yet what they come with.
 *
 *   (empty)          a test must show it
 *   partly <what>    what exists holds, shown by tests if any; the rest comes with <what>
 *   absent <what>    its subject does not exist yet and comes with <what>
 *   shown <file>     this file shows it without its id in a test's name: a page that writes it down, a rule of the tree
 *
 * A test shows a requirement by beginning its name with the id: 'ML-02 a GET spends nothing'. Several ids may stand there.
 */
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const TABLE = `${root}/scripts/standards.tsv`;
const PAGE = `${root}/docs/standards-status.md`;

/** Names stand in test files and, for tests made from tables, in the modules beside them. */
const TESTS = [
  'packages/*/src/**/*.test.ts',
  'packages/*/src/**/*conformance.ts',
  'test/**/*.ts',
  'examples/*/src/**/*.test.ts',
];
/** The rules about the tree have ids of their own, in examples of what they refuse. */
const NOT_TESTS = /^test\/tidy\/examples\.ts$/;
/** A string that begins with an id: the name of a test. */
const NAME = /(['"`])([A-Z]{2}-\d{2}(?![\w-])[^\n]*?)\1/g;
const ID = /\b[A-Z]{2}-\d{2}\b/g;
/** More files than this tell a reader nothing that these do not. */
const FILES_SHOWN = 3;

const AREAS: Readonly<Record<string, string>> = {
  OA: 'OAuth 2.x core',
  BR: 'Bearer tokens',
  PK: 'PKCE',
  RV: 'Revocation',
  IN: 'Introspection',
  MD: 'Metadata',
  JT: 'JWT and keys',
  BC: 'Security best current practice',
  EB: 'Entropy buckets',
  OI: 'OpenID Connect',
  ML: 'Login by mail',
  SE: 'Sessions',
  HD: 'Browser headers',
  TC: 'TLS, keys, secrets',
  DP: 'Deployment',
  PA: 'Authorization responses',
  DR: 'Client registration',
  TX: 'Audiences',
  SC: 'Proxies',
  HT: 'HTTP',
  LG: 'Authorization, logging, alarms',
  WH: 'Webhooks',
};

interface Requirement {
  id: string;
  level: string;
  text: string;
  source: string;
  status: { kind: 'held' } | { kind: 'shown'; file: string } | { kind: 'partly' | 'absent'; comesWith: string };
  note: string;
}

function readRequirements(): Requirement[] {
  const [, ...lines] = readFileSync(TABLE, 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const [id = '', level = '', text = '', source = '', status = '', note = ''] = line.split('\t');
    return { id, level, text, source, status: readStatus(id, status), note };
  });
}

function readStatus(id: string, text: string): Requirement['status'] {
  if (text === '') return { kind: 'held' };
  const [kind, ...words] = text.split(' ');
  const rest = words.join(' ');
  if (kind === 'partly' || kind === 'absent') return { kind, comesWith: rest };
  if (kind === 'shown' && existsSync(`${root}/${rest}`)) return { kind, file: rest };
  throw new Error(`Reading scripts/standards.tsv: the status of ${id} is unknown, or names a file that is not there.`);
}

/** For each id the files whose tests name it, in order of their paths. */
function filesByRequirement(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const file of globSync(TESTS, { cwd: root }).sort()) {
    if (NOT_TESTS.test(file)) continue;
    const names = [...readFileSync(`${root}/${file}`, 'utf8').matchAll(NAME)].map((match) => match[2] ?? '');
    for (const id of new Set(names.flatMap((name) => name.match(ID) ?? []))) {
      found.set(id, [...(found.get(id) ?? []), file]);
    }
  }
  return found;
}

function links(files: readonly string[]): string {
  const shown = files.slice(0, FILES_SHOWN).map((file) => `[${basename(file, '.ts')}](../${file})`);
  const rest = files.length - shown.length;
  return shown.join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}

function verdictOn({ status, note }: Requirement, files: readonly string[]): string {
  const remark = note === '' ? '' : `; ${note}`;
  switch (status.kind) {
    case 'held':
      return files.length > 0 ? `holds: ${links(files)}` : '**not shown yet**';
    case 'shown':
      return `holds: ${links([status.file, ...files])}`;
    case 'partly':
      return `${files.length > 0 ? `in part: ${links(files)}; ` : ''}comes with ${status.comesWith}${remark}`;
    case 'absent':
      return `does not apply yet, comes with ${status.comesWith}${remark}`;
  }
}

function pageOf(requirements: readonly Requirement[], files: ReadonlyMap<string, string[]>): string {
  const of = (id: string) => files.get(id) ?? [];
  const count = (wanted: (one: Requirement) => boolean) => requirements.filter(wanted).length;
  const open = count(({ id, status }) => status.kind === 'held' && of(id).length === 0);
  const later = count(({ status }) => status.kind === 'partly' || status.kind === 'absent');
  const held = requirements.length - open - later;
  const lines = [
    '# Standards: what holds',
    '',
    'Written by `npm run standards` from the names of the tests and `scripts/standards.tsv`; not edited by hand. Only the requirements',
    'of first priority stand here. † marks one that we derived ourselves.',
    '',
    `${requirements.length} requirements: ${held} hold, ${later} wholly or in part come later, ${open} are not shown yet.`,
  ];
  for (const area of new Set(requirements.map(({ id }) => id.slice(0, 2)))) {
    lines.push('', `## ${AREAS[area] ?? area}`, '', '| id | requirement | source | status |', '|---|---|---|---|');
    for (const one of requirements.filter(({ id }) => id.startsWith(area))) {
      const level = one.level.replaceAll('|', '\\|');
      lines.push(`| ${one.id} | ${level}: ${one.text} | ${one.source} | ${verdictOn(one, of(one.id))} |`);
    }
  }
  return `${lines.join('\n')}\n`;
}

const requirements = readRequirements();
const files = filesByRequirement();
const page = pageOf(requirements, files);
const isCheck = process.argv.includes('--check');
const isStale = isCheck && page !== readFileSync(PAGE, 'utf8');
if (!isCheck) writeFileSync(PAGE, page);

const missing = requirements.filter(({ id, status }) => status.kind === 'held' && !files.has(id));
for (const { id, text } of missing) console.log(`not shown yet: ${id}  ${text}`);
console.log(`${requirements.length - missing.length} of ${requirements.length} requirements are accounted for.`);
if (isStale) console.log(`${relative(root, PAGE)} is stale. Run: npm run standards`);
if (isCheck && (isStale || missing.length > 0)) process.exitCode = 1;
