/** What is the same of an act on every engine. */
import type { Act, ActOutcome, SqlValue, Step } from './store.ts';

/** Several acts as one. What shows that one of them was done shows it of all. */
export function joinedActs(...acts: readonly Act[]): Act {
  const footprint = acts.find((act) => act.footprint)?.footprint;
  return {
    ...(footprint && { footprint }),
    steps: acts.flatMap(({ steps }) => steps),
    journal: acts.flatMap(({ journal = [] }) => journal),
    afterCommit: acts.flatMap(({ afterCommit = [] }) => afterCommit),
  };
}

/** For an act that nothing can refuse: throws where something did, which is a bug. */
export function onlyDone(outcome: ActOutcome): void {
  if (outcome.kind === 'refused')
    throw new Error(`Writing: an act that has no conditions was refused (${outcome.why}).`);
}

/** A step that only asks. */
export function isQuestion(step: Step): boolean {
  return step.text.startsWith('SELECT');
}

/** One statement after the other, for an engine in this process. Refused at the first step that met another number of rows. */
export async function doStepByStep(
  statements: {
    all(text: string, ...values: SqlValue[]): Promise<unknown[]>;
    run(text: string, ...values: SqlValue[]): Promise<number>;
  },
  steps: readonly Step[],
): Promise<ActOutcome> {
  for (const step of steps) {
    const { text, values, must } = step;
    const rows = isQuestion(step)
      ? (await statements.all(text, ...values)).length
      : await statements.run(text, ...values);
    if (must && rows !== must.rows) return { kind: 'refused', why: must.why };
  }
  return { kind: 'done' };
}
