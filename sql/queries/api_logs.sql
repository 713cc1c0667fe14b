-- name: api_log_add :exec (id uuid[], request_id text[], user_id uuid[],
--   method text[], path text[], route text[], status int[],
--   duration_ms int[], ip inet[], user_agent text[], error_code text[],
--   created_at ts[])
-- Rows of the API log; those that are there already stay as they are.
INSERT INTO api_logs (id, request_id, user_id, method, path, route, status,
                      duration_ms, ip_address, user_agent, error_code,
                      created_at)
SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (id) DO NOTHING;
