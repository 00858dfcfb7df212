import type { Held } from '../leases/leases.ts';
import type { Login } from './login.ts';

/** One step of sweeping. */
export function sweepLinks(login: Login, held: Held): Promise<{ removed: number }> {
  return login.sweep(held);
}
