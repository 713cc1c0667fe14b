-- Deleting an account: a transaction of the statements below, in this order.
-- One statement cannot do it, because the parts of a statement do not see each
-- other's work: the rows of a table would then be deleted by its foreign keys,
-- one by one, and those that only point elsewhere rewritten before that.

-- name: account_patience :exec ()
-- Many rows take longer than a request's statements may.
SELECT set_config('statement_timeout', '600s', true),
       set_config('lock_timeout', '30s', true);

-- name: account_lock :one (id uuid, password_hash text)
-- Locks an account whose password was checked against this hash: from here on
-- nothing is written for it. An administrator locks all of them first, always
-- in the same order, so that of two who leave at once the second one sees that
-- he is the last. No row: it is gone, or its password was changed.
WITH admins AS (
    SELECT id FROM users
    WHERE role = 'admin' AND is_active
      AND (SELECT role FROM users WHERE id = $1) = 'admin'
    ORDER BY id FOR NO KEY UPDATE),
cur AS (
    SELECT u.* FROM (SELECT count(*) FROM admins) locked, users u
    WHERE u.id = $1 AND u.password_hash = $2 AND u.is_active
    FOR UPDATE OF u)
SELECT CASE WHEN c.role = 'admin'
                 AND NOT EXISTS (SELECT 1 FROM admins WHERE id <> c.id)
            THEN 'LAST_ADMIN' END AS fault
FROM cur c;

-- name: account_files :exec (id uuid)
-- Queues the deletion of every file, a thousand to a job.
INSERT INTO jobs (id, type, payload)
SELECT {{new_id}}, 'file_delete', jsonb_build_object('keys', jsonb_agg(key))
FROM (SELECT key, (row_number() OVER () - 1) / 1000 AS lot
      FROM (SELECT storage_key AS key FROM attachments WHERE user_id = $1
            UNION ALL
            SELECT thumbnail_key FROM attachments
            WHERE user_id = $1 AND thumbnail_key IS NOT NULL
            UNION ALL
            SELECT storage_key FROM exports
            WHERE user_id = $1 AND storage_key IS NOT NULL
            UNION ALL
            SELECT storage_key FROM conversation_imports
            WHERE user_id = $1 AND storage_key IS NOT NULL) k) f
GROUP BY lot;

-- name: account_empty :exec (id uuid)
-- variants: what = attachments note_versions notes folders conversations sync_logs sessions
-- The large tables, what points elsewhere first.
DELETE FROM {{what}} WHERE user_id = $1;

-- name: account_messages :exec (id uuid)
-- What an account has said stays in its place, empty and of nobody.
WITH reactions AS (
    DELETE FROM message_reactions x USING chat_messages m
    WHERE m.user_id = $1 AND x.message_id = m.id)
UPDATE chat_messages
SET content = '', user_id = NULL, client_id = NULL,
    deleted_at = coalesce(deleted_at, greatest(clock_timestamp(), created_at))
WHERE user_id = $1;

-- name: account_delete :exec (id uuid, ip inet?, request_id text)
-- The account, with what its foreign keys still hold; answers that are kept
-- for repeated requests; mails for it. The audit trail stays.
WITH gone AS (DELETE FROM users WHERE id = $1 RETURNING id, email),
answers AS (
    DELETE FROM idempotency_keys k USING gone WHERE k.scope = gone.id::text),
mails AS (
    DELETE FROM email_outbox m USING gone
    WHERE m.to_address = gone.email
      AND m.template IN ('verify_email', 'password_reset', 'notification'))
INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                        ip_address, request_id)
SELECT {{new_id}}, id, 'user.delete', 'user', id, $2, $3 FROM gone;
