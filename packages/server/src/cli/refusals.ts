import { RegistrationRefused } from '../clients/clients.ts';
import { SettingsError } from '../config/config.ts';
import { SealBroken } from '../sealing/sealing.ts';
import { StoreRefusal, StoreUnavailable } from '../store/store.ts';

/** What was asked cannot be done. The message says what to do; it goes to a person as it is. */
export class CommandRefused extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.name = 'CommandRefused';
    this.code = code;
  }
}

/** What a person and a script are told of a failure. */
export interface Failure {
  code: string;
  message: string;
}

/** What the operating system's codes mean for whoever runs a command. */
const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  EACCES: 'permission was refused. Run this as the user that owns the data folder, and use ports from 1024 on',
  EPERM: 'the operation is not permitted. Run this as the user that owns the data folder',
  ENOENT: 'there is no such file or folder. Check the path',
  ENOTDIR: 'a part of the path is a file. Check the path',
  EROFS: 'the file system is read-only. Put the data folder on one that can be written',
  ENOSPC: 'the disk is full. Make room and try again',
  EADDRNOTAVAIL: 'this machine does not have that address. Check COUNTERSIGN_HOST (host)',
  ENOTFOUND: 'the name has no address. Check COUNTERSIGN_HOST (host)',
};

/**
 * The words for an error. What is expected says what to do and shows no stack; anything else is a bug, and its stack is what
 * a report of it needs.
 */
export function failureOf(error: unknown): Failure {
  if (error instanceof SettingsError) return { code: 'bad_settings', message: error.message };
  if (error instanceof SealBroken) return { code: error.code, message: WRONG_MASTER_KEY };
  if (
    error instanceof CommandRefused ||
    error instanceof RegistrationRefused ||
    error instanceof StoreRefusal ||
    error instanceof StoreUnavailable
  ) {
    const cause = error.cause instanceof Error ? `\nCause: ${error.cause.message}` : '';
    return { code: error.code, message: `${error.message}${cause}` };
  }
  const known = systemFailure(error);
  if (known) return known;
  const detail = error instanceof Error ? (error.stack ?? error.message) : typeof error;
  return {
    code: 'unexpected',
    message: `Unexpected failure, which is a bug. Please report it with these lines:\n${detail}`,
  };
}

const WRONG_MASTER_KEY =
  'The data folder was sealed under another master key than the one given, or its sealed values were altered. Nothing was ' +
  'changed. Give the key it was made with: COUNTERSIGN_MASTER_KEY (masterKey), COUNTERSIGN_MASTER_KEY_FILE (masterKeyFile), or ' +
  'master.key in the data folder. Without that key its tokens and keys cannot be used again.';

function systemFailure(error: unknown): Failure | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  const meaning = SYSTEM_ERRORS[error.code];
  if (meaning === undefined) return undefined;
  const path = 'path' in error && typeof error.path === 'string' ? ` (${error.path})` : '';
  return { code: error.code.toLowerCase(), message: `The operating system refused${path}: ${meaning}.` };
}
