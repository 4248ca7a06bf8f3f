-- Mail that waits to be sent. A row is written with what it is about; the code in the mail is not in it. `due_at`: nobody
-- takes the row up before. `data` is emptied once the row is settled; the row stays a while, for the limits.
CREATE TABLE gateway_outbox (
    id TEXT PRIMARY KEY,
    user_id INTEGER,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    recipient BLOB,
    client BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    settled_at INTEGER
);
CREATE INDEX gateway_outbox_due ON gateway_outbox (due_at) WHERE settled_at IS NULL;
CREATE INDEX gateway_outbox_recipient ON gateway_outbox (recipient, created_at) WHERE recipient IS NOT NULL;
CREATE INDEX gateway_outbox_client ON gateway_outbox (client, created_at);
CREATE INDEX gateway_outbox_settled ON gateway_outbox (created_at) WHERE settled_at IS NOT NULL;
CREATE INDEX gateway_outbox_user ON gateway_outbox (user_id) WHERE user_id IS NOT NULL;

-- Codes that were sent, as hashes. `bound`: digest of what the user's password and address were then.
CREATE TABLE gateway_codes (
    hash BLOB PRIMARY KEY,
    user_id INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    bound BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX gateway_codes_user ON gateway_codes (user_id);
CREATE INDEX gateway_codes_expired ON gateway_codes (expires_at);

-- Accounts that wait for the confirmation of their address, and until when; 0: an administrator closed the account, and
-- no code opens it.
CREATE TABLE gateway_unconfirmed (
    user_id INTEGER PRIMARY KEY,
    until INTEGER NOT NULL
);

-- An account that is active has been confirmed, whoever did it; and what belongs to a user goes with the user: an id may
-- be used again. The last case is an INSERT OR REPLACE, which SQLite does not report as a deletion.
CREATE TRIGGER gateway_mail_followed AFTER UPDATE ON users WHEN coalesce(new.is_active, 0) <> 0
BEGIN
    DELETE FROM gateway_unconfirmed WHERE user_id = new.id;
END;
CREATE TRIGGER gateway_mail_orphaned_by_delete AFTER DELETE ON users
BEGIN
    DELETE FROM gateway_unconfirmed WHERE user_id = old.id;
    DELETE FROM gateway_codes WHERE user_id = old.id;
    UPDATE gateway_outbox SET user_id = NULL, kind = 'nobody', data = '{}' WHERE user_id = old.id;
END;
CREATE TRIGGER gateway_mail_orphaned_by_update AFTER UPDATE ON users WHEN old.id IS NOT new.id
BEGIN
    DELETE FROM gateway_unconfirmed WHERE user_id = old.id;
    DELETE FROM gateway_codes WHERE user_id = old.id;
    UPDATE gateway_outbox SET user_id = NULL, kind = 'nobody', data = '{}' WHERE user_id = old.id;
END;
CREATE TRIGGER gateway_mail_orphaned_by_insert AFTER INSERT ON users
BEGIN
    DELETE FROM gateway_unconfirmed WHERE user_id = new.id;
    DELETE FROM gateway_codes WHERE user_id = new.id;
    UPDATE gateway_outbox SET user_id = NULL, kind = 'nobody', data = '{}' WHERE user_id = new.id;
END;
