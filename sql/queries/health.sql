-- What /health asks the database.

-- name: health_ping :one ()
-- The least that shows that statements are answered.
SELECT 1 AS answer;

-- name: health_jobs :one ()
-- Jobs that wait, and jobs that were given up.
SELECT count(*) FILTER (WHERE status = 'queued') AS queued,
       count(*) FILTER (WHERE status = 'failed') AS failed
  FROM jobs
 WHERE status IN ('queued', 'failed');
