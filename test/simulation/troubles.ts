/** What goes wrong, and for whom. Whatever it is, requests are just under way when it comes. */
import type { Agenda } from './agenda.ts';
import type { Authority } from './authority.ts';
import type { Chance } from './chance.ts';
import type { Machine } from './machine.ts';
import type { Node } from './node.ts';
import type { Trouble } from './plan.ts';

/** Staleness bounds that one trouble lasts at most. */
export const LONGEST_TROUBLE = 4;
/** Many troubles are over before anybody notices. */
const SHORT_SHARE = 0.3;
const MAX_SHORT_MS = 500;

interface Parts {
  agenda: Agenda;
  chance: Chance;
  authority: Authority;
  nodes: readonly Node[];
  maxStalenessMs: number;
  requestsTo: (machine: Machine) => void;
  renew: (machine: Machine) => void;
  note: (what: string) => void;
}

export class Troubles {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  strike(trouble: Trouble, machine: Machine | undefined): void {
    const { chance, maxStalenessMs, nodes, note, requestsTo } = this.#parts;
    const longestMs = LONGEST_TROUBLE * maxStalenessMs;
    const durationMs = chance.is(SHORT_SHARE)
      ? chance.between(0, MAX_SHORT_MS)
      : chance.between(MAX_SHORT_MS, longestMs);
    const node = chance.pick(nodes);
    if (!machine || !node) return;
    note(`  for ${machine.name} or ${node.name}, ${durationMs.toFixed(0)} ms`);
    requestsTo(machine);
    if (trouble === 'restart') this.#restart(node, durationMs / 4);
    else if (trouble === 'restore' || trouble === 'older_copy') this.#replaceStore(trouble, durationMs);
    else this.#strikeMachine(trouble, machine, durationMs);
  }

  #strikeMachine(
    trouble: Exclude<Trouble, 'restart' | 'restore' | 'older_copy'>,
    machine: Machine,
    durationMs: number,
  ): void {
    const { chance, renew } = this.#parts;
    switch (trouble) {
      case 'cut':
        machine.cut(durationMs, chance.pick(['reset', 'wait', 'dead'] as const) ?? 'reset');
        break;
      case 'hold':
        machine.hold(durationMs);
        break;
      case 'lose_checks':
        machine.loseChecks(durationMs);
        break;
      case 'suspend':
        machine.suspend(durationMs);
        break;
      case 'set_wall':
        if (chance.is(0.3)) machine.mend();
        else machine.setWall(chance.between(-durationMs, durationMs));
        break;
      case 'renew':
        renew(machine);
        break;
      case 'slow_commit':
      case 'lose_wake_up':
        break; // shares of what happens, see Plan
    }
  }

  #restart(node: Node, durationMs: number): void {
    if (!node.isUp) return;
    node.stop();
    this.#parts.agenda.after(durationMs, `${node.name} starts`, () => node.start());
  }

  #replaceStore(trouble: 'restore' | 'older_copy', durationMs: number): void {
    const { agenda, authority, chance } = this.#parts;
    agenda.after(chance.between(0, 100), 'another copy of the store comes', () => {
      if (trouble === 'restore') authority.restore();
      else authority.olderCopy(durationMs);
      this.#restartSome();
    });
  }

  #restartSome(): void {
    const { chance, nodes } = this.#parts;
    if (chance.is(0.4)) return;
    for (const node of nodes) {
      if (!node.isUp || chance.is(0.3)) continue;
      node.stop();
      node.start();
    }
  }
}
