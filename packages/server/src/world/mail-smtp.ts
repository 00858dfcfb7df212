import { rootCertificates } from 'node:tls';
import { createTransport } from 'nodemailer';
import type { MailTransport } from './mail-transport.ts';

/** An SMTP server that has not answered by then is not going to; the queue tries again. */
const CONNECT_TIMEOUT_MS = 10_000;
const GREETING_TIMEOUT_MS = 10_000;
/** RFC 5321 §4.5.3.2 allows minutes; a login mail that takes so long is retried on a new connection instead. */
const SOCKET_TIMEOUT_MS = 30_000;

/** Providers commonly cap connections at ten; half of them leaves room for a second node. */
const MAX_CONNECTIONS = 5;
const MAX_MAILS_PER_CONNECTION = 100;

export interface SmtpOptions {
  /** `smtps://user:password@host:465` (TLS from the start) or `smtp://…:587` (STARTTLS, required). User and password may be absent. */
  url: string;
  /** PEM of a private CA, in addition to the public ones. */
  caCertificate?: string | undefined;
  /** `address` or `Name <address>`. */
  from: string;
  /** Name for EHLO and Message-ID: the issuer's host. */
  hostname: string;
}

/**
 * Sends mails to one SMTP server over pooled, verified TLS connections. Without STARTTLS from the server nothing is sent: an
 * attacker on the path could otherwise take it away and read the login links.
 *
 * `send` rejects with an error whose `code` names the failing stage and the server's code (`EENVELOPE, 550`), and which holds
 * neither address nor content.
 */
export function smtpTransport(options: SmtpOptions): MailTransport & { close(): void } {
  const url = new URL(options.url);
  const secure = url.protocol === 'smtps:';
  const user = decodeURIComponent(url.username);
  const transport = createTransport({
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (secure ? 465 : 587) : Number(url.port),
    secure,
    requireTLS: !secure,
    ...(user === '' ? {} : { auth: { user, pass: decodeURIComponent(url.password) } }),
    tls: {
      minVersion: 'TLSv1.2',
      rejectUnauthorized: true,
      ...(options.caCertificate ? { ca: [...rootCertificates, options.caCertificate] } : {}),
    },
    pool: true,
    maxConnections: MAX_CONNECTIONS,
    maxMessages: MAX_MAILS_PER_CONNECTION,
    name: options.hostname,
    connectionTimeout: CONNECT_TIMEOUT_MS,
    greetingTimeout: GREETING_TIMEOUT_MS,
    socketTimeout: SOCKET_TIMEOUT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return {
    async send(mail) {
      try {
        await transport.sendMail({
          from: options.from,
          to: mail.to,
          subject: mail.subject,
          text: mail.text,
          html: mail.html,
          messageId: `<${mail.id}@${options.hostname}>`,
          headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' },
        });
      } catch (error) {
        const code = stageOf(error);
        throw Object.assign(new Error(`Sending a mail: the server did not take it (${code}).`), { code });
      }
    },
    close: () => transport.close(),
  };
}

/** Codes only: the server's own words may repeat the address. */
function stageOf(error: unknown): string {
  const { code, responseCode } = error as { code?: unknown; responseCode?: unknown }; // read as unknown, checked below
  const parts = [code, responseCode].filter((part) => typeof part === 'string' || typeof part === 'number');
  return parts.length === 0 ? 'no code' : parts.join(', ');
}
