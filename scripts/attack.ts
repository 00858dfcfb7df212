/**
 * `npm run attack`: starts an authority and an API behind the verifier, prints every private key and the bucket key of that server,
 * then attacks it with them. Exits 1 if an attempt succeeds, an alarm is missing, one rings falsely, or something honest fails.
 */
import process from 'node:process';
import { mount, type Outcome } from '../test/attacks/attempt.ts';
import { GROUPS } from '../test/attacks/attempts.ts';
import type { Leak } from '../test/attacks/leak.ts';
import { openScene } from '../test/attacks/scene.ts';

/** Fewer would mean that a part of the list was lost. */
const MIN_ATTEMPTS = 60;
const WIDTHS = { number: 4, name: 96, where: 18, answer: 44, alarm: 10 };

async function main(): Promise<boolean> {
  const startedAtMs = performance.now();
  const scene = await openScene();
  try {
    printKeys(scene.leak, scene.server.issuer);
    const outcomes: Outcome[] = [];
    for (const { title, attempts } of GROUPS) {
      say(`\n${title}\n`);
      say(row({ number: '#', name: 'attempt', where: 'where', answer: 'answer', expected: 'expected', seen: 'seen' }));
      for (const attempt of attempts) {
        const outcome = await mount(scene, attempt);
        outcomes.push(outcome);
        say(rowOf(outcomes.length, outcome));
      }
    }
    return summary(outcomes, performance.now() - startedAtMs);
  } finally {
    await scene.close();
  }
}

function printKeys(leak: Leak, issuer: string): void {
  say(`The authority answers on ${issuer}. These are its keys; from here on they are public.\n`);
  for (const { id, purpose, algorithm, state, printed } of leak.keys) {
    say(`${purpose} key, ${algorithm}, ${state}: ${id}\n${printed}\n`);
  }
  for (const { version, key } of leak.bucketKeys) {
    say(`bucket key, version ${version}\n${Buffer.from(key).toString('base64url')}\n`);
  }
}

function rowOf(number: number, { attempt, answer, rang, wrong }: Outcome): string {
  const told = [
    answer.status === 0 ? '' : String(answer.status),
    answer.code,
    MEANING[attempt.kind ?? 'attack'](answer.gained),
  ];
  return row({
    number: String(number),
    name: attempt.name,
    where: attempt.where,
    answer: told.filter((part) => part !== '').join(' '),
    expected: attempt.alarm ?? '-',
    seen:
      rang.size === 0 ? '-' : [...rang].map(([kind, count]) => (count === 1 ? kind : `${kind} ×${count}`)).join(', '),
    wrong: wrong.length === 0 ? 'ok' : `WRONG: ${wrong.join('; ')}`,
  });
}

/** What an answer means beside an attempt of each kind. */
const MEANING: Record<'attack' | 'control' | 'same_token' | 'conceded', (gained: boolean) => string> = {
  attack: (gained) => (gained ? 'ACCEPTED' : ''),
  control: (gained) => (gained ? 'works' : 'FAILS'),
  same_token: (gained) => (gained ? 'the same token' : 'refused'),
  conceded: (gained) => (gained ? 'conceded' : 'refused'),
};

function row(cells: {
  number: string;
  name: string;
  where: string;
  answer: string;
  expected: string;
  seen: string;
  wrong?: string;
}): string {
  return [
    cells.number.padStart(WIDTHS.number),
    fitted(cells.name, WIDTHS.name),
    fitted(cells.where, WIDTHS.where),
    fitted(cells.answer, WIDTHS.answer),
    cells.expected.padEnd(WIDTHS.alarm),
    cells.seen.padEnd(WIDTHS.alarm),
    cells.wrong ?? '',
  ].join('  ');
}

function fitted(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text.padEnd(width);
}

function summary(outcomes: Outcome[], tookMs: number): boolean {
  const attacks = outcomes.filter(({ attempt }) => attempt.kind === undefined || attempt.kind === 'same_token');
  const wrong = outcomes.filter((outcome) => outcome.wrong.length > 0);
  const succeeded = attacks.filter(({ attempt, answer }) => attempt.kind === undefined && answer.gained);
  const ringing = attacks.filter(({ attempt }) => attempt.alarm !== undefined);
  const honest = outcomes.filter(({ attempt }) => attempt.kind === 'control');
  say(
    `\n${attacks.length} attempts, ${succeeded.length} succeeded; ${ringing.length} had to ring, ${attacks.length - ringing.length} ` +
      `had to be silent; ${honest.length} honest requests before, between and after; ${(tookMs / 1_000).toFixed(1)} s.`,
  );
  if (attacks.length < MIN_ATTEMPTS)
    say(`Only ${attacks.length} attempts were mounted; ${MIN_ATTEMPTS} are the least.`);
  if (wrong.length > 0) say(`${wrong.length} are not as they should be; look for WRONG above.`);
  else say('The published keys forged nothing, every forgery rang, nothing rang falsely, and nobody was logged out.');
  return wrong.length === 0 && attacks.length >= MIN_ATTEMPTS;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

process.exitCode = (await main()) ? 0 : 1;
