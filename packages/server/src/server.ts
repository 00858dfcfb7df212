/**
 * The composition root: what exists, and what each part is given. Read it aloud from top to bottom.
 *
 * `composeAuthority` makes the parts (the command line uses them without any network); `composeServer` puts routes and jobs around
 * them; main.ts gives it sockets, settings and signals.
 */
import { FORWARD_AUTH_PATH } from '@countersign/protocol';
import { Alarms } from './alarms/alarms.ts';
import { tellAlarms } from './alarms/job.ts';
import { Authorization } from './authorization/authorization.ts';
import { authorizationRoutes } from './authorization/routes.ts';
import { Buckets, type RowName } from './buckets/buckets.ts';
import { Cleartext, CREDENTIAL_COOKIES } from './cleartext/cleartext.ts';
import { Clients } from './clients/clients.ts';
import type { Settings } from './config/config.ts';
import { discoveryRoutes } from './discovery/routes.ts';
import { Events } from './events/events.ts';
import { sweepEvents } from './events/job.ts';
import { ForwardAuth } from './forward-auth/forward-auth.ts';
import { forwardAuthRoutes } from './forward-auth/routes.ts';
import { Grants } from './grants/grants.ts';
import { eraseResponses, sweepGrants } from './grants/job.ts';
import { grantRoutes } from './grants/routes.ts';
import { healthRoutes } from './health/routes.ts';
import { createHttp, type RequestHandler } from './http/http.ts';
import { Identity } from './identity/identity.ts';
import { identityRoutes } from './identity/routes.ts';
import { HandleNames, Introspection } from './introspection/introspection.ts';
import { countEvidence } from './introspection/job.ts';
import { introspectionRoutes } from './introspection/routes.ts';
import { reloadKeys, rotateKeys } from './keys/job.ts';
import { Keys } from './keys/keys.ts';
import { type Job, Leases } from './leases/leases.ts';
import { type Limit, type LimitName, Limits } from './limits/limits.ts';
import { sweepLinks } from './login/job.ts';
import { Login, type SessionFollowers } from './login/login.ts';
import { loginRoutes } from './login/routes.ts';
import { sendMails, sweepMails } from './mail/job.ts';
import { type DevelopmentMailbox, Mail } from './mail/mail.ts';
import { mailboxRoutes } from './mail/routes.ts';
import { Push } from './push/push.ts';
import { pushRoutes } from './push/routes.ts';
import { sweepInvalidations } from './revocation/job.ts';
import { InvalidationLog, Revocation, type WakeUps, wakeUpsWithinProcess } from './revocation/revocation.ts';
import { Sealer } from './sealing/sealing.ts';
import { sweepSessions } from './sessions/job.ts';
import { Sessions } from './sessions/sessions.ts';
import { lookAtClock, lookAtStore } from './standing/job.ts';
import { requireStanding } from './standing/routes.ts';
import { type ClockOffset, LOOK_MS, type Memory, Standing } from './standing/standing.ts';
import { type Store, StoreUnavailable, sweepFootprints } from './store/store.ts';
import { sweepTokens } from './tokens/job.ts';
import { Tokens } from './tokens/tokens.ts';
import { Users } from './users/users.ts';
import type { Clock } from './world/clock.ts';
import type { Log } from './world/log.ts';
import type { MailTransport } from './world/mail-transport.ts';
import type { Random } from './world/random.ts';
import type { Stopwatch } from './world/stopwatch.ts';
import type { RunningTimer, Timers } from './world/timers.ts';

/** What we do not control. */
export interface World {
  clock: Clock;
  random: Random;
  log: Log;
  stopwatch: Stopwatch;
  timers: Timers;
  mailTransport: MailTransport;
}

/** Of the settings, what the parts need; sockets, files and mail servers are whoever runs them's business. */
export type AuthoritySettings = Pick<
  Settings,
  'issuer' | 'accessAlgorithm' | 'mailsPerMinute' | 'organizationName' | 'signUp' | 'hstsPreload' | 'trustedProxies'
> &
  // Absent: nobody asks.
  Partial<Pick<Settings, 'forwardAuthProxies'>>;

/** What an authority is made of. `masterKey`: 32 bytes. */
export interface AuthorityGiven {
  world: World;
  settings: AuthoritySettings;
  store: Store;
  masterKey: Uint8Array;
  /** What this node is called among those that share the store; no two that run may have one name. Drawn if absent. */
  node?: string;
  /** What reaches other nodes. Default: nothing; they look by themselves. */
  wakeUps?: WakeUps;
  /** Other numbers for some limits, as a test or a benchmark needs them. */
  limits?: Partial<Record<LimitName, Partial<Omit<Limit, 'reason'>>>>;
  /** Where this node keeps what it has seen of the store. Absent: only as long as it runs. */
  memory?: Memory;
  /** Of a node beside others: how far its clock is off. Absent: its clock is the only one. */
  clockOffset?: ClockOffset;
  /** What must die in the store is being ended: it is not served from, its fence does not stop this, and no key is made or rotated. */
  isSettling?: boolean;
  /**
   * These settings say from now on whose database this is. Of who alone decides: the one server of a data folder, an operator's command.
   * Default: where they are others than those it has, they are refused.
   */
  adoptsSettings?: boolean;
}

/** Every part of an authority, by its name. */
export type Authority = Awaited<ReturnType<typeof composeAuthority>>;

/**
 * The parts of an authority over a store, with keys made or loaded. @throws SealBroken under a wrong master key, StoreRefusal where the
 * store must not be served from
 */
export async function composeAuthority(given: AuthorityGiven) {
  const { world, settings, store, masterKey, node, limits: overrides } = given;
  const { wakeUps = wakeUpsWithinProcess(), memory, clockOffset, isSettling = false, adoptsSettings = false } = given;
  const { clock, random, log, stopwatch, timers, mailTransport: transport } = world;
  const { issuer, accessAlgorithm, mailsPerMinute, organizationName, signUp } = settings;

  const sealer = new Sealer({ masterKey, random });
  const limits = new Limits({ clock, random, ...(overrides && { overrides }) });
  const leases = new Leases({ store, clock, stopwatch, random, log, ...(node !== undefined && { node }) });
  const events = new Events({ store, clock, random });

  const buckets = new Buckets({ store, sealer, clock, random, onForeignRow: (row) => void tellForeignRow(row) });

  const users = new Users({ store, clock, random, events, buckets });
  const clients = new Clients({ store, events, buckets, limits, clock, random });
  const keys = new Keys({ store, sealer, events, clock, random, issuer, accessAlgorithm });
  const mail = new Mail({ store, sealer, clock, random, transport, log, mailsPerMinute });
  const invalidations = new InvalidationLog(store);
  const standing = new Standing({
    ...{ store, invalidations, memory, log, stopwatch },
    onEpoch: () => keys.reload(),
  });
  if (!isSettling) await standing.requireGood();
  await buckets.prepare();
  await keys.prepare({ adopts: adoptsSettings, makes: !isSettling });

  const revocation = new Revocation({ store, users, clients, events, clock, wakeUps });
  const sessions = new Sessions({ store, clock, random, users, events, buckets });
  const tokens = new Tokens({ store, keys, buckets, users, clients, revocation, events, clock, random, issuer });

  const identity = new Identity({ keys, users, clock, issuer });
  const grants = new Grants({
    ...{ store, sealer, keys, buckets, tokens, users, clients, sessions, revocation, events, clock, random, issuer },
    idTokens: identity,
  });
  const authorization = new Authorization({ store, clients, keys, sealer, buckets, codes: grants, clock, issuer });
  const followers: SessionFollowers = {
    async sessionEnding(sql, ended) {
      const isSameUser = ended.kind === 'replaced' && ended.byUserId === ended.userId;
      if (!isSameUser) return grants.endingOfSession(sql, ended.sessionId);
      return grants.movingToSession({ fromSessionId: ended.sessionId, toSessionId: ended.bySessionId });
    },
  };
  const login = new Login({
    ...{ store, sealer, clock, random, users, sessions, mail, keys, buckets, limits, events },
    ...{ followers, issuer, organizationName, signUp },
  });
  const handles = new HandleNames(keys);
  const introspection = new Introspection({ tokens, handles, events, limits, store, clock });

  const forwardAuth = new ForwardAuth({ tokens });
  const push = new Push({ log, invalidations, wakeUps, handles, clients, random, clock, stopwatch, timers });
  const alarms = new Alarms({ events, log });
  const cleartext = new Cleartext({ store, tokens, grants, sessions, clients, login, limits, events });

  /** A row in the database that this authority did not write: somebody else can write there. */
  async function tellForeignRow(row: RowName): Promise<void> {
    try {
      await events.record({ type: 'alarm.tampered', tokenId: row.id, detail: { row: row.table } });
    } catch {
      log.error('a row of the database was not written by this authority', { table: row.table, id: row.id });
    }
  }

  return {
    ...{
      world,
      settings,
      store,
      sealer,
      limits,
      leases,
      events,
      users,
      clients,
      keys,
      buckets,
      mail,
      revocation,
      sessions,
    },
    ...{ tokens, identity, grants, authorization, login, introspection, push, alarms, cleartext, forwardAuth },
    ...{ standing, clockOffset },
  };
}

/** An authority as listeners serve it. */
export interface Server {
  /** Answers what arrives over TLS. */
  handler: RequestHandler;
  /** Answers what arrives in the clear. */
  plaintextHandler: RequestHandler;
  /** Headers for answers to requests that cannot be read. */
  refusalHeaders: Readonly<Record<string, string>>;
  /** Every method and path that has an answer of its own, as the router knows them. */
  routes: readonly { method: string; path: string }[];
  /** Takes part in the jobs from now on. */
  startJobs(): void;
  /** Readiness goes off; jobs stop after their running step; streams end. */
  stopAccepting(): void;
  /** Fulfils, within seconds, when this node has given its jobs back and written what it counted: then the store may close. */
  stopJobs(): Promise<void>;
}

/** Paths that people open in a browser: over plain http only these are redirected. */
const PAGE_PATHS = /^\/$|^\/(login|logout|account|dev\/mailbox)(\/|$)|^\/oauth2\/authorize(\/|$)/;

/** Puts routes and jobs around the parts. Opens no socket and starts nothing. `mailbox`: shows its mails at /dev/mailbox. */
export function composeServer(authority: Authority, mailbox: DevelopmentMailbox | undefined): Server {
  const { world, settings, clients, tokens, grants, sessions, users, limits, events, keys, store, leases } = authority;
  const { issuer, organizationName, hstsPreload, trustedProxies, forwardAuthProxies = [] } = settings;
  const { authorization, login, introspection, push, identity, cleartext, standing, clockOffset } = authority;
  let isAccepting = true;

  const http = createHttp({
    ...{ log: world.log, random: world.random, stopwatch: world.stopwatch },
    ...{ issuer, hstsPreload, trustedProxies, organizationName },
    asking: { path: FORWARD_AUTH_PATH, proxies: forwardAuthProxies },
    cleartext: {
      isPage: (path) => PAGE_PATHS.test(path),
      credentialCookies: CREDENTIAL_COOKIES,
      onCredential: (sighting) => cleartext.sighted(sighting),
    },
  });
  const app = http.app();
  app.route(
    '/',
    healthRoutes({
      isAccepting: () => isAccepting,
      isKeyed: () => keys.isReady(),
      async isTimely() {
        await clockOffset?.look();
        return clockOffset?.isSmall ?? true;
      },
      async readStore() {
        await store.assertUsable();
        // A store that comes back may be an older copy, which no earlier look can know.
        await standing.look();
        if (!standing.isGood) throw new StoreUnavailable('Looking at the store: it may not be served from.');
      },
    }),
  );
  app.use(requireStanding(standing, { isByHeart: true })); // for all that follow
  app.route('/', discoveryRoutes({ keys, issuer }));
  app.use(requireStanding(standing)); // and from here on
  app.route('/', grantRoutes({ grants, tokens, clients, events, store }));
  app.route('/', introspectionRoutes({ introspection, clients, keys }));
  app.route('/', forwardAuthRoutes({ forwardAuth: authority.forwardAuth }));
  app.route('/', pushRoutes({ push, clients }));
  app.route('/', identityRoutes({ identity, tokens, clients }));
  app.route('/', authorizationRoutes({ authorization, sessions, users, limits, organizationName }));
  app.route(
    '/',
    loginRoutes({
      ...{ login, sessions, users, limits, organizationName },
      requests: authorization,
      applications: {
        list: async (userId) => connectedApplications(authority, userId),
        end: (grantId, userId) => disconnect(authority, { grantId, userId }),
      },
    }),
  );
  if (mailbox) app.route('/', mailboxRoutes({ mailbox, organizationName }));
  app.get('/', (c) => c.redirect(`${issuer}/account`, 303));

  const running: RunningTimer[] = [];
  let counted: Promise<unknown> | undefined;
  let seen: Promise<void> | undefined;
  return {
    handler: http.handler(app),
    plaintextHandler: http.plaintextHandler(),
    refusalHeaders: http.refusalHeaders,
    routes: routesOf(app.routes),
    startJobs: () => running.push(...startJobs(authority)),
    stopAccepting() {
      isAccepting = false;
      for (const timer of running) timer.stop();
      // At once, so that other nodes go on with the jobs while this one still answers what it was asked.
      void leases.stop();
      push.stop();
      seen = standing.end();
      // What is counted and not yet written would be lost with this process.
      counted = countEvidence(introspection).catch(() =>
        world.log.warn('reported forgeries that waited to be counted are lost'),
      );
    },
    async stopJobs() {
      await Promise.all([leases.stop(), counted, seen]);
    },
  };
}

/** The router lists each handler of a route; middleware (method ALL) is none. */
function routesOf(handlers: readonly { method: string; path: string }[]): Server['routes'] {
  const routes = handlers.filter(({ method }) => method !== 'ALL').map(({ method, path }) => ({ method, path }));
  return [...new Map(routes.map((route) => [`${route.method} ${route.path}`, route])).values()];
}

/** What runs on every node, and the jobs, each of which one node does. Returns the former; the jobs are the leases'. */
function startJobs(authority: Authority): RunningTimer[] {
  const { keys, introspection, leases, standing, clockOffset } = authority;
  const { timers } = authority.world;
  // Over a store that nobody is served from nothing is done, either: an older copy would have its mails sent once more.
  const whileGood: Timers = {
    every: (intervalMs, step) => timers.every(intervalMs, () => (standing.isGood ? step() : undefined)),
  };
  leases.start(jobsOf(authority), whileGood);
  return [
    timers.every(LOOK_MS, () => lookAtStore(standing)),
    ...(clockOffset ? [timers.every(1_000, () => lookAtClock(clockOffset))] : []),
    whileGood.every(1_000, () => reloadKeys(keys)),
    // What this process counted is in no other.
    whileGood.every(1_000, () => countEvidence(introspection)),
  ];
}

/**
 * Every job and how often it takes a step. What a sweep removes in that time is more than can come in it, or its table would grow
 * for ever: of tokens, invalidations and events several thousand rows a second.
 */
function jobsOf(authority: Authority): Job[] {
  const { mail, keys, alarms, tokens, grants, revocation, sessions, login, events, store } = authority;
  const footprints: Job = {
    name: 'sweep-footprints',
    intervalMs: 1_000,
    step: (held) => sweepFootprints(store.read, held),
  };
  return [
    // Only that engine leaves any.
    ...(store.engine === 'postgresql' ? [footprints] : []),
    { name: 'send-mails', intervalMs: 250, step: (held) => sendMails(mail, held) },
    { name: 'tell-alarms', intervalMs: 500, step: (held) => tellAlarms(alarms, held) },
    { name: 'rotate-keys', intervalMs: 1_000, step: (held) => rotateKeys(keys, held) },
    { name: 'sweep-tokens', intervalMs: 250, step: (held) => sweepTokens(tokens, held) },
    { name: 'erase-responses', intervalMs: 250, step: (held) => eraseResponses(grants, held) },
    { name: 'sweep-invalidations', intervalMs: 250, step: (held) => sweepInvalidations(revocation, held) },
    { name: 'sweep-events', intervalMs: 250, step: (held) => sweepEvents(events, held) },
    { name: 'sweep-grants', intervalMs: 1_000, step: (held) => sweepGrants(grants, held) },
    { name: 'sweep-sessions', intervalMs: 1_000, step: (held) => sweepSessions(sessions, held) },
    { name: 'sweep-links', intervalMs: 1_000, step: (held) => sweepLinks(login, held) },
    { name: 'sweep-mails', intervalMs: 1_000, step: (held) => sweepMails(mail, held) },
  ];
}

/** The account page's list of applications that may act for a user. */
async function connectedApplications({ grants, clients, users }: Authority, userId: string) {
  const user = await users.byId(userId);
  const live = user ? await grants.liveOfUser(user) : [];
  return Promise.all(
    live.map(async (grant) => ({
      grantId: grant.id,
      clientName: (await clients.find(grant.clientId))?.name ?? 'An application that is no longer registered',
      scope: grant.scope,
      createdAtMs: grant.createdAtMs,
    })),
  );
}

/** The user disconnects an application: its grant ends, and it has to ask again. */
async function disconnect(
  { store, grants, authorization }: Authority,
  of: { grantId: string; userId: string },
): Promise<boolean> {
  const grant = await grants.find(of.grantId);
  if (!grant || grant.userId !== of.userId) return false;
  return store.write(async (tx) => {
    await authorization.forgetConsent(tx, grant);
    return grants.end(tx, grant.id, 'user');
  });
}
