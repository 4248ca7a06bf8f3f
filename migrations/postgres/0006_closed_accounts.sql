-- Who closes an account that was active, by whatever statement, closes it for the codes and tokens in mails too: the same
-- mark as an administrator's (`until` 0). The mark goes once the account is active again (`gateway_mail_followed`).
CREATE FUNCTION gateway_mail_closed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO gateway_unconfirmed AS c (user_id, until) VALUES (NEW.id, 0)
    ON CONFLICT (user_id) DO UPDATE SET until = 0;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION gateway_mail_closed() FROM PUBLIC;
CREATE TRIGGER gateway_mail_closed AFTER UPDATE ON users FOR EACH ROW
    WHEN (OLD.is_active IS TRUE AND NEW.is_active IS NOT TRUE)
    EXECUTE FUNCTION gateway_mail_closed();
