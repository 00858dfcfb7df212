/**
 * One channel on which the nodes of an authority hear each other. Nothing is said on it but that somebody spoke: whoever listens in
 * learns nothing, and whoever speaks without right makes nodes look, no more.
 */
export interface Bus {
  /**
   * Opens a connection: one attempt, bounded in time. `heard`: another node spoke. `lost`: it is over, and was not closed here; said once.
   * @throws BusUnavailable
   */
  connect(on: { heard: () => void; lost: () => void }): Promise<BusConnection>;
}

export interface BusConnection {
  /** Speaks to all other nodes that are connected now. Rejects where the connection is over, which is said to `lost`, too. */
  speak(): Promise<void>;
  /** Hears nothing more. Never rejects. */
  close(): Promise<void>;
}

/** There is no way to the bus. `cause` is a code, for a log: messages of clients repeat addresses and passwords. */
export class BusUnavailable extends Error {
  override readonly cause: string;
  constructor(what: string, error: unknown) {
    const cause = codeOf(error);
    super(`${what}: there is no way to it (${cause}).`);
    this.name = 'BusUnavailable';
    this.cause = cause;
  }
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
