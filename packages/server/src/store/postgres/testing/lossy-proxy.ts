/** Stands between a store and its PostgreSQL, and breaks the connection around the very message that a test waits for. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * What happens to the first message that matches.
 *
 * `answer_lost`: it arrives and is carried out; the connection breaks instead of answering. `never_arrives`: the connection breaks on
 * on the store's side only, and the server waits on. `arrives_late`: the same, and the message arrives half a second later. `cut_off`: as
 * `never_arrives`, and nobody gets through any more until `isCutOff` is set back.
 */
export type Loss = 'answer_lost' | 'never_arrives' | 'arrives_late' | 'cut_off';

const LATE_MS = 500;

export class LossyProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #next: { marker: string; loss: Loss } | undefined;
  /** How many messages were lost so far. */
  losses = 0;
  /** Nobody gets through. */
  isCutOff = false;

  private constructor(server: Server, target: URL) {
    this.#server = server;
    server.on('connection', (near) => {
      if (this.isCutOff) near.on('error', () => {}).resetAndDestroy();
      else this.#pair(near, connect(Number(target.port || 5432), target.hostname));
    });
  }

  static async to(url: string): Promise<{ proxy: LossyProxy; url: string }> {
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const through = new URL(url);
    const proxy = new LossyProxy(server, new URL(url));
    through.hostname = '127.0.0.1';
    through.port = String((server.address() as AddressInfo).port); // listening on TCP
    return { proxy, url: through.href };
  }

  /** Loses the next message in which `marker` stands. */
  lose(marker: string, loss: Loss): void {
    this.#next = { marker, loss };
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  #pair(near: Socket, far: Socket): void {
    let isBroken = false;
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
    }
    const breakOff = () => {
      isBroken = true;
      near.resetAndDestroy();
    };
    let eatsAnswer = false;
    near.on('data', (bytes) => {
      const next = this.#next;
      if (next === undefined || !bytes.includes(next.marker)) {
        far.write(bytes);
        return;
      }
      this.#next = undefined;
      this.losses += 1;
      if (next.loss === 'answer_lost') {
        eatsAnswer = true;
        far.write(bytes);
        return;
      }
      this.isCutOff = next.loss === 'cut_off';
      breakOff();
      if (next.loss === 'arrives_late') setTimeout(() => far.write(bytes), LATE_MS);
    });
    far.on('data', (bytes) => {
      if (eatsAnswer) breakOff();
      else if (!isBroken) near.write(bytes);
    });
    near.on('close', () => {
      // A server that hears nothing of it keeps the session, as behind a network that swallows everything.
      if (!isBroken) far.destroy();
    });
    far.on('close', () => near.destroy());
  }
}
