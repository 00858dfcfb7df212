/**
 * An attempt, and the counting of what came of it. Precision counts as much as refusal: an attempt that rings where nothing was
 * forged is as wrong as one that stays silent where something was.
 */
import type { Scene } from './scene.ts';

export type Ring = 'forged' | 'tampered' | 'replayed' | 'cleartext';

/** What came back, and whether the attacker has something now that he had not before. */
export interface Answer {
  status: number;
  code: string;
  gained: boolean;
}

export interface Attempt {
  name: string;
  /** Where it is mounted, as the table shows it. */
  where: string;
  /** The one alarm it rings; undefined: it must ring nothing. */
  alarm?: Ring;
  /**
   * `control`: something honest, which must succeed, or refusals prove nothing. `same_token`: another spelling of a token that the
   * presenter holds anyway; it may be accepted, and must ring nothing. `conceded`: it succeeds, as docs/threat-model.md says; run so
   * that what is said stays true. Otherwise it must gain nothing.
   */
  kind?: 'control' | 'same_token' | 'conceded';
  run(scene: Scene): Promise<Answer>;
}

export interface Outcome {
  attempt: Attempt;
  answer: Answer;
  /** Alarms that rang meanwhile, by kind. */
  rang: Map<string, number>;
  /** What is wrong with it; empty: as it should be. */
  wrong: string[];
}

/**
 * The pause between two attempts, on the server's clock: evidence of one key is capped at thirty reports a minute, and a list of
 * attempts in one second would be a test of that cap.
 */
const PAUSE_MS = 2_500;

export async function mount(scene: Scene, attempt: Attempt): Promise<Outcome> {
  scene.server.clock.advance(PAUSE_MS);
  const before = await countAlarms(scene);
  const answer = await answerOf(scene, attempt);
  await scene.settled();
  const after = await countAlarms(scene);
  const rang = new Map<string, number>();
  for (const [kind, count] of after) {
    const more = count - (before.get(kind) ?? 0);
    if (more > 0) rang.set(kind, more);
  }
  return { attempt, answer, rang, wrong: whatIsWrong(attempt, answer, rang) };
}

/** An attempt that breaks off is shown as such, and the list goes on. */
async function answerOf(scene: Scene, attempt: Attempt): Promise<Answer & { broke?: string }> {
  try {
    return await attempt.run(scene);
  } catch (error) {
    const broke = error instanceof Error ? error.message : String(error);
    return { status: 0, code: '', gained: false, broke };
  }
}

function whatIsWrong(attempt: Attempt, answer: Answer & { broke?: string }, rang: Map<string, number>): string[] {
  const wrong: string[] = answer.broke === undefined ? [] : [`it broke off: ${answer.broke}`];
  if (attempt.kind === 'control' && !answer.gained) wrong.push('the honest request failed');
  if (attempt.kind === 'conceded' && !answer.gained) wrong.push('it fails by now: the threat model concedes too much');
  if (attempt.kind === undefined && answer.gained) wrong.push('it succeeded');
  if (attempt.alarm !== undefined && rang.get(attempt.alarm) !== 1) {
    wrong.push(`the alarm ${attempt.alarm} rang ${rang.get(attempt.alarm) ?? 0} times`);
  }
  for (const kind of rang.keys()) if (kind !== attempt.alarm) wrong.push(`${kind} rang falsely`);
  if (answer.status >= 500) wrong.push('the server failed');
  return wrong;
}

async function countAlarms(scene: Scene): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const { type, occurrences } of await scene.server.authority.events.alarms({ limit: 1_000 })) {
    const kind = type.replace('alarm.', '');
    counts.set(kind, (counts.get(kind) ?? 0) + occurrences);
  }
  return counts;
}
