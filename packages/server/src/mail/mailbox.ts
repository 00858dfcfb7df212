import type { Clock } from '../world/clock.ts';
import type { MailTransport, OutgoingMail } from '../world/mail-transport.ts';

/** A developer looks at the newest few; memory stays bounded whatever a load test sends. */
const MAX_KEPT = 50;

export interface ReceivedMail extends OutgoingMail {
  receivedAtMs: number;
}

/** Where mails go in development: a short list in memory, shown at /dev/mailbox. Does not exist in production mode. */
export class DevelopmentMailbox implements MailTransport {
  readonly #clock: Clock;
  readonly #mails: ReceivedMail[] = [];

  constructor(given: { clock: Clock }) {
    this.#clock = given.clock;
  }

  async send(mail: OutgoingMail): Promise<void> {
    this.#mails.unshift({ ...mail, receivedAtMs: this.#clock.now() });
    this.#mails.length = Math.min(this.#mails.length, MAX_KEPT);
  }

  /** Newest first. */
  list(): readonly ReceivedMail[] {
    return this.#mails;
  }

  byId(id: string): ReceivedMail | undefined {
    return this.#mails.find((mail) => mail.id === id);
  }
}
