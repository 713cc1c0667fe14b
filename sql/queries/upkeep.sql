-- What jobs delete. In chunks, so that none locks much or runs long.

-- name: upkeep_trash :many (fetch int)
-- Notes that have been in the trash for 30 days.
SELECT user_id, id FROM notes
WHERE deleted_at < now() - interval '30 days' AND NOT purged
ORDER BY deleted_at LIMIT $1;

-- name: upkeep_over :count (fetch int)
-- variants: what = api_logs:api_logs|created_at~<~now()~-~interval~'30~days' idempotency:idempotency_keys|expires_at~<~now() verifications:email_verifications|expires_at~<~now()~-~interval~'7~days' resets:password_resets|expires_at~<~now()~-~interval~'7~days' expired:sessions|expires_at~<~now()~-~interval~'1~day' revoked:sessions|revoked_at~<~now()~-~interval~'1~day' completed:jobs|finished_at~<~now()~-~interval~'7~days'~AND~status~=~'completed' failed:jobs|finished_at~<~now()~-~interval~'30~days' events:security_events|created_at~<~now()~-~interval~'90~days' syncs:sync_logs|created_at~<~now()~-~interval~'90~days' devices:sync_devices|greatest(last_pull_at,last_push_at)~<~now()~-~interval~'180~days' views:conversation_views|hour~<~now()~-~interval~'2~hours' parcels:realtime_parcels|created_at~<~now()~-~interval~'1~minute'
-- A device that is forgotten pulls from the start. Links that have run out stay a week, so that they are told apart from ones
-- that never were.
DELETE FROM {{what}} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {{what}} WHERE {{what.2}} LIMIT $1));

-- name: upkeep_mail :count (fetch int)
-- The texts of mails sent a day ago, which hold links with tokens; and of
-- those that failed, once a retry can't help: the link has run out, or the job
-- is gone.
UPDATE email_outbox SET body_text = '', body_html = NULL
WHERE id = ANY (ARRAY(
    (SELECT id FROM email_outbox
     WHERE status = 'sent' AND sent_at < now() - interval '24 hours'
       AND body_text <> '' LIMIT $1)
    UNION ALL
    (SELECT id FROM email_outbox
     WHERE status = 'failed' AND body_text <> ''
       AND created_at < now() - CASE template
                                WHEN 'verify_email' THEN interval '24 hours'
                                WHEN 'password_reset' THEN interval '24 hours'
                                ELSE interval '30 days' END
     LIMIT $1)
    LIMIT $1));

-- name: upkeep_lost_mails :count ()
-- Mails whose job has ended without them, because its runner died at every
-- try: nobody else would say that they failed.
UPDATE email_outbox m SET status = 'failed', last_error = 'its runner died'
WHERE m.status = 'queued' AND m.created_at < now() - interval '1 hour'
  AND NOT EXISTS (
      SELECT 1 FROM jobs j
      WHERE j.type = 'mail' AND j.status IN ('queued', 'running')
        AND j.payload ->> 'id' = m.id::text);

-- name: upkeep_exports :count (fetch int)
-- Exports that are over, and their files.
WITH gone AS (
    DELETE FROM exports WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM exports WHERE expires_at < now() LIMIT $1))
    RETURNING storage_key),
files AS (
    INSERT INTO jobs (id, type, payload)
    SELECT {{new_id}}, 'file_delete',
           jsonb_build_object('keys', jsonb_agg(storage_key))
    FROM gone WHERE storage_key IS NOT NULL HAVING count(*) > 0)
SELECT 1 FROM gone;

-- name: upkeep_lost_exports :count ()
-- Exports whose job is no more, because its runner died at every try: nobody
-- else would end them, and an account has one at a time.
UPDATE exports e
SET status = 'failed', error = 'The export could not be written',
    finished_at = now(), expires_at = now() + interval '7 days'
WHERE e.status IN ('queued', 'running')
  AND NOT EXISTS (
      SELECT 1 FROM jobs j
      WHERE j.type = 'export' AND j.status IN ('queued', 'running')
        AND j.payload ->> 'id' = e.id::text);
