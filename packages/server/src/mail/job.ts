import type { Held } from '../leases/leases.ts';
import type { Mail, SendingStep } from './mail.ts';

/** One step of sending. */
export function sendMails(mail: Mail, held: Held): Promise<SendingStep> {
  return mail.sendDue(held);
}

/** One step of sweeping. */
export function sweepMails(mail: Mail, held: Held): Promise<{ removed: number }> {
  return mail.sweep(held);
}
