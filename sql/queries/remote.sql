-- Accounts of users that another module of the server has authenticated
-- (ChronicleTrustRemoteUser).

-- name: remote_find :one (email text)
-- batch
-- The account of an address.
SELECT id, role, email_verified, is_active FROM users WHERE email = $1;

-- name: remote_create :one (id uuid, email text, admin_email text?, ip inet?,
--   folder_id uuid, request_id text)
-- An account made on first sight. No password fits its hash. The identity
-- provider vouches for the address. No row when somebody was faster.
WITH u AS (
    INSERT INTO users (id, email, password_hash, email_verified, role,
                       change_seq, changed_at)
    VALUES ($1, $2, '!', true,
            CASE WHEN $2 = $3 THEN 'admin' ELSE 'user' END, 1, now())
    ON CONFLICT (email) DO NOTHING RETURNING *),
{{account_parts}},
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, id, 'auth.register', 'user', id, $4, $6,
           '{"via": "remote-user"}' FROM u)
SELECT id, role, email_verified, is_active FROM u;

-- name: remote_claim :one (email text, admin_email text?, ip inet?,
--   request_id text)
-- An account whose address nobody has verified is handed to the user that the
-- identity provider vouches for. Whoever registered it may be another: the
-- password and every session and link of theirs end. No row when it was
-- verified meanwhile.
WITH u AS (
    UPDATE users SET email_verified = true, password_hash = '!',
        role = CASE WHEN email = $2 THEN 'admin' ELSE role END,
        version = version + 1, updated_at = now()
    WHERE email = $1 AND NOT email_verified AND is_active RETURNING *),
ended AS (
    UPDATE sessions s SET revoked_at = now() FROM u
    WHERE s.user_id = u.id AND s.revoked_at IS NULL),
links AS (
    UPDATE password_resets r SET used = true FROM u
    WHERE r.user_id = u.id AND NOT r.used),
verifications AS (
    DELETE FROM email_verifications v USING u WHERE v.user_id = u.id),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, id, 'auth.email_verified', 'user', id, $3, $4,
           '{"via": "remote-user"}' FROM u)
SELECT id, role, email_verified, is_active FROM u;
