import type { Login } from './login.ts';

/** One step of sweeping. */
export function sweepLinks(login: Login): Promise<{ removed: number }> {
  return login.sweep();
}
