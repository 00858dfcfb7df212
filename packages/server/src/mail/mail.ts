/**
 * The queue of mails on their way out. A mail is written in the transaction of what causes it and sent later by a job, so that
 * how long a mail server takes, and whether there was a mail at all, shows in no answer (ML-08).
 *
 * Owns: queueing, retries, the overall rate, erasing. Leaves to others: what a mail says (login) and how it travels (world).
 *
 *     enqueue ──► due ──claimed──► sent, body erased
 *                  ▲       │ refused or crashed: due again, 1 minute … 1 hour later
 *                  └───────┴──► given up when it would come too late, body erased
 *
 * Bodies hold links and codes: they are sealed while they wait. A crash between sending and noting it sends the mail twice;
 * its Message-ID stays the same, so that the second can be told for what it is.
 */
import { createId } from '@countersign/protocol';
import type { Held } from '../leases/leases.ts';
import { SealBroken, type Sealer } from '../sealing/sealing.ts';
import type { Store, Transaction, Writes } from '../store/store.ts';
import type { Clock } from '../world/clock.ts';
import type { Log } from '../world/log.ts';
import type { MailTransport, OutgoingMail } from '../world/mail-transport.ts';
import type { Random } from '../world/random.ts';
import { nextAttempt } from './backoff.ts';
import { SendingRate } from './rate.ts';
import * as table from './table.ts';

export { DevelopmentMailbox } from './mailbox.ts';

/** Most mails of one step: two rounds of the pool below, so that a step ends soon even if the mail server is slow. */
const MAX_MAILS_PER_STEP = 20;
/** Mails handed over at the same time: twice the connections of the SMTP transport, so that none of them waits for a mail. */
const CONCURRENT_MAILS = 10;
/**
 * A claimed mail rests for so long. One node sends, by its lease, and its steps never overlap; so this concerns only who takes the job over
 * from a node that died: what that one had taken goes after half a minute, within what people wait for a login. A mail that it was still
 * handing over then may go twice, as one (`Message-ID`).
 */
const CLAIM_LEASE_MS = 30_000;
/** Rows of mails that are done stay for a week, for support ("was it ever sent?"). */
const KEPT_DONE_MS = 7 * 86_400_000;
const SWEEP_BATCH = 500;
/**
 * Mails are padded with spaces (which JSON ignores) to a multiple of this before they are sealed. Every mail of a login fits into
 * the first, 7,000 bytes with the longest names there can be: with and without a link they cost the same to write (ML-08), and a
 * copy of the database does not tell them apart.
 */
const PADDED_TO_BYTES = 8192;
/** The line that operators watch for: the first sign that people cannot log in. */
const GIVEN_UP = 'mail given up: it would come too late';

export interface QueuedMail {
  /** As `emailAddress` returned it. */
  to: string;
  subject: string;
  text: string;
  html: string;
  /** From here on the mail is of no use and is not sent any more (Unix milliseconds). */
  giveUpAtMs: number;
}

export interface SendingStep {
  sent: number;
  retried: number;
  givenUp: number;
}

type Outcome =
  | { id: string; kind: 'sent' }
  | { id: string; kind: 'given_up' }
  | { id: string; kind: 'retry'; atMs: number };

export class Mail {
  readonly #store: Store;
  readonly #sealer: Sealer;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #transport: MailTransport;
  readonly #log: Log;
  readonly #rate: SendingRate;

  constructor(given: {
    store: Store;
    sealer: Sealer;
    clock: Clock;
    random: Random;
    transport: MailTransport;
    log: Log;
    mailsPerMinute: number;
  }) {
    this.#store = given.store;
    this.#sealer = given.sealer;
    this.#clock = given.clock;
    this.#random = given.random;
    this.#transport = given.transport;
    this.#log = given.log;
    this.#rate = new SendingRate({ perMinute: given.mailsPerMinute, clock: given.clock });
  }

  /** Queues a mail in the transaction of its cause. Returns its id (`mail_…`). */
  async enqueue(tx: Transaction, mail: QueuedMail): Promise<string> {
    const { id, createdAtMs, sealedMail } = this.#prepare(mail);
    await table.insert(tx, { id, sealedMail, createdAtMs, giveUpAtMs: mail.giveUpAtMs });
    return id;
  }

  /**
   * Does the work of `enqueue` and sends nothing, so that a throttled request takes as long as any other (ML-08). Zeros of the
   * same length stand in the row until the next sweep: the write is as large, and nothing secret waits there.
   */
  async pretend(tx: Transaction, mail: QueuedMail): Promise<void> {
    const { id, createdAtMs, sealedMail } = this.#prepare(mail);
    const zeros = new Uint8Array(sealedMail.length);
    await table.insertDone(tx, { id, sealedMail: zeros, createdAtMs, giveUpAtMs: mail.giveUpAtMs });
  }

  /**
   * One step: sends what is due, as many as the overall rate and the step's bound allow. Never rejects for a failed mail. A mail whose
   * turn comes when the job's lease is over stays claimed, and whoever has the lease then sends it.
   */
  async sendDue(lease?: Held): Promise<SendingStep> {
    const writes: Writes = lease ?? this.#store;
    const limit = Math.min(this.#rate.available(), MAX_MAILS_PER_STEP);
    if (limit < 1) return { sent: 0, retried: 0, givenUp: 0 };
    const nowMs = this.#clock.now();
    const claim = { nowMs, leaseUntilMs: nowMs + CLAIM_LEASE_MS, limit };
    const due = await writes.write((tx) => table.claimDue(tx, claim));
    this.#rate.spend(due.length);
    const outcomes: Outcome[] = [];
    const waiting = [...due];
    const worker = async () => {
      for (let mail = waiting.shift(); mail && lease?.isHeld() !== false; mail = waiting.shift()) {
        outcomes.push(await this.#send(mail));
      }
    };
    await Promise.all(Array.from({ length: Math.min(CONCURRENT_MAILS, due.length) }, worker));
    if (outcomes.length > 0) await writes.write((tx) => this.#note(tx, outcomes));
    return {
      sent: outcomes.filter(({ kind }) => kind === 'sent').length,
      retried: outcomes.filter(({ kind }) => kind === 'retry').length,
      givenUp: outcomes.filter(({ kind }) => kind === 'given_up').length,
    };
  }

  /** One step of erasing mails that never were one, and of removing rows of mails that are done. */
  async sweep(writes: Writes = this.#store): Promise<{ removed: number }> {
    const old = { beforeMs: this.#clock.now() - KEPT_DONE_MS, limit: SWEEP_BATCH };
    const removed = await writes.write(async (tx) => {
      await table.erasePretended(tx, SWEEP_BATCH);
      return table.removeDone(tx, old);
    });
    return { removed };
  }

  #prepare(mail: QueuedMail): { id: string; createdAtMs: number; sealedMail: Uint8Array } {
    const createdAtMs = this.#clock.now();
    const id = createId('mail', createdAtMs, this.#random.bytes(8));
    const { to, subject, text, html } = mail;
    const json = Buffer.from(JSON.stringify({ to, subject, text, html }));
    const plain = Buffer.alloc(Math.ceil(json.length / PADDED_TO_BYTES) * PADDED_TO_BYTES, ' ');
    plain.set(json);
    return { id, createdAtMs, sealedMail: this.#sealer.seal(place(id), plain) };
  }

  async #send(due: table.DueMail): Promise<Outcome> {
    const { id } = due;
    if (due.giveUpAtMs <= this.#clock.now()) {
      this.#log.warn(GIVEN_UP, { mailId: id, attempts: due.attempts - 1, cause: 'waited too long' });
      return { id, kind: 'given_up' };
    }
    try {
      await this.#transport.send(this.#open(due));
      return { id, kind: 'sent' };
    } catch (error) {
      if (error instanceof SealBroken) {
        this.#log.error('a queued mail did not open and is given up; was the master key replaced?', { mailId: id });
        return { id, kind: 'given_up' };
      }
      return this.#afterFailure(due, error);
    }
  }

  #afterFailure(due: table.DueMail, error: unknown): Outcome {
    const jitter = (this.#random.bytes(1)[0] ?? 0) / 255;
    const atMs = nextAttempt({ attempts: due.attempts, nowMs: this.#clock.now(), giveUpAtMs: due.giveUpAtMs, jitter });
    // The error's text may quote the address or the server's greeting; its code says enough.
    this.#log.warn(atMs === undefined ? GIVEN_UP : 'mail not accepted, will be tried again', {
      mailId: due.id,
      attempts: due.attempts,
      cause: errorCode(error),
    });
    return atMs === undefined ? { id: due.id, kind: 'given_up' } : { id: due.id, kind: 'retry', atMs };
  }

  #open(due: table.DueMail): OutgoingMail {
    const value: unknown = JSON.parse(Buffer.from(this.#sealer.open(place(due.id), due.sealedMail)).toString('utf8'));
    // Sealed by `#prepare` under this very id, and authenticated: it has the shape written there.
    return { id: due.id, ...(value as Omit<OutgoingMail, 'id'>) };
  }

  async #note(tx: Transaction, outcomes: readonly Outcome[]): Promise<void> {
    const atMs = this.#clock.now();
    for (const outcome of outcomes) {
      switch (outcome.kind) {
        case 'sent':
          await table.markSent(tx, outcome.id, atMs);
          break;
        case 'given_up':
          await table.markGivenUp(tx, outcome.id, atMs);
          break;
        case 'retry':
          await table.markDueAt(tx, outcome.id, outcome.atMs);
          break;
      }
    }
  }
}

function place(id: string): { table: string; row: string; column: string } {
  return { table: 'mail', row: id, column: 'sealed_mail' };
}

function errorCode(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const code: unknown = 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : error.name;
}
