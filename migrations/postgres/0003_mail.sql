-- Mail that waits to be sent. A row is written with what it is about; the code in the mail is not in it. `due_at`: nobody
-- takes the row up before. `data` is emptied once the row is settled; the row stays a while, for the limits.
CREATE TABLE gateway_outbox (
    id text PRIMARY KEY,
    user_id bigint,
    kind text NOT NULL,
    data text NOT NULL,
    recipient bytea,
    client bytea NOT NULL,
    attempts bigint NOT NULL DEFAULT 0,
    created_at bigint NOT NULL,
    due_at bigint NOT NULL,
    settled_at bigint
);
CREATE INDEX gateway_outbox_due ON gateway_outbox (due_at) WHERE settled_at IS NULL;
CREATE INDEX gateway_outbox_recipient ON gateway_outbox (recipient, created_at) WHERE recipient IS NOT NULL;
CREATE INDEX gateway_outbox_client ON gateway_outbox (client, created_at);
CREATE INDEX gateway_outbox_settled ON gateway_outbox (created_at) WHERE settled_at IS NOT NULL;

-- Codes that were sent, as hashes. `bound`: digest of what the user's password and address were then.
CREATE TABLE gateway_codes (
    hash bytea PRIMARY KEY,
    user_id bigint NOT NULL,
    purpose text NOT NULL,
    bound bytea NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX gateway_codes_user ON gateway_codes (user_id);
CREATE INDEX gateway_codes_expired ON gateway_codes (expires_at);

-- Accounts that wait for the confirmation of their address, and until when; 0: an administrator closed the account, and
-- no code opens it.
CREATE TABLE gateway_unconfirmed (
    user_id bigint PRIMARY KEY,
    until bigint NOT NULL
);

-- An account that is active has been confirmed, whoever did it; and what belongs to a user goes with the user: an id may
-- be used again.
CREATE FUNCTION gateway_mail_followed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM gateway_unconfirmed c USING new_rows n WHERE c.user_id = n.id AND n.is_active;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION gateway_mail_followed() FROM PUBLIC;
CREATE FUNCTION gateway_mail_orphaned() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM gateway_unconfirmed c USING old_rows o
    WHERE c.user_id = o.id AND NOT EXISTS (SELECT FROM users u WHERE u.id = o.id);
    DELETE FROM gateway_codes c USING old_rows o
    WHERE c.user_id = o.id AND NOT EXISTS (SELECT FROM users u WHERE u.id = o.id);
    UPDATE gateway_outbox m SET user_id = NULL, kind = 'nobody', data = '{}' FROM old_rows o
    WHERE m.user_id = o.id AND NOT EXISTS (SELECT FROM users u WHERE u.id = o.id);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION gateway_mail_orphaned() FROM PUBLIC;
CREATE FUNCTION gateway_mail_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM gateway_unconfirmed;
    DELETE FROM gateway_codes;
    UPDATE gateway_outbox SET user_id = NULL, kind = 'nobody', data = '{}' WHERE user_id IS NOT NULL;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION gateway_mail_truncated() FROM PUBLIC;
CREATE INDEX gateway_outbox_user ON gateway_outbox (user_id) WHERE user_id IS NOT NULL;
CREATE TRIGGER gateway_mail_followed AFTER UPDATE ON users REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_mail_followed();
CREATE TRIGGER gateway_mail_orphaned_by_delete AFTER DELETE ON users REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_mail_orphaned();
CREATE TRIGGER gateway_mail_orphaned_by_update AFTER UPDATE ON users REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_mail_orphaned();
CREATE TRIGGER gateway_mail_truncated AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_mail_truncated();
