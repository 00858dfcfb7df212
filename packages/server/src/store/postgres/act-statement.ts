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

/**
 * Shapes that are remembered: putting one together takes as long as sending it. Texts of steps are constants of the code, and the acts
 * made of them some dozens, but for those that repeat a step; past the bound all are forgotten, and put together again as they come.
 */
export const MAX_SHAPES = 1_000;

/** The protocol counts the values of a statement in two bytes. */
const MAX_VALUES = 65_535;

/** What is the same of all acts of the same steps, whatever their values. */
interface Shape {
  readonly text: string;
  /** How many values each step takes. */
  readonly counts: readonly number[];
}

/** Where the steps read so far lead: to a shape, if they are all there are, and on by the text of the next, with or without condition. */
interface Known {
  shape?: Shape;
  readonly conditional: Map<string, Known>;
  readonly plain: Map<string, Known>;
}

export class ActStatements {
  #known: Known = { conditional: new Map(), plain: new Map() };
  #shapes = 0;

  /** Shapes that are remembered now. */
  get remembered(): number {
    return this.#shapes;
  }

  /** Undefined for an act that neither writes nor asks anything. */
  of(act: Act): ActStatement | undefined {
    // A question whose answer nobody looks at is not asked.
    const steps = act.steps.filter((step) => !isQuestion(step) || step.must);
    const [first] = steps;
    if (first === undefined) return undefined;
    if (steps.length === 1 && !first.must) return { text: first.text, values: first.values, conditions: [] };
    const { text, counts } = this.#shapeOf(steps);
    const values: SqlValue[] = [];
    for (const [index, step] of steps.entries()) {
      // Checked step by step: too few values of one would be made up from the next one's.
      if (counts[index] !== step.values.length) {
        throw new TypeError(`Doing an act: a step takes ${counts[index]} values and was given ${step.values.length}.`);
      }
      for (const value of step.values) values.push(value);
    }
    const conditions = steps.filter((step) => step.must);
    for (const { must } of conditions) values.push(must?.rows ?? 0);
    if (values.length > MAX_VALUES) {
      throw new TypeError(
        `Doing an act: it has ${values.length} values, and a statement takes ${MAX_VALUES}. Do it set by set.`,
      );
    }
    return { text, values, conditions };
  }

  #shapeOf(steps: readonly Step[]): Shape {
    const at = this.#reached(steps);
    if (at.shape) return at.shape;
    if (this.#shapes === MAX_SHAPES) {
      this.#known = { conditional: new Map(), plain: new Map() };
      this.#shapes = 0;
    }
    this.#shapes += 1;
    const shape = newShape(steps);
    this.#reached(steps).shape = shape;
    return shape;
  }

  /** Step by step, because each text is a constant whose hash the language keeps: no text of a whole act is made to look it up. */
  #reached(steps: readonly Step[]): Known {
    let at = this.#known;
    for (const { text, must } of steps) {
      const branch = must ? at.conditional : at.plain;
      let next = branch.get(text);
      if (next === undefined) {
        next = { conditional: new Map(), plain: new Map() };
        branch.set(text, next);
      }
      at = next;
    }
    return at;
  }
}

function newShape(steps: readonly Step[]): Shape {
  const counts: number[] = [];
  const parts: string[] = [];
  const met: string[] = [];
  let values = 0;
  for (const [index, step] of steps.entries()) {
    const { count } = numberedPlaceholders(step.text);
    const text = renumberedPlaceholders(step.text, values);
    parts.push(`s${index} AS (${text}${isQuestion(step) ? '' : ' RETURNING 1'})`);
    if (step.must) met.push(`(SELECT count(*) FROM s${index})`);
    counts.push(count);
    values += count;
  }
  const musts = met.map((_, index) => `$${values + index + 1}::bigint`);
  const text = `WITH ${parts.join(', ')} SELECT countersign_act(ARRAY[${met.join(', ')}]::bigint[], ARRAY[${musts.join(', ')}]::bigint[])`;
  return { text, counts };
}
