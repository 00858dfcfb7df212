import type { Context } from 'hono';
import ipaddr from 'ipaddr.js';
import { canonicalAddress, networkOf } from '../limits/limits.ts';

/** The other end of the socket, as the listener saw it. */
export interface Peer {
  address: string | undefined;
}

/** What is known of a request before any route sees it. Nothing here comes from a header unless a trusted proxy set it. */
export interface RequestContext {
  /** In the `X-Request-Id` header of the answer and in the log line; for support, not a secret. */
  id: string;
  /** Canonical address of whoever asks, or `unknown`. */
  address: string;
  /** What limits count: see `networkOf`. */
  network: string;
  /** Network of the socket's other end: the proxy, when there is one. */
  peerNetwork: string;
  /** The socket's other end is a proxy that may ask here about requests it holds (`ProxyRanges.asking`). */
  isAskingProxy: boolean;
  /** Printable characters only, at most `MAX_USER_AGENT_LENGTH`. For people to read; decides nothing. */
  userAgent: string;
  /** False when a trusted proxy says that the browser spoke plain http to it. */
  secure: boolean;
}

/** Where this authority lives, from the issuer setting alone; the Host header and X-Forwarded-Host never say so. */
export interface Site {
  /** The issuer identifier, without trailing slash. Links and redirects begin with it. */
  issuer: string;
  origin: string;
  /** Path of the issuer, '' for most. */
  basePath: string;
}

/** What routes and middleware find on a Hono context. */
export interface HttpEnv {
  /** Given by the listener with each request; absent when a test calls the app directly. */
  Bindings: { peer?: Peer };
  Variables: {
    request: RequestContext;
    site: Site;
    /** How a refusal is shown on this route: to a program or to a person. */
    presentation: 'json' | 'page';
    /** CSP sources that forms of this page may lead to, beside the page's own origin. */
    formActions: readonly string[];
    /** The body once it was read, so that a second reader gets it too. */
    body: Uint8Array;
  };
}

export type HttpContext = Context<HttpEnv>;

/** Long enough to recognise a browser by, short enough for a mail and a log line. */
const MAX_USER_AGENT_LENGTH = 200;

/** More proxies in a row than any real installation; a longer header is only work for us. */
const MAX_FORWARDED_HOPS = 16;

export type AddressRange = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Whose `X-Forwarded-*` count. */
export interface ProxyRanges {
  /** Pass on whatever comes from outside: through them anybody asks. */
  trusted: readonly AddressRange[];
  /** At the path that is asked for, ask on their own account about requests they hold. Those among `trusted` cannot. */
  asking: readonly AddressRange[];
}

/** Reads a CIDR list of proxies; throws on a text that is no CIDR (settings were checked, so that is a bug). */
export function parseRanges(cidrs: readonly string[]): AddressRange[] {
  return cidrs.map((cidr) => ipaddr.parseCIDR(cidr));
}

/**
 * Who is asking, and did they speak https? The socket says so; only when its peer is a trusted or an asking proxy do
 * `X-Forwarded-For` and `X-Forwarded-Proto` count. The client is the right-most hop that is not a trusted proxy itself: everything left of it was
 * written by the client and may be invented.
 */
export function readOrigin(
  peer: Peer | undefined,
  headers: Headers,
  proxies: ProxyRanges,
): Pick<RequestContext, 'address' | 'network' | 'peerNetwork' | 'isAskingProxy' | 'secure'> {
  let address = canonicalAddress(peer?.address);
  const isTrustedProxy = isWithin(address, proxies.trusted);
  const isAskingProxy = !isTrustedProxy && isWithin(address, proxies.asking);
  const isBelieved = isTrustedProxy || isAskingProxy;
  const believed = isAskingProxy ? [...proxies.trusted, ...proxies.asking] : proxies.trusted;
  if (isBelieved) {
    const hops = (headers.get('x-forwarded-for') ?? '').split(',').slice(-MAX_FORWARDED_HOPS);
    while (isWithin(address, believed)) {
      const hop = canonicalAddress(withoutPort(hops.pop()?.trim() ?? ''));
      if (hop === undefined) break;
      address = hop;
    }
  }
  const protocol = isBelieved ? headers.get('x-forwarded-proto')?.split(',').at(-1)?.trim().toLowerCase() : undefined;
  const peerNetwork = networkOf(peer?.address);
  return {
    address: address ?? 'unknown',
    network: isBelieved ? networkOf(address) : peerNetwork,
    ...{ peerNetwork, isAskingProxy },
    secure: protocol !== 'http',
  };
}

function isWithin(address: string | undefined, ranges: readonly AddressRange[]): boolean {
  if (address === undefined) return false;
  const parsed = ipaddr.process(address);
  return ranges.some((range) => parsed.kind() === range[0].kind() && parsed.match(range));
}

/** Some proxies append the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function withoutPort(hop: string): string {
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(hop)?.[1];
  if (bracketed) return bracketed;
  return /^([\d.]+):\d+$/.exec(hop)?.[1] ?? hop;
}

export function readUserAgent(headers: Headers): string {
  const text = (headers.get('user-agent') ?? '').slice(0, MAX_USER_AGENT_LENGTH);
  return text.replace(/[^\x20-\x7e]/g, '').trim();
}

/** Splits the issuer setting, which was checked when it was read. */
export function siteOf(issuer: string): Site {
  const url = new URL(issuer);
  return { issuer, origin: url.origin, basePath: url.pathname === '/' ? '' : url.pathname.replace(/\/$/, '') };
}
