-- Sessions that somebody could use.
-- fragment: session_count
CASE WHEN u.is_active THEN
    (SELECT count(*) FROM sessions s WHERE s.user_id = u.id
       AND s.revoked_at IS NULL AND s.expires_at > now())
ELSE 0 END AS session_count

-- fragment: admin_user_filter
($1 IS NULL OR u.email ILIKE $1 OR u.full_name ILIKE $1)
AND ($2 IS NULL OR u.role = $2)
AND ($3 IS NULL OR u.is_active = $3)

-- name: admin_user_page :many (search text?, role text?, active bool?,
--   want_total bool, fetch int, skip int)
-- variants: sort = createdAt:u.created_at email:u.email lastLoginAt:coalesce(u.last_login_at,'-infinity') ; order = asc desc
-- plan: custom
-- Accounts; who never logged in comes before all who did.
SELECT t.total, p.*
FROM (SELECT CASE WHEN $4 THEN
          (SELECT count(*) FROM users u WHERE {{admin_user_filter}})
      END AS total) t
LEFT JOIN (
    SELECT {{user_columns}}, {{session_count}}, {{sort}} AS sort_key
    FROM (SELECT u.id FROM users u WHERE {{admin_user_filter}}
          ORDER BY {{sort}} {{order}}, u.id {{order}}
          LIMIT $5 OFFSET $6) k
    JOIN users u ON u.id = k.id
    ORDER BY {{sort}} {{order}}, u.id {{order}}) p ON true;

-- name: admin_user_after :many (search text?, role text?, active bool?,
--   after text?, after_id uuid, fetch int)
-- variants: sort = createdAt:u.created_at|timestamptz email:u.email|varchar lastLoginAt:coalesce(u.last_login_at,'-infinity')|timestamptz ; order = asc:asc|> desc:desc|<
-- plan: custom
-- The page behind a cursor.
SELECT {{user_columns}}, {{session_count}}, {{sort}} AS sort_key
FROM (SELECT u.id FROM users u WHERE {{admin_user_filter}}
        AND ({{sort}}, u.id) {{order.2}} (
            coalesce($4::{{sort.2}},
                     (SELECT {{sort}} FROM users u WHERE u.id = $5)), $5)
      ORDER BY {{sort}} {{order}}, u.id {{order}} LIMIT $6) k
JOIN users u ON u.id = k.id
ORDER BY {{sort}} {{order}}, u.id {{order}};

-- name: admin_user_get :one (id uuid)
-- An account as administrators see it.
SELECT {{user_columns}}, {{session_count}} FROM users u WHERE u.id = $1;

-- Every statement that can take an administrator away locks all of them
-- first, always in the same order: of two that do so at the same time the
-- second one sees what the first has left.
-- fragment: active_admins
admins AS (
    SELECT id FROM users WHERE role = 'admin' AND is_active
    ORDER BY id FOR NO KEY UPDATE)

-- name: admin_user_update :one (id uuid, match int[]?, role text?,
--   active bool?, tier text?, tokens_limit bigint?, verified bool?,
--   actor uuid, ip inet?, request_id text)
-- What is NULL stays; what changes nothing leaves the version. An actor who
-- was deprived of his role a moment ago is FORBIDDEN. Sessions end when an
-- account goes, and also when it comes back: a login that was under way while
-- it went could have left one.
WITH {{active_admins}},
cur AS (
    SELECT u.* FROM (SELECT count(*) FROM admins) locked, users u
    WHERE u.id = $1 FOR NO KEY UPDATE OF u),
want AS (
    SELECT coalesce($3, role) AS role, coalesce($4, is_active) AS is_active,
           coalesce($5, subscription_tier) AS subscription_tier,
           coalesce($6, CASE $5 WHEN 'free' THEN 100000
                                WHEN 'pro' THEN 1000000
                                WHEN 'enterprise' THEN 10000000 END,
                    ai_tokens_limit) AS ai_tokens_limit,
           coalesce($7, email_verified) AS email_verified
    FROM cur),
verdict AS (
    SELECT CASE
        WHEN NOT EXISTS (SELECT 1 FROM admins WHERE id = $8) THEN 'FORBIDDEN'
        WHEN NOT c.version = ANY ($2)
        THEN 'PRECONDITION_FAILED:' || c.version
        WHEN c.role = 'admin' AND c.is_active
             AND NOT (w.role = 'admin' AND w.is_active)
             AND NOT EXISTS (SELECT 1 FROM admins WHERE id <> c.id)
        THEN 'LAST_ADMIN' END AS fault
    FROM cur c, want w),
done AS (
    UPDATE users t
    SET role = w.role, is_active = w.is_active,
        subscription_tier = w.subscription_tier,
        ai_tokens_limit = w.ai_tokens_limit,
        email_verified = w.email_verified,
        version = t.version + 1, updated_at = now()
    FROM cur c, want w, verdict v
    WHERE t.id = c.id AND v.fault IS NULL
      AND (w.role, w.is_active, w.subscription_tier, w.ai_tokens_limit,
           w.email_verified)
          IS DISTINCT FROM (c.role, c.is_active, c.subscription_tier,
                            c.ai_tokens_limit, c.email_verified)
    RETURNING t.*),
ended AS (
    UPDATE sessions s SET revoked_at = now() FROM done d, cur c
    WHERE s.user_id = d.id AND d.is_active <> c.is_active
      AND s.revoked_at IS NULL
    RETURNING s.expires_at),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, $8, 'admin.user_update', 'user', d.id, $9, $10,
           (SELECT jsonb_object_agg(name, jsonb_build_object('from', old,
                                                             'to', new))
            FROM (VALUES
                ('role', to_jsonb(c.role), to_jsonb(d.role)),
                ('isActive', to_jsonb(c.is_active), to_jsonb(d.is_active)),
                ('subscriptionTier', to_jsonb(c.subscription_tier),
                 to_jsonb(d.subscription_tier)),
                ('aiTokensLimit', to_jsonb(c.ai_tokens_limit),
                 to_jsonb(d.ai_tokens_limit)),
                ('emailVerified', to_jsonb(c.email_verified),
                 to_jsonb(d.email_verified))) x (name, old, new)
            WHERE old <> new)
           || CASE WHEN d.is_active THEN '{}' ELSE jsonb_build_object(
                  'revokedSessions',
                  (SELECT count(*) FROM ended WHERE expires_at > now())) END
    FROM done d, cur c),
u AS (SELECT * FROM done
      UNION ALL
      SELECT * FROM cur WHERE NOT EXISTS (SELECT 1 FROM done))
SELECT verdict.fault, {{user_columns}} FROM verdict, u;

-- Lists of logs count no further than pages reach: a log is as long as the
-- disk is large, and a page further than that cannot be asked for.
-- fragment: log_total_max
1000001

-- Answers show milliseconds: what was answered as "to" is found by it.
-- fragment: log_times
($3 IS NULL OR l.created_at >= $3)
AND ($4 IS NULL OR l.created_at
                   < date_trunc('milliseconds', $4) + interval '1 ms')

-- fragment: audit_columns
l.id, l.actor_id, l.action, l.target_type, l.target_id,
host(l.ip_address) AS ip_address, l.request_id, l.details, l.created_at

-- fragment: audit_filter
($1 IS NULL OR l.actor_id = $1) AND ($2 IS NULL OR l.action = $2)
AND {{log_times}}

-- name: admin_audit_page :many (actor uuid?, action text?, since ts?,
--   until ts?, want_total bool, fetch int, skip int)
-- plan: custom
-- Audit rows, newest first.
SELECT t.total, p.*
FROM (SELECT CASE WHEN $5 THEN
          (SELECT count(*) FROM (SELECT FROM audit_logs l
                                 WHERE {{audit_filter}}
                                 LIMIT {{log_total_max}}) n) END AS total) t
LEFT JOIN (
    SELECT {{audit_columns}}
    FROM (SELECT l.id FROM audit_logs l WHERE {{audit_filter}}
          ORDER BY l.created_at DESC, l.id DESC LIMIT $6 OFFSET $7) k
    JOIN audit_logs l ON l.id = k.id
    ORDER BY l.created_at DESC, l.id DESC) p ON true;

-- name: admin_audit_after :many (actor uuid?, action text?, since ts?,
--   until ts?, after ts, after_id uuid, fetch int)
-- plan: custom
-- The page behind a cursor.
SELECT {{audit_columns}} FROM audit_logs l
WHERE {{audit_filter}} AND (l.created_at, l.id) < ($5, $6)
ORDER BY l.created_at DESC, l.id DESC LIMIT $7;

-- fragment: api_log_columns
l.id, l.request_id, l.user_id, l.method, l.path,
coalesce(l.route, 'none') AS route, l.status, l.duration_ms,
host(l.ip_address) AS ip_address, l.user_agent, l.error_code, l.created_at

-- fragment: api_log_filter
($1 IS NULL OR l.user_id = $1) AND ($2 IS NULL OR l.status = $2)
AND {{log_times}} AND ($5 IS NULL OR starts_with(l.path, $5))

-- name: admin_api_log_page :many (user_id uuid?, status int?, since ts?,
--   until ts?, path text?, want_total bool, fetch int, skip int)
-- plan: custom
-- Requests, newest first.
SELECT t.total, p.*
FROM (SELECT CASE WHEN $6 THEN
          (SELECT count(*) FROM (SELECT FROM api_logs l
                                 WHERE {{api_log_filter}}
                                 LIMIT {{log_total_max}}) n) END AS total) t
LEFT JOIN (
    SELECT {{api_log_columns}}
    FROM (SELECT l.id FROM api_logs l WHERE {{api_log_filter}}
          ORDER BY l.created_at DESC, l.id DESC LIMIT $7 OFFSET $8) k
    JOIN api_logs l ON l.id = k.id
    ORDER BY l.created_at DESC, l.id DESC) p ON true;

-- name: admin_api_log_after :many (user_id uuid?, status int?, since ts?,
--   until ts?, path text?, after ts, after_id uuid, fetch int)
-- plan: custom
-- The page behind a cursor.
SELECT {{api_log_columns}} FROM api_logs l
WHERE {{api_log_filter}} AND (l.created_at, l.id) < ($6, $7)
ORDER BY l.created_at DESC, l.id DESC LIMIT $8;

-- fragment: job_columns
j.id, j.type, j.status, j.attempts, j.max_attempts, j.run_at, j.last_error,
j.created_at, j.finished_at

-- fragment: job_filter
($1 IS NULL OR j.status = $1) AND ($2 IS NULL OR j.type = $2)

-- name: admin_job_page :many (status text?, type text?, want_total bool,
--   fetch int, skip int)
-- plan: custom
-- Jobs, newest first.
SELECT t.total, p.*
FROM (SELECT CASE WHEN $3 THEN
          (SELECT count(*) FROM jobs j WHERE {{job_filter}}) END AS total) t
LEFT JOIN (
    SELECT {{job_columns}} FROM jobs j WHERE {{job_filter}}
    ORDER BY j.created_at DESC, j.id DESC LIMIT $4 OFFSET $5) p ON true;

-- name: admin_job_after :many (status text?, type text?, after ts,
--   after_id uuid, fetch int)
-- plan: custom
-- The page behind a cursor.
SELECT {{job_columns}} FROM jobs j
WHERE {{job_filter}} AND (j.created_at, j.id) < ($3, $4)
ORDER BY j.created_at DESC, j.id DESC LIMIT $5;

-- name: admin_job_retry :one (id uuid, actor uuid, ip inet?, request_id text)
-- A job that has failed is queued anew, with all its tries. What it failed of
-- stays to be read until it has run again.
WITH cur AS (SELECT c.* FROM jobs c WHERE c.id = $1 FOR NO KEY UPDATE),
j AS (
    UPDATE jobs t
    SET status = 'queued', attempts = 0, run_at = now(), locked_by = NULL,
        locked_until = NULL, finished_at = NULL
    FROM cur WHERE t.id = cur.id AND cur.status = 'failed'
    RETURNING t.*),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, $2, 'job.retry', 'job', cur.id, $3, $4,
           jsonb_build_object('type', cur.type, 'attempts', cur.attempts)
    FROM cur, j)
SELECT CASE WHEN j.id IS NULL THEN 'INVALID_TRANSITION' END AS fault,
       {{job_columns}}
FROM cur LEFT JOIN j ON true;
