/**
 * What operators do that concerns several domains at once. Owns no table. Leaves single acts (revoking a grant, disabling a
 * client) to the domains, and how they are called to the command line.
 */
export { exportMac, masterKeyCheck } from './importing.ts';
export { type RestoreOutcome, settleRestore } from './restore.ts';
