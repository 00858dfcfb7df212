/** Something that was started and can be stopped. A step that runs at that moment still finishes. */
export interface RunningTimer {
  stop(): void;
}

/** Work for later, given to jobs so that a test can decide when later is. */
export interface Timers {
  /** Runs `step` every `intervalMs`, the first time after one interval; the pause counts from the end of a step, so none overlap. */
  every(intervalMs: number, step: () => unknown): RunningTimer;
}

/**
 * Real timers. They never keep the process alive by themselves. What a step throws, at once or later, goes to `onError`, and
 * `every` goes on: a job that fails once is tried again.
 */
export function systemTimers(given: { onError: (error: unknown) => void }): Timers {
  async function run(step: () => unknown): Promise<void> {
    try {
      await step();
    } catch (error) {
      given.onError(error);
    }
  }
  return {
    every(intervalMs, step) {
      let stopped = false;
      let timer: NodeJS.Timeout | undefined;
      const schedule = () => {
        timer = setTimeout(async () => {
          await run(step);
          if (!stopped) schedule();
        }, intervalMs).unref();
      };
      schedule();
      return {
        stop() {
          stopped = true;
          clearTimeout(timer);
        },
      };
    },
  };
}
