-- Imports of conversations that a job does, with what it has done so far.

-- fragment: import_columns
i.id, i.status, i.processed, i.total,
CASE WHEN i.finished_at IS NOT NULL THEN i.result ->> 'imported' END
    AS imported,
i.result ->> 'skipped' AS skipped, i.result ->> 'failed' AS failed,
i.result ->> 'conversations' AS conversations,
i.result ->> 'errors' AS errors, i.error, i.created_at, i.finished_at

-- name: import_create :one (user_id uuid, id uuid, key text, format text,
--   visibility text?, category text?, tags text[]?)
-- A new import whose file is still on its way into the store: there is no job
-- yet. No row: no such account.
INSERT INTO conversation_imports AS i (id, user_id, storage_key, format,
    visibility, category, tags)
SELECT $2, u.id, $3, $4, $5, $6, $7
FROM (SELECT id FROM users WHERE id = $1 FOR KEY SHARE) u
RETURNING i.id;

-- name: import_queue :one (id uuid)
-- Its file is there. No row: its account is gone.
WITH i AS (SELECT * FROM conversation_imports WHERE id = $1 FOR KEY SHARE),
job AS (
    INSERT INTO jobs (id, type, payload)
    SELECT {{new_id}}, 'import', jsonb_build_object('id', id) FROM i)
SELECT {{import_columns}} FROM i;

-- name: import_forget :exec (id uuid)
-- Its file could not be kept.
DELETE FROM conversation_imports WHERE id = $1;

-- name: import_get :one (user_id uuid, id uuid)
-- batch
-- One import of an account.
SELECT {{import_columns}} FROM conversation_imports i
WHERE i.id = $2 AND i.user_id = $1;

-- ── the job ──────────────────────────────────────────────────────────────────

-- name: import_start :one (id uuid)
-- A try begins, where the one before has ended. No row: there is no such
-- import any more.
WITH cur AS (
    SELECT *, status IN ('queued', 'running') AS unfinished
    FROM conversation_imports WHERE id = $1 FOR UPDATE),
begun AS (
    UPDATE conversation_imports i SET status = 'running'
    FROM cur WHERE i.id = cur.id AND cur.unfinished)
SELECT user_id, format, visibility, category,
       array_to_json(tags) AS tags, processed, total, unfinished
FROM cur;

-- name: import_count :exec (id uuid, total int)
-- How many conversations its file holds.
UPDATE conversation_imports SET total = $2
WHERE id = $1 AND status = 'running';

-- name: import_taken :many (user_id uuid, ids uuid[], message_ids uuid[])
-- plan: custom
-- Which ids of conversations and messages somebody has.
SELECT c.id::text AS key,
       CASE WHEN c.user_id = $1 THEN 'mine' ELSE 'theirs' END AS whose
FROM unnest($2::uuid[]) k (id) JOIN conversations c ON c.id = k.id
UNION ALL
SELECT 'm' || m.id, 'said'
FROM unnest($3::uuid[]) k (id) JOIN conversation_messages m ON m.id = k.id;

-- name: import_note :one (id uuid, reached int, processed int, ids uuid[],
--   failed int, errors json)
-- error 23502 = PRECONDITION_FAILED
-- What the transaction has done up to here: those of the ids that are there
-- now were imported, the others were there before. Only who goes on from where
-- the import stands may do so; for anybody else all of it is undone. No row:
-- there is no such import any more.
WITH made AS (
    SELECT c.id, c.slug, c.title, c.message_count, k.place
    FROM unnest($4::uuid[]) WITH ORDINALITY AS k (id, place)
    JOIN conversations c ON c.id = k.id),
now AS (
    SELECT count(*)::integer AS count,
           coalesce(jsonb_agg(jsonb_build_object(
               'id', id, 'slug', slug, 'title', title,
               'messageCount', message_count) ORDER BY place), '[]') AS list
    FROM made)
UPDATE conversation_imports i
SET processed = CASE WHEN i.status = 'running' AND i.processed = $2
                THEN $3 END,
    result = jsonb_build_object(
        'imported', coalesce((i.result ->> 'imported')::integer, 0)
                    + now.count,
        'skipped', coalesce((i.result ->> 'skipped')::integer, 0)
                   + cardinality($4) - now.count,
        'failed', coalesce((i.result ->> 'failed')::integer, 0) + $5,
        'conversations', jsonb_path_query_array(
            coalesce(i.result -> 'conversations', '[]') || now.list,
            '$[0 to 199]'),
        'errors', jsonb_path_query_array(
            coalesce(i.result -> 'errors', '[]') || $6::jsonb,
            '$[0 to 199]'))
FROM now
WHERE i.id = $1
RETURNING i.processed;

-- name: import_ended :count (id uuid, processed int, status text, error text?)
-- It is over, and so is its file. 0 when it went, or is another runner's by
-- now.
WITH cur AS (
    SELECT id, storage_key FROM conversation_imports
    WHERE id = $1 AND status IN ('queued', 'running') AND processed = $2
    FOR UPDATE),
file AS (
    INSERT INTO jobs (id, type, payload)
    SELECT {{new_id}}, 'file_delete',
           jsonb_build_object('keys', jsonb_build_array(storage_key))
    FROM cur WHERE storage_key IS NOT NULL)
UPDATE conversation_imports i
SET status = $3, error = $4, storage_key = NULL, finished_at = now(),
    result = CASE WHEN $3 = 'completed' OR i.processed > 0
             THEN coalesce(i.result,
                 '{"imported": 0, "skipped": 0, "failed": 0,
                   "conversations": [], "errors": []}') END
FROM cur WHERE i.id = cur.id;

-- ── what is over ─────────────────────────────────────────────────────────────

-- name: upkeep_lost_imports :count ()
-- Imports whose job is no more, because its runner died at every try, or that
-- never had one, because the server died while it kept the file.
WITH lost AS (
    SELECT i.id, i.storage_key FROM conversation_imports i
    WHERE i.status IN ('queued', 'running')
      AND i.created_at < now() - interval '1 hour'
      AND NOT EXISTS (
          SELECT 1 FROM jobs j
          WHERE j.type = 'import' AND j.status IN ('queued', 'running')
            AND j.payload ->> 'id' = i.id::text)
    FOR UPDATE SKIP LOCKED),
files AS (
    INSERT INTO jobs (id, type, payload)
    SELECT {{new_id}}, 'file_delete',
           jsonb_build_object('keys', jsonb_agg(storage_key))
    FROM lost WHERE storage_key IS NOT NULL HAVING count(*) > 0)
UPDATE conversation_imports i
SET status = 'failed', error = 'The import was interrupted',
    storage_key = NULL, finished_at = now()
FROM lost WHERE i.id = lost.id;

-- name: upkeep_imports :count (fetch int)
-- What imports have told, after a month.
DELETE FROM conversation_imports WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM conversation_imports
    WHERE finished_at < now() - interval '30 days' LIMIT $1));
