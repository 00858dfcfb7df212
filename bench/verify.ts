/**
 * Verification in a resource server: known tokens beside what else one would take, new ones beside jose, what the middleware adds to
 * a request, what a remembered token holds. Every number comes from this one run, subjects take turns in rounds, and the ratio of two
 * is the ratio of their medians. `await verifier.verify(token)` is what is timed, a user's call; each call gets a string of its own.
 *
 * node bench/verify.ts [picture.svg]
 */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { median, printTable } from './table.ts';
import { measureApi } from './verify-api.ts';
import type { HeldMemory } from './verify-memory-process.ts';
import { drawVerification } from './verify-picture.ts';
import { measureCold, measureWarm, type Speed } from './verify-rounds.ts';
import { newTokenSigner } from './verify-tokens.ts';

/** The goals: times jose, and times fast-jwt with its cache, by the number of tokens known. */
const WARM_GOALS = [
  { tokens: 1_000, timesJose: 80, timesFastJwt: 2 },
  { tokens: 100_000, timesJose: 40, timesFastJwt: 1.5 },
];
/** Processor time of a token never seen, to jose's, which looks at the signature alone. */
const GOAL_COLD = 1.3;
/** What the middleware may add to the processor time of a request. */
const GOAL_MIDDLEWARE = 0.1;
const GOAL_BYTES = 1_000;
/** Entries of the two processes whose difference is measured. */
const [FEW_ENTRIES, MANY_ENTRIES] = [1_000, 100_000];

export interface Goal {
  readonly what: string;
  readonly measured: string;
  readonly goal: string;
  readonly isMet: boolean;
}

export interface VerificationResults {
  readonly warm: readonly { readonly tokens: number; readonly speeds: readonly Speed[] }[];
  readonly goals: readonly Goal[];
}

/** Runs the bench and prints its tables. Throws when a subject refuses a good token; a missed goal is only printed. */
export async function benchVerify(pictureFile?: string): Promise<{ goalMet: boolean }> {
  const signer = newTokenSigner();
  const goals: Goal[] = [];
  const warm: { tokens: number; speeds: Speed[] }[] = [];
  for (const goal of WARM_GOALS) {
    const speeds = await measureWarm(signer, goal.tokens);
    warm.push({ tokens: goal.tokens, speeds });
    const known = `${goal.tokens.toLocaleString('en')} tokens known`;
    goals.push(atLeast(`${known}, times jose`, ratioTo('jose', speeds), goal.timesJose));
    goals.push(atLeast(`${known}, times fast-jwt's cache`, ratioTo('fast-jwt, its cache', speeds), goal.timesFastJwt));
  }
  const cold = await measureCold(signer);
  const coldRatio = median(cold.countersignMicroseconds) / median(cold.joseMicroseconds);
  goals.push(atMost('new token, CPU to jose', coldRatio, { goal: GOAL_COLD, text: (value) => value.toFixed(2) }));
  const api = await measureApi();
  const added = median(api.guardedMicroseconds) / median(api.openMicroseconds) - 1;
  const percent = (value: number) => `${(value * 100).toFixed(1)} %`;
  goals.push(atMost('middleware, added CPU of a request', added, { goal: GOAL_MIDDLEWARE, text: percent }));
  const memory = await measureMemory();
  // Resident memory moves in pages and may hide what the heap holds: the larger counts.
  const bytes = Math.max(memory.residentBytes, memory.heapBytes);
  goals.push(atMost('bytes of a token remembered', bytes, { goal: GOAL_BYTES, text: (value) => value.toFixed(0) }));

  printWarm(warm);
  console.log('\nMicroseconds of processor time:');
  printTable(
    ['what', 'median', 'least', 'most'],
    [
      ['new token, Countersign', ...spread(cold.countersignMicroseconds, 1)],
      ['new token, jose', ...spread(cold.joseMicroseconds, 1)],
      ['request without middleware', ...spread(api.openMicroseconds, 1)],
      ['request with middleware', ...spread(api.guardedMicroseconds, 1)],
    ],
  );
  console.log(
    `\nBytes of a token remembered: ${memory.residentBytes.toFixed(0)} resident, ${memory.heapBytes.toFixed(0)} on the heap.\n`,
  );
  printTable(
    ['goal', 'measured', 'wanted', 'reached'],
    goals.map(({ what, measured, goal, isMet }) => [what, measured, goal, isMet ? 'met' : 'MISSED']),
  );
  if (pictureFile !== undefined) writeFileSync(pictureFile, drawVerification({ warm, goals }));
  return { goalMet: goals.every(({ isMet }) => isMet) };
}

/** Two processes that differ in how many tokens they remember, and in nothing else. */
async function measureMemory(): Promise<{ residentBytes: number; heapBytes: number }> {
  const [few, many] = [await heldBy(FEW_ENTRIES), await heldBy(MANY_ENTRIES)];
  const entries = many.entries - few.entries;
  return {
    residentBytes: (many.residentBytes - few.residentBytes) / entries,
    heapBytes: (many.heapBytes - few.heapBytes) / entries,
  };
}

async function heldBy(maxEntries: number): Promise<HeldMemory> {
  const file = fileURLToPath(new URL('./verify-memory-process.ts', import.meta.url));
  const options = ['--conditions=countersign-source', '--expose-gc', file, String(maxEntries)];
  const { stdout } = await promisify(execFile)(process.execPath, options);
  const held = JSON.parse(stdout) as HeldMemory; // what that file prints
  if (held.entries !== maxEntries) throw new Error(`${held.entries} tokens are remembered instead of ${maxEntries}.`);
  return held;
}

function printWarm(warm: VerificationResults['warm']): void {
  for (const { tokens, speeds } of warm) {
    console.log(`\nVerifications per second, ${tokens.toLocaleString('en')} tokens known:`);
    const rows = speeds.map(({ name, perSecond }) => [
      ...[name, ...spread(perSecond, 0)],
      (medianOf('Countersign', speeds) / median(perSecond)).toFixed(2),
    ]);
    printTable(['verifier', 'median', 'least', 'most', 'Countersign is'], rows);
  }
}

function spread(values: readonly number[], digits: number): string[] {
  return [median(values), Math.min(...values), Math.max(...values)].map((value) => value.toFixed(digits));
}

function ratioTo(name: string, speeds: readonly Speed[]): number {
  return medianOf('Countersign', speeds) / medianOf(name, speeds);
}

function medianOf(name: string, speeds: readonly Speed[]): number {
  const speed = speeds.find((candidate) => candidate.name === name);
  if (!speed) throw new Error(`The bench did not measure ${name}.`);
  return median(speed.perSecond);
}

function atLeast(what: string, value: number, goal: number): Goal {
  return { what, measured: value.toFixed(value < 10 ? 2 : 0), goal: `${goal}`, isMet: value >= goal };
}

function atMost(what: string, value: number, of: { goal: number; text: (value: number) => string }): Goal {
  return { what, measured: of.text(value), goal: `< ${of.text(of.goal)}`, isMet: value < of.goal };
}

if (import.meta.main) await benchVerify(process.argv[2]);
