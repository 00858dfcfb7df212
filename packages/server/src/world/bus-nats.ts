import { rootCertificates } from 'node:tls';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { type Bus, BusUnavailable } from './bus.ts';

/** A server that has not answered by then is asked again, later. */
const CONNECT_TIMEOUT_MS = 5_000;
/** A dead peer is noticed after two of these. */
const PING_INTERVAL_MS = 10_000;

export interface NatsBusOptions {
  /** `nats://host:4222` or `tls://host:4222`, several separated by commas: servers of one cluster. */
  url: string;
  /** Names this authority among all that share the cluster: letters, digits, dashes. */
  subject: string;
  /** PEM of a private CA, in addition to the public ones. */
  caCertificate?: string | undefined;
  /** The text of a `.creds` file: a user's JWT and the seed of his key. The seed signs, and is never sent. */
  credentials?: string | undefined;
}

/** Publish and subscribe at a NATS server. It reconnects to nothing by itself: whoever holds it does, as with every bus. */
export function natsBus(options: NatsBusOptions): Bus {
  const { url, subject, caCertificate, credentials } = options;
  return {
    async connect({ heard, lost }) {
      let connection: NatsConnection;
      try {
        connection = await connect({
          servers: url.split(',').map((server) => server.trim()),
          reconnect: false,
          timeout: CONNECT_TIMEOUT_MS,
          pingInterval: PING_INTERVAL_MS,
          maxPingOut: 2,
          noEcho: true,
          name: 'countersign',
          ...((caCertificate || url.includes('tls://')) && {
            tls: caCertificate ? { ca: [...rootCertificates, caCertificate].join('\n') } : {},
          }),
          ...(credentials && { authenticator: credsAuthenticator(new TextEncoder().encode(credentials)) }),
        });
      } catch (error) {
        throw new BusUnavailable('Listening for other nodes at NATS', error);
      }
      let isOpen = false;
      connection
        .closed()
        .catch(() => {})
        .then(() => {
          if (isOpen) lost();
        });
      // A subscription that is refused ends alone: without it the connection is worth nothing.
      connection.subscribe(subject, {
        callback: (error) => (error ? void connection.close().catch(() => {}) : heard()),
      });
      try {
        await connection.flush(); // the subscription has reached the server
        isOpen = true;
      } catch (error) {
        await connection.close().catch(() => {});
        throw new BusUnavailable('Listening for other nodes at NATS', error);
      }
      return {
        async speak() {
          try {
            connection.publish(subject);
          } catch (error) {
            throw new BusUnavailable('Waking other nodes by NATS', error);
          }
        },
        async close() {
          isOpen = false;
          await connection.close().catch(() => {});
        },
      };
    },
  };
}
