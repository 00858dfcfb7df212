/**
 * Wakes whoever reads the log of invalidations. Losing a wake-up costs milliseconds, never correctness: readers look by
 * themselves, too. Within one process it is this; between nodes the database or a bus carries it (wake-ups-between-nodes.ts).
 */
export interface WakeUps {
  /** There is something to read: wakes the listeners of this node at once, and those of all others soon. Never throws. */
  wake(): void;
  /** Calls `listener` at each wake-up from now on. It throws nothing. */
  onWake(listener: () => void): void;
  /** Wakes nobody any more. Never rejects. */
  close(): Promise<void>;
}

export function wakeUpsWithinProcess(): WakeUps {
  let listeners: (() => void)[] = [];
  return {
    wake: () => {
      for (const listener of listeners) listener();
    },
    onWake: (listener) => void listeners.push(listener),
    close: async () => {
      listeners = [];
    },
  };
}
