/**
 * The log as it is known: by the highest state ever seen of it, within one life of the process. An older copy of the store is lower in
 * numbers only until somebody writes to it; what it never has is the row that was newest here.
 */
import type { Landmark, LogState } from './reading.ts';

export class KnownLog {
  #highest: Pick<LogState, 'epoch' | 'head' | 'newest'> = { epoch: 0, head: 0, newest: undefined };
  #isBehind = false;

  /** What was seen last was an older copy, or one that cannot be read. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** About which row the log is to be asked. */
  get landmark(): Landmark | undefined {
    return this.#highest.newest;
  }

  /** Takes in where the log stands. Whether that is a new epoch, from which on nothing that was seen counts. */
  observe(state: LogState): { isNewEpoch: boolean } {
    const { epoch } = this.#highest;
    this.#isBehind = !this.#goesOn(state);
    if (!this.#isBehind) this.#highest = state;
    return { isNewEpoch: !this.#isBehind && state.epoch !== epoch };
  }

  #goesOn(state: LogState): boolean {
    const { epoch, head } = this.#highest;
    if (state.isForeign) {
      // One day the server's numbers are as high and it would look right, but what was written until then stands before what was told.
      this.#highest = { ...this.#highest, head: Number.POSITIVE_INFINITY };
      return false;
    }
    if (state.epoch !== epoch) return state.epoch > epoch;
    // What is gone was swept while nobody was here to be told. A copy that is written to sweeps as far only after minutes, and by then no
    // stream is opened there: standing/ looks all the time, and asks for the row itself.
    return state.head >= head && state.landmark !== 'missing';
  }
}
