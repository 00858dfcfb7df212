interface Event {
  atMs: number;
  /** Events of one moment happen in the order in which they were planned. */
  order: number;
  name: string;
  happen: () => void;
}

/** What happens when, in true time: a binary heap. Nothing else in the simulation moves time. */
export class Agenda {
  #nowMs = 0;
  #order = 0;
  readonly #heap: Event[] = [];

  get nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, name: string, happen: () => void): void {
    this.at(this.#nowMs + Math.max(delayMs, 0), name, happen);
  }

  at(atMs: number, name: string, happen: () => void): void {
    const event = { atMs: Math.max(atMs, this.#nowMs), order: this.#order++, name, happen };
    const heap = this.#heap;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (!above || isBefore(above, event)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  /** Takes the next event and moves time to it. */
  take(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last) return undefined;
    if (heap.length > 0) this.#sink(last);
    this.#nowMs = first.atMs;
    return first;
  }

  #sink(event: Event): void {
    const heap = this.#heap;
    let index = 0;
    for (;;) {
      const [left, right] = [heap[2 * index + 1], heap[2 * index + 2]];
      const below = right && left && isBefore(right, left) ? right : left;
      if (!below || isBefore(event, below)) break;
      heap[index] = below;
      index = 2 * index + (below === left ? 1 : 2);
    }
    heap[index] = event;
  }
}

function isBefore(left: Event, right: Event): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}
