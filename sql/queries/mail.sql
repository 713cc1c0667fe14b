-- The outbox: mails that jobs hand to the mail server.

-- name: mail_get :one (id uuid)
-- A mail, and whether the link in it is of no use any more, or its text is
-- gone since it failed.
SELECT to_address, subject, body_text, body_html, status,
       (extract(epoch FROM created_at) * 1000000)::bigint AS created_usec,
       created_at < now() - CASE template
                            WHEN 'verify_email' THEN interval '24 hours'
                            WHEN 'password_reset' THEN interval '1 hour'
                            ELSE interval '100 years' END
       OR (status = 'failed' AND body_text = '') AS expired
FROM email_outbox WHERE id = $1;

-- name: mail_sent :exec (id uuid)
-- The mail server has it.
UPDATE email_outbox
SET status = 'sent', sent_at = clock_timestamp(), attempts = attempts + 1,
    last_error = NULL
WHERE id = $1 AND status <> 'sent';

-- name: mail_failed :exec (id uuid, error text, last bool)
-- It was not sent; last: it will not be tried again.
UPDATE email_outbox
SET status = CASE WHEN $3 THEN 'failed' ELSE 'queued' END,
    attempts = attempts + 1, last_error = $2
WHERE id = $1 AND status <> 'sent';

-- name: mail_expired :exec (id uuid)
-- It was not sent in time, and never will be.
UPDATE email_outbox
SET status = 'failed', last_error = 'expired', body_text = '',
    body_html = NULL
WHERE id = $1 AND status <> 'sent';
