/**
 * Wakes whoever reads the log of invalidations. Losing a wake-up costs milliseconds, never correctness: readers look by
 * themselves, too. Within one process it is this; between nodes the database or a bus carries it.
 */
export interface WakeUps {
  wake(): void;
  /** Calls `listener` at each wake-up from now on. */
  onWake(listener: () => void): void;
}

export function wakeUpsWithinProcess(): WakeUps {
  const listeners: (() => void)[] = [];
  return {
    wake: () => {
      for (const listener of listeners) listener();
    },
    onWake: (listener) => void listeners.push(listener),
  };
}
