-- Who closes an account that was active, by whatever statement, closes it for the codes and tokens in mails too: the same
-- mark as an administrator's (`until` 0). The mark goes once the account is active again (`gateway_mail_followed`).
CREATE TRIGGER gateway_mail_closed AFTER UPDATE ON users
WHEN coalesce(old.is_active, 0) <> 0 AND coalesce(new.is_active, 0) = 0
BEGIN
    DELETE FROM gateway_unconfirmed WHERE user_id = new.id;
    INSERT INTO gateway_unconfirmed (user_id, until) VALUES (new.id, 0);
END;
