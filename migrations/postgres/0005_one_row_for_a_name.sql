-- A server beside the gateway that looks for a name and then inserts it, on a table without UNIQUE, makes one row: its insertion is
-- refused as a UNIQUE constraint would refuse it, if another transaction inserted that name while its own was under way. Two rows of
-- one name made one after the other, knowingly, are nobody's race and stay possible.

-- The names of the last minute, hashed; `xact` is the transaction that inserted them.
CREATE TABLE gateway_new_names (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name bigint NOT NULL,
    at timestamptz NOT NULL,
    xact bigint NOT NULL
);
CREATE INDEX gateway_new_names_name ON gateway_new_names (name);
CREATE INDEX gateway_new_names_at ON gateway_new_names (at);

CREATE FUNCTION gateway_name_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    key bigint := hashtextextended(NEW.username, 0);
    own bigint := pg_current_xact_id()::text::bigint;
    -- "door" in ASCII; few locks, so that a statement with a million rows has enough.
    lock_space int := 1685024626;
    lock_key int := (key & 255)::int;
    waited boolean := NOT pg_try_advisory_xact_lock(lock_space, lock_key);
BEGIN
    IF waited THEN
        PERFORM pg_advisory_xact_lock(lock_space, lock_key);
    END IF;
    IF EXISTS (
            SELECT FROM gateway_new_names n
            WHERE n.name = key AND n.xact <> own AND (waited OR n.at >= transaction_timestamp())
        ) AND EXISTS (SELECT FROM users u WHERE u.username = NEW.username) THEN
        RAISE unique_violation USING MESSAGE = 'this name was inserted by another transaction a moment ago';
    END IF;
    DELETE FROM gateway_new_names WHERE id IN (
        SELECT id FROM gateway_new_names WHERE at < transaction_timestamp() - interval '1 minute'
        ORDER BY at LIMIT 4 FOR UPDATE SKIP LOCKED
    );
    INSERT INTO gateway_new_names (name, at, xact) VALUES (key, clock_timestamp(), own);
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION gateway_name_inserted() FROM PUBLIC;

CREATE TRIGGER gateway_name_inserted BEFORE INSERT ON users FOR EACH ROW
    WHEN (NEW.username IS NOT NULL) EXECUTE FUNCTION gateway_name_inserted();
