-- Forms: the same statements for each, by a variant; the forms are told apart
-- by their tables and by columns that only one of them has.

-- name: form_lock :one (mailbox text)
-- Others who give the same address wait until the transaction ends; a
-- statement behind it sees what those before it did.
SELECT pg_advisory_xact_lock(
    hashtextextended('form' || chr(10) || $1, 7));

-- The next mail that confirms to a mailbox today has an id made of mailbox,
-- day and number, so the primary key tells how many there were. Ten are
-- enough: then there is none.
-- fragment: confirm_id
(SELECT k.id
 FROM (SELECT n, md5('form' || chr(10) || $26 || chr(10)
                     || (now() AT TIME ZONE 'UTC')::date || ' ' || n)::uuid
                 AS id
       FROM generate_series(1, 10) n) k
 WHERE NOT EXISTS (SELECT 1 FROM email_outbox o WHERE o.id = k.id)
 ORDER BY k.n LIMIT 1)

-- name: form_create :many (id uuid, user_id uuid?, ip inet, user_agent text?,
--   trapped bool, type text, title text, note text, admin_to text?,
--   admin_subject text, admin_text text, confirm_subject text,
--   confirm_text text, name text, email text, phone text?, company text?,
--   message text?, source text?, subject text?, job_title text?,
--   company_size text?, use_case text?, preferred_date date?, timezone text?,
--   mailbox text)
-- variants: form = contact:contact_submissions|contact|subject|$20 demo:demo_requests|demo|job_title,company_size,use_case,preferred_date,timezone|$21,$22,$23,$24,$25
-- A submission, with all that it sets off: a row for each manager's
-- notification, a mail to those who run the service, a mail to the sender.
-- Nothing of it for one that was trapped, which is answered in the same way.
-- Behind form_lock, in its transaction.
-- Nobody waits for a manager whose account is being deleted.
WITH r AS (
    SELECT $1 AS id, 'new' AS status, clock_timestamp() AS created_at),
who AS (SELECT id FROM users WHERE id = $2 FOR KEY SHARE),
s AS (
    INSERT INTO {{form}} (id, user_id, ip_address, user_agent, status,
                          created_at, updated_at, name, email, phone, company,
                          message, source, {{form.3}})
    SELECT r.id, (SELECT id FROM who), $3, $4, r.status, r.created_at,
           r.created_at, $14, $15, $16, $17, $18, $19, {{form.4}}
    FROM r WHERE NOT $5 RETURNING id, created_at),
managers AS (
    SELECT id FROM users WHERE role IN ('manager', 'admin') AND is_active
      AND NOT $5
    FOR KEY SHARE SKIP LOCKED),
n AS (
    INSERT INTO notifications (id, user_id, type, title, body, data,
                               created_at)
    SELECT {{new_id}}, m.id, $6, $7, $8,
           jsonb_build_object('submissionId', s.id, 'name', $14,
                              'email', $15), s.created_at
    FROM s, managers m RETURNING *),
mails AS (
    INSERT INTO email_outbox (id, to_address, template, subject, body_text)
    SELECT m.id, m.address, '{{form.2}}' || m.kind, m.subject, m.body
    FROM s, LATERAL (VALUES ({{new_id}}, $9, '_admin', $10, $11),
                            ({{confirm_id}}, $15, '_confirm', $12, $13)) m
             (id, address, kind, subject, body)
    WHERE m.id IS NOT NULL AND m.address IS NOT NULL)
SELECT r.id, r.status, r.created_at, {{notification_columns}}, n.user_id
FROM r LEFT JOIN n ON true;

-- fragment: form_filter
($1 IS NULL OR l.status = $1)
AND ($2 IS NULL OR l.name ILIKE $2 OR l.email ILIKE $2 OR l.company ILIKE $2)
AND {{log_times}}

-- fragment: form_columns
l.*, host(l.ip_address) AS ip

-- name: form_page :many (status text?, search text?, since ts?, until ts?,
--   want_total bool, fetch int, skip int)
-- variants: form = contact:contact_submissions demo:demo_requests
-- plan: custom
-- Submissions, newest first.
SELECT t.total, p.*
FROM (SELECT CASE WHEN $5 THEN
          (SELECT count(*) FROM {{form}} l WHERE {{form_filter}})
      END AS total) t
LEFT JOIN (
    SELECT {{form_columns}} FROM {{form}} l WHERE {{form_filter}}
    ORDER BY l.created_at DESC, l.id DESC LIMIT $6 OFFSET $7) p ON true;

-- name: form_after :many (status text?, search text?, since ts?, until ts?,
--   after ts, after_id uuid, fetch int)
-- variants: form = contact:contact_submissions demo:demo_requests
-- plan: custom
-- The page behind a cursor.
SELECT {{form_columns}} FROM {{form}} l
WHERE {{form_filter}} AND (l.created_at, l.id) < ($5, $6)
ORDER BY l.created_at DESC, l.id DESC LIMIT $7;

-- name: form_get :one (id uuid)
-- variants: form = contact:contact_submissions demo:demo_requests
-- One submission.
SELECT {{form_columns}} FROM {{form}} l WHERE l.id = $1;

-- name: form_update :one (id uuid, actor uuid, status text?, note_given bool,
--   note text?, ip inet, request_id text)
-- variants: form = contact:contact_submissions|contact_submission demo:demo_requests|demo_request
-- What is not given stays; whoever gives something handles it from here on.
-- The account is locked first, as its deletion does it.
WITH who AS (SELECT id FROM users WHERE id = $2 FOR KEY SHARE),
cur AS (
    SELECT l.* FROM (SELECT count(*) FROM who) locked, {{form}} l
    WHERE l.id = $1 FOR NO KEY UPDATE OF l),
want AS (
    SELECT coalesce($3, status) AS status,
           CASE WHEN $4 THEN $5 ELSE admin_note END AS admin_note,
           CASE WHEN $4 OR $3 IS NOT NULL THEN (SELECT id FROM who)
                ELSE handled_by END AS handled_by
    FROM cur),
done AS (
    UPDATE {{form}} l
    SET status = w.status, admin_note = w.admin_note,
        handled_by = w.handled_by,
        updated_at = greatest(clock_timestamp(),
                              l.updated_at + interval '1 millisecond')
    FROM cur c, want w
    WHERE l.id = c.id
      AND (w.status, w.admin_note, w.handled_by)
          IS DISTINCT FROM (c.status, c.admin_note, c.handled_by)
    RETURNING l.*),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, $2, 'form.update', '{{form.2}}', d.id, $6, $7,
           CASE WHEN c.status = d.status THEN '{}' ELSE jsonb_build_object(
               'status', jsonb_build_object('from', c.status, 'to', d.status))
           END
    FROM cur c, done d)
SELECT {{form_columns}} FROM done l
UNION ALL
SELECT {{form_columns}} FROM cur l WHERE NOT EXISTS (SELECT FROM done);

-- name: form_export :many (user_id uuid, after uuid?, fetch int)
-- variants: form = contact:contact_submissions demo:demo_requests
-- What an account has sent.
SELECT {{form_columns}} FROM {{form}} l
WHERE l.user_id = $1 AND ($2 IS NULL OR l.id > $2)
ORDER BY l.id LIMIT $3;
