/**
 * Rules of the leases that need no store: how old a sign of life is, which nodes have gone silent, how many jobs a node should do.
 */
import type { NodeRow } from './table.ts';

/** A moment by both clocks: the wall clock is set, the monotonic one stands still while the machine is suspended. */
export interface Moment {
  wallMs: number;
  monotonicMs: number;
}

/** The larger of the two ages: a clock that was set back or stood still makes nothing younger. */
export function ageMs(since: Moment, now: Moment): number {
  return Math.max(now.wallMs - since.wallMs, now.monotonicMs - since.monotonicMs);
}

/**
 * Nodes as this one has seen them, each with the moment, by this node's own monotonic clock, since which it stands still. No clock of
 * another node is looked at.
 */
export class Watch {
  #seen = new Map<string, { renewals: number; sinceMs: number }>();

  /** Nodes that have stood still for `silenceMs`, given what the table says and when that was known. */
  silent(nodes: readonly NodeRow[], { nowMs, silenceMs }: { nowMs: number; silenceMs: number }): NodeRow[] {
    const before = this.#seen;
    this.#seen = new Map(
      nodes.map((node) => {
        const known = before.get(node.name);
        const hasMoved = known?.renewals !== node.renewals;
        return [
          node.name,
          { renewals: node.renewals, sinceMs: known === undefined || hasMoved ? nowMs : known.sinceMs },
        ];
      }),
    );
    return nodes.filter(({ name }) => nowMs - (this.#seen.get(name)?.sinceMs ?? nowMs) >= silenceMs);
  }

  /** Begins anew: while nobody could write, silence says nothing. */
  forget(): void {
    this.#seen.clear();
  }
}

/** Most jobs of one node: all of them evenly over those that are there, so that none does everything because it came first. */
export function fairShare(jobs: number, nodes: number): number {
  return Math.ceil(jobs / Math.max(nodes, 1));
}

/** The same in another order, so that nodes that begin together do not all reach for the same lease. */
export function rotated<T>(items: readonly T[], by: number): T[] {
  const at = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}
