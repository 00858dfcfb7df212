/**
 * One stream between a node and a verifier: messages keep their order, and come late, all at once, or never. What a broken line
 * still holds is lost; the side that is not told goes on as if nothing had happened.
 */
import type { StreamMessage } from '@countersign/protocol';
import type { NewStream } from '../../packages/server/src/push/rounds.ts';
import type { Agenda } from './agenda.ts';
import type { Node } from './node.ts';

interface Underway {
  message: StreamMessage;
  isOld: boolean;
}

export class Line {
  readonly connection: number;
  readonly node: Node;
  #stream: string | undefined;
  readonly #isOld: () => boolean;
  readonly #agenda: Agenda;
  readonly #delayMs: () => number;
  readonly #heldUntilMs: () => number;
  readonly #receive: (message: StreamMessage, isOld: boolean) => void;
  readonly #ended: () => void;
  readonly #queue: (Underway | 'end')[] = [];
  #lastMs = 0;
  #burstAtMs = 0;
  #isOpen = true;

  constructor(given: {
    connection: number;
    node: Node;
    agenda: Agenda;
    delayMs: () => number;
    /** Whether the store in place is an older copy. */
    isOld: () => boolean;
    /** Until then nothing reaches the verifier. */
    heldUntilMs: () => number;
    receive: (message: StreamMessage, isOld: boolean) => void;
    ended: () => void;
  }) {
    this.connection = given.connection;
    this.node = given.node;
    this.#agenda = given.agenda;
    this.#delayMs = given.delayMs;
    this.#heldUntilMs = given.heldUntilMs;
    this.#isOld = given.isOld;
    this.#receive = given.receive;
    this.#ended = given.ended;
  }

  /** Asks the node for a stream. False: it gives none. */
  open(asked: Omit<NewStream, 'name'>): boolean {
    this.#stream = this.node.open(asked, {
      write: (messages) => {
        for (const message of messages) this.#push({ message, isOld: this.#isOld() });
      },
      // The verifier hears of the end behind everything that was written.
      end: () => this.#push('end'),
    });
    return this.#stream !== undefined;
  }

  /** The node notices that nobody reads any more. */
  close(): void {
    if (this.#stream !== undefined) this.node.close(this.#stream);
  }

  /** A proxy keeps everything back until then. */
  hold(untilMs: number): void {
    this.#burstAtMs = Math.max(this.#burstAtMs, untilMs);
  }

  /** Nothing arrives any more, and the verifier is not told. */
  break(): void {
    this.#isOpen = false;
  }

  #push(what: Underway | 'end'): void {
    if (!this.#isOpen) return;
    this.#queue.push(what);
    this.#lastMs = Math.max(this.#lastMs, this.#agenda.nowMs + this.#delayMs());
    this.#agenda.at(this.#lastMs, `a message comes to connection ${this.connection}`, () => this.#deliver());
  }

  #deliver(): void {
    if (!this.#isOpen) return;
    const heldUntilMs = Math.max(this.#burstAtMs, this.#heldUntilMs());
    if (heldUntilMs > this.#agenda.nowMs) {
      this.#agenda.at(heldUntilMs, `a burst comes to connection ${this.connection}`, () => this.#deliver());
      return;
    }
    const first = this.#queue.shift();
    if (first === undefined) return;
    if (first !== 'end') this.#receive(first.message, first.isOld);
    else {
      this.#isOpen = false;
      this.#ended();
    }
  }
}
