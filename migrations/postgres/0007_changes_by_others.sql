-- A password that another program changes ends the tokens that were issued before, but not those of that moment: the server that
-- sets a password hands out a token in the same breath, and a token says only in which second it was issued. What was issued in
-- the second of the change or the one before it stays (the clocks of two hosts differ a little). Of changes of its own the
-- gateway writes down the exact time.
CREATE FUNCTION gateway_cut_at(cut bigint[], cut_ms bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    at_ms bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    until_ms bigint := at_ms + 60000 + (SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms');
BEGIN
    IF cut IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO gateway_cuts AS c (user_id, at)
    SELECT id, cut_ms FROM (SELECT DISTINCT unnest(cut) AS id) t ORDER BY id
    ON CONFLICT (user_id) DO UPDATE SET at = GREATEST(c.at, EXCLUDED.at);
    IF cardinality(cut) > 1000 THEN
        INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('users', '', at_ms, until_ms);
    ELSE
        INSERT INTO gateway_changes (kind, subject, at, until)
        SELECT 'user', id::text, at_ms, until_ms FROM (SELECT DISTINCT unnest(cut) AS id) t;
    END IF;
    PERFORM pg_notify('gateway_changes', '');
END $$;
REVOKE ALL ON FUNCTION gateway_cut_at(bigint[], bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION gateway_cut(cut bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM gateway_cut_at(cut, (extract(epoch FROM clock_timestamp()) * 1000)::bigint);
END $$;

-- `told`: something about these users is news; `cut`: all that they have ends now; `renewed`: their password is another one.
CREATE FUNCTION gateway_tell(told bigint[], cut bigint[], renewed bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    at_ms bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    until_ms bigint := at_ms + 60000 + (SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms');
BEGIN
    PERFORM gateway_tell(told, cut);
    IF renewed IS NULL THEN
        RETURN;
    END IF;
    WITH ended AS (
        UPDATE gateway_sessions s SET revoked_at = at_ms
        FROM (SELECT DISTINCT unnest(renewed) AS id) c
        WHERE s.user_id = c.id AND s.revoked_at IS NULL
        RETURNING s.id
    )
    INSERT INTO gateway_changes (kind, subject, at, until)
    SELECT 'session', encode(id, 'hex'), at_ms, until_ms FROM ended;
    PERFORM gateway_cut_at(renewed, at_ms - at_ms % 1000 - 1001);
END $$;
REVOKE ALL ON FUNCTION gateway_tell(bigint[], bigint[], bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION gateway_users_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    told bigint[];
    cut bigint[];
    renewed bigint[];
    gone bigint[];
BEGIN
    SELECT array_agg(id) FILTER (WHERE differs AND (ends OR NOT renews)), array_agg(id) FILTER (WHERE ends),
        array_agg(id) FILTER (WHERE renews AND NOT ends), array_agg(id) FILTER (WHERE is_gone)
    INTO told, cut, renewed, gone
    FROM (
        SELECT COALESCE(o.id, n.id)::bigint AS id,
            n.id IS NULL AS is_gone,
            o.id IS NULL OR n.id IS NULL
                OR o.username IS DISTINCT FROM n.username
                OR o.roles IS DISTINCT FROM n.roles
                OR o.is_active IS DISTINCT FROM n.is_active
                OR o.email IS DISTINCT FROM n.email
                OR o.email_verified IS DISTINCT FROM n.email_verified AS differs,
            n.id IS NULL OR (o.is_active IS TRUE AND n.is_active IS NOT TRUE) AS ends,
            o.id IS NOT NULL AND n.id IS NOT NULL AND o.password IS DISTINCT FROM n.password AND NOT EXISTS (
                SELECT FROM gateway_rehash r WHERE r.user_id = n.id AND r.new_hash = n.password) AS renews
        FROM old_rows o FULL JOIN new_rows n ON n.id = o.id
    ) AS pairs;
    IF gone IS NOT NULL THEN
        DELETE FROM gateway_grants g USING (SELECT unnest(gone) AS id) d WHERE g.user_id = d.id;
    END IF;
    PERFORM gateway_tell(told, cut, renewed);
    RETURN NULL;
END $$;
