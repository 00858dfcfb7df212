import type { Act, Sql, Step } from '../store/store.ts';

export interface NodeRow {
  name: string;
  renewals: number;
}

export interface LeaseRow {
  name: string;
  /** Undefined: free. */
  holder: string | undefined;
  number: number;
  heldSinceMs: number | undefined;
  /** The holder's last sign of life, by its own clock. */
  renewedAtMs: number | undefined;
}

interface Row {
  name: string;
  holder: string | null;
  number: number;
  held_since_ms: number | null;
  renewed_at_ms: number | null;
}

export async function selectNodes(sql: Sql): Promise<NodeRow[]> {
  return sql.all<NodeRow>('SELECT name, renewals FROM lease_node ORDER BY name');
}

export async function selectLeases(sql: Sql): Promise<LeaseRow[]> {
  const rows = await sql.all<Row>(
    `SELECT lease.name, lease.holder, lease.number, lease.held_since_ms, lease_node.renewed_at_ms
     FROM lease LEFT JOIN lease_node ON lease_node.name = lease.holder ORDER BY lease.name`,
  );
  return rows.map((row) => ({
    name: row.name,
    holder: row.holder ?? undefined,
    number: row.number,
    heldSinceMs: row.held_since_ms ?? undefined,
    renewedAtMs: row.renewed_at_ms ?? undefined,
  }));
}

/** A node joins. Whoever had its name before is gone, and what that one held is free. */
export function joining(given: { node: string; names: readonly string[]; nowMs: number }): Act {
  const { node, names, nowMs } = given;
  return {
    steps: [
      ...names.map((name) => ({
        text: 'INSERT INTO lease (name, number) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING',
        values: [name],
      })),
      freeing(node),
      {
        text: `INSERT INTO lease_node (name, renewals, renewed_at_ms) VALUES ($1, 1, $2)
               ON CONFLICT (name) DO UPDATE SET renewals = lease_node.renewals + 1, renewed_at_ms = excluded.renewed_at_ms`,
        values: [node, nowMs],
      },
    ],
  };
}

/** A sign of life: renews all that the node holds. Refused where others have removed it. */
export function renewing(given: { node: string; nowMs: number }): Act {
  return { steps: [signOfLife(given)] };
}

/**
 * Takes a lease that was free under `number`; it rises by one. It is a sign of life as well, so that nobody removes the node at that
 * very moment and leaves the lease with a node that is not there.
 */
export function taking(given: { node: string; lease: Pick<LeaseRow, 'name' | 'number'>; nowMs: number }): Act {
  const { node, lease, nowMs } = given;
  return {
    steps: [
      signOfLife(given),
      {
        text: `UPDATE lease SET holder = $2, number = number + 1, held_since_ms = $4
               WHERE name = $1 AND number = $3`,
        values: [lease.name, node, lease.number, nowMs],
        must: { rows: 1, why: 'taken' },
      },
    ],
  };
}

/** Removes a node whose renewals stand where they were seen last, and frees what it held. Refused where it gave a sign of life. */
export function removing(node: NodeRow): Act {
  return {
    steps: [
      freeing(node.name),
      {
        text: 'DELETE FROM lease_node WHERE name = $1 AND renewals = $2',
        values: [node.name, node.renewals],
        must: { rows: 1, why: 'alive' },
      },
    ],
  };
}

/** Every node is taken for gone: those that are there join anew with their next sign of life. */
export function freeingAll(): Act {
  return {
    steps: [
      { text: 'UPDATE lease SET holder = NULL, number = number + 1, held_since_ms = NULL', values: [] },
      { text: 'DELETE FROM lease_node', values: [] },
    ],
  };
}

/** A node leaves by itself. */
export function leaving(node: string): Act {
  return { steps: [freeing(node), { text: 'DELETE FROM lease_node WHERE name = $1', values: [node] }] };
}

/** Gives single leases back. */
export function givingBack(node: string, leases: readonly Pick<LeaseRow, 'name'>[]): Act {
  return {
    steps: leases.map(({ name }) => ({
      text: `UPDATE lease SET holder = NULL, number = number + 1, held_since_ms = NULL
             WHERE name = $1 AND holder = $2`,
      values: [name, node],
    })),
  };
}

/**
 * The guard of a job's write. It touches the row rather than read it: on PostgreSQL a write that only read it could begin before the
 * lease is taken over and commit after. Signs of life stand in another table, so that it never waits for one. The holder is asked as
 * well: after a restore a number may come a second time.
 */
export function guarding(lease: { name: string; node: string; number: number; why: string }): Step {
  return {
    text: 'UPDATE lease SET number = number WHERE name = $1 AND holder = $2 AND number = $3',
    values: [lease.name, lease.node, lease.number],
    must: { rows: 1, why: lease.why },
  };
}

function freeing(node: string): Step {
  return {
    text: 'UPDATE lease SET holder = NULL, number = number + 1, held_since_ms = NULL WHERE holder = $1',
    values: [node],
  };
}

function signOfLife({ node, nowMs }: { node: string; nowMs: number }): Step {
  return {
    text: 'UPDATE lease_node SET renewals = renewals + 1, renewed_at_ms = $2 WHERE name = $1',
    values: [node, nowMs],
    must: { rows: 1, why: 'removed' },
  };
}
