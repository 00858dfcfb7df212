import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, describe, test } from 'node:test';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { systemClock } from './clock.ts';
import { localCertificate } from './development-certificates.ts';
import { smtpTransport } from './mail-smtp.ts';
import { systemRandom } from './random.ts';

const dataFolder = mkdtempSync(`${tmpdir()}/countersign-smtp-`);
const certificate = await localCertificate({ dataFolder, clock: systemClock, random: systemRandom });
const ca = readFileSync(certificate.caCertificateFile, 'utf8');
const closing: (() => void)[] = [];

after(() => {
  for (const close of closing) close();
  rmSync(dataFolder, { recursive: true });
});

const MAIL = { id: 'mail_1', to: 'a@example.org', subject: 'Your link', text: 'https://x', html: '<p>x</p>' };

async function start(options: SMTPServerOptions, client: { scheme?: string; caCertificate?: string } = {}) {
  const mails: string[] = [];
  const users: string[] = [];
  const server = new SMTPServer({
    cert: certificate.certificate,
    key: certificate.key,
    onAuth: ({ username = '', password = '' }, _session, done) => {
      users.push(`${username}:${password}`);
      done(null, { user: username });
    },
    onData: (stream, _session, done) => {
      let text = '';
      stream.on('data', (bytes: Buffer) => {
        text += bytes.toString();
      });
      stream.on('end', () => {
        mails.push(text);
        done();
      });
    },
    ...options,
  });
  server.on('error', () => {});
  const port = await new Promise<number>((resolve) => {
    const listening = server.listen(0, '127.0.0.1', () => {
      const address = listening.address();
      assert.ok(address && typeof address === 'object');
      resolve(address.port);
    });
  });
  const transport = smtpTransport({
    url: `${client.scheme ?? 'smtp'}://us%40er:p%3Ass@localhost:${port}`,
    caCertificate: 'caCertificate' in client ? client.caCertificate : ca,
    from: 'Example <no-reply@login.example>',
    hostname: 'login.example',
  });
  closing.push(() => {
    transport.close();
    server.close();
  });
  return { transport, mails, users };
}

describe('SMTP', () => {
  for (const scheme of ['smtp', 'smtps']) {
    test(`sends over ${scheme === 'smtp' ? 'STARTTLS' : 'TLS'} with authentication`, async () => {
      const { transport, mails, users } = await start({ secure: scheme === 'smtps' }, { scheme });
      await transport.send(MAIL);
      assert.deepEqual(users, ['us@er:p:ss']);
      assert.match(mails[0] ?? '', /^Message-ID: <mail_1@login\.example>/m);
      assert.match(mails[0] ?? '', /^Auto-Submitted: auto-generated/m);
    });
  }

  test('TC-03 without STARTTLS from the server nothing is sent', async () => {
    const { transport, mails, users } = await start({ hideSTARTTLS: true, disabledCommands: ['STARTTLS'] });
    await assert.rejects(transport.send(MAIL), /did not take it/);
    assert.deepEqual([mails, users], [[], []]);
  });

  test('TC-03 a server whose certificate nobody vouches for gets nothing', async () => {
    const { transport, mails, users } = await start({}, { caCertificate: '' });
    await assert.rejects(transport.send(MAIL), /did not take it/);
    assert.deepEqual([mails, users], [[], []]);
  });

  test('a refusal names its code, neither address nor password nor content', async () => {
    const { transport } = await start({
      onRcptTo: (address, _session, done) => done(new Error(`no such box ${address.address}`)),
    });
    await assert.rejects(transport.send(MAIL), (error: Error) => {
      assert.match(error.message, /EENVELOPE, 550/);
      assert.equal('code' in error && error.code, 'EENVELOPE, 550', 'what the queue logs');
      assert.doesNotMatch(`${error.message} ${error.cause}`, /example\.org|p:ss|https/);
      return true;
    });
  });
});
