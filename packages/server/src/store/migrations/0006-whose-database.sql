-- Whose database this is: settings that all who serve from it must have the same. The release before this one runs on it, and leaves it
-- alone.

-- One row, written by the first start.
CREATE TABLE authority (
  singleton         INTEGER PRIMARY KEY CHECK (singleton = 1),
  issuer            TEXT NOT NULL,           -- as in `iss`
  access_algorithm  TEXT NOT NULL            -- of keys for access tokens: ES256 | Ed25519
);
