/** Faults of the authority's side that the simulation must see. */
import { COHERENCE, FEW_ROWS, KNOWN_LOG, type Mutant, ROUNDS, SEEN, spoil } from './mutant.ts';

export const MUTANTS_OF_NODES: readonly Mutant[] = [
  {
    name: 'echo before read',
    spoilings: [spoil(ROUNDS, 'arrivedAfter < round.number;', 'arrivedAfter <= round.number;')],
    breaks: ['staleness'],
    seed: 331,
  },
  {
    name: 'echo after an incomplete read',
    spoilings: [spoil(ROUNDS, 'read.isComplete && mayEcho ? [...this.#owed]', 'mayEcho ? [...this.#owed]')],
    breaks: ['staleness', 'liveness'],
    seed: 73,
  },
  {
    name: 'cursor by sequence',
    spoilings: [],
    reading: 'sequence',
    breaks: ['staleness'],
    seed: 5,
  },
  {
    name: 'resume past retention',
    spoilings: [spoil(ROUNDS, ' && cursor >= read.sweptUpTo', '')],
    breaks: ['staleness'],
    seed: 129,
  },
  {
    name: 'resume from where the node stands',
    spoilings: [
      spoil(
        ROUNDS,
        'row.cursor > cursor && concerns(row, stream)',
        'row.cursor > this.#cursor && concerns(row, stream)',
      ),
    ],
    breaks: ['staleness'],
    seed: 5,
  },
  {
    name: 'resumed whatever the read began after',
    spoilings: [spoil(ROUNDS, 'cursor >= round.after.upTo && ', ''), FEW_ROWS],
    breaks: ['staleness'],
    seed: 16,
  },
  {
    name: 'resumed in another epoch',
    spoilings: [
      spoil(ROUNDS, 'return epoch === round.epoch && isBrought', 'return isBrought'),
      spoil(
        COHERENCE,
        'if (hello.epoch > this.#epoch) this.#forgetEpoch(hello.epoch);',
        'if (hello.epoch > this.#epoch) this.#epoch = hello.epoch;',
      ),
    ],
    breaks: ['dead is final', 'staleness'],
    seed: 2,
  },
  {
    name: 'cursor ahead of the newest row',
    spoilings: [],
    reading: 'horizon',
    breaks: ['staleness'],
    seed: 60,
  },
  {
    name: 'a page that tears a transaction apart',
    spoilings: [],
    reading: 'torn',
    breaks: ['staleness'],
    seed: 16,
  },
  {
    name: 'transactions that were open forgotten',
    spoilings: [spoil(SEEN, ' && !open.includes(cursor)', '')],
    breaks: ['staleness'],
    seed: 5,
  },
  {
    name: 'told a cursor with a transaction open before it',
    spoilings: [spoil(SEEN, 'Math.min(lowest, transaction - 1)', 'lowest')],
    breaks: ['staleness', 'liveness'],
    seed: 582,
  },
  {
    name: 'invalidations that name where the read ends',
    spoilings: [
      spoil(
        ROUNDS,
        'const saying = new Saying(this.#handleOf, this.#cursor);\n    const fresh',
        'const saying = new Saying(this.#handleOf, cursorOf(read.seen));\n    const fresh',
      ),
    ],
    breaks: ['staleness', 'liveness'],
    seed: 143,
  },
  {
    name: 'an older copy known by its numbers only',
    spoilings: [spoil(KNOWN_LOG, " && state.landmark !== 'missing'", '')],
    breaks: ['older copy'],
    seed: 72,
  },
  {
    name: 'swept before it was read, and told by nobody',
    spoilings: [spoil(ROUNDS, 'if (mayLack(this.#seen, read)) ended', 'if (false) ended')],
    breaks: ['staleness'],
    seed: 88,
  },
  {
    name: 'epoch change told by nobody',
    spoilings: [
      spoil(COHERENCE, 'answer.epoch > this.#epoch ? this.#enterEpoch(answer.epoch, now) : []', '[]'),
      spoil(ROUNDS, "this.#endAll('epoch', (stream) => stream.hasHello)", '[]'),
    ],
    breaks: ['staleness', 'dead is final'],
    seed: 4,
  },
];
