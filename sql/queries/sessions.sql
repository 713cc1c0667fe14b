-- name: session_principal :one (id uuid)
-- Who is behind a session that lives, and notes once a minute that it does.
WITH touched AS (
    UPDATE sessions SET last_active_at = now()
    WHERE id = $1 AND revoked_at IS NULL
      AND last_active_at < now() - interval '1 minute'
    RETURNING id)
SELECT s.id, s.user_id, s.csrf_hash, s.kind, u.role, u.email_verified,
       extract(epoch FROM s.expires_at)::bigint AS expires,
       (SELECT count(*) FROM touched) > 0 AS touched
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.id = $1 AND s.revoked_at IS NULL AND s.expires_at > now()
  AND u.is_active;

-- name: session_by_cookie :one (token_hash text)
-- The same by a session cookie, whose life slides.
WITH touched AS (
    UPDATE sessions
    SET last_active_at = now(), expires_at = now() + interval '30 days'
    WHERE token_hash = $1 AND kind = 'cookie' AND revoked_at IS NULL
      AND expires_at > now()
      AND last_active_at < now() - interval '1 minute'
    RETURNING id)
SELECT s.id, s.user_id, s.csrf_hash, s.kind, u.role, u.email_verified,
       extract(epoch FROM s.expires_at)::bigint AS expires,
       (SELECT count(*) FROM touched) > 0 AS touched
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.token_hash = $1 AND s.kind = 'cookie' AND s.revoked_at IS NULL
  AND s.expires_at > now() AND u.is_active;

-- name: session_lock :one (id uuid, counter int)
-- A session for refreshing: what it holds, and whether the token of this
-- counter was replaced less than 10 seconds ago. The n-th newest token was
-- replaced when the one after it was issued, none of them after the newest
-- (whose time is kept in whole seconds).
SELECT s.user_id, s.kind, s.refresh_key, s.refresh_counter,
       extract(epoch FROM s.refreshed_at)::bigint AS issued,
       s.revoked_at IS NULL AND u.is_active AS live,
       s.expires_at <= now() AS over,
       coalesce(s.refresh_recent[cardinality(s.refresh_recent)
                                 - (s.refresh_counter - $2 - 1)]
                > clock_timestamp() - interval '10 seconds', false)
           AND s.refreshed_at > clock_timestamp() - interval '11 seconds'
           AS recent,
       u.email, u.role
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.id = $1
FOR NO KEY UPDATE OF s;

-- name: session_advance :exec (id uuid, issued ts, device_name text?)
-- Moves a locked session to its next refresh token. Keeps the issue times of
-- the last ten seconds, and always the newest.
UPDATE sessions
SET refresh_counter = refresh_counter + 1,
    refreshed_at = $2,
    refresh_recent = ARRAY(
        SELECT t FROM unnest(refresh_recent) WITH ORDINALITY AS x (t, i)
        WHERE t > clock_timestamp() - interval '10 seconds' ORDER BY i)
        || clock_timestamp(),
    expires_at = $2::timestamptz + interval '30 days',
    last_active_at = now(),
    device_name = coalesce($3, device_name)
WHERE id = $1;

-- name: session_revoke :one (user_id uuid, id uuid?, everything bool,
--   action text, ip inet?, request_id text?)
-- Revokes one live session of a user, or all of them. What ended nothing
-- leaves no audit row.
WITH ended AS (
    UPDATE sessions SET revoked_at = now()
    WHERE user_id = $1 AND (id = $2 OR $3)
      AND revoked_at IS NULL AND expires_at > now()
    RETURNING id),
total AS (SELECT count(*) AS revoked FROM ended),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, $1, $4, 'session', $2, $5, $6,
           CASE WHEN $3 THEN jsonb_build_object(
               'allDevices', true, 'revokedSessions', revoked)
           ELSE '{}' END
    FROM total WHERE revoked > 0)
SELECT revoked FROM total;

-- name: session_page :many (user_id uuid, current uuid?, want_total bool,
--   fetch int, skip int)
-- The live sessions of a user, newest activity first.
SELECT t.total, s.*, coalesce(s.id = $2, false) AS is_current
FROM (SELECT CASE WHEN $3 THEN
          (SELECT count(*) FROM sessions WHERE user_id = $1
             AND revoked_at IS NULL AND expires_at > now()) END AS total) t
LEFT JOIN (
    SELECT {{session_columns}} FROM sessions
    WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now()
    ORDER BY last_active_at DESC, id DESC LIMIT $4 OFFSET $5) s ON true;

-- name: session_after :many (user_id uuid, current uuid?, after ts,
--   after_id uuid, fetch int)
-- The page behind a cursor.
SELECT {{session_columns}}, coalesce(id = $2, false) AS is_current
FROM sessions
WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now()
  AND (last_active_at, id) < ($3, $4)
ORDER BY last_active_at DESC, id DESC LIMIT $5;

-- fragment: session_columns
id, device_name, device_type, kind, host(ip_address) AS ip_address,
user_agent, last_active_at, expires_at, created_at
