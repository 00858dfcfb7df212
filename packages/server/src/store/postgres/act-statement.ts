/**
 * An act as one statement: each step a part of a WITH, and a function that looks at how many rows each met and refuses the whole.
 *
 *     WITH s0 AS (UPDATE … RETURNING 1), s1 AS (SELECT …)
 *     SELECT countersign_act(ARRAY[(SELECT count(*) FROM s0), (SELECT count(*) FROM s1)], ARRAY[$7, $8])
 *
 * All parts see the same moment and none sees what another changes, which is what steps promise to bear. A refusal is an error of the
 * server, so that it takes back what the others did.
 */
import { isQuestion } from '../acts.ts';
import { numberedPlaceholders, renumberedPlaceholders } from '../placeholders.ts';
import type { Act, SqlValue, Step } from '../store.ts';

export interface ActStatement {
  readonly text: string;
  readonly values: readonly SqlValue[];
  /** The steps that have a condition, as the function counts them. */
  readonly conditions: readonly Step[];
}

/** Undefined for an act that neither writes nor asks anything. */
export function actStatement(act: Act): ActStatement | undefined {
  // A question whose answer nobody looks at is not asked.
  const steps = act.steps.filter((step) => !isQuestion(step) || step.must);
  const [first] = steps;
  if (first === undefined) return undefined;
  if (steps.length === 1 && !first.must) return { text: first.text, values: first.values, conditions: [] };
  const values: SqlValue[] = [];
  const parts: string[] = [];
  const counts: string[] = [];
  for (const [index, step] of steps.entries()) {
    // Checked step by step: too few values of one would be made up from the next one's.
    const { count } = numberedPlaceholders(step.text);
    if (count !== step.values.length) {
      throw new TypeError(`Doing an act: a step takes ${count} values and was given ${step.values.length}.`);
    }
    const text = renumberedPlaceholders(step.text, values.length);
    parts.push(`s${index} AS (${text}${isQuestion(step) ? '' : ' RETURNING 1'})`);
    if (step.must) counts.push(`(SELECT count(*) FROM s${index})`);
    values.push(...step.values);
  }
  const conditions = steps.filter((step) => step.must);
  const musts = conditions.map((_, index) => `$${values.length + index + 1}::bigint`);
  values.push(...conditions.map((step) => step.must?.rows ?? 0));
  const text = `WITH ${parts.join(', ')} SELECT countersign_act(ARRAY[${counts.join(', ')}]::bigint[], ARRAY[${musts.join(', ')}]::bigint[])`;
  return { text, values, conditions };
}
