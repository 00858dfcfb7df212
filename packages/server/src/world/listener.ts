import {
  createServer as createPlaintextServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { getRequestListener } from '@hono/node-server';

/** What a listener allows a peer. Each bound names what would happen without it. */
export interface ListenerLimits {
  /** From the first byte to the end of the headers: a peer that drips bytes would hold a socket for ever (slowloris). */
  headersTimeoutMs: number;
  /** From the first byte to the end of the body. */
  requestTimeoutMs: number;
  /** Idle between two requests. Longer than the 60 seconds of common load balancers, so that they close first. */
  keepAliveTimeoutMs: number;
  /**
   * Without a byte either way before an answer is through: a peer that never reads would hold a socket for ever. Longer than
   * `requestTimeoutMs`, whose 408 says why.
   */
  stallTimeoutMs: number;
  /** A handshake of honest peers takes a few round trips. */
  handshakeTimeoutMs: number;
  /** All headers and the request line together. */
  maxHeaderBytes: number;
  /** Open sockets; more are closed at once, before they cost a handshake. */
  maxConnections: number;
}

const LISTENER_LIMITS: ListenerLimits = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  keepAliveTimeoutMs: 65_000,
  stallTimeoutMs: 40_000,
  handshakeTimeoutMs: 10_000,
  maxHeaderBytes: 16 * 1024,
  maxConnections: 10_000,
};

/** A peer that does not read why it is refused is not waited for. */
const REFUSAL_READ_TIMEOUT_MS = 2000;

/** How often node looks for sockets past their time; its own default is 30 seconds, longer than the timeouts here. */
const MAX_CHECKING_INTERVAL_MS = 1000;

/**
 * TLS 1.3 as it is; of 1.2 only what is forward-secret and authenticated (RFC 9325 §4.2). Static RSA and CBC never.
 */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

export interface ListenOptions {
  /** Answers a request; `peer.address` is the socket's. */
  handler: (request: Request, peer: { address: string | undefined }) => Response | Promise<Response>;
  host: string;
  /** 0 takes a free port. */
  port: number;
  /** Headers of answers to requests that cannot be read, which never reach the handler. */
  refusalHeaders?: Readonly<Record<string, string>>;
  limits?: Partial<ListenerLimits>;
}

export interface Listener {
  readonly port: number;
  /**
   * Stops: no new connection; idle ones are closed at once; answers under way are finished with `Connection: close`; what is still
   * open after `deadlineMs` is cut off. Fulfils when no socket is left. A second call joins the first.
   */
  close(deadlineMs: number): Promise<void>;
}

/** Serves https, TLS 1.2 and 1.3. `tls` are PEM texts. Rejects when the port is taken or the certificate unusable. */
export function listenHttps(options: ListenOptions & { tls: { certificate: string; key: string } }): Promise<Listener> {
  const server = createTlsServer({
    ...serverOptions(options),
    cert: options.tls.certificate,
    key: options.tls.key,
    minVersion: 'TLSv1.2',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    handshakeTimeout: limitsOf(options).handshakeTimeoutMs,
  });
  return listen(server, options, 'secureConnection');
}

/** Serves plain http. What is answered there is the handler's business; nothing secret should be. */
export function listenPlaintext(options: ListenOptions): Promise<Listener> {
  return listen(createPlaintextServer(serverOptions(options)), options, 'connection');
}

function limitsOf(options: ListenOptions): ListenerLimits {
  return { ...LISTENER_LIMITS, ...options.limits };
}

function serverOptions(options: ListenOptions): ServerOptions {
  const limits = limitsOf(options);
  return {
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.min(MAX_CHECKING_INTERVAL_MS, limits.headersTimeoutMs),
    maxHeaderSize: limits.maxHeaderBytes,
    insecureHTTPParser: false,
    requireHostHeader: false, // refused below instead, with the headers that every answer has
  };
}

async function listen(
  server: Server,
  options: ListenOptions,
  ready: 'connection' | 'secureConnection',
): Promise<Listener> {
  server.maxConnections = limitsOf(options).maxConnections;
  server.timeout = limitsOf(options).stallTimeoutMs;
  const refusalHeaders = options.refusalHeaders ?? {};
  const traffic = trackTraffic(server, ready);
  server.on('request', requestListener(options, refusalHeaders));
  server.on('checkExpectation', (_request, response) => refuse(response, 417, refusalHeaders));
  server.on('clientError', (error, socket) => refuseUnreadable({ error, socket, refusalHeaders, traffic }));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: options.host, port: options.port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo; // a listening TCP server has no other address
  let closing: Promise<void> | undefined;
  return {
    port,
    close(deadlineMs) {
      closing ??= drain(server, traffic, deadlineMs);
      return closing;
    },
  };
}

function requestListener(options: ListenOptions, refusalHeaders: Readonly<Record<string, string>>) {
  const answer = getRequestListener(
    (request, env) => options.handler(request, { address: env.incoming.socket.remoteAddress }),
    {
      // A request line or Host header from which no URL can be made, as the handler itself never rejects.
      errorHandler: () => new Response(null, { status: 400, headers: { ...refusalHeaders, Connection: 'close' } }),
    },
  );
  return (request: IncomingMessage, response: ServerResponse) =>
    isAmbiguous(request) ? refuse(response, 400, refusalHeaders) : answer(request, response);
}

/**
 * What node's parser lets pass although two readers may read it differently: several Host lines (RFC 9112 §3.2; node takes the
 * first, another the last), and a body coded otherwise than chunked or sent so by HTTP/1.0 (RFC 9112 §6.1).
 */
function isAmbiguous({ rawHeaders, headers, httpVersion }: IncomingMessage): boolean {
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || httpVersion === '1.0')) return true;
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) if (/^host$/i.test(rawHeaders[at] ?? '')) hosts += 1;
  return hosts > 1;
}

/** Nothing more is read from a connection whose peer speaks so. */
function refuse(response: ServerResponse, status: number, refusalHeaders: Readonly<Record<string, string>>): void {
  response.writeHead(status, { ...refusalHeaders, Connection: 'close', 'Content-Length': '0' });
  response.end();
}

interface Traffic {
  /** Every TCP connection. */
  sockets: Set<Socket>;
  /** Connections that may carry requests: for https, those whose handshake is done. */
  open: Set<Duplex>;
  underWay: Set<ServerResponse>;
  draining: boolean;
}

function trackTraffic(server: Server, ready: 'connection' | 'secureConnection'): Traffic {
  const traffic: Traffic = { sockets: new Set(), open: new Set(), underWay: new Set(), draining: false };
  server.on('connection', (socket: Socket) => remember(traffic.sockets, socket));
  server.on(ready, (socket: Socket) => remember(traffic.open, socket));
  server.on('request', (_request, response: ServerResponse) => {
    traffic.underWay.add(response);
    if (traffic.draining) response.shouldKeepAlive = false;
    response.once('close', () => traffic.underWay.delete(response));
  });
  return traffic;
}

function remember<S extends Duplex>(set: Set<S>, socket: S): void {
  set.add(socket);
  socket.once('close', () => set.delete(socket));
}

async function drain(server: Server, traffic: Traffic, deadlineMs: number): Promise<void> {
  traffic.draining = true;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  const busy = new Set<Duplex>();
  for (const response of traffic.underWay) {
    response.shouldKeepAlive = false;
    if (response.socket) busy.add(response.socket);
  }
  for (const socket of traffic.open) if (!busy.has(socket)) socket.destroy();
  const timer = setTimeout(() => {
    for (const socket of traffic.sockets) socket.destroy();
  }, deadlineMs);
  await closed;
  clearTimeout(timer);
}

/** Answers what is no HTTP, is too large or came too slowly; then the connection cannot be trusted to be in step any more. */
function refuseUnreadable(refused: {
  error: Error & { code?: string };
  socket: Duplex;
  refusalHeaders: Readonly<Record<string, string>>;
  traffic: Traffic;
}): void {
  const { error, socket, refusalHeaders, traffic } = refused;
  // Before the end of a handshake nothing can be said; what was written would wait for it, and hold the connection, for ever.
  if (!traffic.open.has(socket)) {
    socket.destroy();
    return;
  }
  const [first, ...queued] = [...traffic.underWay].filter((response) => response.req.socket === socket);
  // A request that was read to its end has its own answer, or is waiting for it; a second one would be taken for it.
  const isAnswering = first !== undefined && (first.req.complete || first.headersSent || queued.length > 0);
  if (!socket.writable || isAnswering) {
    socket.destroy();
    return;
  }
  const headers = Object.entries({ ...refusalHeaders, Connection: 'close', 'Content-Length': '0' });
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const timer = setTimeout(() => socket.destroy(), REFUSAL_READ_TIMEOUT_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.end(`HTTP/1.1 ${statusOf(error.code)}\r\n${lines}\r\n`, () => socket.destroy());
}

function statusOf(code: string | undefined): string {
  if (code === 'HPE_HEADER_OVERFLOW') return '431 Request Header Fields Too Large';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return '408 Request Timeout';
  return '400 Bad Request';
}
