/**
 * One server at a time on a data folder: two would each believe to be the only one that counts limits and sends mails.
 *
 * The lock is one that the operating system holds for the process and lets go of with it, however it ends (SQLite's lock on a
 * file of its own). A number in a file would have to be believed after a crash, when another process may have got that number,
 * and in a container every process has the same one. `countersign.pid` only tells a person whom to stop.
 */
import { closeSync, existsSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DATABASE_FILE } from '../store/store.ts';
import { readText, writePrivateFile } from '../world/files.ts';
import { CommandRefused } from './refusals.ts';

const LOCK_FILE = 'countersign.lock';
const PROCESS_FILE = 'countersign.pid';

export function hasDatabase(dataFolder: string): boolean {
  return existsSync(join(dataFolder, DATABASE_FILE));
}

/** Takes the data folder (which exists) for this process. Call the result to give it back. @throws CommandRefused `server_running` */
export function holdDataFolder(held: { dataFolder: string; processId: number }): () => void {
  const lock = join(held.dataFolder, LOCK_FILE);
  const processFile = join(held.dataFolder, PROCESS_FILE);
  closeSync(openSync(lock, 'a', 0o600));
  const database = new DatabaseSync(lock, { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch {
    database.close();
    const holder = readText(processFile)?.trim() ?? '';
    const whose = /^\d+$/.test(holder) ? ` (process ${holder})` : '';
    throw new CommandRefused(
      'server_running',
      `Taking the data folder ${held.dataFolder}: a server or a restore${whose} is using it. Stop that one first, or set ` +
        'COUNTERSIGN_DATA_FOLDER (dataFolder) to another folder.',
    );
  }
  writePrivateFile(processFile, `${held.processId}\n`);
  return () => {
    if (!database.isOpen) return;
    rmSync(processFile, { force: true });
    database.close();
  };
}
