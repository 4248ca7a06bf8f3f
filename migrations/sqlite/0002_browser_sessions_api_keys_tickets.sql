-- What people see in the list of their sessions. `kind`: 'token' is a family of refresh tokens, 'browser' is a cookie's.
ALTER TABLE gateway_sessions ADD COLUMN kind TEXT NOT NULL DEFAULT 'token';
ALTER TABLE gateway_sessions ADD COLUMN client TEXT;
ALTER TABLE gateway_sessions ADD COLUMN address TEXT;
ALTER TABLE gateway_sessions ADD COLUMN seen_at INTEGER;

-- Credentials of machines. Only a hash of the secret is kept; `roles` NULL: as many as the owner has.
CREATE TABLE gateway_api_keys (
    id TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    hash BLOB NOT NULL,
    roles TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
);
CREATE INDEX gateway_api_keys_user ON gateway_api_keys (user_id);

-- One use, a few seconds: for what cannot send headers.
CREATE TABLE gateway_tickets (
    hash BLOB PRIMARY KEY,
    user_id INTEGER NOT NULL,
    credential TEXT NOT NULL,
    session_id BLOB,
    api_key TEXT,
    roles TEXT,
    not_after INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX gateway_tickets_expired ON gateway_tickets (expires_at);

-- Whatever is done to an API key after it was made is told, also where plain SQL does it.
CREATE TRIGGER gateway_api_keys_updated AFTER UPDATE ON gateway_api_keys
BEGIN
    INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'api_key', old.id, at, until FROM gateway_now;
END;
CREATE TRIGGER gateway_api_keys_deleted AFTER DELETE ON gateway_api_keys
BEGIN
    INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'api_key', old.id, at, until FROM gateway_now;
END;

-- The keys and tickets of users that are gone go with them: an id may be used again. The third case is an INSERT OR
-- REPLACE, which SQLite does not report as a deletion.
CREATE TRIGGER gateway_credentials_orphaned_by_delete AFTER DELETE ON users
BEGIN
    DELETE FROM gateway_api_keys WHERE user_id = old.id;
    DELETE FROM gateway_tickets WHERE user_id = old.id;
END;
CREATE TRIGGER gateway_credentials_orphaned_by_update AFTER UPDATE ON users WHEN old.id IS NOT new.id
BEGIN
    DELETE FROM gateway_api_keys WHERE user_id = old.id;
    DELETE FROM gateway_tickets WHERE user_id = old.id;
END;
CREATE TRIGGER gateway_credentials_orphaned_by_insert AFTER INSERT ON users
WHEN EXISTS (SELECT 1 FROM gateway_api_keys WHERE user_id = new.id)
    OR EXISTS (SELECT 1 FROM gateway_tickets WHERE user_id = new.id)
BEGIN
    DELETE FROM gateway_api_keys WHERE user_id = new.id;
    DELETE FROM gateway_tickets WHERE user_id = new.id;
END;
