-- Exports: asked for, written by a job, fetched, and gone after a week.

-- fragment: export_columns
e.id, e.status, e.format, e.size_bytes, e.created_at, e.finished_at,
e.expires_at, e.error,
CASE WHEN e.status = 'completed'
     THEN '/api/v1/user/export/' || e.id || '/download' END AS download_url

-- What is over is gone, whether it was cleared away or not.
-- fragment: export_there
e.id = $2 AND e.user_id = $1
AND (e.expires_at IS NULL OR e.expires_at > now())

-- name: export_create :one (user_id uuid, id uuid, format text,
--   attachments bool, ip inet?, request_id text)
-- error 23505 unique_unfinished_export = EXPORT_IN_PROGRESS
-- A new export, and the job that writes it. No row: no such account.
WITH e AS (
    INSERT INTO exports (id, user_id, format, include_attachments)
    SELECT $2, u.id, $3, $4
    FROM (SELECT id FROM users WHERE id = $1 FOR KEY SHARE) u
    RETURNING *),
job AS (
    INSERT INTO jobs (id, type, payload)
    SELECT {{new_id}}, 'export', jsonb_build_object('id', id) FROM e),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, user_id, 'user.export', 'export', id, $5, $6,
           jsonb_build_object('format', format) FROM e)
SELECT {{export_columns}} FROM e;

-- name: export_get :one (user_id uuid, id uuid)
-- batch
-- One export of an account.
SELECT {{export_columns}} FROM exports e WHERE {{export_there}};

-- name: export_file :one (user_id uuid, id uuid)
-- Where the file of an export is.
SELECT CASE WHEN e.status <> 'completed' THEN 'EXPORT_NOT_READY' END AS fault,
       e.id, e.format, e.storage_key, e.size_bytes,
       extract(epoch FROM e.finished_at)::bigint AS finished,
       to_char(e.created_at AT TIME ZONE 'UTC', 'YYYYMMDD') AS day
FROM exports e WHERE {{export_there}};

-- ── the job ──────────────────────────────────────────────────────────────────

-- name: export_start :one (id uuid, key text)
-- A try to write an export begins, into a file of its own. What the try before
-- has left is the caller's to delete. No row: there is no such export any
-- more.
WITH cur AS (
    SELECT id, user_id, format, include_attachments, storage_key,
           status IN ('queued', 'running') AS unfinished
    FROM exports WHERE id = $1 FOR UPDATE),
begun AS (
    UPDATE exports e SET status = 'running', storage_key = $2
    FROM cur WHERE e.id = cur.id AND cur.unfinished)
SELECT user_id, format, include_attachments, storage_key AS old_key,
       unfinished
FROM cur;

-- name: export_done :count (id uuid, key text, size bigint)
-- The file is whole. 0 when the export went, or is another runner's by now.
UPDATE exports
SET status = 'completed', size_bytes = $3, finished_at = now(),
    expires_at = now() + interval '7 days', error = NULL
WHERE id = $1 AND status = 'running' AND storage_key = $2;

-- name: export_failed :count (id uuid, key text, error text, last bool)
-- A try came to nothing: noted if it was the last one. 0 when the export went,
-- or is another runner's by now.
UPDATE exports
SET status = CASE WHEN $4 THEN 'failed' ELSE status END,
    storage_key = NULL, error = CASE WHEN $4 THEN $3 END,
    finished_at = CASE WHEN $4 THEN now() END,
    expires_at = CASE WHEN $4 THEN now() + interval '7 days' END
WHERE id = $1 AND status = 'running' AND storage_key = $2;

-- ── what is written ──────────────────────────────────────────────────────────
-- A page is so many rows and so many bytes (of the long columns) at most, but
-- one row at least. Rows are found by key, so those that are there all the
-- time are in it once, whatever is written meanwhile.

-- name: export_settings :one (user_id uuid)
-- The settings of an account.
SELECT {{settings_columns}} FROM user_settings s WHERE s.user_id = $1;

-- name: export_sessions :many (user_id uuid, after uuid?, fetch int)
-- The sessions of an account.
SELECT {{session_columns}}, false AS is_current FROM sessions
WHERE user_id = $1 AND ($2 IS NULL OR id > $2)
ORDER BY id LIMIT $3;

-- name: export_folders :many (user_id uuid, after uuid?, fetch int)
-- The folders of an account, deleted ones too.
SELECT {{folder_columns}} FROM folders f
WHERE f.user_id = $1 AND ($2 IS NULL OR f.id > $2)
ORDER BY f.id LIMIT $3;

-- name: export_sync_logs :many (user_id uuid, after_at ts?, after uuid?,
--   fetch int)
-- What the devices of an account did, newest first.
SELECT l.id, l.device_id, l.action, l.notes_synced, l.conflicts_resolved,
       l.error_message, l.created_at
FROM sync_logs l
WHERE l.user_id = $1
  AND ($3 IS NULL OR (l.created_at, l.id) < ($2, $3))
ORDER BY l.created_at DESC, l.id DESC LIMIT $4;

-- The conversations of an account that make a page: of so many messages, but of
-- one conversation all.
-- fragment: export_conversations_page
(SELECT x.id, sum(x.message_count + 1) OVER (
     ORDER BY x.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
     AS before
 FROM (SELECT id, message_count FROM conversations
       WHERE user_id = $1 AND ($2 IS NULL OR id > $2)
       ORDER BY id LIMIT $3) x) p
JOIN conversations c ON c.id = p.id AND coalesce(p.before, 0) < $3
JOIN users u ON u.id = c.user_id

-- name: export_conversations :many (user_id uuid, after uuid?, messages int)
-- The conversations of an account with all their messages.
SELECT {{conversation_columns}}, coalesce((
    SELECT json_agg(json_build_object(
               'id', m.id, 'position', m.position, 'role', m.role,
               'content', m.content, 'model', m.model,
               'createdAt', to_char(m.created_at AT TIME ZONE 'UTC',
                                    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
           ORDER BY m.position)
    FROM conversation_messages m WHERE m.conversation_id = c.id), '[]')
    AS messages
FROM {{export_conversations_page}}
ORDER BY c.id;

-- name: export_transcripts :many (user_id uuid, after uuid?, messages int)
-- The same, a row for each message.
SELECT {{conversation_columns}}, {{message_page_columns}},
       extract(epoch FROM c.updated_at)::bigint AS updated
FROM {{export_conversations_page}}
JOIN conversation_messages m ON m.conversation_id = c.id
ORDER BY c.id, m.position;

-- name: export_rooms :many (user_id uuid, after uuid?, fetch int)
-- The rooms that an account is a member of.
SELECT {{room_columns}}
FROM room_members a JOIN chat_rooms r ON r.id = a.room_id
{{room_last}}
WHERE a.user_id = $1 AND ($2 IS NULL OR r.id > $2)
ORDER BY r.id LIMIT $3;

-- name: export_messages :many (user_id uuid, after uuid?, fetch int)
-- What an account has said, deleted messages too.
SELECT {{message_columns}}
FROM (SELECT * FROM chat_messages x
      WHERE x.user_id = $1 AND ($2 IS NULL OR x.id > $2)
      ORDER BY x.id LIMIT $3) m
{{message_joins}}
ORDER BY m.id;

-- name: export_notifications :many (user_id uuid, after uuid?, fetch int)
-- The notifications of an account.
SELECT {{notification_columns}} FROM notifications n
WHERE n.user_id = $1 AND ($2 IS NULL OR n.id > $2)
ORDER BY n.id LIMIT $3;

-- name: export_note_ids :one (user_id uuid)
-- The ids of all notes, deleted ones too, as one run of hex digits, 32 to an
-- id. There is no index by user and id, so a page could not find its notes
-- without reading all of them.
SELECT encode(coalesce(string_agg(uuid_send(id), '' ORDER BY id), ''), 'hex')
       AS ids
FROM notes WHERE user_id = $1 AND NOT purged;

-- The notes of a list of ids that make a page.
-- fragment: export_notes_page
(SELECT k.ord, x.id,
        sum(coalesce(octet_length(x.content), 0)
            + coalesce(octet_length(x.content_plain), 0) + 500)
            OVER (ORDER BY k.ord ROWS BETWEEN UNBOUNDED PRECEDING
                                          AND 1 PRECEDING) AS before
 FROM unnest($2::uuid[]) WITH ORDINALITY k (id, ord)
 JOIN notes x ON x.id = k.id
 WHERE x.user_id = $1 AND NOT x.purged) p

-- name: export_notes :many (user_id uuid, ids text[], bytes int)
-- Notes of a list of ids.
SELECT p.ord, {{note_columns}}
FROM {{export_notes_page}} JOIN notes n ON n.id = p.id {{note_folder}}
WHERE coalesce(p.before, 0) < $3
ORDER BY p.ord;

-- name: export_texts :many (user_id uuid, ids text[], bytes int)
-- Their texts alone.
SELECT p.ord, n.id, n.content,
       extract(epoch FROM n.updated_at)::bigint AS updated
FROM {{export_notes_page}} JOIN notes n ON n.id = p.id
WHERE coalesce(p.before, 0) < $3
ORDER BY p.ord;

-- name: export_versions :many (user_id uuid, ids text[], after int, fetch int,
--   bytes int)
-- The text history of a list of notes; of the first one what is behind a
-- version.
SELECT p.ord, v.id, v.note_id, v.version, v.title, v.content, v.word_count,
       v.created_at
FROM (
    SELECT k.ord, h.id,
           sum(h.size + 500) OVER (ORDER BY k.ord, h.version
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM unnest($2::uuid[]) WITH ORDINALITY k (id, ord)
    CROSS JOIN LATERAL (
        SELECT x.id, x.version, coalesce(octet_length(x.content), 0) AS size
        FROM note_versions x
        WHERE x.note_id = k.id AND x.user_id = $1 AND x.is_text
          AND (k.ord > 1 OR x.version > $3)
        ORDER BY x.version LIMIT $4) h
    ORDER BY k.ord, h.version LIMIT $4) p
JOIN note_versions v ON v.id = p.id
WHERE coalesce(p.before, 0) < $5
ORDER BY p.ord, v.version;

-- name: export_attachments :many (user_id uuid, ids text[], after uuid?,
--   fetch int)
-- The attachments of a list of notes; of the first one what is behind an id.
SELECT k.ord, a.id, a.note_id, a.filename, a.file_size, a.mime_type, a.sha256,
       a.width, a.height, '/api/v1/attachments/' || a.id || '/download' AS url,
       CASE WHEN a.thumbnail_key IS NOT NULL
            THEN '/api/v1/attachments/' || a.id || '/thumbnail' END
           AS thumbnail_url,
       a.created_at, a.storage_key,
       extract(epoch FROM a.created_at)::bigint AS created
FROM unnest($2::uuid[]) WITH ORDINALITY k (id, ord)
CROSS JOIN LATERAL (
    SELECT * FROM attachments x
    WHERE x.note_id = k.id AND x.user_id = $1
      AND (k.ord > 1 OR $3 IS NULL OR x.id > $3)
    ORDER BY x.id LIMIT $4) a
ORDER BY k.ord, a.id LIMIT $4;
