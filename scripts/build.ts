/**
 * `npm run build`: emits what is published, JavaScript and declarations in each package's dist/. Nothing else needs it: sources
 * run as they stand. Ends by looking for each subpath and starting each command once from what was emitted, so that a package which
 * cannot run is not built.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Manifest {
  name: string;
  version: string;
  bin?: Record<string, string>;
  exports?: Record<string, Record<string, string>>;
  dependencies?: Record<string, string>;
}

interface Package {
  folder: string;
  manifest: Manifest;
}

/** Tests and what only they use are not published. */
const NOT_PUBLISHED = ['**/*.test.ts', '**/conformance.ts', '**/testing/**'];

const root = fileURLToPath(new URL('..', import.meta.url));
const scratch = join(root, 'node_modules/.cache/countersign-build');

const packages = inOrder(
  globSync('packages/*/package.json', { cwd: root }).map((path) => ({
    folder: resolve(root, dirname(path)),
    manifest: JSON.parse(readFileSync(resolve(root, path), 'utf8')) as Manifest, // npm itself read it
  })),
);
for (const built of packages) {
  emit(built);
  copyData(built.folder);
  findSubpaths(built);
  finishCommands(built);
  console.log(`built ${built.manifest.name} ${built.manifest.version}`);
}

/** Dependencies first: a package is typed against the declarations of those it uses, as its users will see them. */
function inOrder(all: Package[]): Package[] {
  const ordered: Package[] = [];
  const visit = (one: Package) => {
    if (ordered.includes(one)) return;
    for (const other of all) if (other.manifest.name in (one.manifest.dependencies ?? {})) visit(other);
    ordered.push(one);
  };
  all.forEach(visit);
  return ordered;
}

function emit({ folder, manifest }: Package): void {
  rmSync(join(folder, 'dist'), { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true });
  const config = join(scratch, `${manifest.name.replace('/', '-')}.json`);
  const compilerOptions = {
    noEmit: false,
    declaration: true,
    rewriteRelativeImportExtensions: true,
    customConditions: [],
    typeRoots: [join(root, 'node_modules/@types')],
    rootDir: join(folder, 'src'),
    outDir: join(folder, 'dist'),
  };
  const settings = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions,
    include: [join(folder, 'src')],
    exclude: NOT_PUBLISHED.map((pattern) => join(folder, 'src', pattern)),
  };
  writeFileSync(config, JSON.stringify(settings));
  run(`compiling ${manifest.name}`, [join(root, 'node_modules/typescript/bin/tsc'), '-p', config]);
}

/** What stands beside the sources and is read at run time, such as migrations. */
function copyData(folder: string): void {
  for (const path of globSync('**/*.{sql,css}', { cwd: join(folder, 'src') })) {
    cpSync(join(folder, 'src', path), join(folder, 'dist', path));
  }
}

function findSubpaths({ folder, manifest }: Package): void {
  for (const [subpath, targets] of Object.entries(manifest.exports ?? {})) {
    const missing = Object.values(targets).find((path) => !existsSync(join(folder, path)));
    if (missing) fail(`${manifest.name} offers ${subpath} as ${missing}, which is not there`);
  }
}

function finishCommands({ folder, manifest }: Package): void {
  for (const [name, path] of Object.entries(manifest.bin ?? {})) {
    const command = join(folder, path);
    if (!existsSync(command)) fail(`the command ${name} of ${manifest.name} names ${path}, which was not emitted`);
    chmodSync(command, 0o755);
    run(`starting ${name} from ${path}`, [command, '--version']);
  }
}

/** Runs Node without the condition that resolves packages to their sources, as an installed package runs. */
function run(doing: string, nodeArguments: string[]): void {
  const { NODE_OPTIONS: _, ...environment } = process.env;
  const { status, stdout } = spawnSync(process.execPath, nodeArguments, {
    ...{ cwd: root, env: environment, encoding: 'utf8' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) fail(`${doing} ended with ${status}\n${stdout}`);
}

function fail(message: string): never {
  console.error(`build: ${message}`);
  process.exit(1);
}
