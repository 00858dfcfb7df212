import { openBucketKey } from '../buckets/buckets.ts';
import type { Sealer } from '../sealing/sealing.ts';
import type { ExportedRow, ExportMac } from '../store/store.ts';

/**
 * Looks at rows of an export for those that the master key must open. `isSeen`: at least one did, so the key is that of the source.
 * @throws SealBroken at the first that does not open
 */
export function masterKeyCheck(sealer: Sealer): { look(row: ExportedRow): void; readonly isSeen: boolean } {
  let isSeen = false;
  return {
    look({ table, values }) {
      if (table.name !== 'bucket_key') return;
      const column = (name: string) => values[table.columns.findIndex((known) => known.name === name)];
      const [version, sealedKey] = [column('version'), column('sealed_key')];
      if (typeof version !== 'number' || !(sealedKey instanceof Uint8Array)) return;
      openBucketKey(sealer, { version, sealedKey });
      isSeen = true;
    },
    get isSeen() {
      return isSeen;
    },
  };
}

/** What ends an export, and lets an import trust it: only who has the master key can make one. */
export function exportMac(sealer: Sealer): ExportMac {
  return () => sealer.mac('export');
}
