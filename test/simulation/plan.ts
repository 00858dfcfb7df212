/** What kind of world a seed makes: some are calm, some fail in one way only, some in all. */
import { Chance } from './chance.ts';
import type { NodeConditions } from './node.ts';
import type { Reading } from './store.ts';
import type { MachineConditions } from './subscription.ts';

/** What can go wrong, each with the mean true time between two times it does, over the whole world. */
export type Trouble =
  | 'cut'
  | 'hold'
  | 'suspend'
  | 'set_wall'
  | 'lose_checks'
  | 'renew'
  | 'restart'
  | 'restore'
  | 'older_copy'
  | 'slow_commit'
  | 'lose_wake_up';

export interface Plan {
  nodes: number;
  machines: MachineConditions & { count: number };
  nodeConditions: NodeConditions;
  reading: Reading;
  /** Rows are swept when they are as old. */
  retentionMs: number;
  /** Mean true time between two. */
  everyMs: { request: number; issue: number; revoke: number };
  lifeMs: { shortest: number; longest: number };
  subjects: { grants: number; users: number; clients: number; keys: number };
  troubles: ReadonlyMap<Trouble, number>;
  /** What many writers do beside committing in any order; undefined: nothing. */
  writers: Writers | undefined;
}

/** How transactions come and go. Drawn apart from all else, so that a seed without it makes the same steps as ever. */
export interface Writers {
  chance: Chance;
  /** Share of transactions with several rows, and of slow ones that are taken back. */
  several: number;
  takenBack: number;
  /** Mean true time between two crashes of the database. */
  crashEveryMs: number;
  /** Share of sweeps by a node whose clock is so far ahead that everything is over for it. */
  sweptAhead: number;
}

/** One seed of so many. */
const SEEDS_WITH_WRITERS = 4;

function writersOf(seed: number): Writers | undefined {
  if (seed % SEEDS_WITH_WRITERS !== 0) return undefined;
  return { chance: new Chance(seed), several: 0.4, takenBack: 0.3, crashEveryMs: 2_000, sweptAhead: 0.3 };
}

/** The pulse of the verifiers simulated: every tenth of a bound up to ten seconds is one second. */
export const PULSE_MS = 1_000;

const TROUBLES: Readonly<Record<Trouble, readonly [rare: number, often: number]>> = {
  cut: [20_000, 2_500],
  hold: [30_000, 4_000],
  lose_checks: [40_000, 8_000],
  renew: [40_000, 5_000],
  suspend: [40_000, 8_000],
  set_wall: [30_000, 5_000],
  restart: [40_000, 6_000],
  restore: [60_000, 8_000],
  older_copy: [60_000, 8_000],
  // Shares of commits and wake-ups rather than times: the second number is how many in a hundred.
  slow_commit: [100, 30],
  lose_wake_up: [100, 50],
};

export function planOf(chance: Chance, seed: number): Plan {
  const isStormy = chance.is(0.3);
  const troubles = new Map<Trouble, number>();
  for (const [trouble, [rare, often]] of Object.entries(TROUBLES) as [Trouble, readonly [number, number]][]) {
    if (isStormy || chance.is(0.4)) troubles.set(trouble, chance.between(often, rare));
  }
  const hasLosses = chance.is(0.4);
  return {
    nodes: chance.whole(1, 3),
    machines: {
      count: chance.whole(1, 3),
      maxStalenessMs: chance.pick([3_000, 5_000, 10_000]) ?? 3_000,
      maxEntries: chance.pick([3, 10, 40]) ?? 10,
      typicalDelayMs: chance.between(1, 40),
      streamDelayMs: chance.is(0.7) ? 0 : chance.between(500, 2_600),
      losing: hasLosses ? chance.between(0, 0.06) : 0,
      repeating: chance.pick([0, 0.2]) ?? 0,
      straying: chance.pick([0, 0, 0.05, 0.5]) ?? 0,
    },
    nodeConditions: {
      typicalReadMs: chance.is(0.7) ? chance.between(1, 60) : chance.between(100, 300),
      slow: chance.pick([0, 0, 0.2]) ?? 0,
      failing: hasLosses ? chance.between(0, 0.06) : 0,
      paging: chance.pick([0, 0.2, 0.5]) ?? 0,
      pollMs: chance.between(200, 600),
    },
    reading: chance.is(0.3) ? 'sequence' : 'transaction',
    retentionMs: chance.between(4_000, 10_000),
    everyMs: {
      request: chance.between(15, 150),
      issue: chance.between(200, 1_000),
      revoke: chance.is(0.3) ? chance.between(60, 200) : chance.between(200, 1_500),
    },
    lifeMs: { shortest: 2_000, longest: chance.between(10_000, 90_000) },
    subjects: {
      grants: chance.whole(4, 20),
      users: chance.whole(3, 8),
      clients: chance.whole(1, 3),
      keys: chance.whole(1, 2),
    },
    troubles,
    writers: writersOf(seed),
  };
}
