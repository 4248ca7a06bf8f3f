-- A password that another program changes ends the tokens that were issued before, but not those of that moment: the server that
-- sets a password hands out a token in the same breath, and a token says only in which second it was issued. What was issued in
-- the second of the change or the one before it stays (the clocks of two hosts differ a little). Of changes of its own the
-- gateway writes down the exact time.
DROP TRIGGER gateway_cuts_by_update;

CREATE TRIGGER gateway_cuts_by_update AFTER UPDATE ON users
WHEN old.id IS NOT new.id OR (coalesce(old.is_active, 0) <> 0 AND coalesce(new.is_active, 0) = 0)
BEGIN
    DELETE FROM gateway_cuts WHERE user_id = old.id;
    INSERT INTO gateway_cuts (user_id, at) SELECT old.id, at FROM gateway_now;
    INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'user', old.id, at, until FROM gateway_now;
END;

CREATE TRIGGER gateway_cuts_by_password AFTER UPDATE ON users
WHEN old.id IS new.id AND NOT (coalesce(old.is_active, 0) <> 0 AND coalesce(new.is_active, 0) = 0)
    AND old.password IS NOT new.password AND NOT EXISTS (
        SELECT 1 FROM gateway_rehash WHERE user_id = new.id AND new_hash = new.password)
BEGIN
    UPDATE gateway_cuts SET at = max(at, (SELECT n.at - n.at % 1000 - 1001 FROM gateway_now AS n)) WHERE user_id = new.id;
    INSERT INTO gateway_cuts (user_id, at) SELECT new.id, n.at - n.at % 1000 - 1001 FROM gateway_now AS n
    WHERE NOT EXISTS (SELECT 1 FROM gateway_cuts WHERE user_id = new.id);
    INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'user', new.id, at, until FROM gateway_now;
END;
