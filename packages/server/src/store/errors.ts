/** The store did not take the write, or cannot be reached. Nothing of the write is in force. Answered as 503. */
export class StoreUnavailable extends Error {
  readonly code: 'store_unavailable' | 'store_fenced' = 'store_unavailable';
  constructor(message: string, options?: { cause: unknown }) {
    super(message, options);
    this.name = 'StoreUnavailable';
  }
}

/** The store has moved away: no write is taken here any more. */
export class StoreFenced extends StoreUnavailable {
  override readonly code = 'store_fenced';
  constructor(options?: { cause: unknown }) {
    super('Writing: this store was exported and takes no writes. Its new home does.', options);
    this.name = 'StoreFenced';
  }
}

/** Why the store would not open, back up, restore or move. Each is for an operator to read, none for a client. */
export type StoreRefusalCode =
  | 'write_ahead_log_refused'
  | 'migration_misnamed'
  | 'migration_missing'
  | 'migration_changed'
  | 'migration_failed'
  | 'database_newer'
  | 'database_foreign'
  | 'backup_folder_exists'
  | 'backup_incomplete'
  | 'database_exists'
  | 'database_in_use'
  | 'database_damaged'
  | 'journal_damaged'
  | 'store_fenced'
  | 'store_behind'
  | 'store_copied'
  | 'export_not_begun'
  | 'export_completed'
  | 'export_running'
  | 'export_given_up'
  | 'export_file_exists'
  | 'export_damaged'
  | 'schema_differs'
  | 'target_not_empty'
  | 'import_interrupted'
  | 'other_settings';

/** An operation on the store as a whole was refused. `message` says what was being done, what was wrong, what to do. */
export class StoreRefusal extends Error {
  readonly code: StoreRefusalCode;
  constructor(code: StoreRefusalCode, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.name = 'StoreRefusal';
    this.code = code;
  }
}

/**
 * SQLite result codes that say "not now" or "not on this disk" rather than "not this statement": busy, locked, out of memory,
 * read-only, input/output error, corrupt, disk full, cannot open, not a database (sqlite.org/rescode.html).
 */
const OUTAGES = new Set([5, 6, 7, 8, 10, 11, 13, 14, 26]);

/** The low byte of an extended SQLite result code is its primary code; undefined for any other error. */
export function sqlitePrimaryCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode & 0xff;
}

export const SQLITE_BUSY = 5;

/** SQLITE_CONSTRAINT_TRIGGER. */
const SQLITE_RAISED = 1811;

/** Whether a trigger raised this very message. */
export function isRaised(error: unknown, message: string): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_RAISED && error.message === message;
}

/** Whether the engine failed, as opposed to the statement being wrong or a constraint holding. */
export function isOutage(error: unknown): boolean {
  const code = sqlitePrimaryCode(error);
  return code !== undefined && OUTAGES.has(code);
}
