/**
 * One server at a time on a data folder: two would each believe to be the only one that counts limits and sends mails.
 *
 * The lock is the operating system's (world/file-lock.ts). In a container every process has the same number, so `countersign.pid` only
 * tells a person whom to stop.
 */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DATABASE_FILE } from '../store/store.ts';
import { holdFile } from '../world/file-lock.ts';
import { readText, writePrivateFile } from '../world/files.ts';
import { CommandRefused } from './refusals.ts';

const LOCK_FILE = 'countersign.lock';
const PROCESS_FILE = 'countersign.pid';

export function hasDatabase(dataFolder: string): boolean {
  return existsSync(join(dataFolder, DATABASE_FILE));
}

/** Takes the data folder (which exists) for this process. Call the result to give it back. @throws CommandRefused `server_running` */
export function holdDataFolder(held: { dataFolder: string; processId: number }): () => void {
  const processFile = join(held.dataFolder, PROCESS_FILE);
  const release = holdFile(join(held.dataFolder, LOCK_FILE));
  if (!release) {
    const holder = readText(processFile)?.trim() ?? '';
    const whose = /^\d+$/.test(holder) ? ` (process ${holder})` : '';
    throw new CommandRefused(
      'server_running',
      `Taking the data folder ${held.dataFolder}: a server or a restore${whose} is using it. Stop that one first, or set ` +
        'COUNTERSIGN_DATA_FOLDER (dataFolder) to another folder.',
    );
  }
  writePrivateFile(processFile, `${held.processId}\n`);
  let isHeld = true;
  return () => {
    if (!isHeld) return;
    isHeld = false;
    rmSync(processFile, { force: true });
    release();
  };
}
