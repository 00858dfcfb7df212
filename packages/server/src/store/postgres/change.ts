/**
 * A prepared statement whose rows nobody reads, sent by itself: `pg` takes any object that submits itself. What its own queries do
 * besides takes half as long again for an act: they ask for a description of the rows, read it, and make a result of it.
 */
import type pg from 'pg';
import type { SqlValue } from '../store.ts';

export class Change implements pg.Submittable {
  /** `pg` remembers by these that the server has parsed the statement. */
  readonly name: string;
  readonly text: string;
  /** `pg` wraps it, to stop the clock of its timeout. */
  callback: (error: Error | null) => void;
  readonly #values: readonly SqlValue[];

  /** `answered` hears of the end once, or of a timeout. */
  constructor(
    statement: { name: string; text: string; values: readonly SqlValue[] },
    answered: (error: Error | null) => void,
  ) {
    this.name = statement.name;
    this.text = statement.text;
    this.#values = statement.values;
    this.callback = answered;
  }

  submit(connection: pg.Connection): void {
    const { name, text } = this;
    // All messages in one packet.
    connection.stream.cork();
    if (!isParsed(connection, name)) connection.parse({ name, text, types: [] }, true);
    connection.bind({ statement: name, values: this.#values.map(spelled) }, true);
    connection.execute(null, true);
    connection.sync();
    connection.stream.uncork();
  }

  handleError(error: Error): void {
    this.callback(error);
  }

  handleReadyForQuery(): void {
    this.callback(null);
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
}

/** As `pg` itself finds out (its query.js): it notes each statement when the server says that it has parsed it. */
function isParsed(connection: pg.Connection, name: string): boolean {
  // A field that its types leave out; where it is not there any more, each statement fails at its second use.
  const { parsedStatements } = connection as pg.Connection & { readonly parsedStatements: Readonly<object> };
  return Object.hasOwn(parsedStatements, name);
}

/** Bytes as they are, everything else as its text. */
function spelled(value: SqlValue): Buffer | string | null {
  if (value === null || typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return String(value);
}
