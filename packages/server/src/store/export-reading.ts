/** Reading an export back, line by line, in bounded memory. */
import { timingSafeEqual } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { StoreRefusal } from './errors.ts';
import {
  type ExportedTable,
  type ExportFooter,
  type ExportHeader,
  type ExportMac,
  exportedValues,
  MAX_ROW_BYTES,
  parseExportLine,
} from './export-format.ts';
import type { SqlValue } from './store.ts';

const CHUNK_BYTES = 1024 * 1024;

/** A whole line, without its end, and how many bytes of the file stand up to that end. */
interface Line {
  readonly bytes: Buffer;
  readonly endOffset: number;
}

export interface ExportedRow {
  readonly table: ExportedTable;
  readonly values: SqlValue[];
}

/** What a file holds so far. `end` is absent where it was broken off; what follows `wholeBytes` is then a torn line. */
export interface ExportContents {
  readonly header: ExportHeader;
  readonly rows: Readonly<Record<string, number>>;
  readonly rowCount: number;
  readonly wholeBytes: number;
  readonly footer: ExportFooter | undefined;
}

/** The header of a file; undefined where it is torn. @throws StoreRefusal `export_damaged` when it is something else */
export function readExportHeader(file: string): ExportHeader | undefined {
  for (const { bytes } of linesOf(file)) return headerOf(bytes.toString('utf8'));
  return undefined;
}

/**
 * Reads a file from its beginning: `onRow` gets each row, and may take its time. Compares the footer, if there is one, with what
 * stands before it. @throws StoreRefusal `export_damaged`
 */
export async function readExport(
  file: string,
  mac: ExportMac,
  onRow: (row: ExportedRow, index: number) => void | Promise<void> = () => {},
): Promise<ExportContents> {
  const hmac = mac();
  const rows: Record<string, number> = {};
  let header: ExportHeader | undefined;
  let tables = new Map<string, ExportedTable>();
  let footer: ExportFooter | undefined;
  let [rowCount, wholeBytes, tableIndex] = [0, 0, 0];
  for (const { bytes, endOffset } of linesOf(file)) {
    if (footer) throw damaged('something stands after its end');
    const text = bytes.toString('utf8');
    if (!header) {
      header = headerOf(text);
      tables = new Map(header.tables.map((table) => [table.name, table]));
      for (const { name } of header.tables) rows[name] = 0;
    } else {
      const line = parseExportLine(text);
      if (line?.kind === 'footer') {
        checkFooter(line.footer, { rows, mac: hmac.digest('base64url') });
        footer = line.footer;
      } else if (line?.kind === 'row') {
        const table = tables.get(line.table);
        const values = table && exportedValues(table, line.values);
        const index = header.tables.findIndex(({ name }) => name === line.table);
        // Out of order, a row could come before the one that it refers to.
        if (!table || !values || index < tableIndex) throw damaged(`row ${rowCount + 1} is not one of its tables`);
        tableIndex = index;
        rows[table.name] = (rows[table.name] ?? 0) + 1;
        await onRow({ table, values }, rowCount);
        rowCount += 1;
      } else throw damaged(`row ${rowCount + 1} cannot be read`);
    }
    // Of a file that has its end, everything is hashed: a line behind it is refused above.
    if (!footer) hmac.update(bytes).update('\n');
    wholeBytes = endOffset;
  }
  if (!header) throw damaged('it has no header');
  return { header, rows, rowCount, wholeBytes, footer };
}

function checkFooter(footer: ExportFooter, found: ExportFooter): void {
  const [claimed, right] = [Buffer.from(footer.mac), Buffer.from(found.mac)];
  if (claimed.length !== right.length || !timingSafeEqual(claimed, right)) {
    throw damaged(
      'its end is not that of its rows under this master key: it was changed on its way, or the key is another',
    );
  }
  const names = new Set([...Object.keys(footer.rows), ...Object.keys(found.rows)]);
  for (const name of names) if (footer.rows[name] !== found.rows[name]) throw damaged(`rows of ${name} are missing`);
}

function headerOf(line: string): ExportHeader {
  const parsed = parseExportLine(line);
  if (parsed?.kind === 'header') return parsed.header;
  throw damaged('it does not begin as an export of a format that this release reads');
}

function damaged(what: string): StoreRefusal {
  return new StoreRefusal(
    'export_damaged',
    `Reading the export: ${what}. Export again, or copy the file again, whole.`,
  );
}

/** A last line without its end is left out: a writer that broke off may have left it. */
function* linesOf(file: string): Generator<Line> {
  const descriptor = openSync(file, 'r');
  try {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let rest = Buffer.alloc(0);
    let offset = 0;
    for (;;) {
      const read = readSync(descriptor, chunk, 0, CHUNK_BYTES, null);
      if (read === 0) return;
      let bytes = Buffer.concat([rest, chunk.subarray(0, read)]);
      for (let end = bytes.indexOf(0x0a); end !== -1; end = bytes.indexOf(0x0a)) {
        offset += end + 1;
        yield { bytes: bytes.subarray(0, end), endOffset: offset };
        bytes = bytes.subarray(end + 1);
      }
      if (bytes.length > MAX_ROW_BYTES) throw damaged('a line is too long');
      rest = Buffer.from(bytes);
    }
  } finally {
    closeSync(descriptor);
  }
}
