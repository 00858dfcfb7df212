/** What stands between two that speak by TCP: it passes bytes on, until it is told to misbehave. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export class TcpProxy {
  readonly port: number;
  /** Each piece of bytes, either way, waits for so long. */
  delayMs = 0;
  /** New connections end at once, as where nobody listens. */
  isRefusing = false;
  /** Both ends of every connection, each until it is closed itself. */
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #server;
  /** Bytes that wait while it holds, in order. */
  #held: (() => void)[] | undefined;

  private constructor(server: ReturnType<typeof createServer>, portOf: () => number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port; // listening on TCP
    server.on('connection', (near) => {
      if (this.isRefusing) {
        reset(near);
        return;
      }
      const far = connect(portOf(), 'localhost');
      const pair = [near, far] as const;
      for (const [from, to] of [pair, pair.toReversed() as [Socket, Socket]]) {
        this.#sockets.add(from);
        from.on('data', (bytes) => this.#pass(() => to.write(bytes)));
        from.on('end', () => this.#pass(() => to.end()));
        from.on('error', () => {}); // either side may go away; the other is told below
        from.on('close', () => {
          this.#sockets.delete(from);
          this.#pass(() => to.destroy());
        });
      }
    });
  }

  /** Listens on a free port of loopback. */
  static async listen(portOf: () => number): Promise<TcpProxy> {
    const server = createServer({ allowHalfOpen: true }).listen(0, 'localhost');
    await once(server, 'listening');
    return new TcpProxy(server, portOf);
  }

  /** Ends every connection as a lost one ends: without a word. */
  cut(): void {
    for (const socket of this.#sockets) reset(socket);
  }

  /** Passes nothing on from now on, and closes nothing. */
  hold(): void {
    this.#held ??= [];
  }

  /** Passes on what was held, and everything after it. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const pass of held) pass();
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #pass(work: () => void): void {
    if (this.#held) {
      this.#held.push(work);
      return;
    }
    if (this.delayMs === 0) {
      work();
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, this.delayMs);
    this.#timers.add(timer);
  }
}

/** Node 24 never closes a socket that is reset while it is still sending its end, and then its process spins at its own end. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
