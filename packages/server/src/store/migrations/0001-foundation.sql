-- Foundation. Dialect: what SQLite and PostgreSQL 15 share (PostgreSQL reads BLOB as BYTEA and INTEGER as BIGINT through its
-- runner). Times are Unix milliseconds (_ms), truth is 0 or 1, digests and sealed values are bytes. A column named sealed_*
-- holds AES-256-GCM under the master key with (table, row, column) as additional data. Rows are marked, not deleted; a bounded
-- sweep removes what no token can refer to any more.

-- A column named proof holds an HMAC under the bucket key over what the row says for good (not over marks such as ended or used,
-- which change): whoever can write this database, but lacks that key, makes no row that counts.

-- One row: how often this store was restored. Never falls. See design of restore: docs/operating/backup.md.
CREATE TABLE store_epoch (
  singleton      INTEGER PRIMARY KEY CHECK (singleton = 1),
  epoch          INTEGER NOT NULL,
  changed_at_ms  INTEGER NOT NULL,
  reason         TEXT NOT NULL
);
INSERT INTO store_epoch (singleton, epoch, changed_at_ms, reason) VALUES (1, 1, 0, 'created');

-- What happened, append-only. Everything outward (alarms, webhooks, feed) reads here, later, and never delays a request.
CREATE TABLE event (
  id          TEXT PRIMARY KEY,              -- evt_…, sorts by time
  at_ms       INTEGER NOT NULL,
  type        TEXT NOT NULL,                 -- e.g. session.started, grant.ended, alarm.forged
  severity    TEXT NOT NULL,                 -- info | notice | warning | critical; alarms are warning or critical
  rings       INTEGER NOT NULL,              -- 1: an alarm
  key_id      TEXT,
  client_id   TEXT,
  user_id     TEXT,
  token_id    TEXT,                          -- a jti or row id; never a token
  address     TEXT,                          -- network address of whoever caused it
  occurrences INTEGER NOT NULL DEFAULT 1,    -- past the cap of a minute, those of one type, key, client, user
  detail      TEXT NOT NULL                  -- JSON object of ids and codes; no secret, no personal text
);
CREATE INDEX event_alarm ON event (rings, id);

-- How far an outlet has read the events; it may read one twice after a crash, never miss one.
CREATE TABLE outlet (
  name          TEXT PRIMARY KEY,
  read_up_to    TEXT NOT NULL
);

-- Every revocation, written in the revoking transaction; read by those who keep copies of verdicts (see the verifier).
CREATE TABLE invalidation (
  position    INTEGER PRIMARY KEY,           -- SQLite: commit order, for there is one writer
  at_ms       INTEGER NOT NULL,
  kind        TEXT NOT NULL,                 -- token | grant | client | user | key | session
  subject_id  TEXT NOT NULL,
  audience    TEXT,                          -- whose resource servers are concerned; null: all
  until_ms    INTEGER NOT NULL               -- concerns no token that could be accepted after this: swept then, in any order
);
CREATE INDEX invalidation_until ON invalidation (until_ms);

CREATE TABLE app_user (
  proof           BLOB NOT NULL,
  id              TEXT PRIMARY KEY,          -- user_…, the `sub`; never reassigned
  email           TEXT NOT NULL,             -- as compared: ASCII, lower case
  created_at_ms   INTEGER NOT NULL,
  disabled_at_ms  INTEGER,
  dead_before_ms  INTEGER NOT NULL DEFAULT 0 -- whatever was issued to this user up to here is dead, also after re-enabling
);
CREATE UNIQUE INDEX app_user_email ON app_user (email);

CREATE TABLE client (
  proof             BLOB NOT NULL,
  id                       TEXT PRIMARY KEY, -- oauth2client_…
  name                     TEXT NOT NULL,
  confidential             INTEGER NOT NULL,
  auth_method              TEXT NOT NULL,    -- client_secret (either way) | client_secret_basic | client_secret_post | none
  redirect_uris            TEXT NOT NULL,    -- JSON array
  grant_types              TEXT NOT NULL,    -- JSON array
  scopes                   TEXT NOT NULL,    -- space-delimited: the most it can ever obtain
  audience                 TEXT NOT NULL,    -- `aud` of its access tokens
  resource_server_for      TEXT NOT NULL,    -- JSON array of audiences it may ask about; [] for an ordinary client
  allowed_origins          TEXT NOT NULL,    -- JSON array: CORS
  single_active            TEXT NOT NULL,    -- grant | off
  access_lifetime_seconds  INTEGER NOT NULL,
  refresh_idle_seconds     INTEGER NOT NULL,
  refresh_absolute_seconds INTEGER NOT NULL,
  grace_seconds            INTEGER NOT NULL, -- a repeated refresh gets the same answer for so long
  overlap_seconds          INTEGER NOT NULL, -- a superseded access token is honoured for so long
  max_live_tokens          INTEGER NOT NULL,
  pkce_required            INTEGER NOT NULL DEFAULT 1,
  created_at_ms            INTEGER NOT NULL,
  disabled_at_ms           INTEGER,
  dead_before_ms           INTEGER NOT NULL DEFAULT 0
);

-- At most two secrets of a client are good at a time.
CREATE TABLE client_secret (
  proof             BLOB NOT NULL,
  id             TEXT PRIMARY KEY,
  client_id      TEXT NOT NULL REFERENCES client (id),
  digest         BLOB NOT NULL,              -- SHA-256 of 256 random bits
  created_at_ms  INTEGER NOT NULL,
  expires_at_ms  INTEGER                     -- set on the older one at rotation
);
CREATE INDEX client_secret_client ON client_secret (client_id);

-- Keys that sign, and symmetric keys of the authority's own, by purpose and algorithm.
CREATE TABLE signing_key (
  id                 TEXT PRIMARY KEY,       -- key_…, the `kid`
  purpose            TEXT NOT NULL,          -- access | refresh | magic-link | id | login-code | handle
  algorithm          TEXT NOT NULL,          -- ES256 | Ed25519 | RS256 | HS256
  state              TEXT NOT NULL,          -- standby | active | retiring | retired
  compromised_at_ms  INTEGER,                -- set at most once, in any state
  public_jwk         TEXT,                   -- null for symmetric keys
  sealed_private     BLOB NOT NULL,
  created_at_ms      INTEGER NOT NULL,
  activated_at_ms    INTEGER,
  retiring_at_ms     INTEGER,
  retired_at_ms      INTEGER
);
-- At most one key of a purpose and algorithm signs at a time, whatever races.
CREATE UNIQUE INDEX signing_key_active ON signing_key (purpose, algorithm) WHERE state = 'active';

CREATE TABLE bucket_key (
  version        INTEGER PRIMARY KEY,        -- 1 … 255, the first byte of each `eb` made under it
  sealed_key     BLOB NOT NULL,              -- 256 bits
  created_at_ms  INTEGER NOT NULL
);

-- Mails on their way. The body holds a link: sealed, and erased once sent.
CREATE TABLE mail (
  id               TEXT PRIMARY KEY,         -- mail_…
  sealed_mail      BLOB,                     -- JSON {to, subject, text, html}; null once sent or given up; zeros until swept: never was one
  created_at_ms    INTEGER NOT NULL,
  next_attempt_ms  INTEGER,                  -- null: done
  attempts         INTEGER NOT NULL DEFAULT 0,
  give_up_at_ms    INTEGER NOT NULL,
  sent_at_ms       INTEGER,
  failed_at_ms     INTEGER
);
CREATE INDEX mail_due ON mail (next_attempt_ms) WHERE next_attempt_ms IS NOT NULL;
CREATE INDEX mail_pretended ON mail (id) WHERE next_attempt_ms IS NULL AND sealed_mail IS NOT NULL;

CREATE TABLE browser_session (
  proof             BLOB NOT NULL,
  id             TEXT PRIMARY KEY,           -- sess_…
  digest         BLOB NOT NULL,              -- SHA-256 of the cookie's 256 bits
  user_id        TEXT NOT NULL REFERENCES app_user (id),
  amr            TEXT NOT NULL,              -- JSON array; 'email': RFC 8176 has no value for a mailbox
  created_at_ms  INTEGER NOT NULL,           -- also auth_time
  last_seen_ms   INTEGER NOT NULL,           -- updated at most once a minute
  expires_at_ms  INTEGER NOT NULL,           -- absolute
  user_agent     TEXT NOT NULL,
  network        TEXT NOT NULL,
  ended_at_ms    INTEGER
);
CREATE UNIQUE INDEX browser_session_digest ON browser_session (digest);
CREATE INDEX browser_session_user ON browser_session (user_id);
CREATE INDEX browser_session_expiry ON browser_session (expires_at_ms);
CREATE INDEX browser_session_end ON browser_session (ended_at_ms) WHERE ended_at_ms IS NOT NULL;

-- One login by mail: link and code of one mail, for one starting browser.
CREATE TABLE magic_link (
  proof             BLOB NOT NULL,
  id                TEXT PRIMARY KEY,        -- maglnk_…, the link's jti
  email             TEXT NOT NULL,
  user_id           TEXT,                    -- null: nobody has this address (yet)
  can_finish        INTEGER NOT NULL,        -- 0: no account and no sign-up, or disabled; the mail says so, the pages do not
  mailed            INTEGER NOT NULL,        -- 0: throttled, nothing was sent; the row only makes all answers alike
  browser_digest    BLOB NOT NULL,           -- SHA-256 of the starting browser's cookie
  bucket_version    INTEGER NOT NULL,
  record            BLOB NOT NULL,           -- HMAC over the link's bytes
  code_key_id       TEXT NOT NULL,
  code_mac          BLOB NOT NULL,           -- HMAC of the code under that sealed key
  code_tries        INTEGER NOT NULL DEFAULT 0,
  return_to         TEXT NOT NULL,           -- where to go after login: '' or a sealed authorization request
  client_id         TEXT,
  user_agent        TEXT NOT NULL,
  network           TEXT NOT NULL,
  created_at_ms     INTEGER NOT NULL,
  expires_at_ms     INTEGER NOT NULL,
  used_at_ms        INTEGER,
  superseded_at_ms  INTEGER
);
CREATE INDEX magic_link_open ON magic_link (email, expires_at_ms);
CREATE INDEX magic_link_expiry ON magic_link (expires_at_ms);

-- A user's authorization of a client: one family of tokens. Holds the record of the one refresh token that is good.
CREATE TABLE oauth_grant (
  proof             BLOB NOT NULL,
  id                  TEXT PRIMARY KEY,      -- grant_…
  client_id           TEXT NOT NULL REFERENCES client (id),
  user_id             TEXT NOT NULL REFERENCES app_user (id),
  session_id          TEXT,
  scope               TEXT NOT NULL,
  audience            TEXT NOT NULL,
  confirmation        TEXT,                  -- `cnf` as JSON; null for bearer
  auth_time_ms        INTEGER NOT NULL,
  amr                 TEXT NOT NULL,
  created_at_ms       INTEGER NOT NULL,
  idle_expires_at_ms  INTEGER NOT NULL,
  expires_at_ms       INTEGER NOT NULL,      -- absolute; rotation never moves it
  generation          INTEGER NOT NULL,      -- 0: no refresh token
  bucket_version      INTEGER,
  record              BLOB,                  -- of the refresh token of this generation
  previous_bucket_version INTEGER,
  previous_record     BLOB,                  -- of its predecessor
  rotated_at_ms       INTEGER,
  rotated_from        TEXT,                  -- address that rotated: tells a retry from a replay
  sealed_response     BLOB,                  -- the last answer, sealed under HKDF(master key, predecessor)
  repeats             INTEGER NOT NULL DEFAULT 0,
  ended_at_ms         INTEGER,
  end_reason          TEXT
);
CREATE INDEX oauth_grant_client ON oauth_grant (client_id);
CREATE INDEX oauth_grant_user ON oauth_grant (user_id);
CREATE INDEX oauth_grant_session ON oauth_grant (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX oauth_grant_response ON oauth_grant (rotated_at_ms) WHERE sealed_response IS NOT NULL;
CREATE INDEX oauth_grant_expiry ON oauth_grant (expires_at_ms);

CREATE TABLE authorization_code (
  proof             BLOB NOT NULL,
  digest            BLOB PRIMARY KEY,        -- SHA-256 of 256 random bits
  id                TEXT NOT NULL,           -- azc_…
  client_id         TEXT NOT NULL,
  user_id           TEXT NOT NULL,
  session_id        TEXT NOT NULL,
  redirect_uri      TEXT NOT NULL,
  redirect_uri_sent INTEGER NOT NULL,        -- whether the request named it (RFC 6749 §4.1.3)
  code_challenge    TEXT,                    -- S256; null only for clients freed from PKCE
  scope             TEXT NOT NULL,
  nonce             TEXT,
  auth_time_ms      INTEGER NOT NULL,
  amr               TEXT NOT NULL,
  created_at_ms     INTEGER NOT NULL,
  expires_at_ms     INTEGER NOT NULL,
  redeemed_at_ms    INTEGER,
  redeemed_from     TEXT,
  grant_id          TEXT                     -- made at redemption
);
CREATE INDEX authorization_code_expiry ON authorization_code (expires_at_ms);

-- Consent given by a user to a client whose identity is assured (confidential, https redirect), remembered.
CREATE TABLE consent (
  proof        BLOB NOT NULL,
  user_id      TEXT NOT NULL,
  client_id    TEXT NOT NULL,
  scope        TEXT NOT NULL,
  given_at_ms  INTEGER NOT NULL,
  PRIMARY KEY (user_id, client_id)
);

-- One row for each access token that has not expired (and a little longer).
CREATE TABLE access_token (
  jti               TEXT PRIMARY KEY,        -- acctok_…
  grant_id          TEXT,                    -- null: client_credentials
  client_id         TEXT NOT NULL,
  user_id           TEXT,
  session_id        TEXT,
  audience          TEXT NOT NULL,
  key_id            TEXT NOT NULL,
  bucket_version    INTEGER NOT NULL,
  record            BLOB NOT NULL,
  issued_at_ms      INTEGER NOT NULL,
  expires_at_ms     INTEGER NOT NULL,
  superseded_at_ms  INTEGER,                 -- dead from here on: supersession plus overlap
  revoked_at_ms     INTEGER
);
CREATE INDEX access_token_grant ON access_token (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX access_token_client ON access_token (client_id, expires_at_ms);
CREATE INDEX access_token_expiry ON access_token (expires_at_ms);
