/**
 * A lock that the operating system holds for this process and lets go of with it, however it ends (SQLite's lock on a file of its own).
 * A number in a file would have to be believed after a crash, when another process may have got that number.
 */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/** Takes the file, which is made and stays; call the result to give it back. Undefined while another holds it. */
export function holdFile(path: string): (() => void) | undefined {
  closeSync(openSync(path, 'a', 0o600));
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch {
    database.close();
    return undefined;
  }
  return () => {
    if (database.isOpen) database.close();
  };
}
