import type { Sql, Transaction } from '../store/store.ts';

export async function readUpTo(sql: Sql, name: string): Promise<string> {
  const row = await sql.get<{ read_up_to: string }>('SELECT read_up_to FROM outlet WHERE name = $1', name);
  return row?.read_up_to ?? '';
}

export async function saveReadUpTo(tx: Transaction, name: string, id: string): Promise<void> {
  await tx.run(
    `INSERT INTO outlet (name, read_up_to) VALUES ($1, $2)
     ON CONFLICT (name) DO UPDATE SET read_up_to = excluded.read_up_to`,
    name,
    id,
  );
}
