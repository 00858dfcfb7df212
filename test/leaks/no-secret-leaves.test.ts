import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Browser, codeIn, DEFAULT_AUDIENCE, linkIn, startTestServer, type TokenSet } from '@countersign/testkit';
import { createVerifier } from '@countersign/verifier';
import { tablesOf } from '../attacks/tables.ts';
import { byteSecret, type Secret, type Surface, search, textSecret, tokenSecrets } from './search.ts';

const secrets: Secret[] = [];
/** Tokens against the forgery of forms: they stand in the pages that hold the forms, and nowhere else. */
const formTokens: Secret[] = [];
const answers: { url: string; status: number; type: string; headers: [string, string][]; body: string }[] = [];

const plainFetch = globalThis.fetch;
/** Every request of this process, of browsers, clients and verifier alike, is noted with its answer. */
globalThis.fetch = async (...asked: Parameters<typeof fetch>) => {
  const answer = await plainFetch(...asked);
  const body = await answer.clone().text();
  for (const cookie of answer.headers.getSetCookie()) {
    const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
    if (value !== '') secrets.push(textSecret(`cookie ${name}`, value));
  }
  for (const [, value = ''] of body.matchAll(/name="csrf" value="([^"]+)"/g))
    formTokens.push(textSecret('csrf', value));
  const headers = [...answer.headers].filter(([name]) => name !== 'set-cookie');
  const type = answer.headers.get('content-type') ?? '';
  answers.push({ url: answer.url.split('?')[0] ?? '', status: answer.status, type, headers, body });
  return answer;
};

const server = await startTestServer();
after(() => server.close());
const { client, secret } = await server.addClient({ name: 'Shop' });
const resourceServer = await server.addResourceServer();
secrets.push(textSecret('client secret', secret), textSecret('secret of the resource server', resourceServer.secret));
const credentials = { client_id: client.id, client_secret: secret };
const isOfFiles = server.authority.store.engine === 'sqlite';

async function mailed(browser: Browser, email: string) {
  const before = server.mails.length;
  const sent = await browser.submit(await browser.get('/login'), { email });
  const mail = await server.mailTo(email, before);
  const [link, code] = [linkIn(mail), codeIn(mail)];
  secrets.push(...tokenSecrets('magic link', new URL(link).searchParams.get('token') ?? ''));
  secrets.push(textSecret('login code', code), textSecret('login code', code.replace('-', '')));
  return { sent, link, code };
}

function keep(tokens: TokenSet): TokenSet {
  secrets.push(...tokenSecrets('access token', tokens.access_token));
  if (tokens.refresh_token) secrets.push(...tokenSecrets('refresh token', tokens.refresh_token));
  if (tokens.id_token) secrets.push(...tokenSecrets('ID token', tokens.id_token));
  return tokens;
}

async function obtain(browser: Browser) {
  const flow = await server.obtainCode({ browser, client, scope: 'openid email offline_access accounts:read' });
  secrets.push(textSecret('authorization code', flow.code), textSecret('code verifier', flow.verifier));
  const redeem = () =>
    server.post('/oauth2/token', {
      grant_type: 'authorization_code',
      ...{ code: flow.code, code_verifier: flow.verifier, redirect_uri: flow.redirectUri },
      ...credentials,
    });
  return { flow, redeem, tokens: keep(await (await redeem()).json()) };
}

/** Everything a person, a client and a resource server do in a day. */
async function day(): Promise<TokenSet> {
  const ada = server.browser();
  const byLink = await mailed(ada, 'ada@example.com');
  await ada.submit(await ada.get(byLink.link), {});
  const phone = server.browser();
  const byCode = await mailed(phone, 'ada@example.com');
  await phone.submit(byCode.sent, { code: '222-222' });
  await phone.submit(byCode.sent, { code: byCode.code });

  const first = await obtain(ada);
  const refresh = async (token: string | undefined) =>
    (
      await server.post('/oauth2/token', { grant_type: 'refresh_token', refresh_token: token ?? '', ...credentials })
    ).json();
  const second = keep(await refresh(first.tokens.refresh_token));
  keep(await refresh(first.tokens.refresh_token)); // again, within the grace window
  const third = keep(await refresh(second.refresh_token));
  const asResourceServer = { client_id: resourceServer.client.id, client_secret: resourceServer.secret };
  await server.post('/oauth2/introspect', { token: third.access_token, ...asResourceServer });
  const verifier = createVerifier({
    issuer: server.issuer,
    audience: DEFAULT_AUDIENCE,
    credentials: { clientId: resourceServer.client.id, clientSecret: resourceServer.secret },
    clock: server.clock,
    fetch: (...asked) => globalThis.fetch(...asked),
  });
  assert.equal((await verifier.verify(third.access_token)).kind, 'accepted');
  await verifier.close();
  const authorization = `Bearer ${third.access_token}`;
  await fetch(`${server.issuer}/userinfo`, { headers: { authorization } });
  await server.post('/oauth2/revoke', { token: third.access_token, ...credentials });
  await phone.submit(await phone.get('/logout'), {});

  await ada.get(byLink.link); // used
  await first.redeem(); // replayed: its grant ends
  await refresh(third.refresh_token);
  return (await obtain(ada)).tokens;
}

/** Errors of all kinds, each made with something secret in the request. */
async function errors(tokens: TokenSet): Promise<void> {
  const { access_token: access, refresh_token: refresh = '' } = tokens;
  const { issuer } = server;
  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
  const json = (body: string) => ({
    method: 'POST',
    body,
    headers: {
      authorization: `Basic ${Buffer.from(`${resourceServer.client.id}:${resourceServer.secret}`).toString('base64')}`,
      'content-type': 'application/json',
    },
  });
  await fetch(`${issuer}/nowhere/${access}`);
  await fetch(`${issuer}/userinfo?access_token=${access}`);
  await fetch(`${issuer}/oauth2/authorize?code=${access}&client_secret=${secret}`);
  await fetch(`${issuer}/login?continue=${access}`);
  await fetch(`${issuer}/login/link?token=${access}`);
  await fetch(`${issuer}/login/sent?login=${access}`);
  await fetch(`${issuer}/ping/whoami`, bearer(refresh));
  await fetch(`${issuer}/ping/whoami`, bearer(`${access}x`));
  await fetch(`${issuer}/ping/whoami`, { headers: { authorization: `Basic ${access}`, 'user-agent': access } });
  await fetch(`${issuer}/oauth2/token/${access}`, { method: 'DELETE' });
  await fetch(`${issuer}/verifier/check`, json(`{"tokens": [{"jti": "${access}"}]}`));
  await fetch(`${issuer}/verifier/check`, json(`{"${access}": {}}`));
  await fetch(`${issuer}/verifier/report`, json(`{"token": "${access}"`));
  await fetch(`${issuer}/verifier/report`, json(`{"token": "${access}"}`));
  await server.post('/oauth2/token', { grant_type: access, ...credentials });
  await server.post('/oauth2/token', { grant_type: 'refresh_token', refresh_token: access, ...credentials });
  await server.post('/oauth2/token', { [access]: '1', ...credentials });
  await server.post('/oauth2/token', { grant_type: 'authorization_code', code: refresh, ...credentials });
  await server.post('/oauth2/token', { ...credentials, client_id: access });
  await server.post('/oauth2/introspect', { token: access, ...credentials });
  await fetch(`${server.plaintextOrigin}/userinfo`, bearer(access));
  await server.post(`${server.plaintextOrigin}/oauth2/token`, { refresh_token: refresh, ...credentials });
  // A fault whose message quotes what it choked on.
  const { clients, store } = server.authority;
  const authenticate = clients.authenticate.bind(clients);
  const faults: (() => Promise<unknown>)[] = [
    async () => {
      throw new Error(`cannot read ${access}`, { cause: new Error(`nor ${secret}`) });
    },
    ...REFUSED_ROWS.map((text) => () => store.write((tx) => tx.run(text, QUOTED))),
    ...REFUSED_ROWS.map((text) => () => store.commit({ steps: [{ text, values: [QUOTED] }] })),
    () => store.read.all(READ_AS_NUMBER, QUOTED),
  ];
  for (const fault of faults) {
    clients.authenticate = async () => {
      await fault();
      throw new Error('It was no fault.');
    };
    await server.post('/oauth2/token', { grant_type: 'refresh_token', refresh_token: refresh, ...credentials });
  }
  clients.authenticate = authenticate;
}

/**
 * What a database refuses it quotes: PostgreSQL names the key that is there already, the row that a constraint does not let in, the text
 * that is no number. Short, as login codes are: what is longer is left out of every line of the log, whoever wrote it.
 */
const QUOTED = 'QX7-KM2';
secrets.push(textSecret('value that a database refused', QUOTED));
const REFUSED_ROWS = [
  'INSERT INTO store_epoch (singleton, epoch, changed_at_ms, reason) VALUES (2, 1, 0, $1)',
  'INSERT INTO outlet (name, read_up_to) VALUES ($1, NULL)',
  "INSERT INTO outlet (name, read_up_to) VALUES ($1, 'x'), ($1, 'y')",
];
const READ_AS_NUMBER = 'SELECT CAST(CAST($1 AS TEXT) AS INTEGER) AS number';

/** The keys as only the running authority holds them. */
async function keys(): Promise<Secret[]> {
  const { store, sealer } = server.authority;
  const found = [byteSecret('master key', server.masterKey)];
  const signing = await store.read.all<{ id: string; algorithm: string; sealed_private: Uint8Array }>(
    'SELECT id, algorithm, sealed_private FROM signing_key',
  );
  for (const { id, algorithm, sealed_private: sealed } of signing) {
    const plain = sealer.open({ table: 'signing_key', row: id, column: 'sealed_private' }, sealed);
    found.push(byteSecret(`private ${algorithm} key`, plain));
    if (algorithm === 'HS256') continue;
    const jwk = createPrivateKey({ key: Buffer.from(plain), type: 'pkcs8', format: 'der' }).export({ format: 'jwk' });
    found.push(textSecret(`private member of a ${algorithm} key`, jwk.d ?? ''));
  }
  for (const row of await store.read.all<{ version: number; sealed_key: Uint8Array }>('SELECT * FROM bucket_key')) {
    const place = { table: 'bucket_key', row: String(row.version), column: 'sealed_key' };
    found.push(byteSecret('bucket key', sealer.open(place, row.sealed_key)));
  }
  return found;
}

/**
 * Every value of every row, and the raw bytes of every file beside the TLS folder: of SQLite these are the database, its free pages
 * included, and its log. PostgreSQL keeps its own files, of the same values.
 */
async function stored(): Promise<Surface[]> {
  const { store } = server.authority;
  const surfaces: Surface[] = [];
  const tables = await tablesOf(store);
  assert.ok(tables.length >= 15);
  for (const name of tables) {
    for (const row of await store.read.all<Record<string, unknown>>(`SELECT * FROM ${name}`)) {
      for (const [column, value] of Object.entries(row)) {
        const bytes = value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(String(value));
        surfaces.push({ where: `${name}.${column}`, bytes });
      }
    }
  }
  for (const entry of readdirSync(server.dataFolder, { withFileTypes: true })) {
    if (!entry.isFile()) continue;
    surfaces.push({ where: `file ${entry.name}`, bytes: readFileSync(join(server.dataFolder, entry.name)) });
  }
  return surfaces;
}

function told(): Surface[] {
  return [
    ...server.logLines.map((line) => ({ where: 'the log', bytes: Buffer.from(line) })),
    ...server.journal.map((entry) => ({ where: 'the journal', bytes: Buffer.from(JSON.stringify(entry)) })),
  ];
}

function answered(only: { pages: boolean }): Surface[] {
  return answers
    .filter(({ status, type }) => status >= 400 && (only.pages || !type.startsWith('text/html')))
    .map(({ url, status, body }) => ({
      where: `body of ${status} at ${new URL(url).pathname}`,
      bytes: Buffer.from(body),
    }));
}

/** Headers, except that a code travels to the redirect URI of its client: that is what it is for. */
function headers(): Surface[] {
  return answers.flatMap(({ url, headers: lines }) =>
    lines
      .filter(([name, value]) => !(name === 'location' && value.startsWith(client.redirectUris[0] ?? '?')))
      .map(([name, value]) => ({ where: `header ${name} at ${new URL(url).pathname}`, bytes: Buffer.from(value) })),
  );
}

test('EB-12 LG-03 DR-01 ML-06 TC-04 after a whole day nothing secret stands in logs, errors, headers, rows or files', async () => {
  await errors(await day());
  await server.authority.mail.sendDue();
  secrets.push(...(await keys()));
  const kinds = new Set(secrets.map(({ what }) => what));
  assert.ok(kinds.size >= 20, [...kinds].join(', '));
  assert.ok(formTokens.length > 5 && server.logLines.length > 50);
  assert.ok(
    new Set(answers.map(({ status }) => status)).isSupersetOf(new Set([200, 303, 400, 401, 403, 404, 410, 500])),
  );

  const database = await stored();
  if (isOfFiles) assert.ok(database.some(({ where }) => where.endsWith('-wal')));
  assert.deepEqual(search(secrets, [...told(), ...answered({ pages: true }), ...headers(), ...database]), []);
  assert.deepEqual(search(formTokens, [...told(), ...answered({ pages: false }), ...headers(), ...database]), []);
});

test('the search finds what is there: a canary in each place, in each spelling', async () => {
  const bytes = Buffer.from('a canary of thirty-two bytes sang');
  const canary = byteSecret('canary', bytes);
  assert.deepEqual(search([canary], [...told(), ...answered({ pages: true }), ...headers(), ...(await stored())]), []);
  for (const spelling of [bytes.toString('hex'), bytes.toString('base64'), bytes.toString('base64url')]) {
    server.authority.world.log.info('a careless line', { spelling });
    assert.deepEqual(search([canary], told()), ['canary in the log'], spelling);
    server.logLines.pop();
  }
  const { client: named } = await server.addClient({ name: bytes.toString('base64url') });
  const places = search([canary], await stored());
  assert.ok(places.includes('canary in client.name'));
  if (isOfFiles) assert.ok(places.some((place) => place.startsWith('canary in file ')));
  const page = { url: `${server.issuer}/x`, status: 400, type: 'text/html', body: `<p>${named.name}</p>` };
  answers.push({ ...page, headers: [['location', `/x?token=${named.name}`]] });
  assert.deepEqual(search([canary], answered({ pages: true })), ['canary in body of 400 at /x']);
  assert.deepEqual(search([canary], headers()), ['canary in header location at /x']);
});
