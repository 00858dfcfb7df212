/** Magic links and codes: forged with the leaked HS256 key and the bucket key, used, or opened by somebody else. */
import { createHmac } from 'node:crypto';
import { type Browser, codeIn } from '@countersign/testkit';
import type { Answer, Attempt, Ring } from '../attempt.ts';
import { readRow } from '../database.ts';
import { headerFor, inventedBucket, inventedId, type Json, partsOf, signed, TYP } from '../forging.ts';
import { followLink, PLACES } from '../places.ts';
import type { Scene } from '../scene.ts';

const WHERE = 'login link';

/** Each attempt has a victim of its own: at most three links of an address are open at a time. */
let victims = 0;
const nextVictim = () => `victim-${++victims}@example.com`;

interface Forgery {
  name: string;
  alarm?: Ring;
  /** `waiting`: claims of a good link that waits in the victim's browser; `own`: one that waits in Mallory's. */
  claims(scene: Scene, links: { waiting: Json; own: Json }): Json;
}

const FORGERIES: Forgery[] = [
  {
    name: 'minted from nothing',
    alarm: 'forged',
    claims: (scene, { waiting }) => ({
      ...waiting,
      jti: inventedId('maglnk', scene.server.clock.now()),
      eb: inventedBucket(),
    }),
  },
  {
    name: 'minted with the bucket key too (unknown)',
    claims(scene, { waiting }) {
      const jti = inventedId('maglnk', scene.server.clock.now());
      return { ...waiting, jti, eb: scene.leak.tagged('magic-link', jti) };
    },
  },
  {
    name: 'the victim’s link, with the eb of his own',
    alarm: 'tampered',
    claims: (_scene, { waiting, own }) => ({ ...waiting, eb: own.eb }),
  },
  {
    name: 'the victim’s link, its tag made by the bucket key',
    alarm: 'tampered',
    claims: (scene, { waiting }) => ({ ...waiting, eb: scene.leak.tagged('magic-link', String(waiting.jti)) }),
  },
  {
    name: 'his own link, as the victim’s jti never was',
    alarm: 'forged',
    claims: (scene, { own }) => ({ ...own, jti: inventedId('maglnk', scene.server.clock.now()) }),
  },
  {
    name: 'his own link, ending earlier',
    alarm: 'tampered',
    claims: (_scene, { own }) => ({ ...own, exp: Number(own.exp) - 60 }),
  },
  {
    name: 'his own link, living on for a day',
    alarm: 'forged',
    claims: (_scene, { own }) => ({ ...own, exp: Number(own.exp) + 86_400 }),
  },
  { name: 'his own link without eb', alarm: 'forged', claims: (_scene, { own }) => ({ ...own, eb: undefined }) },
  { name: 'his own link, its eb an array', alarm: 'forged', claims: (_scene, { own }) => ({ ...own, eb: [own.eb] }) },
  {
    name: 'his own link with the victim’s address in it',
    alarm: 'forged',
    claims: (_scene, { own }) => ({ ...own, sub: 'victim@example.com' }),
  },
  {
    name: 'attack-30 exp is text',
    alarm: 'forged',
    claims: (_scene, { own }) => ({ ...own, exp: String(own.exp) }),
  },
  {
    name: 'a foreign issuer under our key',
    alarm: 'forged',
    claims: (_scene, { own }) => ({ ...own, iss: 'https://evil.example' }),
  },
];

async function forge(scene: Scene, claims: Forgery['claims']): Promise<string> {
  const waiting = partsOf(await scene.freshLink(nextVictim(), scene.server.browser())).claims;
  const own = partsOf(await scene.freshLink(nextVictim(), scene.server.browser())).claims;
  const key = scene.leak.active('magic-link');
  return signed(key, headerFor(key, TYP['magic-link']), claims(scene, { waiting, own }));
}

const FORGED: Attempt[] = FORGERIES.map(({ name, alarm, claims }) => ({
  name,
  where: WHERE,
  ...(alarm && { alarm }),
  run: async (scene) => followLink(scene, await forge(scene, claims)),
}));

const PLANTED: Attempt[] = FORGERIES.slice(0, 3).map(({ name, alarm, claims }) => ({
  name: `${name}, planted in the cookie behind the button`,
  where: WHERE,
  ...(alarm && { alarm }),
  async run(scene) {
    const token = await forge(scene, claims);
    const browser = scene.server.browser();
    const good = await scene.freshLink(nextVictim(), browser);
    const page = await browser.get(`/login/link?token=${good}`);
    browser.cookies.set('__Host-link', token);
    return finished(browser, (await browser.submit(page, {})).status);
  },
}));

PLANTED.push({
  name: 'the victim’s good link, planted in the cookie behind the button',
  where: WHERE,
  async run(scene) {
    const browser = scene.server.browser();
    const own = await scene.freshLink(nextVictim(), browser);
    const page = await browser.get(`/login/link?token=${own}`);
    browser.cookies.set('__Host-link', await scene.freshLink(nextVictim(), scene.server.browser()));
    return finished(browser, (await browser.submit(page, {})).status);
  },
});

function finished(browser: Browser, status: number): Answer {
  return { status, code: '', gained: browser.cookies.has('__Host-session') };
}

const MISUSED: Attempt[] = [
  {
    name: 'ML-05 a link that was used, again in a new browser',
    where: WHERE,
    async run(scene) {
      const browser = scene.server.browser();
      const token = await scene.freshLink(nextVictim(), browser);
      await browser.submit(await browser.get(`/login/link?token=${token}`), {});
      if (!browser.cookies.has('__Host-session')) throw new Error('The link did not log in to begin with');
      return followLink(scene, token);
    },
  },
  {
    name: 'a good link in another browser than the one that waits',
    where: WHERE,
    run: async (scene) => followLink(scene, await scene.freshLink(nextVictim(), scene.server.browser())),
  },
  {
    name: 'a link that a newer one replaced',
    where: WHERE,
    async run(scene) {
      const [browser, email] = [scene.server.browser(), nextVictim()];
      const token = await scene.freshLink(email, browser);
      await scene.freshLink(email, browser);
      const page = await browser.get(`/login/link?token=${token}`);
      return finished(browser, page.status);
    },
  },
  {
    name: 'a link after its ten minutes, in the browser that waits',
    where: WHERE,
    async run(scene) {
      const browser = scene.server.browser();
      const token = await scene.freshLink(nextVictim(), browser);
      scene.server.clock.advance(601_000);
      const page = await browser.get(`/login/link?token=${token}`);
      return finished(browser, page.status);
    },
  },
  {
    name: 'the code, found from a copied database with the leaked login-code key, in another browser',
    where: 'login code',
    async run(scene) {
      const email = nextVictim();
      const after = scene.server.mails.length;
      const link = await scene.freshLink(email, scene.server.browser());
      const code = codeIn(await scene.server.mailTo(email, after)).replace('-', '');
      const linkId = String(partsOf(link).claims.jti);
      await assertCodeCanBeFound(scene, { linkId, code });
      const browser = scene.server.browser();
      await browser.submit(await browser.get('/login'), { email: nextVictim() });
      const own = await browser.get(`/login/sent?login=${await newestLinkOf(scene)}`);
      const last = await browser.submit(own, { code, login: linkId }, { action: '/login/code' });
      return finished(browser, last.status);
    },
  },
  {
    name: 'attack-17 a session cookie planted before the login is not the session after it',
    where: WHERE,
    async run(scene) {
      const browser = scene.server.browser();
      const planted = Buffer.alloc(32, 7).toString('base64url');
      browser.cookies.set('__Host-session', planted);
      const token = await scene.freshLink(nextVictim(), browser);
      await browser.submit(await browser.get(`/login/link?token=${token}`), {});
      return PLACES.session.present(scene, planted);
    },
  },
];

/**
 * With the login-code key *and* a fresh copy of the database he has the code of a login that he began himself, in his own browser,
 * for somebody else's address: as if he read the mail.
 */
export const CONCEDED_TO_CODE_KEY_THIEVES: Attempt[] = [
  {
    name: 'login-code key and a fresh copy of the database: the code of a login that he began for another’s address',
    where: 'login code',
    kind: 'conceded',
    async run(scene) {
      const [browser, email, after] = [scene.server.browser(), nextVictim(), scene.server.mails.length];
      const sent = await browser.submit(await browser.get('/login'), { email });
      const linkId = await newestLinkOf(scene);
      const code = codeIn(await scene.server.mailTo(email, after)).replace('-', '');
      await assertCodeCanBeFound(scene, { linkId, code });
      const last = await browser.submit(sent, { code }, { action: '/login/code' });
      return finished(browser, last.status);
    },
  },
];

/** The search over 887 million codes is left out; that it would end is what counts. */
async function assertCodeCanBeFound(scene: Scene, { linkId, code }: { linkId: string; code: string }): Promise<void> {
  const secret = scene.leak.active('login-code').secret ?? new Uint8Array(0);
  const found = createHmac('sha256', secret).update(`${linkId}:${code}`).digest();
  const { mac } = await readRow(scene, 'SELECT code_mac AS mac FROM magic_link WHERE id = $1', linkId);
  if (!(mac instanceof Uint8Array) || !found.equals(mac)) throw new Error('The leaked key does not fit the row');
}

async function newestLinkOf(scene: Scene): Promise<string> {
  return String((await readRow(scene, 'SELECT id FROM magic_link ORDER BY id DESC LIMIT 1')).id);
}

export const LINK_ATTEMPTS: Attempt[] = [...FORGED, ...PLANTED, ...MISUSED];
