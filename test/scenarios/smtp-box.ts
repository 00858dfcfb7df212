import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, localCertificate, systemRandom } from '@countersign/server';
import { SMTPServer } from 'smtp-server';

/** A mail server on loopback, with a certificate of a CA of its own, that keeps what it is given. */
export interface SmtpBox {
  port: number;
  caCertificate: string;
  /** Whole mails, as they came over the wire. */
  received: string[];
  /** Whether each of them came over TLS. */
  secured: boolean[];
  start(): Promise<void>;
  stop(): Promise<void>;
  remove(): Promise<void>;
}

/** Takes a port and begins to listen. `startTls: false` makes it a server that offers none. */
export async function openSmtpBox(options: { startTls: boolean; clock: Clock }): Promise<SmtpBox> {
  const dataFolder = mkdtempSync(join(tmpdir(), 'countersign-smtp-'));
  const tls = await localCertificate({ dataFolder, clock: options.clock, random: systemRandom });
  let server: SMTPServer | undefined;
  const box: SmtpBox = {
    port: 0,
    caCertificate: readFileSync(tls.caCertificateFile, 'utf8'),
    received: [],
    secured: [],
    async start() {
      const started = new SMTPServer({
        cert: tls.certificate,
        key: tls.key,
        authOptional: true,
        ...(options.startTls ? {} : { hideSTARTTLS: true, disabledCommands: ['STARTTLS'] }),
        onData(stream, session, done) {
          const chunks: Buffer[] = [];
          stream.on('data', (chunk: Buffer) => chunks.push(chunk));
          stream.on('end', () => {
            box.received.push(Buffer.concat(chunks).toString('utf8'));
            box.secured.push(session.secure);
            done();
          });
        },
      });
      started.on('error', () => {}); // a client that hangs up because there is no TLS is what some stories are about
      server = started;
      box.port = await new Promise<number>((resolve) => {
        const listening = started.listen(box.port, '127.0.0.1', () => {
          const address = listening.address();
          resolve(typeof address === 'object' && address ? address.port : 0);
        });
      });
    },
    async stop() {
      const stopping = server;
      server = undefined;
      if (stopping) await new Promise<void>((resolve) => stopping.close(resolve));
    },
    async remove() {
      await box.stop();
      rmSync(dataFolder, { recursive: true, force: true });
    },
  };
  await box.start();
  return box;
}

/** The parts of a mail with a text and an HTML body. */
export function readMail(raw: string): { head: string; text: string; html: string } {
  const at = raw.indexOf('\r\n\r\n');
  const head = raw.slice(0, at).replace(/\r\n[ \t]+/g, ' ');
  const boundary = /boundary="([^"]+)"/.exec(head)?.[1] ?? '';
  const parts = raw.slice(at).split(`--${boundary}`);
  const bodyOf = (type: string) => {
    const part = parts.find((each) => each.toLowerCase().includes(`content-type: ${type}`)) ?? '';
    const split = part.indexOf('\r\n\r\n');
    return decode(part.slice(0, split), part.slice(split + 4)).replaceAll('\r\n', '\n');
  };
  return { head, text: bodyOf('text/plain'), html: bodyOf('text/html') };
}

function decode(head: string, body: string): string {
  if (/quoted-printable/i.test(head)) {
    const bytes = body
      .replace(/=\r\n/g, '')
      .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    return Buffer.from(bytes, 'latin1').toString('utf8');
  }
  return /base64/i.test(head) ? Buffer.from(body, 'base64').toString('utf8') : body;
}
