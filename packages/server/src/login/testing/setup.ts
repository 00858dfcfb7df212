import { after } from 'node:test';
import { Buckets } from '../../buckets/buckets.ts';
import { Events } from '../../events/events.ts';
import { createHttp } from '../../http/http.ts';
import { Keys } from '../../keys/keys.ts';
import { LIMITS, Limits } from '../../limits/limits.ts';
import { DevelopmentMailbox, Mail } from '../../mail/mail.ts';
import { Sealer } from '../../sealing/sealing.ts';
import { Sessions } from '../../sessions/sessions.ts';
import { openTestStore } from '../../testing/testing.ts';
import { Users } from '../../users/users.ts';
import type { Log } from '../../world/log.ts';
import { systemRandom } from '../../world/random.ts';
import { systemStopwatch } from '../../world/stopwatch.ts';
import type { ConnectedApplication } from '../account/account-page.ts';
import { Login, type SessionEnd } from '../login.ts';
import { loginRoutes } from '../routes.ts';

export const ISSUER = 'https://auth.example';
export const START_MS = 1_800_000_000_000;

/** A login domain of real parts over a real database; only the clock is steered. */
export async function setUp(options: { signUp?: boolean } = {}) {
  let nowMs = START_MS;
  const clock = { now: () => nowMs };
  const random = systemRandom;
  const { store, close } = await openTestStore({ clock });
  after(close);
  const sealer = new Sealer({ masterKey: random.bytes(32), random });
  const events = new Events({ store, clock, random });
  const keys = new Keys({ store, sealer, events, clock, random, issuer: ISSUER, accessAlgorithm: 'ES256' });
  const buckets = new Buckets({ store, sealer, clock, random });
  await Promise.all([keys.prepare(), buckets.prepare()]);
  const users = new Users({ store, clock, random, events, buckets });
  const sessions = new Sessions({ store, clock, random, users, events, buckets });
  const mailbox = new DevelopmentMailbox({ clock });
  const mail = new Mail({ store, sealer, clock, random, transport: mailbox, log: quiet, mailsPerMinute: 6000 });
  const limits = new Limits({ clock, random });
  const ended: SessionEnd[] = [];
  const login = new Login({
    store,
    sealer,
    clock,
    random,
    users,
    sessions,
    mail,
    keys,
    buckets,
    limits,
    events,
    followers: {
      sessionEnding: async (_sql, end) => ({ steps: [], afterCommit: [() => void ended.push(end)] }),
    },
    issuer: ISSUER,
    organizationName: 'Example',
    signUp: options.signUp ?? true,
  });
  const applications: ConnectedApplication[] = [];
  const http = createHttp({
    log: quiet,
    random,
    stopwatch: systemStopwatch,
    issuer: ISSUER,
    hstsPreload: false,
    trustedProxies: [],
    organizationName: 'Example',
    cleartext: { isPage: () => true, credentialCookies: [], onCredential: async () => {} },
  });
  const app = http.app();
  app.route(
    '/',
    loginRoutes({
      login,
      sessions,
      users,
      limits,
      organizationName: 'Example',
      requests: { describe: async (sealed) => (sealed === SEALED_REQUEST ? SHOP : undefined) },
      applications: {
        list: async () => applications,
        end: async (grantId) => {
          const at = applications.findIndex((application) => application.grantId === grantId);
          return at >= 0 && applications.splice(at, 1).length === 1;
        },
      },
    }),
  );
  const handler = http.handler(app);
  return {
    store,
    keys,
    buckets,
    users,
    sessions,
    mailbox,
    mail,
    login,
    limits,
    ended,
    applications,
    clock,
    fetch: (request: Request, address = '192.0.2.1') => handler(request, { address }),
    pass: (ms: number) => {
      nowMs += ms;
    },
    /** Types of the events so far, oldest first. */
    events: async () =>
      (await store.read.all<{ type: string }>('SELECT type FROM event ORDER BY id')).map(({ type }) => type),
    /** Sends what waits and returns the newest mail's link token and code. */
    newestMail: async () => {
      await mail.sendDue();
      const [newest] = mailbox.list();
      const text = newest?.text ?? '';
      const token = /token=([\w.-]+)/.exec(text)?.[1] ?? '';
      const code = /code there: (\S+)/.exec(text)?.[1] ?? '';
      return { mail: newest, token, code };
    },
  };
}

export type Setup = Awaited<ReturnType<typeof setUp>>;

export const SEALED_REQUEST = 'sealed-request';
export const SHOP = {
  clientId: 'oauth2client_shop',
  clientName: 'Shop',
  redirectUri: 'https://shop.example/back',
  loginHint: 'ann@"example.org',
};
export const ADDRESS_LIMIT = LIMITS.loginPerAddress.points;

const quiet: Log = { info: () => {}, warn: () => {}, error: () => {} };
