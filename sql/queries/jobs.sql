-- Jobs are taken with SKIP LOCKED by any number of runners. Whoever runs one
-- is named by (locked_by, attempts): a runner that was thought dead and comes
-- back changes nothing any more.

-- name: job_claim :one (worker text, types text[], seconds int)
-- The oldest job that is due, of the types given.
UPDATE jobs j
SET status = 'running', attempts = j.attempts + 1, locked_by = $1,
    locked_until = clock_timestamp() + make_interval(secs => $3)
FROM (SELECT due.id
      FROM unnest($2::text[]) AS kinds (type),
           LATERAL (SELECT id, run_at FROM jobs
                    WHERE status = 'queued' AND type = kinds.type
                      AND run_at <= clock_timestamp()
                    ORDER BY run_at LIMIT 1
                    FOR UPDATE SKIP LOCKED) due
      ORDER BY due.run_at LIMIT 1) n
WHERE j.id = n.id
RETURNING j.id, j.type, j.payload, j.attempts, j.max_attempts;

-- name: job_rescue :count ()
-- Jobs whose runner died are due again, or have failed if that was their last
-- try.
UPDATE jobs
SET status = CASE WHEN attempts < max_attempts THEN 'queued' ELSE 'failed'
             END,
    finished_at = CASE WHEN attempts < max_attempts THEN NULL
                  ELSE clock_timestamp() END,
    run_at = clock_timestamp(), locked_by = NULL, locked_until = NULL,
    last_error = coalesce(last_error, 'its runner died')
WHERE id IN (SELECT id FROM jobs
             WHERE status = 'running' AND locked_until < clock_timestamp()
             FOR UPDATE SKIP LOCKED);

-- name: job_beat :count (id uuid, worker text, attempts int, seconds int)
-- The runner lives. 0 when the job is another's by now.
UPDATE jobs SET locked_until = clock_timestamp() + make_interval(secs => $4)
WHERE id = $1 AND status = 'running' AND locked_by = $2 AND attempts = $3;

-- name: job_done :count (id uuid, worker text, attempts int)
-- The job is done.
UPDATE jobs
SET status = 'completed', finished_at = clock_timestamp(), locked_by = NULL,
    locked_until = NULL, last_error = NULL
WHERE id = $1 AND status = 'running' AND locked_by = $2 AND attempts = $3;

-- name: job_failed :one (id uuid, worker text, attempts int, error text,
--   for_good bool)
-- Another try after 10, 30, 90, 270 seconds, or none.
UPDATE jobs
SET status = CASE WHEN $5 OR attempts >= max_attempts THEN 'failed'
             ELSE 'queued' END,
    finished_at = CASE WHEN $5 OR attempts >= max_attempts
                  THEN clock_timestamp() END,
    run_at = clock_timestamp()
             + interval '10 seconds' * power(3, least(attempts, 10) - 1),
    locked_by = NULL, locked_until = NULL, last_error = $4
WHERE id = $1 AND status = 'running' AND locked_by = $2 AND attempts = $3
RETURNING status;

-- name: job_return :count (id uuid, worker text, attempts int)
-- The server stops: the job is due at once, and this was no try.
UPDATE jobs
SET status = 'queued', attempts = attempts - 1, run_at = clock_timestamp(),
    locked_by = NULL, locked_until = NULL
WHERE id = $1 AND status = 'running' AND locked_by = $2 AND attempts = $3;

-- name: job_periodic :exec (types text[], every int[])
-- This period's job of each type, every so many seconds. Its id is made of
-- type and period, so any number of hosts make one.
INSERT INTO jobs (id, type, payload)
SELECT md5(type || ' ' || every || ' '
           || floor(extract(epoch FROM now()) / every))::uuid,
       type, '{}'
FROM unnest($1::text[], $2::bigint[]) AS kinds (type, every)
ON CONFLICT (id) DO NOTHING;
