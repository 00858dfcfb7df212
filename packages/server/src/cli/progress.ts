import { systemStopwatch } from '../world/stopwatch.ts';
import type { Output } from './terminal.ts';

/** For a person: often enough to be seen moving. */
const WRITTEN_OVER_MS = 200;
/** For a log: few enough that hours of work do not fill it. */
const LINE_MS = 5_000;

/** Says now and then, on standard error, how far a long command is: over the same line where a person looks, else as lines. */
export function progressOn(output: Output): { tell(text: string): void; end(): void } {
  const isWrittenOver = output.isTTY === true;
  let toldMs = systemStopwatch.monotonicMs();
  let width = 0;
  return {
    tell(text) {
      const nowMs = systemStopwatch.monotonicMs();
      if (nowMs - toldMs < (isWrittenOver ? WRITTEN_OVER_MS : LINE_MS)) return;
      toldMs = nowMs;
      output.write(isWrittenOver ? `\r${text.padEnd(width)}` : `${text}\n`);
      width = text.length;
    },
    end() {
      if (isWrittenOver && width > 0) output.write(`\r${' '.repeat(width)}\r`);
    },
  };
}
