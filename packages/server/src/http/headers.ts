import type { HttpContext } from './context.ts';

/**
 * How Strict-Transport-Security is sent. On loopback names it lasts a minute and leaves subdomains alone: HSTS ignores ports, so
 * a longer one would force https onto every other project that runs on this developer's localhost.
 */
export interface Hsts {
  loopback: boolean;
  /** Asks browsers to ship the name as https-only (hstspreload.org). Nearly irrevocable, hence never by default. */
  preload: boolean;
}

const ONE_YEAR_SECONDS = 31_536_000;

function strictTransportSecurity(hsts: Hsts): string {
  if (hsts.loopback) return 'max-age=60';
  return `max-age=${ONE_YEAR_SECONDS}; includeSubDomains${hsts.preload ? '; preload' : ''}`;
}

/** Every feature that Permissions-Policy can name and a browser may hold open by default: pages of an authority need none. */
const PERMISSIONS_POLICY = [
  'accelerometer',
  'autoplay',
  'bluetooth',
  'browsing-topics',
  'camera',
  'clipboard-read',
  'clipboard-write',
  'display-capture',
  'encrypted-media',
  'fullscreen',
  'gamepad',
  'geolocation',
  'gyroscope',
  'hid',
  'identity-credentials-get',
  'idle-detection',
  'local-fonts',
  'magnetometer',
  'microphone',
  'midi',
  'otp-credentials',
  'payment',
  'picture-in-picture',
  'publickey-credentials-create',
  'publickey-credentials-get',
  'screen-wake-lock',
  'serial',
  'storage-access',
  'usb',
  'web-share',
  'window-management',
  'xr-spatial-tracking',
]
  .map((feature) => `${feature}=()`)
  .join(', ');

/**
 * The policy of a page: nothing but its own stylesheet and images. No script runs, so there is no nonce to give out. Chromium
 * applies form-action to the redirect after the form too, so a page whose form ends at a client lists that client.
 */
function contentSecurityPolicy(formActions: readonly string[]): string {
  return [
    "default-src 'none'",
    "style-src 'self'",
    "img-src 'self' data:",
    `form-action ${["'self'", ...formActions].join(' ')}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ');
}

/** Headers of every answer, also of those that no route gives. `secure`: whether the request came over https. */
export function securityHeaders(hsts: Hsts, secure: boolean): Record<string, string> {
  return {
    ...(secure ? { 'Strict-Transport-Security': strictTransportSecurity(hsts) } : {}), // RFC 6797 §7.2: never over plain http
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
  };
}

/**
 * Puts the headers of every answer on this one. A route may have set Cache-Control, CORP or its own CSP before; an error is never
 * cached, whatever the route had set before it failed.
 */
export function finishHeaders(c: HttpContext, hsts: Hsts): void {
  const headers = mutableHeaders(c);
  const { id, secure } = c.get('request'); // `c.var` copies all that was set, at each use
  for (const [name, value] of Object.entries(securityHeaders(hsts, secure))) headers.set(name, value);
  headers.set('X-Request-Id', id);
  setDefault(headers, 'Cross-Origin-Resource-Policy', 'same-origin');
  if (c.res.status >= 400) headers.set('Cache-Control', 'no-store');
  setDefault(headers, 'Cache-Control', 'no-store');
  if (headers.get('Cache-Control') === 'no-store') headers.set('Pragma', 'no-cache');
  if (headers.get('Content-Type')?.startsWith('text/html')) {
    setDefault(headers, 'Content-Security-Policy', contentSecurityPolicy(c.var.formActions));
    headers.set('X-Frame-Options', 'DENY');
    headers.set('Cross-Origin-Opener-Policy', 'same-origin');
    headers.set('Permissions-Policy', PERMISSIONS_POLICY);
  }
}

/**
 * Lets the forms of this page lead to where `redirectUri` points, once it was validated for its client: an origin for http(s), a
 * scheme for apps.
 */
export function allowFormAction(c: HttpContext, redirectUri: string): void {
  const url = new URL(redirectUri);
  const source = url.protocol === 'https:' || url.protocol === 'http:' ? url.origin : url.protocol;
  c.set('formActions', [...c.var.formActions, source]);
}

/** Says that this answer holds nothing of anyone and may be kept by caches: metadata, keys, stylesheets. */
export function allowPublicCache(c: HttpContext, maxAgeSeconds: number): void {
  c.header('Cache-Control', `public, max-age=${maxAgeSeconds}`);
}

function setDefault(headers: Headers, name: string, value: string): void {
  if (!headers.has(name)) headers.set(name, value);
}

/** Headers of an answer made by `Response.redirect` or `fetch` refuse changes; such an answer is copied first. */
function mutableHeaders(c: HttpContext): Headers {
  try {
    c.res.headers.delete('Server');
  } catch {
    c.res = new Response(c.res.body, c.res);
  }
  c.res.headers.delete('Server');
  c.res.headers.delete('X-Powered-By');
  return c.res.headers;
}
