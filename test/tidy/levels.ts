/**
 * The levels of packages/server/src: the one table. A folder imports only folders above its own line, never one beside it
 * or below (docs/decisions/0001-levels-of-the-house.md says why each stands where it does). A new domain is a new word here.
 */
export const LEVELS: readonly (readonly string[])[] = [
  ['world'],
  ['config', 'oauth', 'store', 'sealing', 'limits'],
  ['http', 'events', 'buckets', 'leases'],
  ['users', 'clients', 'keys', 'mail'],
  ['revocation', 'sessions'],
  ['tokens'],
  ['login', 'authorization', 'grants', 'identity', 'introspection', 'discovery'],
  ['cleartext', 'forward-auth', 'alarms', 'push', 'feed', 'webhooks'],
  ['admin', 'health', 'standing'],
];

/** Outlets read what happened; what happens never waits for them, so a broken webhook cannot break a login. */
export const OUTLETS: ReadonlySet<string> = new Set(['alarms', 'push', 'feed', 'webhooks']);

/** Folders of which every file is a face: small interfaces to what we do not control, with the real ones beside them. */
export const OPEN_FOLDERS: ReadonlySet<string> = new Set(['world']);

/**
 * Above all domains, in this order: the composition root, what the command line does, what the package offers, the process.
 * Each may import those before it.
 */
export const ROOTS = ['server.ts', 'cli', 'index.ts', 'main.ts'] as const;

/** What each package may import of the others. Two readings of the protocol keep each other honest only while apart. */
export const PACKAGE_IMPORTS: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  server: ['protocol'],
  verifier: ['protocol'],
  browser: ['protocol'],
  console: ['protocol'],
  sidecar: ['protocol', 'verifier'],
  testkit: ['protocol', 'server'],
};

/** Packages that run anywhere: not even Node's own modules. */
export const PURE_PACKAGES: ReadonlySet<string> = new Set(['protocol', 'browser']);

/** The level of a folder or root, from 1; undefined for one that the table does not know. */
export function levelOf(place: string): number | undefined {
  const level = LEVELS.findIndex((folders) => folders.includes(place));
  if (level >= 0) return level + 1;
  const root = (ROOTS as readonly string[]).indexOf(place);
  return root >= 0 ? LEVELS.length + 1 + root : undefined;
}

/**
 * Reads of another domain's table that one statement needs, each with its reason. Writing stays with the owner, always.
 */
export const SHARED_READS: readonly { domain: string; table: string; reason: string }[] = [];
