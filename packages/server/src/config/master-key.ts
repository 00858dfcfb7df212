import { createPrivateFile, readPrivateText } from '../world/files.ts';
import type { Random } from '../world/random.ts';

/** Bytes of the master key: 256 random bits, the key of AES-256-GCM. */
const MASTER_KEY_BYTES = 32;

/** Where the master key comes from. `file` is the product's own, made when it is missing. */
export type MasterKeySource = { kind: 'given'; key: Uint8Array<ArrayBuffer> } | { kind: 'file'; path: string };

/** Of 32 random bytes about 30 differ; fewer than 16 do in none of 10^15 keys. */
const MIN_DISTINCT_BYTES = 16;

const HOW_TO = 'Make one with: openssl rand -base64 32';

/** The key, or the sentence that says why the text is none. Never holds the text. */
export type MasterKeyReading = { kind: 'key'; key: Uint8Array<ArrayBuffer> } | { kind: 'problem'; problem: string };

/** Reads 32 bytes of base64, base64url or hex, and refuses what was typed or invented instead of drawn. */
export function readMasterKey(text: string): MasterKeyReading {
  const trimmed = text.trim();
  const bytes = decode(trimmed);
  if (!bytes) return problem(`must be ${MASTER_KEY_BYTES} bytes written as base64 or hex. ${HOW_TO}`);
  if (bytes.length < MASTER_KEY_BYTES) {
    return problem(`is ${bytes.length * 8} bits long and must have ${MASTER_KEY_BYTES * 8}. ${HOW_TO}`);
  }
  if (bytes.length > MASTER_KEY_BYTES) {
    return problem(`is longer than ${MASTER_KEY_BYTES} bytes, so it is not the key it was meant to be. ${HOW_TO}`);
  }
  const weakness = weaknessOf(bytes);
  if (weakness) return problem(`can be guessed: ${weakness}. ${HOW_TO}`);
  return { kind: 'key', key: bytes };
}

/**
 * The master key itself; makes the file (0600) at the first start. Throws, with what to do, on a file that others can read or
 * whose content is no key. `created` is true when it was made now.
 */
export function openMasterKey(
  source: MasterKeySource,
  random: Random,
): { key: Uint8Array<ArrayBuffer>; created: boolean } {
  if (source.kind === 'given') return { key: source.key, created: false };
  const fresh = Buffer.from(random.bytes(MASTER_KEY_BYTES)).toString('base64');
  const created = readPrivateText(source.path) === undefined && createPrivateFile(source.path, `${fresh}\n`);
  const reading = readMasterKey(readPrivateText(source.path) ?? '');
  if (reading.kind === 'problem') throw new Error(`Reading the master key from ${source.path}: it ${reading.problem}`);
  return { key: reading.key, created };
}

function problem(text: string): MasterKeyReading {
  return { kind: 'problem', problem: text };
}

function decode(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length % 2 === 0 && /^[0-9a-fA-F]+$/.test(text)) return new Uint8Array(Buffer.from(text, 'hex'));
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(text)) return undefined;
  return new Uint8Array(Buffer.from(text, 'base64'));
}

function weaknessOf(bytes: Uint8Array): string | undefined {
  if (bytes.every((byte) => byte >= 0x20 && byte < 0x7f)) return 'it is text, not random bytes';
  if (bytes.every((byte, at) => at === 0 || byte === bytes[at - 1])) return 'all its bytes are the same';
  if (hasPeriod(bytes)) return 'it repeats a shorter pattern';
  const step = ((bytes[1] ?? 0) - (bytes[0] ?? 0)) & 0xff;
  if (bytes.every((byte, at) => at === 0 || ((byte - (bytes[at - 1] ?? 0)) & 0xff) === step)) return 'it counts';
  if (new Set(bytes).size < MIN_DISTINCT_BYTES) return 'too few of its bytes differ';
  return undefined;
}

function hasPeriod(bytes: Uint8Array): boolean {
  for (let period = 1; period <= bytes.length / 2; period++) {
    if (bytes.every((byte, at) => at < period || byte === bytes[at - period])) return true;
  }
  return false;
}
