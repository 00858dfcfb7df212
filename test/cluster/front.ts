/**
 * What stands in front of the nodes and carries the issuer's address: passes connections on to them in turn, and sends new ones only to
 * those whose readiness probe answers, as any balancer does. It ends no connection by itself.
 */
import { TcpProxy } from '../coherence/tcp-proxy.ts';
import type { ClusterNode } from './node.ts';

const PROBE_PAUSE_MS = 200;

export class Front {
  readonly proxy: TcpProxy;
  /** Gets every new connection, whatever its probe says. */
  pinned: ClusterNode | undefined;
  readonly #nodes: readonly ClusterNode[];
  readonly #ready = new Set<ClusterNode>();
  #turn = 0;
  #isClosed = false;
  readonly #probing: Promise<unknown>;

  private constructor(given: { proxy: TcpProxy; nodes: readonly ClusterNode[] }) {
    this.proxy = given.proxy;
    this.#nodes = given.nodes;
    this.#probing = Promise.all(this.#nodes.map((node) => this.#probe(node)));
  }

  /** `nodesOf`: the nodes behind it, which know its port as the issuer's. */
  static async open(nodesOf: (port: number) => Promise<readonly ClusterNode[]>): Promise<Front> {
    let front: Front | undefined;
    const proxy = await TcpProxy.listen(() => front?.next() ?? 0);
    front = new Front({ proxy, nodes: await nodesOf(proxy.port) });
    return front;
  }

  get nodes(): readonly ClusterNode[] {
    return this.#nodes;
  }

  /** The nodes that get new connections. */
  get ready(): ReadonlySet<ClusterNode> {
    return this.#ready;
  }

  next(): number {
    if (this.pinned) return this.pinned.way.port;
    const candidates = this.#ready.size > 0 ? [...this.#ready] : this.#nodes;
    this.#turn += 1;
    return candidates[this.#turn % candidates.length]?.way.port ?? 0;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#probing;
    await this.proxy.close();
  }

  async #probe(node: ClusterNode): Promise<void> {
    while (!this.#isClosed) {
      if (await node.isReady()) this.#ready.add(node);
      else this.#ready.delete(node);
      await new Promise((resolve) => setTimeout(resolve, PROBE_PAUSE_MS));
    }
  }
}
