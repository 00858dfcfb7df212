import type { Mail, SendingStep } from './mail.ts';

/** One step of sending; run it about once a second. */
export function sendMails(mail: Mail): Promise<SendingStep> {
  return mail.sendDue();
}

/** One step of sweeping; call again soon while `full`. */
export function sweepMails(mail: Mail): Promise<{ removed: number; full: boolean }> {
  return mail.sweep();
}
