import type { Mail, SendingStep } from './mail.ts';

/** One step of sending. */
export function sendMails(mail: Mail): Promise<SendingStep> {
  return mail.sendDue();
}

/** One step of sweeping. */
export function sweepMails(mail: Mail): Promise<{ removed: number }> {
  return mail.sweep();
}
