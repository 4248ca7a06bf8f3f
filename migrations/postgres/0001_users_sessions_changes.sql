-- What is found is taken over: columns are only added, nullable or with a default, and nothing in the table is changed.
-- A table that is made here is one the Flask server could use as well.
CREATE TABLE IF NOT EXISTS users (
    id serial PRIMARY KEY,
    username text NOT NULL UNIQUE,
    password text,
    roles text,
    is_active boolean,
    email text
);
ALTER TABLE users ADD COLUMN IF NOT EXISTS email text;
ALTER TABLE users ADD COLUMN IF NOT EXISTS email_verified boolean NOT NULL DEFAULT false;
-- Trimmed, NFKC, case-folded; computed by the gateway, NULL where another hand wrote the name.
ALTER TABLE users ADD COLUMN IF NOT EXISTS name_key text;

-- Hash indexes: a B-tree refuses rows with names of some thousand characters, which the Flask server accepts.
CREATE INDEX gateway_users_username ON users USING hash (username);
CREATE INDEX gateway_users_name_key ON users USING hash (name_key);
CREATE INDEX gateway_users_email ON users USING hash (lower(email));
CREATE INDEX gateway_users_unkeyed ON users (id) WHERE name_key IS NULL AND username IS NOT NULL;

-- No foreign keys to users: they would refuse the other server's TRUNCATE and need a key the table may lack.
CREATE TABLE gateway_grants (
    user_id bigint NOT NULL,
    role text NOT NULL,
    PRIMARY KEY (user_id, role)
);

CREATE TABLE gateway_sessions (
    id bytea PRIMARY KEY,
    user_id bigint NOT NULL,
    generation bigint NOT NULL DEFAULT 0,
    family_hash bytea NOT NULL,
    current_hash bytea NOT NULL,
    previous_hash bytea,
    salt bytea NOT NULL,
    previous_salt bytea,
    rotated_at bigint,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    idle_until bigint NOT NULL,
    revoked_at bigint
);
CREATE INDEX gateway_sessions_user ON gateway_sessions (user_id);
CREATE INDEX gateway_sessions_ended ON gateway_sessions (LEAST(expires_at, idle_until, revoked_at));

CREATE TABLE gateway_keys (
    id text PRIMARY KEY,
    algorithm text NOT NULL,
    material bytea NOT NULL,
    sealed boolean NOT NULL,
    publish_at bigint NOT NULL,
    sign_from bigint NOT NULL,
    verify_until bigint
);

CREATE TABLE gateway_failures (
    key bytea NOT NULL,
    at bigint NOT NULL
);
CREATE INDEX gateway_failures_key ON gateway_failures (key, at);
CREATE INDEX gateway_failures_at ON gateway_failures (at);

CREATE TABLE gateway_settings (
    name text PRIMARY KEY,
    value bigint NOT NULL
);
-- The largest life of an access token that any replica has recorded; until one does: the default.
INSERT INTO gateway_settings (name, value) VALUES ('token_lifetime_ms', 900000);

-- A pair stands here only inside the transaction that replaces a hash by one of the same password, so that the trigger
-- below takes it for what it is.
CREATE TABLE gateway_rehash (
    user_id bigint NOT NULL,
    new_hash text NOT NULL
);

-- The change feed. `xid` is the transaction that wrote the row: a reader goes on from the oldest transaction that was
-- still running when it read, so a late commit is seen again and never skipped.
CREATE TABLE gateway_changes (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    kind text NOT NULL,
    subject text NOT NULL,
    at bigint NOT NULL,
    until bigint NOT NULL
);
CREATE INDEX gateway_changes_position ON gateway_changes (xid, seq);
CREATE INDEX gateway_changes_until ON gateway_changes (until);
CREATE INDEX gateway_changes_subject ON gateway_changes (kind, subject);

-- Everything below runs with the rights of the gateway's role, whoever's statement set it off, on a fixed search path.

-- Ends the living sessions of the users in `cut`, and writes both into the feed.
CREATE FUNCTION gateway_tell(told bigint[], cut bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    at_ms bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    until_ms bigint := at_ms + 60000 + (SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms');
BEGIN
    IF told IS NULL AND cut IS NULL THEN
        RETURN;
    END IF;
    WITH ended AS (
        UPDATE gateway_sessions s SET revoked_at = at_ms
        FROM (SELECT DISTINCT unnest(cut) AS id) c
        WHERE s.user_id = c.id AND s.revoked_at IS NULL
        RETURNING s.id
    )
    INSERT INTO gateway_changes (kind, subject, at, until)
    SELECT 'session', encode(id, 'hex'), at_ms, until_ms FROM ended;
    IF cardinality(told) > 1000 THEN
        INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('users', '', at_ms, until_ms);
    ELSE
        INSERT INTO gateway_changes (kind, subject, at, until)
        SELECT 'user', id::text, at_ms, until_ms FROM (SELECT DISTINCT unnest(told) AS id) t;
    END IF;
    PERFORM pg_notify('gateway_changes', '');
END $$;
REVOKE ALL ON FUNCTION gateway_tell(bigint[], bigint[]) FROM PUBLIC;

CREATE FUNCTION gateway_users_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    told bigint[];
    cut bigint[];
    gone bigint[];
BEGIN
    SELECT array_agg(id) FILTER (WHERE differs), array_agg(id) FILTER (WHERE ends), array_agg(id) FILTER (WHERE is_gone)
    INTO told, cut, gone
    FROM (
        SELECT COALESCE(o.id, n.id)::bigint AS id,
            n.id IS NULL AS is_gone,
            o.id IS NULL OR n.id IS NULL
                OR o.username IS DISTINCT FROM n.username
                OR o.roles IS DISTINCT FROM n.roles
                OR o.is_active IS DISTINCT FROM n.is_active
                OR o.email IS DISTINCT FROM n.email
                OR o.email_verified IS DISTINCT FROM n.email_verified AS differs,
            n.id IS NULL
                OR (o.is_active IS TRUE AND n.is_active IS NOT TRUE)
                OR (o.id IS NOT NULL AND o.password IS DISTINCT FROM n.password AND NOT EXISTS (
                    SELECT FROM gateway_rehash r WHERE r.user_id = n.id AND r.new_hash = n.password)) AS ends
        FROM old_rows o FULL JOIN new_rows n ON n.id = o.id
    ) AS pairs;
    IF gone IS NOT NULL THEN
        DELETE FROM gateway_grants g USING (SELECT unnest(gone) AS id) d WHERE g.user_id = d.id;
    END IF;
    PERFORM gateway_tell(told, cut);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION gateway_users_updated() FROM PUBLIC;

CREATE FUNCTION gateway_users_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    gone bigint[];
BEGIN
    SELECT array_agg(id::bigint) INTO gone FROM old_rows;
    DELETE FROM gateway_grants g USING old_rows o WHERE g.user_id = o.id;
    PERFORM gateway_tell(gone, gone);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION gateway_users_deleted() FROM PUBLIC;

-- A new row is news only where its id was told of before: a deleted user who is put back.
CREATE FUNCTION gateway_users_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    back bigint[];
BEGIN
    SELECT array_agg(n.id::bigint) INTO back FROM new_rows n
    WHERE EXISTS (SELECT FROM gateway_changes c WHERE c.kind = 'user' AND c.subject = n.id::text)
        OR EXISTS (SELECT FROM gateway_changes c WHERE c.kind = 'users');
    PERFORM gateway_tell(back, NULL);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION gateway_users_inserted() FROM PUBLIC;

CREATE FUNCTION gateway_users_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    at_ms bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    until_ms bigint := at_ms + 60000 + (SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms');
BEGIN
    DELETE FROM gateway_grants;
    PERFORM gateway_tell(NULL, (SELECT array_agg(DISTINCT user_id) FROM gateway_sessions WHERE revoked_at IS NULL));
    INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('users', '', at_ms, until_ms);
    PERFORM pg_notify('gateway_changes', '');
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION gateway_users_truncated() FROM PUBLIC;

CREATE FUNCTION gateway_grants_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM gateway_tell((SELECT array_agg(DISTINCT user_id) FROM changed_rows), NULL);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION gateway_grants_changed() FROM PUBLIC;

CREATE FUNCTION gateway_name_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    NEW.name_key := NULL;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION gateway_name_changed() FROM PUBLIC;

CREATE TRIGGER gateway_name_changed BEFORE UPDATE ON users FOR EACH ROW
    WHEN (OLD.username IS DISTINCT FROM NEW.username AND OLD.name_key IS NOT DISTINCT FROM NEW.name_key)
    EXECUTE FUNCTION gateway_name_changed();
CREATE TRIGGER gateway_users_inserted AFTER INSERT ON users REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_users_inserted();
CREATE TRIGGER gateway_users_updated AFTER UPDATE ON users REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_users_updated();
CREATE TRIGGER gateway_users_deleted AFTER DELETE ON users REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_users_deleted();
CREATE TRIGGER gateway_users_truncated AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_users_truncated();
CREATE TRIGGER gateway_grants_inserted AFTER INSERT ON gateway_grants REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_grants_changed();
CREATE TRIGGER gateway_grants_deleted AFTER DELETE ON gateway_grants REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_grants_changed();
