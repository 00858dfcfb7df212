/**
 * Push: telling verifiers at once what is dead. An outlet: it reads the log of invalidations and nothing waits for it.
 *
 *     open → hello → invalidates and heartbeats, round by round → ended by: reader, slow reader, an hour, its client, epoch, stop
 *
 * Owns the streams of this node and when the log is read: after a wake-up, a nonce or an arrival, and ten times a second while there
 * is a stream, because the command line writes from a process of its own. Leaves to rounds.ts what is said to whom (the invariant
 * stands there), to reader.ts that reads do not overlap, to revocation/ how the log is read. A read that fails says nothing and ends
 * nothing: without an echo leases end by themselves.
 */
import { encodeBase64url, type StreamMessage } from '@countersign/protocol';
import type { Client, Clients } from '../clients/clients.ts';
import type { HandleNames } from '../introspection/introspection.ts';
import type { InvalidationLog, WakeUps } from '../revocation/revocation.ts';
import type { Clock } from '../world/clock.ts';
import type { Log } from '../world/log.ts';
import type { Random } from '../world/random.ts';
import type { Stopwatch } from '../world/stopwatch.ts';
import type { RunningTimer, Timers } from '../world/timers.ts';
import { Outbox } from './outbox.ts';
import { Primary } from './primary.ts';
import { Reader } from './reader.ts';
import { type Delivery, type NewStream, Rounds, type RoundsBounds, type StreamEnd } from './rounds.ts';

export { MAX_NONCES } from './rounds.ts';

/** What another process wrote is seen within this. */
const POLL_MS = 100;
const HOUSEKEEPING_MS = 1_000;
/** A silent stream says that it is there: the listener gives up a socket without a byte after 40 seconds, proxies after 60. */
const MAX_QUIET_MS = 15_000;
/** Then its client authenticates again, so a secret that was taken back is good for no longer. */
const MAX_LIFE_MS = 60 * 60 * 1_000;
/** Streams that began together end apart by up to this, so that they do not all come back at one moment. */
const LIFE_SPREAD_MS = 5 * 60 * 1_000;
/** A client is read again: its role and audiences may have changed in a way that no row tells. */
const CLIENT_CHECK_MS = 30_000;
/** Clients read again in one step; every client of a full node is read within thirty seconds. */
const MAX_CLIENTS_PER_STEP = 200;
const NAME_BYTES = 16; // 128 bits: another client's stream cannot be guessed, and its nonce would be refused

/** Why a stream ended, for the log. */
type End = StreamEnd | 'slow' | 'age' | 'stop';

/** What a verifier asks a stream for, in its own units. */
export type StreamAsked = Pick<NewStream, 'nonce' | 'maxStalenessMs' | 'resume'>;

export type Opened =
  | { kind: 'opened'; body: ReadableStream<Uint8Array> }
  | { kind: 'behind' | 'too_many' | 'too_many_of_client' | 'stopping' };

interface OpenStream {
  name: string;
  clientId: string;
  outbox: Outbox;
  endsAtMs: number;
}

interface StreamsOfClient {
  audiences: string;
  checkedMs: number;
  names: Set<string>;
}

export class Push {
  readonly #log: Log;
  readonly #clients: Pick<Clients, 'find'>;
  readonly #random: Random;
  readonly #stopwatch: Stopwatch;
  readonly #timers: Timers;
  readonly #rounds: Rounds;
  readonly #reader: Reader;
  readonly #streams = new Map<string, OpenStream>();
  readonly #ofClient = new Map<string, StreamsOfClient>();
  /** Messages that several streams share are written out once. */
  readonly #written = new WeakMap<StreamMessage, Uint8Array>();
  #running: RunningTimer[] = [];
  #isStopped = false;

  constructor(given: {
    log: Log;
    invalidations: Pick<InvalidationLog, 'state' | 'reach' | 'read' | 'hasOtherServers' | 'confirm'>;
    wakeUps: Pick<WakeUps, 'onWake'>;
    handles: HandleNames;
    clients: Pick<Clients, 'find'>;
    random: Random;
    clock: Clock;
    stopwatch: Stopwatch;
    timers: Timers;
    bounds?: Partial<RoundsBounds>;
  }) {
    this.#log = given.log;
    this.#clients = given.clients;
    this.#random = given.random;
    this.#stopwatch = given.stopwatch;
    this.#timers = given.timers;
    const { log, invalidations, handles, bounds, clock, stopwatch } = given;
    this.#rounds = new Rounds({
      handleOf: (clientId, subject, id) => handles.of(clientId, subject, id),
      ...(bounds && { bounds }),
    });
    this.#reader = new Reader({
      ...{ log, invalidations, rounds: this.#rounds },
      primary: new Primary({ invalidations, clock, stopwatch, onConfirmed: () => this.#reader.wake() }),
      deliver: (deliveries) => this.#deliver(deliveries),
    });
    given.wakeUps.onWake(() => this.#reader.wake());
  }

  /** How many streams are open. */
  get size(): number {
    return this.#streams.size;
  }

  /** No read is under way, and none is due before the next poll. */
  get isAtRest(): boolean {
    return this.#reader.isAtRest;
  }

  /** Opens a stream for a resource server that has just authenticated. `body` is what it reads. */
  async open(client: Client, asked: StreamAsked): Promise<Opened> {
    if (!this.#isStopped) await this.#reader.arrive();
    if (this.#isStopped) return { kind: 'stopping' };
    const name = encodeBase64url(this.#random.bytes(NAME_BYTES));
    const audiences = client.resourceServerFor;
    const opened = this.#rounds.open({ name, clientId: client.id, audiences, ...asked });
    if (opened !== 'opened') return { kind: opened };
    const outbox = new Outbox({ stopwatch: this.#stopwatch, onGone: () => this.#forget(name) });
    const spreadMs = ((this.#random.bytes(1)[0] ?? 0) / 255) * LIFE_SPREAD_MS;
    const endsAtMs = this.#stopwatch.monotonicMs() + MAX_LIFE_MS - spreadMs;
    this.#remember({ name, clientId: client.id, outbox, endsAtMs }, client);
    this.#reader.wake();
    return { kind: 'opened', body: outbox.body };
  }

  /** A nonce to echo on a stream of this client. */
  pulse(client: Client, pulse: { stream: string; nonce: string }): 'taken' | 'unknown' | 'too_many' {
    const taken = this.#rounds.pulse({ ...pulse, clientId: client.id });
    if (taken === 'taken') this.#reader.wake();
    return taken;
  }

  /** Ends every stream, and opens no more. */
  stop(): void {
    this.#isStopped = true;
    for (const { name } of [...this.#streams.values()]) this.#end(name, 'stop');
  }

  #deliver(deliveries: readonly Delivery[]): void {
    for (const { stream, messages, end, isDoubtful } of deliveries) {
      const open = this.#streams.get(stream);
      if (!open) continue;
      const isWritten = open.outbox.write(messages.map((message) => this.#textOf(message)));
      if (end) this.#end(stream, end);
      else if (!isWritten) this.#end(stream, 'slow');
      const client = this.#ofClient.get(open.clientId);
      if (isDoubtful && client) client.checkedMs = Number.NEGATIVE_INFINITY;
    }
  }

  #textOf(message: StreamMessage): Uint8Array {
    const known = this.#written.get(message);
    if (known) return known;
    const { kind, ...data } = message;
    const text = utf8.encode(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);
    this.#written.set(message, text);
    return text;
  }

  async #keepHouse(): Promise<void> {
    const nowMs = this.#stopwatch.monotonicMs();
    for (const { name, outbox, endsAtMs } of [...this.#streams.values()]) {
      if (outbox.isStalled) this.#end(name, 'slow');
      else if (nowMs >= endsAtMs) this.#end(name, 'age');
      else if (outbox.quietMs >= MAX_QUIET_MS && !outbox.write([COMMENT])) this.#end(name, 'slow');
    }
    const due = [...this.#ofClient].filter(([, { checkedMs }]) => nowMs - checkedMs >= CLIENT_CHECK_MS);
    due.sort(([, left], [, right]) => left.checkedMs - right.checkedMs);
    const failures: unknown[] = [];
    for (const [clientId, streams] of due.slice(0, MAX_CLIENTS_PER_STEP)) {
      const { checkedMs } = streams;
      streams.checkedMs = nowMs; // before the read: a doubt that arises meanwhile stands
      try {
        await this.#checkClient(clientId, streams);
      } catch (error) {
        streams.checkedMs = Math.min(streams.checkedMs, checkedMs); // the next step tries again
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async #checkClient(clientId: string, streams: StreamsOfClient): Promise<void> {
    const client = await this.#clients.find(clientId);
    const isGood = client && client.disabledAtMs === undefined && audiencesOf(client) === streams.audiences;
    if (!isGood) for (const name of [...streams.names]) this.#end(name, 'client');
  }

  #remember(stream: OpenStream, client: Client): void {
    if (this.#streams.size === 0) {
      this.#running = [
        this.#timers.every(POLL_MS, () => this.#reader.wake()),
        this.#timers.every(HOUSEKEEPING_MS, () => this.#keepHouse()),
      ];
    }
    this.#streams.set(stream.name, stream);
    const audiences = audiencesOf(client);
    const known = this.#ofClient.get(client.id);
    if (known?.audiences === audiences) known.names.add(stream.name);
    else {
      // What it serves has changed since its other streams were opened: they end.
      for (const name of [...(known?.names ?? [])]) this.#end(name, 'client');
      const checkedMs = this.#stopwatch.monotonicMs();
      this.#ofClient.set(client.id, { audiences, checkedMs, names: new Set([stream.name]) });
    }
  }

  #end(name: string, why: End): void {
    const stream = this.#streams.get(name);
    if (!stream) return;
    this.#forget(name);
    if (why === 'slow') {
      stream.outbox.cut();
      this.#log.warn('a verifier reads its stream too slowly and was cut off', { clientId: stream.clientId });
    } else stream.outbox.end();
  }

  #forget(name: string): void {
    this.#rounds.close(name);
    const stream = this.#streams.get(name);
    if (!stream) return;
    this.#streams.delete(name);
    const ofClient = this.#ofClient.get(stream.clientId);
    ofClient?.names.delete(name);
    if (ofClient?.names.size === 0) this.#ofClient.delete(stream.clientId);
    if (this.#streams.size > 0) return;
    for (const timer of this.#running) timer.stop();
    this.#running = [];
  }
}

const utf8 = new TextEncoder();
/** A comment (HTML, server-sent events): no message, only bytes. */
const COMMENT = utf8.encode(':\n\n');

function audiencesOf(client: Client): string {
  return JSON.stringify([...client.resourceServerFor].sort());
}
