/** Faults of the verifier that the simulation must see. Each was once somebody's plausible code. */
import { COHERENCE, FEW_ROWS, type Mutant, spoil } from './mutant.ts';

const ENTRIES = 'packages/verifier/src/coherence/entries.ts';
const LEASE = 'packages/verifier/src/coherence/lease.ts';
const MOMENT = 'packages/verifier/src/coherence/moment.ts';
const NEGATIVES = 'packages/verifier/src/coherence/negatives.ts';
const RECEIVED = 'packages/verifier/src/coherence/received.ts';
const RECORDS = 'packages/verifier/src/records.ts';

const OVERTAKEN =
  "if (this.#received.hasSince(flight.mark, { key, handles: record.handles })) return { kind: 'again' };";

export const MUTANTS_OF_VERIFIERS: readonly Mutant[] = [
  // Lease
  {
    name: 'lease from receipt',
    spoilings: [spoil(LEASE, '< ageMs(this.#since, now)) this.#since = sentAt;', '< Infinity) this.#since = now;')],
    breaks: ['staleness'],
    seed: 15,
  },
  {
    name: 'burst delivery renewing the lease',
    spoilings: [
      spoil(LEASE, 'if (!sentAt) return false;', 'if (this.#since) this.#since = now; if (!sentAt) return false;'),
    ],
    breaks: ['staleness'],
    seed: 19,
  },
  {
    name: 'any message renewing the lease',
    spoilings: [
      spoil(
        COHERENCE,
        'this.#cursor = message.cursor;',
        'this.#cursor = message.cursor; const renewal = this.#newNonce(); this.#lease.sent(renewal, now); this.#lease.echoed(renewal, now);',
      ),
    ],
    breaks: ['staleness'],
    seed: 22,
  },
  {
    name: 'monotonic clock only',
    spoilings: [spoil(MOMENT, 'const gapMs = byWallMs - byMonotonicMs;', 'const gapMs = 0;')],
    breaks: ['staleness'],
    seed: 3,
  },
  {
    name: 'wall clock only',
    spoilings: [
      spoil(MOMENT, 'const byMonotonicMs = now.monotonicMs - since.monotonicMs;', 'const byMonotonicMs = byWallMs;'),
    ],
    breaks: ['staleness', 'expiry'],
    seed: 2,
  },
  {
    name: 'lease not ended with its epoch',
    spoilings: [
      spoil(COHERENCE, 'this.#cursor = 0;\n    this.#lease.end();', 'this.#cursor = 0;'),
      spoil(COHERENCE, 'return entry.generation === this.#generation && isAlive', 'return isAlive'),
    ],
    breaks: ['dead is final', 'staleness'],
    seed: 2,
  },
  // Epochs and older copies
  {
    name: 'epoch of an answer not compared',
    spoilings: [
      spoil(COHERENCE, "if (answer.epoch < this.#epoch) return { decision: { kind: 'went_back' }, actions: [] };", ''),
    ],
    breaks: ['dead is final'],
    seed: 7,
  },
  {
    name: 'epoch of a hello not compared',
    spoilings: [
      spoil(
        COHERENCE,
        'if (hello.epoch > this.#epoch) this.#forgetEpoch(hello.epoch);',
        'if (hello.epoch > this.#epoch) this.#epoch = hello.epoch;',
      ),
    ],
    breaks: ['dead is final'],
    seed: 2,
  },
  {
    name: 'cursor that goes back not noticed',
    spoilings: [
      spoil(
        COHERENCE,
        'if (isOlder) return this.#epochWhenAsked < this.#epoch ? this.#giveUp(now) : this.#stopService(now);',
        '',
      ),
      spoil(COHERENCE, 'if (message.cursor < this.#cursor) return this.#stopService(now);', ''),
    ],
    breaks: ['epoch', 'staleness', 'dead is final'],
    seed: 10,
  },
  {
    name: 'answer under way believed after the store went back',
    spoilings: [
      spoil(COHERENCE, "if (this.#hasGoneBack) return { decision: { kind: 'went_back' }, actions };", ''),
      spoil(COHERENCE, 'this.#received.addUnknown();', ''),
    ],
    breaks: ['epoch'],
    seed: 26,
  },
  {
    name: 'answers of an older copy believed once the store is itself again',
    spoilings: [spoil(COHERENCE, 'this.#newGeneration();\n    this.#received', 'this.#received')],
    breaks: ['dead is final', 'staleness'],
    seed: 18,
  },
  // Flights
  {
    name: 'flight not poisoned',
    spoilings: [spoil(COHERENCE, OVERTAKEN, '')],
    breaks: ['dead is final'],
    seed: 3,
  },
  {
    name: 'flight poisoned by tokens only',
    spoilings: [spoil(RECEIVED, "of ['token', 'grant', 'client', 'user', 'key'] as const", "of ['token'] as const")],
    breaks: ['dead is final'],
    seed: 3,
  },
  {
    name: 'dead verdict overtaken by a live one',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is source
    spoilings: [spoil(RECEIVED, '|| (this.#last.get(`verdict ${key}`) ?? 0) > mark', '')],
    breaks: ['dead is final'],
    seed: 39,
  },
  {
    name: 'waiter joining a dead flight',
    spoilings: [
      spoil(COHERENCE, OVERTAKEN, ''),
      spoil(
        COHERENCE,
        "if (flight.generation === this.#generation) this.#remember(flight, answer, record, now);\n    return { kind: 'live' };",
        "if (flight.generation === this.#generation && !this.#received.hasSince(flight.mark, { key, handles: record.handles })) this.#remember(flight, answer, record, now);\n    return { kind: 'live' };",
      ),
    ],
    breaks: ['dead is final'],
    seed: 3,
  },
  {
    name: 'overtaken answer given to whoever waits',
    spoilings: [
      spoil(
        RECORDS,
        "if (decision.kind === 'again') continue;",
        "if (decision.kind === 'again' && answer.kind === 'live') return { kind: 'live', known: answer.value };",
      ),
    ],
    breaks: ['dead is final', 'staleness', 'expiry'],
    seed: 3,
  },
  {
    name: 'flight never ended',
    spoilings: [spoil(RECORDS, '.finally(() => this.#flights.delete(asked.key))', '')],
    breaks: ['dead is final', 'staleness', 'expiry'],
    seed: 1,
  },
  {
    name: 'answer too old accepted',
    spoilings: [
      spoil(
        COHERENCE,
        "if (ageMs(flight.sentAt, now) > this.#settings.maxStalenessMs) return { kind: 'too_old' };",
        '',
      ),
      spoil(
        COHERENCE,
        'ageMs(flight.sentAt, now) >= record.expiresInMs',
        'now.monotonicMs - flight.sentAt.monotonicMs >= record.expiresInMs',
      ),
    ],
    breaks: ['staleness', 'expiry', 'dead is final'],
    seed: 3,
  },
  {
    name: 'flight of an earlier run of the stream remembered',
    spoilings: [
      spoil(COHERENCE, 'if (flight.generation === this.#generation) this.#remember', 'this.#remember'),
      FEW_ROWS,
    ],
    breaks: ['staleness'],
    seed: 94,
  },
  {
    name: 'overtaken answers asked for once only',
    spoilings: [spoil(RECORDS, 'const MAX_ATTEMPTS = 3;', 'const MAX_ATTEMPTS = 1;')],
    breaks: ['liveness'],
    seed: 11,
  },
  // Entries
  ...(['token', 'grant', 'user', 'client', 'key'] as const).map(
    (subject): Mutant => ({
      name: `invalidation by ${subject} missed`,
      spoilings: [
        spoil(
          ENTRIES,
          "if (subject === 'token') {",
          `if (subject === '${subject}') return; if (subject === 'token') {`,
        ),
      ],
      breaks: ['dead is final'],
      seed: 1,
    }),
  ),
  {
    name: 'only the newest token of a group invalidated',
    spoilings: [
      spoil(
        ENTRIES,
        'else if (members instanceof Set) members.add(entry);',
        'else if (members instanceof Set) void 0;',
      ),
    ],
    breaks: ['dead is final'],
    seed: 1,
  },
  {
    name: 'entries of an earlier run of the stream believed',
    spoilings: [spoil(COHERENCE, 'return entry.generation === this.#generation && isAlive', 'return isAlive')],
    breaks: ['staleness', 'dead is final'],
    seed: 2,
  },
  {
    name: 'deadline by the wall clock only',
    spoilings: [spoil(ENTRIES, 'now.monotonicMs < entry.deadlineMs && ', '')],
    breaks: ['expiry'],
    seed: 49,
  },
  {
    name: 'deadline by the monotonic clock only',
    spoilings: [spoil(ENTRIES, ' && now.wallMs < entry.expiresAtSeconds * 1_000', '')],
    breaks: ['expiry'],
    seed: 33,
  },
  {
    name: 'deadline from receipt',
    spoilings: [
      spoil(
        COHERENCE,
        'Math.floor(flight.sentAt.monotonicMs + record.expiresInMs)',
        'Math.floor(now.monotonicMs + record.expiresInMs)',
      ),
    ],
    breaks: ['expiry'],
    seed: 246,
  },
  {
    name: 'end under way not noticed',
    spoilings: [
      spoil(COHERENCE, "if (ageMs(flight.sentAt, now) >= record.expiresInMs) return { kind: 'expired' };", ''),
    ],
    breaks: ['expiry'],
    seed: 1,
  },
  {
    name: 'eviction left out',
    spoilings: [spoil(ENTRIES, 'while (this.#cost + given.cost > this.#maxCost) this.#evictOne(isUseful);', '')],
    breaks: ['bounds'],
    seed: 1,
  },
  // Verdicts
  {
    name: 'dead remembered as live',
    spoilings: [spoil(COHERENCE, 'this.#entries.forget(key);\n      this.#received', 'this.#received')],
    breaks: ['dead is final'],
    seed: 1,
  },
  {
    name: 'tombstone for what may live',
    spoilings: [
      spoil(
        COHERENCE,
        "if (final) this.#negatives.put(key, 'revoked', now);",
        "this.#negatives.put(key, 'revoked', now);",
      ),
    ],
    breaks: ['liveness'],
    seed: 1,
  },
  {
    name: 'dead verdicts remembered under one key',
    spoilings: [spoil(NEGATIVES, 'const known = this.#byKey.get(key);', 'const [known] = this.#byKey.values();')],
    breaks: ['liveness'],
    seed: 1,
  },
  // The stream's life
  {
    name: 'silent stream not given up',
    spoilings: [
      spoil(
        COHERENCE,
        'if (this.#lease.longestWaitMs(now) >= PULSES_UNTIL_LOST * this.#pulseMs) return this.#giveUp(now);',
        '',
      ),
    ],
    breaks: ['recovery', 'bounds'],
    seed: 55,
  },
  {
    name: 'resumed believed, whatever was asked',
    spoilings: [
      spoil(COHERENCE, 'this.#isListening ? { epoch: this.#epoch, cursor: this.#cursor } : undefined', 'undefined'),
      spoil(COHERENCE, 'else if (!hello.resumed) this.#newGeneration();', ''),
    ],
    breaks: ['staleness'],
    seed: 5,
  },
  {
    name: 'gap not noticed',
    spoilings: [spoil(COHERENCE, 'else if (!hello.resumed) this.#newGeneration();', '')],
    breaks: ['staleness'],
    seed: 12,
  },
];
