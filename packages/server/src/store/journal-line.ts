/**
 * How the revocation journal is written: one JSON object a line. The first line of a segment says which segment it is, when it
 * began and in which epoch; every other line is one entry. Bytes are base64url. Pure.
 */
import type { JournalEntry } from './store.ts';

/** A line holds a few ids and one 32-byte record; anything much longer is not ours. */
export const MAX_LINE_CHARACTERS = 4096;

export const JOURNAL_FORMAT = 1;

/** The first line of a segment. A backup names the segment begun with it by number and by this moment. */
export interface SegmentHeader {
  readonly segment: number;
  readonly epoch: number;
  readonly startedAtMs: number;
}

export function headerLine(header: SegmentHeader): string {
  const { segment, epoch, startedAtMs } = header;
  return `${JSON.stringify({ kind: 'segment', format: JOURNAL_FORMAT, segment, epoch, startedAtMs })}\n`;
}

/** Undefined when the line is not a header of this format. */
export function parseHeader(line: string): SegmentHeader | undefined {
  const fields = parseObject(line);
  if (fields === undefined || fields.kind !== 'segment' || fields.format !== JOURNAL_FORMAT) return undefined;
  const { segment, epoch, startedAtMs } = fields;
  if (!isCount(segment) || !isCount(epoch) || !isCount(startedAtMs)) return undefined;
  return { segment, epoch, startedAtMs };
}

export function entryLine(entry: JournalEntry): string {
  if (entry.kind !== 'grant_rotated') return `${JSON.stringify(entry)}\n`;
  return `${JSON.stringify({ ...entry, record: Buffer.from(entry.record).toString('base64url') })}\n`;
}

/** Undefined when the line is not an entry. */
export function parseEntry(line: string): JournalEntry | undefined {
  const fields = parseObject(line);
  if (fields === undefined) return undefined;
  const { kind, grantId, userId, clientId, atMs, reason, generation, record, bucketVersion } = fields;
  if (!isCount(atMs)) return undefined;
  switch (kind) {
    case 'grant_ended':
      return isText(grantId) && isText(reason) ? { kind, grantId, atMs, reason } : undefined;
    case 'grant_rotated':
      if (!isText(grantId) || !isCount(generation) || !isText(record) || !isCount(bucketVersion)) return undefined;
      return {
        kind,
        grantId,
        generation,
        record: new Uint8Array(Buffer.from(record, 'base64url')),
        bucketVersion,
        atMs,
      };
    case 'user_disabled':
      return isText(userId) ? { kind, userId, atMs } : undefined;
    case 'client_disabled':
      return isText(clientId) ? { kind, clientId, atMs } : undefined;
    default:
      return undefined;
  }
}

/**
 * Ends must be on the disk before they are acknowledged. A rotation need not: it is lost only if a power cut *and* a restore
 * come together, and a second sync would halve the rotations per second. What such a loss brings back is the refresh token
 * before the last rotation of a few seconds, which the same client held.
 */
export function mustSync(entry: JournalEntry): boolean {
  return entry.kind !== 'grant_rotated';
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    // A JSON object: not null, not an array; its fields are read as unknown.
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    return value as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
