-- Which node does which job. The release before this one runs on it: it does every job on its one node, and takes no lease.

-- A node that takes part in the jobs, by a name that no two running nodes share. There while it is alive as far as the others can
-- tell: it is removed when the node stops, or by whoever has seen `renewals` stand still for too long.
CREATE TABLE lease_node (
  name           TEXT PRIMARY KEY,
  renewals       INTEGER NOT NULL,           -- rises with each sign of life; no node compares its clock with another's
  renewed_at_ms  INTEGER NOT NULL            -- by the node's own clock, for people; nothing is decided by it
);

-- Each job, and who does it. `number` rises whenever the holder changes: a write of the job is refused under an older one.
CREATE TABLE lease (
  name           TEXT PRIMARY KEY,           -- of the job
  holder         TEXT,                       -- lease_node.name; null: free
  number         INTEGER NOT NULL,
  held_since_ms  INTEGER                     -- by the holder's own clock, for people
);
CREATE INDEX lease_holder ON lease (holder);
