import ipaddr from 'ipaddr.js';

/** In this order: Edge and Opera also say Chrome, Chrome also says Safari. */
const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/\bEdgA?\/|\bEdgiOS\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\bFirefox\/|\bFxiOS\//, 'Firefox'],
  [/\bChrome\/|\bCriOS\//, 'Chrome'],
  [/\bVersion\/[\d.]+.*\bSafari\//, 'Safari'],
];

const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bAndroid\b/, 'Android'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b|\bMacintosh\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux'],
];

/**
 * A browser in words of ours, such as `Firefox on Linux`. Whoever asks writes the header himself, so none of its text ever
 * stands in a mail: it could hold instructions to the reader.
 */
export function browserName(userAgent: string): string {
  const browser = BROWSERS.find(([pattern]) => pattern.test(userAgent))?.[1];
  const system = SYSTEMS.find(([pattern]) => pattern.test(userAgent))?.[1];
  if (browser === undefined && system === undefined) return 'an unknown browser';
  if (system === undefined) return browser ?? '';
  return `${browser ?? 'a browser'} on ${system}`;
}

const IPV4_PLACE_BITS = 24;
const IPV6_PLACE_BITS = 48;

/**
 * A place by network, such as `203.0.113.0/24`: enough for a person to see that it is not home or work, without sending a
 * whole address by mail.
 */
export function placeName(address: string): string {
  const plain = address.split('/', 1)[0] ?? '';
  if (!ipaddr.isValid(plain)) return 'an unknown network';
  const parsed = ipaddr.process(plain);
  const bits = parsed.kind() === 'ipv4' ? IPV4_PLACE_BITS : IPV6_PLACE_BITS;
  const bytes = parsed.toByteArray().map((byte, index) => (index < bits / 8 ? byte : 0));
  return `${ipaddr.fromByteArray(bytes).toString()}/${bits}`;
}
