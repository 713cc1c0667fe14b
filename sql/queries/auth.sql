-- fragment: user_columns
u.id, u.email, u.full_name, u.avatar_url, u.role, u.email_verified,
u.is_active, u.subscription_tier,
CASE WHEN u.ai_period < date_trunc('month', now() AT TIME ZONE 'UTC')::date
     THEN 0 ELSE u.ai_tokens_used END AS ai_tokens_used,
u.ai_tokens_limit, u.last_login_at, u.created_at, u.updated_at, u.version

-- An address that makes its account the administrator's leaves a trace of it.
-- fragment: role_change
CASE WHEN role_was = role THEN '{}' ELSE jsonb_build_object(
    'role', jsonb_build_object('from', role_was, 'to', role)) END

-- What every new account begins with; $5 is the folder's id.
-- fragment: account_parts
settings AS (
    INSERT INTO user_settings (user_id) SELECT id FROM u),
folder AS (
    INSERT INTO folders (id, user_id, name, position, change_seq)
    SELECT $5, id, 'Notes', 0, 1 FROM u)

-- name: auth_register :one (id uuid, email text, password_hash text,
--   full_name text?, folder_id uuid, verify_hash text, mail_subject text,
--   mail_text text, session_id uuid, kind text, token_hash text,
--   csrf_hash text?, refresh_key bytea, issued ts, device_name text?,
--   device_type text, ip inet?, user_agent text?, request_id text)
-- error 23505 users_email_key = EMAIL_TAKEN
-- A new account with all that belongs to it.
WITH u AS (
    INSERT INTO users (id, email, password_hash, full_name, change_seq,
                       changed_at)
    VALUES ($1, $2, $3, $4, 1, now()) RETURNING *),
{{account_parts}},
verification AS (
    INSERT INTO email_verifications (id, user_id, token, expires_at)
    SELECT {{new_id}}, id, $6, now() + interval '24 hours' FROM u),
mail AS (
    INSERT INTO email_outbox (id, to_address, template, subject, body_text)
    SELECT {{new_id}}, email, 'verify_email', $7, $8 FROM u),
session AS (
    INSERT INTO sessions (id, user_id, kind, token_hash, csrf_hash,
        refresh_key, refreshed_at, refresh_recent, device_name, device_type,
        ip_address, user_agent, expires_at)
    SELECT $9, id, $10, $11, $12, $13, $14, ARRAY[clock_timestamp()], $15,
           $16, $17, $18, $14::timestamptz + interval '30 days' FROM u),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, id, 'auth.register', 'user', id, $17, $19,
           jsonb_build_object('sessionId', $9, 'kind', $10) FROM u)
SELECT {{user_columns}} FROM u;

-- name: auth_find :one (email text)
-- batch
-- What login needs to check a password, and Basic to know whose it is.
SELECT id, password_hash, is_active, role, email_verified FROM users
WHERE email = $1;

-- name: auth_email :one (id uuid)
-- batch
-- The address of an account.
SELECT email FROM users WHERE id = $1;

-- name: auth_login :one (id uuid, password_hash text, old_cookie_hash text?,
--   session_id uuid, kind text, token_hash text, csrf_hash text?,
--   refresh_key bytea, issued ts, device_name text?, device_type text,
--   ip inet?, user_agent text?, request_id text)
-- A new session for an account whose password was checked against this hash.
-- A session cookie that came along is revoked: ids are made anew. No row when
-- the account changed meanwhile.
WITH u AS (
    UPDATE users SET last_login_at = now()
    WHERE id = $1 AND password_hash = $2 AND is_active RETURNING *),
session AS (
    INSERT INTO sessions (id, user_id, kind, token_hash, csrf_hash,
        refresh_key, refreshed_at, refresh_recent, device_name, device_type,
        ip_address, user_agent, expires_at)
    SELECT $4, id, $5, $6, $7, $8, $9, ARRAY[clock_timestamp()], $10,
           $11, $12, $13, $9::timestamptz + interval '30 days' FROM u),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, id, 'auth.login', 'session', $4, $12, $14,
           jsonb_build_object('kind', $5) FROM u)
SELECT {{user_columns}} FROM u;

-- name: auth_revoke_cookie :one (token_hash text, ip inet?, request_id text)
-- Ends the session of a cookie that is being replaced.
WITH ended AS (
    UPDATE sessions SET revoked_at = now()
    WHERE token_hash = $1 AND kind = 'cookie' AND revoked_at IS NULL
    RETURNING id, user_id, expires_at),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, user_id, 'session.revoke', 'session', id, $2, $3,
           '{"reason": "replaced"}' FROM ended WHERE expires_at > now())
SELECT id FROM ended;

-- name: auth_audit :exec (actor_id uuid?, action text, target_type text?,
--   target_id uuid?, ip inet?, request_id text, details json)
-- An audit row of its own.
INSERT INTO audit_logs (id, actor_id, action, target_type, target_id, ip_address,
                        request_id, details)
VALUES ({{new_id}}, $1, $2, $3, $4, $5, $6, $7);

-- name: auth_reuse :exec (id uuid, user_id uuid, ip inet?, request_id text,
--   presented int, newest int)
-- An old refresh token came back: the session ends.
WITH logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    VALUES ({{new_id}}, $2, 'auth.refresh_reuse', 'session', $1, $3, $4,
            jsonb_build_object('presented', $5, 'newest', $6)))
UPDATE sessions SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL;

-- name: auth_password :one (id uuid)
-- The present hash of an account.
SELECT email, password_hash FROM users WHERE id = $1 AND is_active;

-- name: auth_change_password :one (id uuid, old_hash text, new_hash text,
--   keep uuid?, ip inet?, request_id text)
-- A new password; every session but the one to keep ends, and reset links die.
-- No row when the password was changed meanwhile.
WITH u AS (
    UPDATE users SET password_hash = $3
    WHERE id = $1 AND password_hash = $2 RETURNING id),
ended AS (
    UPDATE sessions s SET revoked_at = now() FROM u
    WHERE s.user_id = u.id AND s.id IS DISTINCT FROM $4
      AND s.revoked_at IS NULL
      AND s.expires_at > now()
    RETURNING s.id),
links AS (
    UPDATE password_resets r SET used = true FROM u
    WHERE r.user_id = u.id AND NOT r.used),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, id, 'auth.password_change', 'user', id, $5, $6,
           jsonb_build_object('revokedSessions', (SELECT count(*) FROM ended))
    FROM u)
SELECT (SELECT count(*) FROM ended) AS revoked FROM u;

-- name: auth_forgot :exec (email text, token_hash text, mail_subject text,
--   mail_text text)
-- A reset link for an account, if there is one; earlier links die. The account
-- is locked first, as its deletion does it.
WITH u AS (
    SELECT id, email FROM users WHERE email = $1 AND is_active FOR KEY SHARE),
earlier AS (
    UPDATE password_resets r SET used = true FROM u
    WHERE r.user_id = u.id AND NOT r.used),
reset AS (
    INSERT INTO password_resets (id, user_id, token, expires_at)
    SELECT {{new_id}}, id, $2, now() + interval '1 hour' FROM u)
INSERT INTO email_outbox (id, to_address, template, subject, body_text)
SELECT {{new_id}}, email, 'password_reset', $3, $4 FROM u;

-- name: auth_reset_find :one (token_hash text)
-- The account of a reset link, and what is wrong with the link.
SELECT u.id, u.email,
       CASE WHEN r.used OR NOT u.is_active THEN 'INVALID_TOKEN'
            WHEN r.expires_at <= now() THEN 'TOKEN_EXPIRED' END AS fault
FROM password_resets r JOIN users u ON u.id = r.user_id
WHERE r.token = $1;

-- name: auth_reset :one (token_hash text, new_hash text, admin_email text?,
--   ip inet?, request_id text)
-- Uses a reset link up: password, verified address, no session stays. No row
-- when somebody was faster.
WITH link AS (
    UPDATE password_resets SET used = true
    WHERE token = $1 AND NOT used AND expires_at > now() RETURNING user_id),
was AS (
    SELECT users.id, role, email_verified FROM users, link
    WHERE users.id = link.user_id FOR NO KEY UPDATE OF users),
u AS (
    UPDATE users SET password_hash = $2, email_verified = true,
        role = CASE WHEN email = $3 THEN 'admin' ELSE users.role END,
        version = version
            + CASE WHEN users.email_verified AND (email = $3) IS NOT TRUE
                   THEN 0 ELSE 1 END,
        updated_at = now()
    FROM was WHERE users.id = was.id
    RETURNING users.id, was.role AS role_was, users.role,
              was.email_verified AS verified_was),
ended AS (
    UPDATE sessions s SET revoked_at = now() FROM u
    WHERE s.user_id = u.id AND s.revoked_at IS NULL
    RETURNING s.expires_at),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, id, 'auth.password_reset', 'user', id, $4, $5,
           jsonb_build_object('revokedSessions', (SELECT count(*) FROM ended
                                                  WHERE expires_at > now()))
    FROM u
    UNION ALL
    SELECT {{new_id}}, id, 'auth.email_verified', 'user', id, $4, $5,
           {{role_change}} FROM u
    WHERE NOT verified_was OR role_was <> role)
SELECT id FROM u;

-- name: auth_verify_email :one (token_hash text, admin_email text?, ip inet?,
--   request_id text)
-- Uses a verification link up.
WITH link AS (
    SELECT user_id, expires_at > now() AS live FROM email_verifications
    WHERE token = $1 FOR UPDATE),
spent AS (
    DELETE FROM email_verifications v USING link
    WHERE v.user_id = link.user_id AND link.live),
was AS (
    SELECT users.id, role AS role_was FROM users, link
    WHERE users.id = link.user_id AND link.live FOR NO KEY UPDATE OF users),
u AS (
    UPDATE users SET email_verified = true,
        role = CASE WHEN email = $2 THEN 'admin' ELSE role END,
        version = version + 1, updated_at = now()
    FROM was WHERE users.id = was.id RETURNING users.*, role_was),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, id, 'auth.email_verified', 'user', id, $3, $4,
           {{role_change}} FROM u)
SELECT CASE WHEN NOT link.live THEN 'TOKEN_EXPIRED' END AS fault,
       {{user_columns}}
FROM link LEFT JOIN u ON true;

-- name: auth_resend :one (id uuid, token_hash text, mail_subject text,
--   mail_text text)
-- A new verification link; earlier ones die. The account is locked first, as
-- its deletion does it.
WITH u AS (
    SELECT id, email, email_verified FROM users WHERE id = $1 FOR KEY SHARE),
earlier AS (
    DELETE FROM email_verifications v USING u
    WHERE v.user_id = u.id AND NOT u.email_verified),
link AS (
    INSERT INTO email_verifications (id, user_id, token, expires_at)
    SELECT {{new_id}}, id, $2, now() + interval '24 hours' FROM u
    WHERE NOT email_verified),
mail AS (
    INSERT INTO email_outbox (id, to_address, template, subject, body_text)
    SELECT {{new_id}}, email, 'verify_email', $3, $4 FROM u WHERE NOT email_verified)
SELECT CASE WHEN email_verified THEN 'ALREADY_VERIFIED' END AS fault FROM u;

-- name: security_event_add :exec (type text, ip inet?, user_id uuid?,
--   path text, pattern text, request_id text)
-- A suspicious request; the audit row leads to the event.
WITH event AS (
    INSERT INTO security_events (id, type, ip_address, user_id, path, pattern,
                                 request_id)
    VALUES ({{new_id}}, $1, $2, $3, $4, $5, $6) RETURNING id)
INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                        ip_address, request_id, details)
SELECT {{new_id}}, $3, 'security.violation', 'security_event', id, $2, $6,
       jsonb_build_object('type', $1, 'path', $4, 'pattern', $5)
FROM event;
