import { BlockList, isIP } from 'node:net';

/** Addresses that mean this machine alone (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3). */
export const LOOPBACK: readonly string[] = ['127.0.0.0/8', '::1/128'];

/** Whether a peer's address is in one of the ranges; an IPv4 address in IPv6 clothes counts as the IPv4 address it is. */
export function rangesOf(cidrs: readonly string[]): (address: string | undefined) => boolean {
  const ranges = new BlockList();
  for (const cidr of cidrs) {
    const range = readRange(cidr);
    if (range) ranges.addSubnet(range.address, range.prefix, range.family);
  }
  return (address) => {
    const family = familyOf(address ?? '');
    return address !== undefined && family !== undefined && ranges.check(address, family);
  };
}

/** `10.0.0.0/8`, `192.0.2.1`, `2001:db8::/32`; undefined for anything else. */
export function readRange(cidr: string): { address: string; prefix: number; family: 'ipv4' | 'ipv6' } | undefined {
  const [address = '', prefixText, ...more] = cidr.split('/');
  const family = familyOf(address);
  if (family === undefined || more.length > 0) return undefined;
  const longest = family === 'ipv4' ? 32 : 128;
  if (prefixText === undefined) return { address, prefix: longest, family };
  const prefix = /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : Number.NaN;
  return prefix <= longest ? { address, prefix, family } : undefined;
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  const version = isIP(address);
  return version === 4 ? 'ipv4' : version === 6 && !address.includes('%') ? 'ipv6' : undefined;
}
