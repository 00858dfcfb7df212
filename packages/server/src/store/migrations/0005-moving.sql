-- Moving a store to another engine, and a restore that is under way. The release before this one runs on it and knows no fence: the
-- embedded engine's is kept by triggers, which stop that release as well.

-- One row at most: while it stands nothing is served from here.
CREATE TABLE store_fence (
  singleton        INTEGER PRIMARY KEY CHECK (singleton = 1),
  kind             TEXT NOT NULL,            -- leaving: exported from here | arriving: being imported | restoring: see restore-point
  transfer_id      TEXT NOT NULL,            -- names the export or the restore; no secret
  fenced_at_ms     INTEGER NOT NULL,
  rows_done        INTEGER NOT NULL,         -- arriving: rows of the file that are in
  completed_at_ms  INTEGER                   -- leaving: every row is in the file, which may be in use elsewhere
);
