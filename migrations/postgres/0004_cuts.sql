-- Tokens without a session (those of the praetorian format) end with a change of the password, a deactivation or the end of
-- their user: those that were issued up to `at` (Unix milliseconds). The row outlives the user: an id may be used again.
CREATE TABLE gateway_cuts (
    user_id bigint PRIMARY KEY,
    at bigint NOT NULL
);

-- Remembers the cut, and tells of it as of any other news about these users.
CREATE FUNCTION gateway_cut(cut bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    at_ms bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    until_ms bigint := at_ms + 60000 + (SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms');
BEGIN
    IF cut IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO gateway_cuts AS c (user_id, at)
    SELECT id, at_ms FROM (SELECT DISTINCT unnest(cut) AS id) t ORDER BY id
    ON CONFLICT (user_id) DO UPDATE SET at = GREATEST(c.at, EXCLUDED.at);
    IF cardinality(cut) > 1000 THEN
        INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('users', '', at_ms, until_ms);
    ELSE
        INSERT INTO gateway_changes (kind, subject, at, until)
        SELECT 'user', id::text, at_ms, until_ms FROM (SELECT DISTINCT unnest(cut) AS id) t;
    END IF;
    PERFORM pg_notify('gateway_changes', '');
END $$;
REVOKE ALL ON FUNCTION gateway_cut(bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION gateway_tell(told bigint[], cut bigint[]) RETURNS void
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
    PERFORM gateway_cut(cut);
    IF cardinality(told) > 1000 THEN
        INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('users', '', at_ms, until_ms);
    ELSE
        INSERT INTO gateway_changes (kind, subject, at, until)
        SELECT 'user', id::text, at_ms, until_ms FROM (SELECT DISTINCT unnest(told) AS id) t
        WHERE cut IS NULL OR id <> ALL (cut);
    END IF;
    PERFORM pg_notify('gateway_changes', '');
END $$;

-- Whoever was in the table is not known any more: the tokens of all are cut.
CREATE OR REPLACE FUNCTION gateway_users_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    at_ms bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    until_ms bigint := at_ms + 60000 + (SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms');
BEGIN
    DELETE FROM gateway_grants;
    INSERT INTO gateway_settings AS s (name, value) VALUES ('all_cut_at', at_ms)
    ON CONFLICT (name) DO UPDATE SET value = GREATEST(s.value, EXCLUDED.value);
    PERFORM gateway_tell(NULL, (SELECT array_agg(DISTINCT user_id) FROM gateway_sessions WHERE revoked_at IS NULL));
    INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('users', '', at_ms, until_ms);
    PERFORM pg_notify('gateway_changes', '');
    RETURN NULL;
END $$;
