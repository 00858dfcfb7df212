import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createId, encodeBase64url } from '@countersign/protocol';
import { MAX_CODE_TRIES } from './code.ts';
import { LINK_LIFETIME_MS, REPEAT_WINDOW_MS } from './link.ts';
import { ADDRESS_LIMIT, ISSUER, type Setup, START_MS, setUp } from './testing/setup.ts';

const ANN = 'ann@example.org';
const request = { known: undefined, returnTo: '', client: undefined, userAgent: '', network: '192.0.2.1' };

function begin(setup: Setup, browser: string, email = ANN) {
  return setup.login.start({ ...request, email, browser });
}

function finishing(browser: string, network = '192.0.2.1') {
  return { browser, sessionCookie: undefined, userAgent: '', network };
}

/** A code that is not this one. */
function otherThan(code: string): string {
  return code.startsWith('A') ? `B${code.slice(1)}` : `A${code.slice(1)}`;
}

test('OI-13 attack-15 a first login makes the account and a session that claims a mailbox and no more; the second finds the account', async () => {
  const setup = await setUp();
  const browser = setup.login.newBrowser();
  await begin(setup, browser);
  const finish = await setup.login.finishByLink((await setup.newestMail()).token, finishing(browser));
  assert.equal(finish.kind, 'finished');
  const session = await setup.sessions.find(finish.kind === 'finished' ? finish.sessionCookie : '');
  const user = await setup.users.byEmail(ANN);
  assert.equal(session?.userId, user?.id);
  assert.deepEqual(session?.amr, ['email']);
  await begin(setup, browser);
  const again = await setup.login.finishByLink((await setup.newestMail()).token, finishing(browser));
  assert.equal(again.kind, 'finished');
  assert.equal((await setup.users.list({ limit: 10 })).length, 1);
});

test('ML-05 attack-7 one of fifty parallel uses of a link succeeds, and the others ring nothing', async () => {
  const setup = await setUp();
  const browser = setup.login.newBrowser();
  await begin(setup, browser);
  const { token } = await setup.newestMail();
  const all = await Promise.all(Array.from({ length: 50 }, () => setup.login.finishByLink(token, finishing(browser))));
  assert.equal(all.filter(({ kind }) => kind === 'finished').length, 1);
  assert.equal(all.filter(({ kind }) => kind === 'used').length, 49);
  const counted = await setup.store.read.get<{ total: number }>(
    "SELECT SUM(occurrences) AS total FROM event WHERE type = 'login.link_repeated'",
  );
  assert.equal(counted?.total, 49);
  assert.ok(!(await setup.events()).some((type) => type.startsWith('alarm.')));
});

test('a used link that comes back late, from another network, with the old cookie rings as replayed', async () => {
  const setup = await setUp();
  const browser = setup.login.newBrowser();
  await begin(setup, browser);
  const { token } = await setup.newestMail();
  await setup.login.finishByLink(token, finishing(browser));
  setup.pass(REPEAT_WINDOW_MS + 1);
  await setup.login.finishByLink(token, finishing(browser, '192.0.2.1'));
  assert.ok(!(await setup.events()).includes('alarm.replayed'));
  await setup.login.finishByLink(token, finishing(browser, '198.51.100.1'));
  assert.ok((await setup.events()).includes('alarm.replayed'));
});

test('a link begun in one network and used in another rings for nothing when the answer was lost there', async () => {
  const setup = await setUp();
  const browser = setup.login.newBrowser();
  await begin(setup, browser);
  const { token } = await setup.newestMail();
  const elsewhere = finishing(browser, '198.51.100.1');
  assert.equal((await setup.login.finishByLink(token, elsewhere)).kind, 'finished');
  setup.pass(REPEAT_WINDOW_MS + 1);
  assert.equal((await setup.login.finishByLink(token, elsewhere)).kind, 'used');
  assert.ok(!(await setup.events()).includes('alarm.replayed'));
});

test('ML-04 neither link nor code works in a browser that did not start', async () => {
  const setup = await setUp();
  const browser = setup.login.newBrowser();
  const linkId = await begin(setup, browser);
  const { token, code } = await setup.newestMail();
  const other = finishing(setup.login.newBrowser());
  assert.deepEqual(await setup.login.finishByLink(token, other), { kind: 'invalid' });
  assert.deepEqual(await setup.login.finishByLink(token, { ...other, browser: undefined }), { kind: 'invalid' });
  assert.deepEqual(await setup.login.finishByCode({ linkId, code }, other), { kind: 'invalid' });
  assert.equal((await setup.login.finishByLink(token, finishing(browser))).kind, 'finished');
});

test('ML-05 link and code end after ten minutes', async () => {
  const setup = await setUp();
  const browser = setup.login.newBrowser();
  const linkId = await begin(setup, browser);
  const { token, code } = await setup.newestMail();
  setup.pass(LINK_LIFETIME_MS);
  assert.deepEqual(await setup.login.finishByLink(token, finishing(browser)), { kind: 'expired' });
  assert.deepEqual(await setup.login.finishByCode({ linkId, code }, finishing(browser)), { kind: 'expired' });
});

test('ML-07 a code logs in once; five wrong ones burn it, and the link still works', async () => {
  const setup = await setUp();
  const browser = setup.login.newBrowser();
  const first = await begin(setup, browser);
  const right = await setup.newestMail();
  assert.equal(
    (await setup.login.finishByCode({ linkId: first, code: right.code }, finishing(browser))).kind,
    'finished',
  );
  assert.equal((await setup.login.finishByCode({ linkId: first, code: right.code }, finishing(browser))).kind, 'used');

  const linkId = await begin(setup, browser);
  const { code, token } = await setup.newestMail();
  for (let i = 0; i < MAX_CODE_TRIES; i++) {
    const wrong = await setup.login.finishByCode({ linkId, code: otherThan(code) }, finishing(browser));
    assert.equal(wrong.kind, 'wrong_code');
  }
  assert.equal((await setup.login.finishByCode({ linkId, code }, finishing(browser))).kind, 'too_many_codes');
  assert.equal((await setup.login.finishByLink(token, finishing(browser))).kind, 'finished');
});

test('ML-07 parallel guesses are counted one by one', async () => {
  const setup = await setUp();
  const browser = setup.login.newBrowser();
  const linkId = await begin(setup, browser);
  const { code } = await setup.newestMail();
  const guess = () => setup.login.finishByCode({ linkId, code: otherThan(code) }, finishing(browser));
  const all = await Promise.all(Array.from({ length: 40 }, guess));
  assert.equal(all.filter(({ kind }) => kind === 'wrong_code').length, MAX_CODE_TRIES);
});

test('ML-07 past a hundred wrong codes in a row no code of the address is taken, until a login by link', async () => {
  const setup = await setUp();
  const browser = setup.login.newBrowser();
  const linkId = await begin(setup, browser);
  const { code, token } = await setup.newestMail();
  for (let i = 0; i < 100; i++) setup.limits.take('codePerAddress', ANN);
  assert.equal((await setup.login.finishByCode({ linkId, code }, finishing(browser))).kind, 'too_many_codes');
  assert.equal((await setup.login.finishByLink(token, finishing(browser))).kind, 'finished');
  const next = await begin(setup, browser);
  const mail = await setup.newestMail();
  assert.equal(
    (await setup.login.finishByCode({ linkId: next, code: mail.code }, finishing(browser))).kind,
    'finished',
  );
});

test('ML-07 what is refused without being compared is no wrong code: one open login cannot use up those of an address', async () => {
  const setup = await setUp();
  const stranger = setup.login.newBrowser();
  const his = await begin(setup, stranger);
  const { code: other } = await setup.newestMail();
  for (let i = 0; i < 150; i++)
    await setup.login.finishByCode({ linkId: his, code: otherThan(other) }, finishing(stranger));
  const browser = setup.login.newBrowser();
  setup.pass(1);
  const linkId = await begin(setup, browser);
  const { code } = await setup.newestMail();
  assert.equal((await setup.login.finishByCode({ linkId, code }, finishing(browser))).kind, 'finished');
});

test('ML-05 the newest mail wins per address and browser; links of other browsers stay good', async () => {
  const setup = await setUp();
  const [browser, other] = [setup.login.newBrowser(), setup.login.newBrowser()];
  await begin(setup, other);
  const ofOther = await setup.newestMail();
  const oldTab = await begin(setup, browser);
  const old = await setup.newestMail();
  setup.pass(1000);
  await begin(setup, browser);
  const newest = await setup.newestMail();
  assert.deepEqual(await setup.login.finishByLink(old.token, finishing(browser)), { kind: 'superseded' });
  assert.equal(
    (await setup.login.finishByCode({ linkId: oldTab, code: old.code }, finishing(browser))).kind,
    'wrong_code',
  );
  const byOldTab = await setup.login.finishByCode({ linkId: oldTab, code: newest.code }, finishing(browser));
  assert.equal(byOldTab.kind, 'finished');
  assert.equal((await setup.login.finishByLink(ofOther.token, finishing(other))).kind, 'finished');
});

test('ML-09 a fourth browser gets no mail for an address, and takes none of the three open links', async () => {
  const setup = await setUp();
  const browsers = Array.from({ length: 4 }, () => setup.login.newBrowser());
  const tokens: string[] = [];
  for (const browser of browsers) {
    setup.pass(1000);
    await begin(setup, browser);
    tokens.push((await setup.newestMail()).token);
  }
  assert.equal(setup.mailbox.list().length, 3);
  assert.equal((await setup.login.finishByLink(tokens[0] ?? '', finishing(browsers[0] ?? ''))).kind, 'finished');
});

test('ML-09 past the limit of an address nothing is sent, nothing is told, and the last link and code still work', async () => {
  const setup = await setUp();
  const browser = setup.login.newBrowser();
  for (let i = 0; i < ADDRESS_LIMIT; i++) {
    setup.pass(1);
    await begin(setup, browser);
  }
  const last = await setup.newestMail();
  const throttled = await begin(setup, browser);
  await setup.mail.sendDue();
  assert.equal(setup.mailbox.list().length, ADDRESS_LIMIT);
  assert.match(throttled, /^maglnk_/);
  const typed = { linkId: throttled, code: last.code };
  assert.equal((await setup.login.finishByCode(typed, finishing(browser))).kind, 'finished');
});

test('ML-08 known, unknown, disabled and throttled addresses leave the same rows and pages behind', async () => {
  const setup = await setUp({ signUp: false });
  await setup.store.write(async (tx) => {
    await setup.users.create(tx, ANN);
    const disabled = await setup.users.create(tx, 'dis@example.org');
    await setup.users.disable(tx, disabled.id);
  });
  for (let i = 0; i < ADDRESS_LIMIT; i++) setup.limits.take('loginPerAddress', 'thr@example.org');
  for (const email of [ANN, 'unknown@example.org', 'dis@example.org', 'thr@example.org']) {
    const browser = setup.login.newBrowser();
    const linkId = await begin(setup, browser, email);
    const guess = () => setup.login.finishByCode({ linkId, code: 'AAAAAA' }, finishing(browser));
    const answers = [];
    for (let i = 0; i <= MAX_CODE_TRIES; i++) answers.push((await guess()).kind);
    const told = [...Array.from({ length: MAX_CODE_TRIES }, () => 'wrong_code'), 'too_many_codes'];
    assert.deepEqual(answers, told, email);
  }
  const rows = await setup.store.read.all('SELECT id FROM mail');
  assert.equal(rows.length, 4);
  await setup.mail.sendDue();
  const mails = new Map(setup.mailbox.list().map((mail) => [mail.to, mail.text]));
  assert.deepEqual([...mails.keys()].sort(), [ANN, 'dis@example.org', 'unknown@example.org']);
  assert.match(mails.get(ANN) ?? '', /token=/);
  assert.doesNotMatch(mails.get('dis@example.org') ?? '', /token=|code there/);
  assert.doesNotMatch(mails.get('unknown@example.org') ?? '', /token=|code there/);
});

test('SE-05 a link from before a disabling is dead, also after enabling', async () => {
  const setup = await setUp();
  const user = await setup.store.write((tx) => setup.users.create(tx, ANN));
  const browser = setup.login.newBrowser();
  await begin(setup, browser);
  const { token } = await setup.newestMail();
  setup.pass(1000);
  await setup.store.write(async (tx) => {
    await setup.users.disable(tx, user.id);
    await setup.users.enable(tx, user.id);
  });
  assert.deepEqual(await setup.login.finishByLink(token, finishing(browser)), { kind: 'no_account' });
});

test('SE-02 SE-04 a login ends the session this browser had, and logging out ends the new one', async () => {
  const setup = await setUp();
  const browser = setup.login.newBrowser();
  const logIn = async (sessionCookie?: string) => {
    await begin(setup, browser);
    const { token } = await setup.newestMail();
    const finish = await setup.login.finishByLink(token, { ...finishing(browser), sessionCookie });
    return finish.kind === 'finished' ? finish.sessionCookie : '';
  };
  const first = await logIn();
  setup.pass(1000);
  const second = await logIn(first);
  assert.equal(await setup.sessions.find(first), undefined);
  assert.ok(await setup.sessions.find(second));
  assert.equal(await setup.login.logOut(second), true);
  assert.equal(await setup.sessions.find(second), undefined);
  assert.equal(await setup.login.logOut(second), false);
  assert.deepEqual(
    setup.ended.map(({ kind }) => kind),
    ['replaced', 'logout'],
  );
});

test('a published magic-link key forges nothing, and rings', async () => {
  const setup = await setUp();
  const browser = setup.login.newBrowser();
  await begin(setup, browser);
  const { token } = await setup.newestMail();
  const own: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  assert.ok(own && typeof own === 'object');
  const sign = async (claims: object) =>
    (await setup.keys.sign({ purpose: 'magic-link', typ: 'ml+jwt', claims })).token;
  const inspect = async (claims: object) => {
    const presented = { browser, address: '203.0.113.9' };
    return (await setup.login.inspect(await sign(claims), presented)).verdict;
  };
  const jti = createId('maglnk', START_MS, new Uint8Array(8));
  const exp = START_MS / 1000 + 600;
  const foreign = encodeBase64url(new Uint8Array(48).fill(7));
  const forged = { kind: 'invalid', verdict: 'forged' };
  assert.deepEqual(await inspect({ iss: ISSUER, jti, eb: foreign, exp }), forged);
  assert.deepEqual(await inspect({ iss: ISSUER, jti, exp }), forged);
  assert.deepEqual(await inspect({ ...own, exp: exp - 1 }), { kind: 'invalid', verdict: 'tampered' });
  const lost = { iss: ISSUER, jti, eb: setup.buckets.mint('magic-link', jti), exp };
  assert.deepEqual(await inspect(lost), { kind: 'invalid', verdict: 'unknown' });
  assert.deepEqual((await setup.events()).filter((type) => type.startsWith('alarm.')).sort(), [
    'alarm.forged',
    'alarm.forged',
    'alarm.tampered',
  ]);
  assert.equal(
    (await setup.login.finishByLink(await sign({ ...own, exp: exp - 1 }), finishing(browser))).kind,
    'invalid',
  );
  assert.equal((await setup.login.finishByLink(token, finishing(browser))).kind, 'finished');
});

test('ML-08 a long name of an app does not make mails to known addresses larger than those to unknown ones', async () => {
  const setup = await setUp({ signUp: false });
  await setup.store.write((tx) => setup.users.create(tx, ANN));
  for (const name of ['x', '€'.repeat(70), '"'.repeat(100)]) {
    for (const email of [ANN, 'bob@example.org']) {
      const client = { id: 'oauth2client_x', name };
      await setup.login.start({ ...request, email, client, browser: setup.login.newBrowser() });
    }
  }
  const rows = await setup.store.read.all<{ size: number }>('SELECT length(sealed_mail) AS size FROM mail');
  assert.deepEqual([rows.length, new Set(rows.map(({ size }) => size)).size], [6, 1]);
});

test('ML-06 the database holds neither token nor code nor cookie', async () => {
  const setup = await setUp();
  const browser = setup.login.newBrowser();
  await begin(setup, browser);
  const rows = await setup.store.read.all<Record<string, unknown>>('SELECT * FROM magic_link');
  const mails = await setup.store.read.all<Record<string, unknown>>('SELECT * FROM mail');
  const { token, code } = await setup.newestMail();
  const dump = [...rows, ...mails]
    .flatMap((row) => Object.values(row))
    .map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value)))
    .join('\n');
  for (const secret of [token, token.split('.')[1] ?? '', code.replace('-', ''), browser]) {
    assert.ok(secret.length >= 6 && !dump.includes(secret));
  }
  const erased = await setup.store.read.get<{ sealed_mail: unknown }>('SELECT sealed_mail FROM mail');
  assert.equal(erased?.sealed_mail, null);
});

test('links that ended a day ago are swept', async () => {
  const setup = await setUp();
  await begin(setup, setup.login.newBrowser());
  assert.deepEqual(await setup.login.sweep(), { removed: 0 });
  setup.pass(LINK_LIFETIME_MS + 86_400_001);
  assert.deepEqual(await setup.login.sweep(), { removed: 1 });
});
