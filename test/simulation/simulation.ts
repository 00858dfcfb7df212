/**
 * The simulation of the coherent verifier: one seed drives the authority, its nodes, the network, the verifiers and their clocks,
 * and after each step it is checked from true time that no token is accepted later than the commit of its revocation and
 * `maxStalenessMs`, and what else oracle.ts names. The cores are the real ones; only what surrounds them is a model.
 *
 * A step is one event of the agenda. The same seed and the same code make the same steps.
 */
import { setImmediate as settled } from 'node:timers/promises';
import { Agenda } from './agenda.ts';
import { Authority } from './authority.ts';
import { Chance } from './chance.ts';
import type { Cores } from './cores.ts';
import { Machine } from './machine.ts';
import { Node, type Surroundings } from './node.ts';
import { Breach, type Invariant } from './oracle.ts';
import { type Plan, PULSE_MS, planOf } from './plan.ts';
import { type Reading, Store, type Truth } from './store.ts';
import type { Counts, MachineWorld } from './subscription.ts';
import { LONGEST_TROUBLE, Troubles } from './troubles.ts';

/** Events shown of what went before a breach. */
const SHOWN = 60;
/** After everything has healed, a verifier has a lease within the longest backoff, a pulse that was lost on the way, and a moment. */
const RECOVERY_MS = 10_000 + 3 * PULSE_MS + 2_000;
/** Share of troubles that do not come alone. */
const DOUBLED = 0.3;
const HEALED = 'everything heals';
const HEALED_READ_MS = 20;

export interface Course {
  seed: number;
  steps: number;
  cores: Cores;
  /** Of a mutant: how nodes read the log, whatever the seed says. */
  reading?: Reading;
}

export interface Outcome extends Counts {
  steps: number;
  simulatedMs: number;
  revocations: number;
  restores: number;
  plan: Plan;
}

/** A breach with all that is needed to see it again. */
export class Failure extends Error {
  readonly invariant: Invariant | 'error';

  constructor(given: { seed: number; step: number; cause: unknown; last: readonly string[] }) {
    const { seed, step, cause, last } = given;
    const what = cause instanceof Error ? (cause instanceof Breach ? cause.message : cause.stack) : String(cause);
    super(
      `${what}\n  seed ${seed}, step ${step}; again: SIMULATION_SEED=${seed} node --test test/simulation/simulation.test.ts\n  ${last.join('\n  ')}`,
      { cause },
    );
    this.invariant = cause instanceof Breach ? cause.invariant : 'error';
  }
}

/** Runs one seed for so many steps, then heals the world and looks at it once more. @throws Failure */
export async function simulate(course: Course): Promise<Outcome> {
  const world = new World(course);
  try {
    while (world.steps < course.steps) await world.step();
    await world.heal();
  } catch (cause) {
    throw new Failure({ seed: course.seed, step: world.steps, cause, last: world.last });
  }
  return world.outcome();
}

class World {
  steps = 0;
  readonly last: string[] = [];
  readonly #agenda = new Agenda();
  readonly #chance: Chance;
  readonly #plan: Plan;
  readonly #authority: Authority;
  readonly #troubles: Troubles;
  readonly #nodes: Node[] = [];
  readonly #machines: Machine[] = [];
  readonly #machineWorld: MachineWorld;
  readonly #counts: Counts = {
    ...{ accepted: 0, hits: 0, refused: 0, undecided: 0 },
    ...{ leases: 0, resumed: 0, notResumed: 0, shownOlder: 0 },
  };
  #isUnsettled = false;
  #failure: { cause: unknown } | undefined;
  #isHealing = false;

  constructor({ seed, cores, reading }: Course) {
    const chance = new Chance(seed);
    const plan = planOf(chance, seed);
    const agenda = this.#agenda;
    const store = new Store(reading ?? plan.reading);
    const note = (what: string) => this.#note(what);
    const wakeNodes = () => {
      for (const node of this.#nodes) node.wake();
    };
    const isDying = (token: Truth) => this.#requestsAround(token);
    const authority = new Authority({ agenda, chance, store, plan, wakeNodes, isDying, note });
    this.#chance = chance;
    this.#plan = plan;
    this.#authority = authority;
    const conditions = plan.nodeConditions;
    const oldSinceMs = () => authority.oldSinceMs;
    const surroundings: Surroundings = { agenda, chance, store, cores, conditions, oldSinceMs, note };
    for (let index = 0; index < plan.nodes; index++) this.#nodes.push(new Node(`node ${index}`, surroundings));
    this.#troubles = new Troubles({
      ...{ agenda, chance, authority, nodes: this.#nodes, maxStalenessMs: plan.machines.maxStalenessMs, note },
      requestsTo: (machine) => this.#requestsTo(machine),
      renew: (machine) => this.#renew(machine),
    });
    this.#machineWorld = {
      ...surroundings,
      nodes: this.#nodes,
      machines: plan.machines,
      counts: this.#counts,
      tokens: () => authority.recent,
      tokenOf: (jti) => authority.tokenOf(jti),
      deadBefore: (epoch) => authority.deadBefore(epoch),
      storeTroubleMs: () => authority.troubleMs,
      hadOlderCopy: () => authority.hadOlderCopy,
      unsettle: () => {
        this.#isUnsettled = true;
      },
      failed: (cause) => {
        this.#failure ??= { cause };
      },
    };
    for (let index = 0; index < plan.machines.count; index++) {
      this.#machines.push(this.#newMachine(index));
    }
    this.#begin();
  }

  async step(): Promise<void> {
    const event = this.#agenda.take();
    if (!event) throw new Error('Nothing is left to happen.');
    this.steps++;
    this.#note(event.name);
    event.happen();
    if (this.#isUnsettled) {
      this.#isUnsettled = false;
      await settled();
    }
    if (this.#failure) throw this.#failure.cause;
    const machine = this.#chance.pick(this.#machines);
    if (!machine) return;
    machine.checkBounds();
    // A hit must be right at every moment, not only when a request happens to come.
    for (const token of this.#authority.dead) if (token.audience === machine.audience) machine.probe(token);
    const token = this.#chance.pick(this.#authority.recent);
    if (token?.audience === machine.audience) machine.probe(token);
  }

  /** Ends all trouble, waits, and asks every verifier for every token: all that live are taken, all that are dead are not. */
  async heal(): Promise<void> {
    this.#note(HEALED);
    this.#isHealing = true;
    Object.assign(this.#plan.machines, { losing: 0, streamDelayMs: 0 });
    Object.assign(this.#plan.nodeConditions, { failing: 0, slow: 0, typicalReadMs: HEALED_READ_MS });
    for (const machine of this.#machines) machine.mend();
    await this.#untilMs(this.#agenda.nowMs + this.#longestTroubleMs());
    for (const machine of this.#machines) machine.mend();
    await this.#untilMs(this.#agenda.nowMs + RECOVERY_MS);
    for (const machine of this.#machines) {
      if (!machine.isLeased())
        throw new Breach('recovery', `${machine.name} has no lease ${RECOVERY_MS} ms after all healed`);
      for (const token of this.#authority.recent) {
        if (token.audience === machine.audience) machine.request(token, 'coherent');
      }
    }
    await this.#untilMs(this.#agenda.nowMs + RECOVERY_MS);
  }

  outcome(): Outcome {
    const { revocations, restores } = this.#authority;
    const simulatedMs = this.#agenda.nowMs;
    return { ...this.#counts, steps: this.steps, simulatedMs, revocations, restores, plan: this.#plan };
  }

  async #untilMs(endMs: number): Promise<void> {
    while (this.#agenda.nowMs < endMs) await this.step();
  }

  #note(what: string): void {
    this.last.push(`${this.#agenda.nowMs.toFixed(1).padStart(9)}  ${what}`);
    if (this.last.length > SHOWN) this.last.shift();
  }

  // What happens again and again

  #begin(): void {
    const { request, issue, revoke } = this.#plan.everyMs;
    const authority = this.#authority;
    for (let index = 0; index < 20; index++) authority.issue();
    for (const machine of this.#machines) machine.start();
    this.#again(issue, 'a token is issued', () => authority.issue());
    this.#again(revoke, 'something is taken back', () => authority.revoke());
    this.#again(2_000, 'the store is swept', () => authority.keepHouse());
    this.#again(request, 'a request comes', () => this.#request());
    const { writers } = this.#plan;
    if (writers) {
      const crashesMs = () => writers.chance.delayMs(writers.crashEveryMs);
      this.#againAfter(crashesMs, 'the database crashes', () => authority.crash());
    }
    for (const [trouble, everyMs] of this.#plan.troubles) {
      if (trouble === 'slow_commit' || trouble === 'lose_wake_up') continue;
      this.#again(everyMs, `trouble: ${trouble}`, () => {
        if (this.#isHealing) return;
        const machine = this.#chance.pick(this.#machines);
        this.#troubles.strike(trouble, machine);
        const another = this.#chance.pick([...this.#plan.troubles.keys()]);
        if (another && this.#chance.is(DOUBLED)) this.#troubles.strike(another, machine);
      });
    }
  }

  #again(everyMs: number, what: string, happen: () => void): void {
    this.#againAfter(() => this.#chance.delayMs(everyMs), what, happen);
  }

  #againAfter(pauseMs: () => number, what: string, happen: () => void): void {
    this.#agenda.after(pauseMs(), what, () => {
      happen();
      this.#againAfter(pauseMs, what, happen);
    });
  }

  #request(): void {
    const chance = this.#chance;
    const machine = chance.pick(this.#machines);
    const token = chance.pickLate(this.#authority.recent.filter(({ audience }) => audience === machine?.audience));
    if (!machine || !token) return;
    const times = chance.is(0.2) ? chance.whole(2, 4) : 1;
    for (let time = 0; time < times; time++) machine.request(token, this.#mode());
  }

  #mode(): 'strict' | 'coherent' {
    return this.#chance.is(0.1) ? 'strict' : 'coherent';
  }

  /** Requests with one token, just when it is taken back. */
  #requestsAround(token: Truth): void {
    const chance = this.#chance;
    const machine = chance.pick(this.#machines.filter(({ audience }) => audience === token.audience));
    if (!machine || chance.is(0.5)) return;
    for (let time = 0; time < 4; time++) {
      this.#agenda.after(chance.between(0, 400), 'a request with what dies', () =>
        machine.request(token, this.#mode()),
      );
    }
  }

  /** Requests that will be under way when something else happens. */
  #requestsTo(machine: Machine | undefined): void {
    for (let time = 0; time < 6; time++) {
      const token = this.#chance.pickLate(this.#authority.recent);
      if (token?.audience === machine?.audience && token) machine?.request(token, this.#mode());
    }
  }

  /** A program ends, and another begins in its place. */
  #renew(machine: Machine): void {
    machine.stop();
    const renewed = this.#newMachine(this.#machines.indexOf(machine));
    this.#machines.splice(this.#machines.indexOf(machine), 1, renewed);
    renewed.start();
    this.#requestsTo(renewed);
  }

  #newMachine(index: number): Machine {
    return new Machine({ name: `v${index}`, audience: `api-${index % 2}`, world: this.#machineWorld });
  }

  #longestTroubleMs(): number {
    return LONGEST_TROUBLE * this.#plan.machines.maxStalenessMs + 1_000;
  }
}
