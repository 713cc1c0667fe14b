-- Background: finding work quickly, and telling every host what changed.
--
-- Runs inside one transaction that chronicle-migrate opens. Forward only.

-- ── jobs ─────────────────────────────────────────────────────────────────────
-- A runner asks for the oldest of each type that it knows, so a type that
-- nobody runs (mail, where no mail server is set) costs nothing however long
-- its queue grows.

CREATE INDEX jobs_queued_idx ON jobs (type, run_at) WHERE status = 'queued';
CREATE INDEX jobs_running_idx ON jobs (locked_until) WHERE status = 'running';
-- the list of all, newest first
CREATE INDEX jobs_created_at_idx ON jobs (created_at DESC, id DESC);

-- Every mail is sent by a job of its own, whoever put it into the outbox.
CREATE FUNCTION chronicle_queue_mail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs (type, payload)
    VALUES ('mail', jsonb_build_object('id', new.id));
    RETURN NULL;
END
$$;

CREATE TRIGGER email_outbox_queue AFTER INSERT ON email_outbox
    FOR EACH ROW WHEN (new.status = 'queued')
    EXECUTE FUNCTION chronicle_queue_mail();

INSERT INTO jobs (type, payload)
SELECT 'mail', jsonb_build_object('id', id) FROM email_outbox
WHERE status = 'queued' ORDER BY created_at;

-- ── what every host must know at once ────────────────────────────────────────
-- Servers keep who is behind a session for some seconds. What takes a right
-- away is announced with the commit that does it, whoever does it: the server,
-- a job, or a person at psql. Columns that change often (change_seq,
-- last_active_at) are not in the lists, so writing them costs nothing.

CREATE FUNCTION chronicle_tell_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('chronicle', 's ' || old.id);
    RETURN NULL;
END
$$;

CREATE FUNCTION chronicle_tell_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('chronicle', 'u ' || old.id);
    RETURN NULL;
END
$$;

CREATE TRIGGER sessions_tell AFTER UPDATE OF revoked_at ON sessions
    FOR EACH ROW WHEN (old.revoked_at IS DISTINCT FROM new.revoked_at)
    EXECUTE FUNCTION chronicle_tell_session();

CREATE TRIGGER sessions_tell_deleted AFTER DELETE ON sessions
    FOR EACH ROW WHEN (old.revoked_at IS NULL)
    EXECUTE FUNCTION chronicle_tell_session();

CREATE TRIGGER users_tell AFTER UPDATE OF role, is_active, email_verified
    ON users
    FOR EACH ROW WHEN (old.role IS DISTINCT FROM new.role
                       OR old.is_active IS DISTINCT FROM new.is_active
                       OR old.email_verified IS DISTINCT FROM
                          new.email_verified)
    EXECUTE FUNCTION chronicle_tell_user();

CREATE TRIGGER users_tell_deleted AFTER DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION chronicle_tell_user();

-- ── retention ────────────────────────────────────────────────────────────────
-- What is over is looked for by its own time.

CREATE INDEX email_verifications_expires_at_idx
    ON email_verifications (expires_at);
CREATE INDEX password_resets_expires_at_idx ON password_resets (expires_at);
CREATE INDEX jobs_finished_at_idx ON jobs (finished_at)
    WHERE finished_at IS NOT NULL;
CREATE INDEX exports_expires_at_idx ON exports (expires_at)
    WHERE expires_at IS NOT NULL;
