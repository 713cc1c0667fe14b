-- name: idem_lock :one (scope text, route text, key text)
-- Takes the key for this transaction, without waiting.
SELECT pg_try_advisory_xact_lock(
           hashtextextended($1 || chr(10) || $2 || chr(10) || $3, 7)) AS free;

-- name: idem_get :one (scope text, route text, key text)
-- The answer kept under a key.
SELECT body_hash, status, headers::text AS headers,
       convert_from(body, 'UTF8') AS body
FROM idempotency_keys
WHERE scope = $1 AND route = $2 AND key = $3 AND expires_at > now();

-- name: idem_put :count (scope text, route text, key text, body_hash text,
--   status int, headers json, body text)
-- Keeps an answer for 24 hours, also in the place of its claim. 0 when somebody
-- else kept one meanwhile.
INSERT INTO idempotency_keys AS k
    (scope, route, key, body_hash, status, headers, body, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, convert_to($7, 'UTF8'),
        now() + interval '24 hours')
ON CONFLICT (scope, route, key) DO UPDATE
SET body_hash = excluded.body_hash, status = excluded.status,
    headers = excluded.headers, body = excluded.body,
    created_at = now(), expires_at = excluded.expires_at
WHERE k.expires_at <= now()
   OR (k.status IS NULL AND k.body_hash = excluded.body_hash);

-- name: idem_claim :count (scope text, route text, key text, body_hash text)
-- Claims a key for work that is done outside of any transaction. 0 when it is
-- claimed, or has its answer. The claim of one that died ends by itself.
INSERT INTO idempotency_keys AS k (scope, route, key, body_hash, expires_at)
VALUES ($1, $2, $3, $4, now() + interval '5 minutes')
ON CONFLICT (scope, route, key) DO UPDATE
SET body_hash = excluded.body_hash, status = NULL, headers = NULL,
    body = NULL, created_at = now(), expires_at = excluded.expires_at
WHERE k.expires_at <= now();

-- name: idem_drop :exec (scope text, route text, key text, body_hash text)
-- The claimed work failed.
DELETE FROM idempotency_keys
WHERE scope = $1 AND route = $2 AND key = $3 AND body_hash = $4
  AND status IS NULL;
