-- Reading the log of invalidations by cursor. The release before this one runs on it: it leaves expires_at_ms empty, and what it
-- sweeps concerns no token that could still be accepted.

-- When the one token that a row of kind 'superseded' names ends by itself; null where that is not known, and of every other kind.
ALTER TABLE invalidation ADD COLUMN expires_at_ms INTEGER;

-- One row: up to here the log is not whole. Written in the transaction that sweeps. What was swept before is not known, so that
-- counts as all there was.
CREATE TABLE invalidation_sweep (
  singleton  INTEGER PRIMARY KEY CHECK (singleton = 1),
  up_to      INTEGER NOT NULL                -- highest position of a row ever swept
);
INSERT INTO invalidation_sweep (singleton, up_to) SELECT 1, COALESCE(max(position), 0) FROM invalidation;
