/**
 * The stream's driver: performs what the coherence core decides, with sockets and timers, and tells it what came of it. Decides
 * nothing itself.
 */
import type { PulseRequest, StreamRequest } from '@countersign/protocol';
import type { Action, Coherence, Moment } from '../coherence/coherence.ts';
import type { AuthorityConnection } from '../connection.ts';
import type { Discovery } from '../discovery.ts';
import { afterMs } from '../world.ts';
import { MessageReader } from './messages.ts';

/** A timer of the event loop may fire a millisecond early; the pause keeps that from turning in circles. */
const MIN_TICK_PAUSE_MS = 5;

export class StreamDriver {
  readonly #core: Coherence<unknown>;
  readonly #connection: AuthorityConnection;
  readonly #discovery: Discovery;
  readonly #now: () => Moment;
  readonly #maxStalenessMs: number;
  readonly #readKeys: () => void;
  #current: AbortController | undefined;
  #cancelTick: (() => void) | undefined;
  /** Whether the tick that is scheduled was due already when it was. */
  #isTickOverdue = false;
  readonly #whenLeased = new Set<() => void>();

  constructor(parts: {
    core: Coherence<unknown>;
    connection: AuthorityConnection;
    discovery: Discovery;
    now: () => Moment;
    maxStalenessMs: number;
    readKeys: () => void;
  }) {
    this.#core = parts.core;
    this.#connection = parts.connection;
    this.#discovery = parts.discovery;
    this.#now = parts.now;
    this.#maxStalenessMs = parts.maxStalenessMs;
    this.#readKeys = parts.readKeys;
  }

  start(): void {
    this.perform(this.#core.start(this.#now()));
  }

  stop(): void {
    this.perform(this.#core.stop());
    this.#cancelTick?.();
    this.#tellLeased();
  }

  /** Resolves with the first lease, with the end of the stream's service, or after `timeoutMs`. */
  async leased(timeoutMs: number): Promise<void> {
    if (this.#core.isLeased(this.#now())) return;
    await new Promise<void>((resolve) => {
      const tell = () => {
        cancel();
        this.#whenLeased.delete(tell);
        resolve();
      };
      const cancel = afterMs(timeoutMs, tell, { keepsAlive: true });
      this.#whenLeased.add(tell);
    });
  }

  perform(actions: readonly Action[]): void {
    for (const action of actions) {
      switch (action.kind) {
        case 'connect':
          void this.#connect(action);
          break;
        case 'disconnect':
          this.#current?.abort();
          break;
        case 'pulse':
          void this.#pulse(action);
          break;
        case 'read_keys':
          this.#readKeys();
          break;
      }
    }
    this.#scheduleTick();
  }

  /** Never rejects: a stream that fails is one that ended. */
  async #connect(action: Extract<Action, { kind: 'connect' }>): Promise<void> {
    const controller = new AbortController();
    this.#current = controller;
    try {
      const { countersign_stream_endpoint: endpoint } = await this.#discovery.metadata();
      const url = streamUrl(endpoint, { ...action, maxStalenessMs: this.#maxStalenessMs });
      const doing = 'Opening the stream of the authority';
      const body = await this.#connection.open({ url, doing, signal: controller.signal });
      const reader = new MessageReader();
      for await (const bytes of body) {
        for (const message of reader.read(bytes)) {
          this.perform(this.#core.message(action.connection, message, this.#now()));
        }
        if (this.#whenLeased.size > 0 && this.#core.isLeased(this.#now())) this.#tellLeased();
      }
    } catch {
      // How it ended makes no difference: the state of the stream and its age are in the status, and the core tries again.
    }
    controller.abort();
    this.perform(this.#core.disconnected(action.connection, this.#now()));
  }

  /** Never rejects: a pulse that is lost is one whose echo does not come. */
  async #pulse({ connection, stream, nonce }: Extract<Action, { kind: 'pulse' }>): Promise<void> {
    try {
      const { countersign_pulse_endpoint: url } = await this.#discovery.metadata();
      const body: PulseRequest = { stream, nonce };
      const outcome = await this.#connection.post({ url, doing: 'Asking the authority for a heartbeat', body });
      if (outcome === 'conflict') this.perform(this.#core.pulseRefused(connection, this.#now()));
    } catch {
      // The core notices by the missing echo.
    }
  }

  #scheduleTick(): void {
    const dueMs = this.#core.nextTickMs();
    const pauseMs = dueMs === undefined ? undefined : dueMs - this.#now().monotonicMs;
    const isOverdue = pauseMs !== undefined && pauseMs <= MIN_TICK_PAUSE_MS;
    // Pushed back by each message, a tick that is due would never come while many arrive.
    if (isOverdue && this.#isTickOverdue) return;
    this.#cancelTick?.();
    this.#isTickOverdue = isOverdue;
    if (pauseMs === undefined) return;
    this.#cancelTick = afterMs(Math.max(pauseMs, MIN_TICK_PAUSE_MS), () => {
      this.#isTickOverdue = false;
      this.perform(this.#core.tick(this.#now()));
    });
  }

  #tellLeased(): void {
    for (const tell of this.#whenLeased) tell();
  }
}

function streamUrl(
  endpoint: string,
  asked: { nonce: string; maxStalenessMs: number; resume: { epoch: number; cursor: number } | undefined },
): string {
  const members: StreamRequest = {
    nonce: asked.nonce,
    max_staleness_ms: String(asked.maxStalenessMs),
    ...(asked.resume && { epoch: String(asked.resume.epoch), cursor: String(asked.resume.cursor) }),
  };
  const url = new URL(endpoint);
  for (const [name, value] of Object.entries(members)) url.searchParams.set(name, value);
  return url.href;
}
