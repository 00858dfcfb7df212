import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, sep } from 'node:path';

/** The owner may read and write, nobody else anything. */
const PRIVATE_FILE = 0o600;
const PRIVATE_FOLDER = 0o700;
const OTHERS = 0o077;

/** Windows keeps access in lists of its own, which mode bits do not show. */
const ON_POSIX = sep === '/';

/** The file's text (UTF-8), or undefined when there is none. Throws when it exists and cannot be read. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** As `readText`, for a secret: throws when anyone but the owner can read the file. */
export function readPrivateText(path: string): string | undefined {
  const text = readText(path);
  if (text !== undefined && ON_POSIX && (statSync(path).mode & OTHERS) !== 0) {
    throw new Error(`Reading ${path}: others than its owner have access to it. Run: chmod 600 ${path}`);
  }
  return text;
}

/** Makes the folder and its parents if missing, and takes everyone else's access away. */
export function ensurePrivateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: PRIVATE_FOLDER });
  chmodSync(path, PRIVATE_FOLDER);
}

/** Writes a 0600 file so that a reader sees the old content or the new, whatever happens meanwhile. Durable when it returns. */
export function writePrivateFile(path: string, content: string): void {
  const draft = writeDraft(path, content);
  renameSync(draft, path);
  syncFolder(dirname(path));
}

/** Writes a 0600 file unless there is one already; false then. Of two processes that try at once exactly one succeeds. */
export function createPrivateFile(path: string, content: string): boolean {
  const draft = writeDraft(path, content);
  try {
    linkSync(draft, path); // fails when the name is taken, and never shows half a file
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  syncFolder(dirname(path));
  return true;
}

function writeDraft(path: string, content: string): string {
  const draft = `${path}.draft-${randomUUID()}`;
  const file = openSync(draft, 'wx', PRIVATE_FILE);
  try {
    writeSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return draft;
}

/** Without it a power cut may lose the new name although the file's bytes are safe. */
function syncFolder(path: string): void {
  if (!ON_POSIX) return; // a folder cannot be opened there
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
