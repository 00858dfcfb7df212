/** A log in memory and rounds over it, for the tests of rounds.ts. */
import assert from 'node:assert/strict';
import type { StreamMessage } from '@countersign/protocol';
import {
  type Delivery,
  type Landmark,
  type LogRead,
  type LogRow,
  type LogState,
  MAX_REPLAYED,
  MAX_ROWS,
  type NewStream,
  Rounds,
} from '../rounds.ts';
import { isSeen, type Seen } from '../seen.ts';

export const API = 'https://api.example';
export const NOW_MS = 1_800_000_000_000;

/** A log in which rows become visible when the test says so, in whatever order of positions. It answers as the real one does. */
export class FakeLog {
  epoch = 1;
  sweptUpTo = 0;
  isForeign = false;
  rows: LogRow[] = [];

  add(row: Partial<LogRow> = {}): LogRow {
    const position = row.position ?? this.rows.length + 1;
    const { cursor = this.head + 1 } = row;
    const added: LogRow = { position, cursor, atMs: NOW_MS, kind: 'token', subjectId: `t${position}`, ...row };
    this.rows.push(added);
    return added;
  }
  get head(): number {
    return this.rows.reduce((head, { cursor }) => Math.max(head, cursor), this.sweptUpTo);
  }
  state(landmark?: Landmark): LogState {
    const { epoch, head, sweptUpTo, isForeign } = this;
    const newest = this.rows.toSorted((left, right) => right.cursor - left.cursor)[0];
    const isThere = landmark === undefined || this.rows.some((row) => isSame(row, landmark));
    const fate = isThere ? 'there' : sweptUpTo >= landmark.cursor ? 'swept' : 'missing';
    return { epoch, head, newest, landmark: fate, isForeign };
  }
  get reach(): number {
    const cursors = this.rows.map(({ cursor }) => cursor).sort((left, right) => right - left);
    return cursors[MAX_REPLAYED] ?? 0;
  }
  /** `open`: transactions that had begun and were not over. */
  read(
    after: Seen,
    { open = [], landmark, ...changes }: Partial<LogRead> & { open?: number[]; landmark?: Landmark | undefined } = {},
  ): LogRead {
    const visible = this.rows.filter(({ cursor }) => !isSeen(after, cursor));
    visible.sort((left, right) => left.cursor - right.cursor);
    const rows = visible.slice(0, MAX_ROWS);
    // A full read cannot know that there is no more.
    const isComplete = rows.length < MAX_ROWS;
    const state = this.state(landmark);
    const { sweptUpTo } = this;
    const upTo = isComplete ? state.head : (rows.at(-1)?.cursor ?? after.upTo);
    const seen = { upTo: Math.max(upTo, after.upTo), open: open.filter((transaction) => transaction <= upTo) };
    return { state, rows, seen, isComplete, sweptUpTo, ...changes };
  }
  addMany(count: number, row: Partial<LogRow> = {}): void {
    const { head } = this;
    for (let one = 1; one <= count; one++) this.add({ cursor: head + one, ...row });
  }
}

function isSame(row: Landmark, other: Landmark): boolean {
  const { position, cursor, subjectId } = row;
  return position === other.position && cursor === other.cursor && subjectId === other.subjectId;
}

/** What was asked of `handleOf` since it was emptied. */
export const handles: string[] = [];
/** Rounds over a fake log. */
export function start(bounds: { streamsPerClient?: number; streams?: number } = {}) {
  const log = new FakeLog();
  const rounds = new Rounds({
    handleOf: (clientId, subject, id) => {
      handles.push(`${clientId}/${subject}/${id}`);
      return `${clientId}/${subject}/${id}`;
    },
    bounds,
  });
  let nonces = 0;
  const open = (name: string, changes: Partial<NewStream> = {}) =>
    rounds.open({
      name,
      clientId: 'rs',
      audiences: [API],
      maxStalenessMs: 30_000,
      nonce: `n${++nonces}`,
      resume: undefined,
      ...changes,
    });
  const round = () => {
    const { round: begun, deliveries } = rounds.begin(log.state(rounds.landmark), log.reach);
    if (!begun) return deliveries;
    return [...deliveries, ...rounds.end(begun, log.read(begun.after, { landmark: rounds.landmark }))];
  };
  const begin = () => {
    const { round: begun } = rounds.begin(log.state(rounds.landmark), log.reach);
    assert.ok(begun);
    return begun;
  };
  return { log, rounds, open, round, begin };
}

/** One message in words. */
export const textOf = (message: StreamMessage): string => {
  if (message.kind === 'hello') return `hello ${message.cursor} ${message.resumed ? 'resumed' : 'anew'}`;
  if (message.kind === 'invalidate') return `${message.subject} ${message.handle.split('/')[2]} @${message.cursor}`;
  return `echo ${message.nonce} @${message.cursor}`;
};
/** What one stream was told, in words. */
export const told = (deliveries: readonly Delivery[], stream: string) =>
  deliveries.filter((delivery) => delivery.stream === stream).flatMap(({ messages }) => messages.map(textOf));
/** Which streams ended, and why. */
export const ended = (deliveries: readonly Delivery[]) =>
  deliveries.filter(({ end }) => end !== undefined).map(({ stream, end }) => `${stream} ${end}`);
