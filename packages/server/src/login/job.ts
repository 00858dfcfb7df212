import type { Login } from './login.ts';

/** One step of sweeping; call again soon while `full`. */
export function sweepLinks(login: Login): Promise<{ removed: number; full: boolean }> {
  return login.sweep();
}
