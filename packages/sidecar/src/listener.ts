import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { ListenAt } from './options.ts';
import { SidecarRefused } from './refusal.ts';

/** From the first byte of a request to the end of its headers, and of its body, which nobody reads: a proxy takes milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000;
/** Longer than the 60 seconds for which proxies keep a connection, so that they close first. */
const KEEP_ALIVE_MS = 65_000;
/** A token of 8 KiB, a proof of as much, the longest URL, and what a proxy adds. */
const MAX_HEADER_BYTES = 32 * 1024;
/** Connections of one proxy. More are closed at once. */
const MAX_CONNECTIONS = 2_000;
/** How often sockets past their time are looked for; node's own default is longer than the times above. */
const CHECKING_INTERVAL_MS = 1_000;

export interface Listener {
  /** As `--listen` spells it, with the port that was taken where 0 asked for any. */
  address: string;
  /** Stops: no new connection, idle ones closed, answers under way finished; what is open after `deadlineMs` is cut off. */
  close(deadlineMs: number): Promise<void>;
}

/** Serves plain http where only this machine comes. @throws SidecarRefused `address_unavailable` */
export async function listen(at: ListenAt, handler: RequestListener): Promise<Listener> {
  const server = createServer(
    {
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECKING_INTERVAL_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      insecureHTTPParser: false,
    },
    handler,
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.timeout = KEEP_ALIVE_MS;
  if (at.kind === 'unix') await removeStaleSocket(at.path);
  await bind(server, at);
  if (at.kind === 'unix') chmodSync(at.path, at.mode);
  return { address: addressOf(server, at), close: (deadlineMs) => drain(server, deadlineMs) };
}

async function bind(server: Server, at: ListenAt): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(at.kind === 'unix' ? { path: at.path } : { host: at.host, port: at.port }, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    const place = at.kind === 'unix' ? at.path : `${at.host}:${at.port}`;
    const advice = code === 'EADDRINUSE' ? 'something else listens there. Choose another with --listen' : code;
    throw new SidecarRefused('address_unavailable', `Listening at ${place}: ${advice}.`, { cause: error });
  }
}

/** What a killed sidecar left behind would stop the next one. A socket that somebody listens at stays. */
async function removeStaleSocket(path: string): Promise<void> {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return;
  const isServed = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: Error & { code?: string }) => resolve(error.code !== 'ECONNREFUSED'));
  });
  if (!isServed) unlinkSync(path);
}

function addressOf(server: Server, at: ListenAt): string {
  if (at.kind === 'unix') return `unix:${at.path}`;
  const { address, family, port } = server.address() as AddressInfo; // a listening TCP server has no other address
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}

async function drain(server: Server, deadlineMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  const timer = setTimeout(() => server.closeAllConnections(), deadlineMs);
  server.closeIdleConnections();
  await closed;
  clearTimeout(timer);
}
