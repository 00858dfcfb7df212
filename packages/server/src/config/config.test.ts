import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { systemRandom } from '../world/random.ts';
import { openMasterKey, readSettings, SettingsError } from './config.ts';

const GOOD_KEY = Buffer.from(systemRandom.bytes(32)).toString('base64');

function read(environment: Record<string, string>, files: Record<string, string> = {}) {
  return readSettings({ environment, readText: (path) => files[path] });
}

function problems(environment: Record<string, string>, files: Record<string, string> = {}): readonly string[] {
  try {
    read(environment, files);
  } catch (error) {
    assert.ok(error instanceof SettingsError);
    return error.problems;
  }
  return [];
}

const production = {
  COUNTERSIGN_MODE: 'production',
  COUNTERSIGN_ISSUER: 'https://login.example',
  COUNTERSIGN_SMTP_URL: 'smtps://user:hunter2@mail.example:465',
  COUNTERSIGN_TLS_CERTIFICATE_FILE: 'cert.pem',
  COUNTERSIGN_TLS_KEY_FILE: 'key.pem',
};
const pems = { 'cert.pem': 'x', 'key.pem': 'y' };

describe('settings', () => {
  test('DP-01 nothing set: a development server on https://localhost:8443', () => {
    const settings = read({ PATH: '/bin' });
    assert.equal(settings.issuer, 'https://localhost:8443');
    assert.equal(settings.host, '127.0.0.1');
    assert.deepEqual(settings.tls, { kind: 'local' });
    assert.deepEqual(settings.mail, { kind: 'mailbox' });
    assert.deepEqual(settings.masterKey, { kind: 'file', path: 'data/master.key' });
    assert.equal(settings.signUp, true);
    assert.equal(settings.plaintextPort, 8080);
  });

  test('DP-01 production: no sign-up, no mailbox, no local certificate', () => {
    const settings = read(production, pems);
    assert.equal(settings.signUp, false);
    assert.equal(settings.mail.kind, 'smtp');
    assert.equal(settings.tls.kind, 'files');
    assert.equal(settings.host, '0.0.0.0');
    assert.equal(settings.mailFrom, 'no-reply@login.example');
  });

  test('what wakes other nodes: the store, or NATS without a secret in its URL', () => {
    assert.deepEqual(read({}).wakeUps, { kind: 'store' });
    const files = { 'nats.creds': 'x' };
    const given = { COUNTERSIGN_NATS_URL: 'tls://a.example,tls://b.example:4222' };
    const nats = { kind: 'nats', url: given.COUNTERSIGN_NATS_URL, caFile: undefined, credentialsFile: 'nats.creds' };
    assert.deepEqual(read({ ...given, COUNTERSIGN_NATS_CREDENTIALS_FILE: 'nats.creds' }, files).wakeUps, nats);
    for (const url of [
      'nats://user:hunter2@a.example',
      'tls://a.example,nats://user@b.example',
      'https://a.example',
      'a.example',
    ]) {
      const [found = ''] = problems({ COUNTERSIGN_NATS_URL: url });
      assert.match(found, /natsCredentialsFile/, url);
      assert.doesNotMatch(found, /hunter2/);
    }
    assert.match(problems({ ...given, COUNTERSIGN_NATS_CA_FILE: 'none.pem' })[0] ?? '', /cannot be read/);
    assert.match(
      problems({ COUNTERSIGN_NATS_CREDENTIALS_FILE: 'nats.creds' }, files)[0] ?? '',
      /of no use without natsUrl/,
    );
  });

  test('DP-01 production without what it needs says everything at once', () => {
    const found = problems({ COUNTERSIGN_MODE: 'production' });
    for (const name of ['issuer', 'smtpUrl', 'tlsCertificateFile', 'tlsKeyFile']) {
      assert.ok(
        found.some((problem) => problem.includes(`(${name}) is missing`)),
        name,
      );
    }
    assert.equal(found.length, 4);
  });

  test('DP-01 a database URL chooses PostgreSQL: ours, a file of it, or the platform’s, in this order', () => {
    const url = 'postgres://ann:hunter2@db.example/auth';
    const files = { 'url.txt': `${url}\n`, 'ca.pem': 'x' };
    assert.deepEqual(read({}).database, { kind: 'embedded' });
    assert.equal(read({}).journalFolder, 'data/journal');
    const postgres = { kind: 'postgres', url, caFile: undefined, connections: 10 };
    assert.deepEqual(read({ COUNTERSIGN_DATABASE_URL: url }).database, postgres);
    assert.deepEqual(read({ COUNTERSIGN_DATABASE_URL_FILE: 'url.txt' }, files).database, postgres);
    assert.deepEqual(read({ DATABASE_URL: url }).database, postgres);
    assert.equal(read({ DATABASE_URL: url }).journalFolder, undefined);
    assert.deepEqual(read({ DATABASE_URL: 'mysql://other/x', COUNTERSIGN_DATABASE_URL: url }).database, postgres);
    const more = { COUNTERSIGN_DATABASE_CA_FILE: 'ca.pem', COUNTERSIGN_DATABASE_CONNECTIONS: '4' };
    assert.deepEqual(read({ COUNTERSIGN_DATABASE_URL: url, ...more }, files).database, {
      ...postgres,
      ...{ caFile: 'ca.pem', connections: 4 },
    });
    assert.match(read({ DATABASE_URL: `${url}?sslmode=disable` }).warnings.join(), /sslmode=disable/);
    assert.deepEqual(read({ DATABASE_URL: url, COUNTERSIGN_JOURNAL_FOLDER: '/journals' }).warnings, []);
    assert.match(read({ DATABASE_URL: url }).warnings.join(), /no revocation journal/);
  });

  test('DP-01 what is wrong with a database URL is said without repeating it', () => {
    const url = 'postgres://ann:hunter2@db.example/auth';
    const wrong = 'postgres://ann:hunter2@db.example/auth?sslmode=no-verify';
    const said = (environment: Record<string, string>, files = {}) => {
      const found = problems(environment, files);
      assert.equal(found.length, 1);
      assert.doesNotMatch(found[0] ?? '', /hunter2/);
      return found[0] ?? '';
    };
    assert.match(
      said({ COUNTERSIGN_DATABASE_URL: wrong }),
      /^COUNTERSIGN_DATABASE_URL \(databaseUrl\) must be postgres/,
    );
    assert.match(said({ DATABASE_URL: wrong }), /^DATABASE_URL must be postgres/);
    const file = { COUNTERSIGN_DATABASE_URL_FILE: 'url.txt' };
    assert.match(
      said(file, { 'url.txt': wrong }),
      /^COUNTERSIGN_DATABASE_URL_FILE \(databaseUrlFile\) must be postgres/,
    );
    assert.match(said(file), /cannot be read/);
    assert.match(said({ ...file, COUNTERSIGN_DATABASE_URL: url }, { 'url.txt': url }), /both set/);
    assert.match(said({ COUNTERSIGN_DATABASE_CA_FILE: 'ca.pem' }), /of no use without databaseUrl/);
    assert.match(said({ COUNTERSIGN_DATABASE_CONNECTIONS: '4' }), /of no use without databaseUrl/);
  });

  test('DP-01 unknown names are errors that name the nearest known one', () => {
    assert.deepEqual(problems({ COUNTERSIGN_ISSUR: 'https://a.example' }), [
      'COUNTERSIGN_ISSUR is not a setting. Did you mean COUNTERSIGN_ISSUER?',
    ]);
    const [problem] = problems({ COUNTERSIGN_CONFIG: 'c.json' }, { 'c.json': '{"prot": 1}' });
    assert.match(problem ?? '', /^prot \(in the settings file\) is not a setting\. Did you mean port\?/);
    assert.match(problems({ COUNTERSIGN_QQQQQQQQQQQQ: '1' })[0] ?? '', /not a setting\.$/);
  });

  test('file and environment know the same names; the environment wins; empty means not set', () => {
    const files = { 'c.json': '{"port": 9000, "signUp": false, "trustedProxies": ["10.0.0.0/8"], "logLevel": "warn"}' };
    const settings = read({ COUNTERSIGN_CONFIG: 'c.json', COUNTERSIGN_PORT: '9001', COUNTERSIGN_LOG_LEVEL: '' }, files);
    assert.equal(settings.port, 9001);
    assert.equal(settings.issuer, 'https://localhost:9001');
    assert.equal(settings.signUp, false);
    assert.equal(settings.logLevel, 'warn');
    assert.deepEqual(settings.trustedProxies, ['10.0.0.0/8']);
  });

  test('a settings file that is missing or no object is a problem, and its text is not repeated', () => {
    assert.match(problems({ COUNTERSIGN_CONFIG: 'gone.json' })[0] ?? '', /cannot be read/);
    for (const text of ['[1]', '{"masterKey": "hunter2", }', 'null']) {
      const [problem] = problems({ COUNTERSIGN_CONFIG: 'c.json' }, { 'c.json': text });
      assert.match(problem ?? '', /must hold one JSON object/);
      assert.doesNotMatch(problem ?? '', /hunter2/);
    }
  });

  test('TC-02 http issuers and other spellings of the issuer are refused', () => {
    const bad = [
      'http://localhost:8443',
      'https://a.example/',
      'https://a.example/?x',
      'https://a.example#f',
      'https://A.example',
    ];
    for (const issuer of [
      ...bad,
      'https://u:p@a.example',
      'https://a.example:443',
      'a.example',
      'https://a.example/b/',
    ]) {
      assert.match(problems({ COUNTERSIGN_ISSUER: issuer })[0] ?? '', /must be an https URL/, issuer);
    }
    for (const issuer of ['https://a.example', 'https://a.example:8443', 'https://a.example/auth']) {
      assert.equal(read({ COUNTERSIGN_ISSUER: issuer }).issuer, issuer);
    }
  });

  test('TC-02 starting with NODE_TLS_REJECT_UNAUTHORIZED is refused', () => {
    assert.match(problems({ NODE_TLS_REJECT_UNAUTHORIZED: '0' })[0] ?? '', /NODE_TLS_REJECT_UNAUTHORIZED is set/);
  });

  test('DP-05 trusted proxies are CIDR ranges or addresses, nothing else', () => {
    const settings = read({ COUNTERSIGN_TRUSTED_PROXIES: '10.0.0.0/8, 192.0.2.1 2001:db8::1' });
    assert.deepEqual(settings.trustedProxies, ['10.0.0.0/8', '192.0.2.1/32', '2001:db8::1/128']);
    for (const bad of ['all', '10.0.0.0/33', 'proxy.example']) {
      assert.match(problems({ COUNTERSIGN_TRUSTED_PROXIES: bad })[0] ?? '', /CIDR/);
    }
  });

  test('SC-08 whoever asks who a token is shares no address with a trusted proxy, through which anybody comes', () => {
    const ask = (asking: string, trusted: string) =>
      ({ COUNTERSIGN_FORWARD_AUTH_PROXIES: asking, COUNTERSIGN_TRUSTED_PROXIES: trusted }) as const;
    assert.deepEqual(read({}).forwardAuthProxies, []);
    const settings = read(ask('10.1.0.7, 2001:db8::/64', '10.2.0.0/16, 10.1.0.8, 2001:db8:0:1::/64'));
    assert.deepEqual(settings.forwardAuthProxies, ['10.1.0.7/32', '2001:db8::/64']);
    for (const [asking, trusted] of [
      ['10.1.0.7', '10.1.0.7'],
      ['10.1.0.7', '192.0.2.1, 10.0.0.0/8'],
      ['10.0.0.0/8', '10.1.0.7'],
      ['192.0.2.1, 2001:db8::/32', '2001:db8::1'],
      ['0.0.0.0/0', '10.1.0.7'],
    ] as const) {
      assert.match(problems(ask(asking, trusted))[0] ?? '', /share an address/, `${asking} and ${trusted}`);
    }
    assert.match(problems({ COUNTERSIGN_FORWARD_AUTH_PROXIES: 'proxy.example' })[0] ?? '', /CIDR/);
    assert.match(read({ COUNTERSIGN_FORWARD_AUTH_PROXIES: '::/0' }).warnings[0] ?? '', /who any token is/);
  });

  test('trusting every address as a proxy is warned about', () => {
    assert.match(read({ COUNTERSIGN_TRUSTED_PROXIES: '10.0.0.0/8, ::/0' }).warnings[0] ?? '', /no limit holds/);
    assert.deepEqual(read({ COUNTERSIGN_TRUSTED_PROXIES: '10.0.0.0/8' }).warnings, []);
  });

  test('HD-03 preload is off, and warned about when on', () => {
    assert.equal(read({}).hstsPreload, false);
    assert.deepEqual(read({}).warnings, []);
    assert.match(read({ COUNTERSIGN_HSTS_PRELOAD: 'true' }).warnings[0] ?? '', /subdomains/);
  });

  test('the development mailbox where others can reach it is warned about', () => {
    const open: Record<string, string>[] = [
      { COUNTERSIGN_HOST: '0.0.0.0' },
      { COUNTERSIGN_HOST: '::' },
      { COUNTERSIGN_ISSUER: 'https://login.example' },
    ];
    for (const environment of open) assert.match(read(environment).warnings[0] ?? '', /log in as anybody/);
    const closed: Record<string, string>[] = [
      { COUNTERSIGN_HOST: '::1' },
      { COUNTERSIGN_ISSUER: 'https://app.localhost:8443' },
      { COUNTERSIGN_HOST: '0.0.0.0', COUNTERSIGN_SMTP_URL: 'smtps://mail.example' },
    ];
    for (const environment of closed) assert.deepEqual(read(environment).warnings, []);
    assert.deepEqual(read(production, pems).warnings, []);
  });

  test('values out of range are refused by name', () => {
    const bad: Record<string, string[]> = {
      COUNTERSIGN_ISSUER: [`https://login.example/${'x'.repeat(107)}`],
      COUNTERSIGN_PORT: ['-1', '65536', 'x', '1.5'],
      COUNTERSIGN_SHUTDOWN_SECONDS: ['0', '301'],
      COUNTERSIGN_SMTP_URL: ['mail.example', 'http://mail.example'],
      COUNTERSIGN_MAIL_FROM: ['nobody', 'a@b\r\nBcc: c@d', 'x <a@b> <c@d>'],
      COUNTERSIGN_ORGANIZATION_NAME: ['a\nb', '<b>', 'x'.repeat(61)],
      COUNTERSIGN_ACCESS_ALGORITHM: ['HS256', 'none'],
      COUNTERSIGN_SIGN_UP: ['maybe'],
      COUNTERSIGN_MODE: ['staging'],
    };
    for (const [name, values] of Object.entries(bad)) {
      for (const value of values)
        assert.match(problems({ [name]: value })[0] ?? '', new RegExp(`^${name} .* must`), value);
    }
    assert.match(problems({ COUNTERSIGN_PORT: '8080' })[0] ?? '', /are the same/);
  });
});

describe('the master key', () => {
  test('DP-01 a weak or short master key stops the start, and is never repeated', () => {
    const bytes = (make: (at: number) => number, length = 32) =>
      Buffer.from(Array.from({ length }, (_, at) => make(at) & 0xff)).toString('base64');
    const weak: [string, RegExp][] = [
      ['hunter2', /bits long/],
      ['not a key!', /32 bytes written as base64 or hex/],
      [bytes((at) => at * 37 + 11, 31), /248 bits/],
      [bytes((at) => at * at * 7 + at, 33), /longer than 32/],
      [bytes(() => 0x91), /same/],
      [bytes((at) => [0xa1, 0x03, 0xff][at % 3] ?? 0), /repeats/],
      [bytes((at) => at), /counts/],
      [bytes((at) => ((at * at) % 7) + 0x80), /repeats|differ/],
      [Buffer.from('correct horse battery staple 123').toString('base64'), /text/],
    ];
    for (const [text, reason] of weak) {
      const [problem = ''] = problems({ COUNTERSIGN_MASTER_KEY: text });
      assert.match(problem, reason);
      assert.match(problem, /openssl rand/);
      assert.ok(!problem.includes(text));
    }
  });

  test('base64, base64url, hex and a file give the same key', () => {
    const raw = Buffer.from(GOOD_KEY, 'base64');
    for (const text of [GOOD_KEY, raw.toString('base64url'), raw.toString('hex'), `${GOOD_KEY}\n`]) {
      const source = read({ COUNTERSIGN_MASTER_KEY: text }).masterKey;
      assert.ok(source.kind === 'given' && Buffer.from(source.key).equals(raw));
      const fromFile = read({ COUNTERSIGN_MASTER_KEY_FILE: 'k' }, { k: text }).masterKey;
      assert.deepEqual(fromFile, source);
    }
    const both = problems({ COUNTERSIGN_MASTER_KEY: GOOD_KEY, COUNTERSIGN_MASTER_KEY_FILE: 'k' }, { k: GOOD_KEY });
    assert.match(both[0] ?? '', /both set/);
    assert.match(problems({ COUNTERSIGN_MASTER_KEY_FILE: 'gone' })[0] ?? '', /cannot be read/);
  });

  test('is made once, 0600, and refused when others can read it or it is no key', () => {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-key-'));
    try {
      const source = { kind: 'file' as const, path: join(folder, 'master.key') };
      const made = openMasterKey(source, systemRandom);
      assert.equal(made.created, true);
      assert.equal(statSync(source.path).mode & 0o777, 0o600);
      assert.deepEqual(openMasterKey(source, systemRandom), { key: made.key, created: false });
      writeFileSync(join(folder, 'open.key'), readFileSync(source.path), { mode: 0o644 });
      assert.throws(() => openMasterKey({ kind: 'file', path: join(folder, 'open.key') }, systemRandom), /chmod 600/);
      writeFileSync(join(folder, 'bad.key'), 'Zm9v', { mode: 0o600 });
      assert.throws(() => openMasterKey({ kind: 'file', path: join(folder, 'bad.key') }, systemRandom), /24 bits/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
