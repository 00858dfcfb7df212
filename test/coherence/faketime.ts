/** libfaketime (Debian package `faketime`): sets the wall clock of one process while it runs, and leaves its steady clock alone. */
import { spawnSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';

/** The library as its own wrapper would preload it; undefined where there is none. */
export const FAKETIME_LIBRARY: string | undefined = (() => {
  const ran = spawnSync('faketime', ['-m', '-f', '+0', 'printenv', 'LD_PRELOAD'], { encoding: 'utf8' });
  return ran.status === 0 ? ran.stdout.trim() : undefined;
})();

export class SetClock {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
    this.set(0);
  }

  /** For the process whose clock it is. */
  get environment(): Record<string, string> {
    return {
      LD_PRELOAD: FAKETIME_LIBRARY ?? '',
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: '1', // the file is read at each look at the clock
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1', // as older releases spell it
    };
  }

  /** How far it is ahead of the machine's. */
  set(aheadSeconds: number): void {
    writeFileSync(`${this.#file}.new`, `${aheadSeconds < 0 ? '-' : '+'}${Math.abs(aheadSeconds)}`);
    renameSync(`${this.#file}.new`, this.#file);
  }
}
