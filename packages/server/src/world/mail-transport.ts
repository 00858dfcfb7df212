/** One mail on its way out. Built by the domain that sends it; addresses are already checked. */
export interface OutgoingMail {
  /** Stable over retries, so that a receiver can drop a double (Message-ID). */
  id: string;
  to: string;
  subject: string;
  text: string;
  html: string;
}

/** Hands a mail to the next server. Rejects when it was not accepted; the queue tries again. */
export interface MailTransport {
  send(mail: OutgoingMail): Promise<void>;
}
