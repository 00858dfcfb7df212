import type { Sql } from '../store/store.ts';

/** What PostgreSQL's clock says while the statement runs. */
export async function selectDatabaseNowMs(sql: Sql): Promise<number> {
  const row = await sql.get<{ now_ms: number }>(
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms',
  );
  if (row === undefined) throw new Error('Reading the clock of the database: it gave no row.');
  return row.now_ms;
}
