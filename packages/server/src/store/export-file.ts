import type { Hmac } from 'node:crypto';
import { closeSync, fchmodSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { ExportContents } from './export-reading.ts';
import { syncFolder } from './journal.ts';

/** Bytes gathered before they are written, and hashed. */
const WRITE_BYTES = 256 * 1024;

/** The file being written: gathers, hashes, writes. A torn last line of an earlier try is cut off. */
export class ExportFile {
  readonly #descriptor: number;
  readonly #hmac: Hmac;
  #isHashed = false;
  #gathered: string[] = [];
  #gatheredLength = 0;

  /** `isNew`: there was none when it was looked for; one that came to be in the meantime is somebody else's. */
  constructor(given: { file: string; isNew: boolean; written: ExportContents | undefined; hmac: Hmac }) {
    const { file, isNew, written, hmac } = given;
    this.#hmac = hmac;
    this.#descriptor = openSync(file, isNew ? 'ax+' : 'a+', 0o600);
    fchmodSync(this.#descriptor, 0o600);
    ftruncateSync(this.#descriptor, written?.wholeBytes ?? 0);
    if (written) this.#hashWhatIsThere(written.wholeBytes);
    syncFolder(dirname(file));
  }

  write(line: string): void {
    this.#gathered.push(line);
    this.#gatheredLength += line.length;
    if (this.#gatheredLength >= WRITE_BYTES) this.#flush();
  }

  /** Of everything written so far; what comes after, the footer, is not hashed. */
  digest(): string {
    this.#flush();
    this.#isHashed = true;
    return this.#hmac.digest('base64url');
  }

  sync(): void {
    this.#flush();
    fsyncSync(this.#descriptor);
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #flush(): void {
    const bytes = Buffer.from(this.#gathered.join(''));
    this.#gathered = [];
    this.#gatheredLength = 0;
    if (!this.#isHashed) this.#hmac.update(bytes);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#descriptor, bytes, at);
  }

  #hashWhatIsThere(length: number): void {
    const chunk = Buffer.allocUnsafe(WRITE_BYTES);
    for (let at = 0; at < length; ) {
      const read = readSync(this.#descriptor, chunk, 0, Math.min(WRITE_BYTES, length - at), at);
      this.#hmac.update(chunk.subarray(0, read));
      at += read;
    }
  }
}
