/**
 * `npm run demo`: the whole story in the terminal, against servers it starts itself on loopback: a mail server, the authority, the
 * example API behind the verifier. Everything travels over real TLS and real SMTP. Ends with exit code 1 if the story goes wrong.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import process from 'node:process';
import { smtpTransport, systemClock } from '@countersign/server';
import { linkIn, startTestServer, type TestServer, type TokenSet } from '@countersign/testkit';
import { headerFor, inventedBucket, inventedId, partsOf, signed, TYP } from '../test/attacks/forging.ts';
import { leakOf } from '../test/attacks/leak.ts';
import { untilRefused } from '../test/attacks/places.ts';
import { openApi } from '../test/attacks/scene.ts';
import { openSmtpBox, readMail } from '../test/scenarios/smtp-box.ts';

const ADA = 'ada@example.com';
let chapter = 0;

function heading(text: string): void {
  chapter++;
  say(`\n${bold(`${chapter}. ${text}`)}\n`);
}

function say(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** Indented, and cut where nobody reads on. */
function show(text: string): void {
  for (const line of text.trimEnd().split('\n')) say(`   │ ${line.length > 110 ? `${line.slice(0, 107)}…` : line}`);
}

function bold(text: string): string {
  return process.stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text;
}

async function main(): Promise<void> {
  const box = await openSmtpBox({ startTls: true, clock: systemClock });
  const mailTransport = smtpTransport({
    url: `smtp://localhost:${box.port}`,
    from: 'Countersign <login@localhost>',
    hostname: 'localhost',
    caCertificate: box.caCertificate,
  });
  const server = await startTestServer({ mailTransport });
  const resourceServer = await server.addResourceServer();
  const api = await openApi(server, resourceServer);
  try {
    say(
      `The authority answers on ${server.issuer}, the example API on ${api.origin}, a mail server on port ${box.port}.`,
    );
    await tell({ server, apiOrigin: api.origin, settled: api.settled, received: box.received });
    say(`\n${bold('That is the story.')} npm run attack tries harder.`);
  } finally {
    await api.close();
    await server.close();
    mailTransport.close();
    await box.remove();
  }
}

interface Stage {
  server: TestServer;
  apiOrigin: string;
  settled(): Promise<void>;
  received: string[];
}

async function tell(stage: Stage): Promise<void> {
  const { server } = stage;
  const { client, secret } = await server.addClient({ name: 'Budget planner' });

  heading('An application sends Ada to log in; she asks for a mail');
  const browser = server.browser();
  const verifier = randomBytes(32).toString('base64url');
  const redirectUri = client.redirectUris[0] ?? '';
  const request = new URLSearchParams({
    response_type: 'code',
    client_id: client.id,
    redirect_uri: redirectUri,
    scope: 'openid accounts:read',
    state: randomBytes(8).toString('hex'),
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  await browser.submit(await browser.get(`/oauth2/authorize?${request}`), { email: ADA });
  const mail = readMail(await firstOf(stage));
  show(mail.text.replace(/token=\S+/g, 'token=…'));

  heading('She opens the link, logs in, and agrees');
  const link = linkIn({ id: '', to: ADA, subject: '', text: mail.text, html: mail.html });
  const confirm = await browser.get(link);
  assert.ok(!browser.cookies.has('__Host-session'));
  say('   Opening the link spent nothing and logged nobody in: mail scanners open links, too. The button does it.');
  const consent = await browser.submit(confirm, {});
  assert.ok(browser.cookies.has('__Host-session'));
  const agreed = await browser.submit(consent, { decision: 'allow' });
  const location = new URL(agreed.headers.get('location') ?? '');
  show(`303 → ${redirectUri}?code=…&state=…&iss=${location.searchParams.get('iss')}`);

  heading('The application redeems the code (PKCE) and gets tokens');
  const redeemed = await server.post('/oauth2/token', {
    grant_type: 'authorization_code',
    code: location.searchParams.get('code') ?? '',
    code_verifier: verifier,
    redirect_uri: redirectUri,
    client_id: client.id,
    client_secret: secret,
  });
  assert.equal(redeemed.status, 200);
  const first = (await redeemed.json()) as TokenSet; // asserted to be a success just above
  const { header, claims } = partsOf(first.access_token);
  show(`header ${JSON.stringify(header)}\nclaims ${JSON.stringify(claims, null, 2)}`);
  say('   The claim eb is the entropy bucket. The authority keeps a record of exactly these bytes.');

  heading('The API, guarded by the verifier, takes it');
  await expectCall(stage, first.access_token, 200);

  heading('Refresh: one token in, one successor out');
  const second = await refresh(server, { client: client.id, secret, token: first.refresh_token });
  say(
    `   generation ${partsOf(first.refresh_token ?? '').claims.gen} → ${partsOf(second.refresh_token ?? '').claims.gen}`,
  );
  await expectCall(stage, second.access_token, 200);

  heading('Revoke: dead at the API at once, before its time');
  const revoked = await server.post('/oauth2/revoke', {
    token: second.access_token,
    client_id: client.id,
    client_secret: secret,
  });
  say(`   POST /oauth2/revoke → ${revoked.status}`);
  await untilRefused(() => call(stage, second.access_token));
  await expectCall(stage, second.access_token, 401);

  heading('Every signing key is published');
  const leak = await leakOf(server);
  const key = leak.active('access');
  show(key.printed);
  say(`   … and ${leak.keys.length - 1} more. With a key in hand, Mallory signs what he likes:`);
  const honest = await refresh(server, { client: client.id, secret, token: second.refresh_token });
  const genuine = partsOf(honest.access_token);
  const forgeries: [string, string][] = [
    ['minted from nothing', forged({ jti: inventedId('acctok', server.clock.now()), eb: inventedBucket() })],
    ["Ada's token with a wider scope", forged({ scope: 'accounts:read payments:write' })],
    ["Ada's token for another user", forged({ sub: inventedId('user', server.clock.now()) })],
    ['without an entropy bucket', forged({ eb: undefined })],
  ];
  for (const [name, token] of forgeries) {
    say(`   ${name}:`);
    await expectCall(stage, token, 401);
  }
  say("   Ada's own token, meanwhile:");
  await expectCall(stage, honest.access_token, 200);

  function forged(changes: Record<string, unknown>): string {
    const claimsOfMallory = JSON.parse(JSON.stringify({ ...genuine.claims, ...changes }));
    return signed(key, headerFor(key, TYP.access), claimsOfMallory);
  }

  heading('The alarm');
  await stage.settled();
  const alarms = await server.alarms();
  for (const alarm of alarms) show(`${alarm.type.padEnd(15)} key ${alarm.keyId}  ${JSON.stringify(alarm.detail)}`);
  assert.equal(alarms.length, forgeries.length, 'each forgery rings once, nothing else does');
  say(`   ${alarms.length} forgeries, ${alarms.length} alarms, nobody logged out.`);
}

/** The first mail that arrives. A mail server that refuses it ends the story. */
async function firstOf({ server, received }: Stage): Promise<string> {
  for (let tries = 0; tries < 1_000 && received.length === 0; tries++) {
    await server.authority.mail.sendDue();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const [mail] = received;
  assert.ok(mail !== undefined, 'no mail arrived in ten seconds');
  return mail;
}

function call({ apiOrigin }: Stage, token: string): Promise<Response> {
  return fetch(`${apiOrigin}/balance`, { headers: { authorization: `Bearer ${token}` } });
}

async function expectCall(stage: Stage, token: string, status: number): Promise<void> {
  const response = await call(stage, token);
  const { error, balance } = (await response.json()) as { error?: string; balance?: number };
  show(
    `GET /balance  Authorization: Bearer …${token.slice(-8)}  → ${response.status} ${error ?? `balance ${balance}`}`,
  );
  assert.equal(response.status, status);
}

async function refresh(
  server: TestServer,
  as: { client: string; secret: string; token: string | undefined },
): Promise<TokenSet> {
  const response = await server.post('/oauth2/token', {
    grant_type: 'refresh_token',
    refresh_token: as.token ?? '',
    client_id: as.client,
    client_secret: as.secret,
  });
  assert.equal(response.status, 200);
  return (await response.json()) as TokenSet; // asserted to be a success just above
}

await main();
