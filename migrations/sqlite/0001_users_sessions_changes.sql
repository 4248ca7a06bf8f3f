-- The columns of a `users` table that was there before are added by the program beforehand: SQLite has no
-- ADD COLUMN IF NOT EXISTS. Nothing else in such a table is changed.
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    username TEXT NOT NULL UNIQUE,
    password TEXT,
    roles TEXT,
    is_active BOOLEAN,
    email TEXT,
    email_verified BOOLEAN NOT NULL DEFAULT 0,
    name_key TEXT
);
CREATE INDEX gateway_users_username ON users (username);
CREATE INDEX gateway_users_name_key ON users (name_key);
CREATE INDEX gateway_users_email ON users (lower(email));
CREATE INDEX gateway_users_unkeyed ON users (id) WHERE name_key IS NULL AND username IS NOT NULL;

CREATE TABLE gateway_grants (
    user_id INTEGER NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (user_id, role)
);

CREATE TABLE gateway_sessions (
    id BLOB PRIMARY KEY,
    user_id INTEGER NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,
    family_hash BLOB NOT NULL,
    current_hash BLOB NOT NULL,
    previous_hash BLOB,
    salt BLOB NOT NULL,
    previous_salt BLOB,
    rotated_at INTEGER,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    idle_until INTEGER NOT NULL,
    revoked_at INTEGER
) WITHOUT ROWID;
CREATE INDEX gateway_sessions_user ON gateway_sessions (user_id);
CREATE INDEX gateway_sessions_ended
    ON gateway_sessions (min(expires_at, idle_until, coalesce(revoked_at, expires_at)));

CREATE TABLE gateway_keys (
    id TEXT PRIMARY KEY,
    algorithm TEXT NOT NULL,
    material BLOB NOT NULL,
    sealed BOOLEAN NOT NULL,
    publish_at INTEGER NOT NULL,
    sign_from INTEGER NOT NULL,
    verify_until INTEGER
);

CREATE TABLE gateway_failures (
    key BLOB NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX gateway_failures_key ON gateway_failures (key, at);
CREATE INDEX gateway_failures_at ON gateway_failures (at);

CREATE TABLE gateway_settings (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
);
-- The largest life of an access token that any replica has recorded; until one does: the default.
INSERT INTO gateway_settings (name, value) VALUES ('token_lifetime_ms', 900000);

-- A pair stands here only inside the transaction that replaces a hash by one of the same password, so that the trigger
-- below takes it for what it is.
CREATE TABLE gateway_rehash (
    user_id INTEGER NOT NULL,
    new_hash TEXT NOT NULL
);

-- The change feed: there is one writer at a time, so the order of `seq` is the order of the commits.
CREATE TABLE gateway_changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    at INTEGER NOT NULL,
    until INTEGER NOT NULL
);
CREATE INDEX gateway_changes_until ON gateway_changes (until);
CREATE INDEX gateway_changes_subject ON gateway_changes (kind, subject);

-- The triggers use nothing that another program's SQLite (3.24 or later) would not know.
CREATE VIEW gateway_now AS
SELECT t.at AS at, t.at + 60000 + (SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms') AS until
FROM (SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) AS at) AS t;

CREATE TRIGGER gateway_name_changed AFTER UPDATE ON users
WHEN old.username IS NOT new.username AND old.name_key IS new.name_key
BEGIN
    UPDATE users SET name_key = NULL WHERE id = new.id;
END;

CREATE TRIGGER gateway_users_updated AFTER UPDATE ON users
WHEN old.id IS NOT new.id OR old.username IS NOT new.username OR old.roles IS NOT new.roles
    OR old.is_active IS NOT new.is_active OR old.email IS NOT new.email OR old.email_verified IS NOT new.email_verified
BEGIN
    INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'user', old.id, at, until FROM gateway_now;
    INSERT INTO gateway_changes (kind, subject, at, until)
        SELECT 'user', new.id, at, until FROM gateway_now WHERE old.id IS NOT new.id;
    DELETE FROM gateway_grants WHERE user_id = old.id AND old.id IS NOT new.id;
END;

CREATE TRIGGER gateway_users_cut AFTER UPDATE ON users
WHEN old.id IS NOT new.id
    OR (coalesce(old.is_active, 0) <> 0 AND coalesce(new.is_active, 0) = 0)
    OR (old.password IS NOT new.password AND NOT EXISTS (
        SELECT 1 FROM gateway_rehash WHERE user_id = new.id AND new_hash = new.password))
BEGIN
    INSERT INTO gateway_changes (kind, subject, at, until)
        SELECT 'session', lower(hex(s.id)), n.at, n.until FROM gateway_sessions AS s, gateway_now AS n
        WHERE s.user_id = old.id AND s.revoked_at IS NULL;
    UPDATE gateway_sessions SET revoked_at = (SELECT at FROM gateway_now)
        WHERE user_id = old.id AND revoked_at IS NULL;
END;

CREATE TRIGGER gateway_users_deleted AFTER DELETE ON users
BEGIN
    DELETE FROM gateway_grants WHERE user_id = old.id;
    INSERT INTO gateway_changes (kind, subject, at, until)
        SELECT 'session', lower(hex(s.id)), n.at, n.until FROM gateway_sessions AS s, gateway_now AS n
        WHERE s.user_id = old.id AND s.revoked_at IS NULL;
    UPDATE gateway_sessions SET revoked_at = (SELECT at FROM gateway_now)
        WHERE user_id = old.id AND revoked_at IS NULL;
    INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'user', old.id, at, until FROM gateway_now;
END;

-- A new row is news where something is known of its id: a deleted user who is put back, an id that is used again, or an
-- INSERT OR REPLACE, which SQLite does not report as a deletion.
CREATE TRIGGER gateway_users_inserted AFTER INSERT ON users
WHEN EXISTS (SELECT 1 FROM gateway_changes WHERE kind = 'user' AND subject = CAST(new.id AS TEXT))
    OR EXISTS (SELECT 1 FROM gateway_sessions WHERE user_id = new.id)
    OR EXISTS (SELECT 1 FROM gateway_grants WHERE user_id = new.id)
BEGIN
    DELETE FROM gateway_grants WHERE user_id = new.id;
    INSERT INTO gateway_changes (kind, subject, at, until)
        SELECT 'session', lower(hex(s.id)), n.at, n.until FROM gateway_sessions AS s, gateway_now AS n
        WHERE s.user_id = new.id AND s.revoked_at IS NULL;
    UPDATE gateway_sessions SET revoked_at = (SELECT at FROM gateway_now)
        WHERE user_id = new.id AND revoked_at IS NULL;
    INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'user', new.id, at, until FROM gateway_now;
END;

CREATE TRIGGER gateway_grants_inserted AFTER INSERT ON gateway_grants
BEGIN
    INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'user', new.user_id, at, until FROM gateway_now;
END;

CREATE TRIGGER gateway_grants_deleted AFTER DELETE ON gateway_grants
BEGIN
    INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'user', old.user_id, at, until FROM gateway_now;
END;
