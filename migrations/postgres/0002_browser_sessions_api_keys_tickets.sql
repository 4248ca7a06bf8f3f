-- What people see in the list of their sessions. `kind`: 'token' is a family of refresh tokens, 'browser' is a cookie's.
ALTER TABLE gateway_sessions ADD COLUMN kind text NOT NULL DEFAULT 'token';
ALTER TABLE gateway_sessions ADD COLUMN client text;
ALTER TABLE gateway_sessions ADD COLUMN address text;
ALTER TABLE gateway_sessions ADD COLUMN seen_at bigint;

-- Credentials of machines. Only a hash of the secret is kept; `roles` NULL: as many as the owner has.
CREATE TABLE gateway_api_keys (
    id text PRIMARY KEY,
    user_id bigint NOT NULL,
    name text NOT NULL,
    hash bytea NOT NULL,
    roles text,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint
);
CREATE INDEX gateway_api_keys_user ON gateway_api_keys (user_id);

-- One use, a few seconds: for what cannot send headers.
CREATE TABLE gateway_tickets (
    hash bytea PRIMARY KEY,
    user_id bigint NOT NULL,
    credential text NOT NULL,
    session_id bytea,
    api_key text,
    roles text,
    not_after bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX gateway_tickets_expired ON gateway_tickets (expires_at);

-- Whatever is done to an API key after it was made is told, also where plain SQL does it.
CREATE FUNCTION gateway_api_keys_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    at_ms bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    until_ms bigint := at_ms + 60000 + (SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms');
BEGIN
    INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'api_key', id, at_ms, until_ms FROM old_rows;
    PERFORM pg_notify('gateway_changes', '');
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION gateway_api_keys_changed() FROM PUBLIC;
CREATE TRIGGER gateway_api_keys_updated AFTER UPDATE ON gateway_api_keys REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_api_keys_changed();
CREATE TRIGGER gateway_api_keys_deleted AFTER DELETE ON gateway_api_keys REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_api_keys_changed();

-- The keys and tickets of users that are gone go with them: an id may be used again.
CREATE FUNCTION gateway_credentials_orphaned() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM gateway_api_keys k USING old_rows o
    WHERE k.user_id = o.id AND NOT EXISTS (SELECT FROM users u WHERE u.id = o.id);
    DELETE FROM gateway_tickets t USING old_rows o
    WHERE t.user_id = o.id AND NOT EXISTS (SELECT FROM users u WHERE u.id = o.id);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION gateway_credentials_orphaned() FROM PUBLIC;
CREATE FUNCTION gateway_credentials_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM gateway_api_keys;
    DELETE FROM gateway_tickets;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION gateway_credentials_truncated() FROM PUBLIC;
CREATE TRIGGER gateway_credentials_orphaned_by_delete AFTER DELETE ON users REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_credentials_orphaned();
CREATE TRIGGER gateway_credentials_orphaned_by_update AFTER UPDATE ON users REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_credentials_orphaned();
CREATE TRIGGER gateway_credentials_truncated AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_credentials_truncated();
