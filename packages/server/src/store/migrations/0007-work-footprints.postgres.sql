-- One row for each transaction of several statements that wrote, committed with it: whether it is there tells, after the connection
-- broke under COMMIT, whether the transaction is in force. The number of the transaction would not: a server that crashes gives numbers
-- of transactions that were not committed out again. Swept after minutes, by the clock of the database alone.
CREATE TABLE work_footprint (
  id       BYTEA PRIMARY KEY,                -- 128 random bits
  made_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX work_footprint_age ON work_footprint (made_at);
