-- Tokens without a session (those of the praetorian format) end with a change of the password, a deactivation or the end of
-- their user: those that were issued up to `at` (Unix milliseconds). The row outlives the user: an id may be used again.
CREATE TABLE gateway_cuts (
    user_id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL
);

CREATE TRIGGER gateway_cuts_by_update AFTER UPDATE ON users
WHEN old.id IS NOT new.id
    OR (coalesce(old.is_active, 0) <> 0 AND coalesce(new.is_active, 0) = 0)
    OR (old.password IS NOT new.password AND NOT EXISTS (
        SELECT 1 FROM gateway_rehash WHERE user_id = new.id AND new_hash = new.password))
BEGIN
    DELETE FROM gateway_cuts WHERE user_id = old.id;
    INSERT INTO gateway_cuts (user_id, at) SELECT old.id, at FROM gateway_now;
    INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'user', old.id, at, until FROM gateway_now;
END;

CREATE TRIGGER gateway_cuts_by_delete AFTER DELETE ON users
BEGIN
    DELETE FROM gateway_cuts WHERE user_id = old.id;
    INSERT INTO gateway_cuts (user_id, at) SELECT old.id, at FROM gateway_now;
END;

-- An INSERT OR REPLACE, which SQLite does not report as a deletion.
CREATE TRIGGER gateway_cuts_by_insert BEFORE INSERT ON users
WHEN EXISTS (SELECT 1 FROM users WHERE id = new.id)
BEGIN
    DELETE FROM gateway_cuts WHERE user_id = new.id;
    INSERT INTO gateway_cuts (user_id, at) SELECT new.id, at FROM gateway_now;
    INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'user', new.id, at, until FROM gateway_now;
END;
