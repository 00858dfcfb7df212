import ipaddr from 'ipaddr.js';

/** Stands for every address that cannot be read, so that they share one counter instead of escaping all. */
const UNKNOWN_NETWORK = 'unknown';

/** What one subscriber is given at least (RFC 6177 §2): inside it a host picks its address freely, so none of them counts alone. */
const IPV6_NETWORK_BITS = 64;

/**
 * The network that a limit counts for an address: an IPv4 address is its own; an IPv6 address counts as its /64, in one
 * canonical spelling; an IPv4-mapped IPv6 address is the IPv4 address it carries. Otherwise one host could appear as 2^64
 * strangers, or as a second one by re-spelling itself.
 *
 * @example networkOf('2001:DB8::0001') // '2001:db8::/64'
 */
export function networkOf(address: string | undefined): string {
  const parsed = parseAddress(address);
  if (!parsed) return UNKNOWN_NETWORK;
  if (parsed.kind() === 'ipv4') return parsed.toString();
  const bytes = parsed.toByteArray().map((byte, index) => (index < IPV6_NETWORK_BITS / 8 ? byte : 0));
  return `${ipaddr.fromByteArray(bytes).toString()}/${IPV6_NETWORK_BITS}`;
}

/** The one spelling of an address; undefined when it is none. IPv4-mapped becomes IPv4, a zone (`%eth0`) is dropped. */
export function canonicalAddress(address: string | undefined): string | undefined {
  return parseAddress(address)?.toString();
}

function parseAddress(address: string | undefined): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  const text = address?.split('%', 1)[0] ?? '';
  // Four-part decimal only: `0x7f.1` and the like are further spellings of an address that nothing honest sends.
  if (!text.includes(':') && !ipaddr.IPv4.isValidFourPartDecimal(text)) return undefined;
  if (!ipaddr.isValid(text)) return undefined;
  return ipaddr.process(text);
}
