-- fragment: note_columns
n.id, n.folder_id, f.id AS folder_ref, f.name AS folder_name,
f.color AS folder_color, n.title, n.content, n.content_plain, n.word_count,
n.is_pinned, n.is_favorite, n.tags, n.version, n.sync_status,
n.client_updated_at, n.created_at, n.updated_at, n.deleted_at

-- fragment: note_item_columns
n.id, n.folder_id, f.id AS folder_ref, f.name AS folder_name,
f.color AS folder_color, n.title, left(n.content_plain, 500) AS content_plain,
n.word_count, n.is_pinned, n.is_favorite, n.tags, n.version, n.sync_status,
n.client_updated_at, n.created_at, n.updated_at, n.deleted_at

-- A deleted folder is not shown with its notes.
-- fragment: note_folder
LEFT JOIN folders f ON f.id = n.folder_id AND f.deleted_at IS NULL

-- The notes of a list, and what may be asked of them.
-- fragment: note_scope
n.user_id = $1 AND n.deleted_at {{scope}}

-- fragment: note_filter
n.user_id = $1 AND n.deleted_at {{scope}}
AND ($5 IS NULL OR n.folder_id = $5)
AND (NOT $6 OR n.folder_id IS NULL)
AND ($7 IS NULL OR n.is_pinned = $7)
AND ($8 IS NULL OR n.is_favorite = $8)
AND ($9 IS NULL OR n.tags @> $9)
AND ($10 IS NULL OR n.title ILIKE $10 OR n.content_plain ILIKE $10)

-- The state that a version step supersedes. A text row when title or content
-- change, else the rest only.
-- fragment: note_history
history AS (
    INSERT INTO note_versions (id, note_id, user_id, is_text, title, content,
        word_count, folder_id, tags, is_pinned, is_favorite, deleted_at,
        version)
    SELECT {{new_id}}, c.id, $1, v.text_differs,
           CASE WHEN v.text_differs THEN c.title END,
           CASE WHEN v.text_differs THEN c.content END,
           c.word_count, c.folder_id, c.tags, c.is_pinned, c.is_favorite,
           c.deleted_at, c.version
    FROM cur c, verdict v WHERE v.go)

-- The note locked after its user, with the change number to give it.
-- fragment: note_cur
cur AS (
    SELECT n.*, b.seq, b.at FROM bump b, notes n
    WHERE n.id = $2 AND n.user_id = $1 AND NOT n.purged
      AND {{which}} FOR NO KEY UPDATE OF n)

-- Lists come in three forms, because one plan cannot be good for all: the
-- first pages of the usual order walk an index and stop; pages further on, and
-- other orders, skip and sort nothing but ids; filters are planned with the
-- values at hand, since any of them may be there or not.

-- fragment: note_total
(SELECT CASE WHEN $2 THEN (SELECT count(*) FROM notes n WHERE {{note_scope}})
 END AS total) t

-- name: note_page :many (user_id uuid, want_total bool, fetch int, skip int)
-- variants: order = asc:asc|> desc:desc|< ; scope = live:IS~NULL trash:IS~NOT~NULL~AND~NOT~n.purged
-- batch 4
-- One of the first pages by time of change.
SELECT t.total, p.*
FROM {{note_total}}
LEFT JOIN (
    SELECT {{note_item_columns}}
    FROM (SELECT n.* FROM notes n WHERE {{note_scope}}
          ORDER BY n.updated_at {{order}}, n.id {{order}}
          LIMIT $3 OFFSET $4) n
    {{note_folder}}
    ORDER BY n.updated_at {{order}}, n.id {{order}}) p ON true;

-- name: note_page_deep :many (user_id uuid, want_total bool, fetch int,
--   skip int)
-- variants: sort = updatedAt:updated_at|timestamptz createdAt:created_at|timestamptz title:title|varchar wordCount:word_count|int ; order = asc:asc|> desc:desc|< ; scope = live:IS~NULL trash:IS~NOT~NULL~AND~NOT~n.purged
-- Any page in any order.
SELECT t.total, p.*
FROM {{note_total}}
LEFT JOIN (
    SELECT {{note_item_columns}}
    FROM (SELECT n.id FROM notes n WHERE {{note_scope}}
          ORDER BY n.{{sort}} {{order}}, n.id {{order}}
          LIMIT $3 OFFSET $4) k
    JOIN notes n ON n.id = k.id
    {{note_folder}}
    ORDER BY n.{{sort}} {{order}}, n.id {{order}}) p ON true;

-- name: note_page_filtered :many (user_id uuid, want_total bool, fetch int,
--   skip int, folder_id uuid?, no_folder bool, pinned bool?,
--   favorite bool?, tags text[]?, search text?)
-- variants: sort = updatedAt:updated_at|timestamptz createdAt:created_at|timestamptz title:title|varchar wordCount:word_count|int ; order = asc:asc|> desc:desc|< ; scope = live:IS~NULL trash:IS~NOT~NULL~AND~NOT~n.purged
-- plan: custom
-- The same of what the filters let through.
SELECT t.total, p.*
FROM (SELECT CASE WHEN $2 THEN
          (SELECT count(*) FROM notes n WHERE {{note_filter}}) END AS total) t
LEFT JOIN (
    SELECT {{note_item_columns}}
    FROM (SELECT n.id FROM notes n WHERE {{note_filter}}
          ORDER BY n.{{sort}} {{order}}, n.id {{order}}
          LIMIT $3 OFFSET $4) k
    JOIN notes n ON n.id = k.id
    {{note_folder}}
    ORDER BY n.{{sort}} {{order}}, n.id {{order}}) p ON true;

-- A sort value too long for a cursor is looked up.
-- fragment: note_behind
(n.{{sort}}, n.id) {{order.2}} (
    coalesce($2::{{sort.2}}, (SELECT a.{{sort}} FROM notes a
                              WHERE a.id = $3 AND a.user_id = $1)), $3)

-- name: note_after :many (user_id uuid, after text?, after_id uuid, fetch int)
-- variants: sort = updatedAt:updated_at|timestamptz createdAt:created_at|timestamptz title:title|varchar wordCount:word_count|int ; order = asc:asc|> desc:desc|< ; scope = live:IS~NULL trash:IS~NOT~NULL~AND~NOT~n.purged
-- The page behind a cursor.
SELECT {{note_item_columns}}
FROM (SELECT n.* FROM notes n WHERE {{note_scope}} AND {{note_behind}}
      ORDER BY n.{{sort}} {{order}}, n.id {{order}} LIMIT $4) n
{{note_folder}}
ORDER BY n.{{sort}} {{order}}, n.id {{order}};

-- name: note_after_filtered :many (user_id uuid, after text?, after_id uuid,
--   fetch int, folder_id uuid?, no_folder bool, pinned bool?,
--   favorite bool?, tags text[]?, search text?)
-- variants: sort = updatedAt:updated_at|timestamptz createdAt:created_at|timestamptz title:title|varchar wordCount:word_count|int ; order = asc:asc|> desc:desc|< ; scope = live:IS~NULL trash:IS~NOT~NULL~AND~NOT~n.purged
-- plan: custom
-- The same of what the filters let through.
SELECT {{note_item_columns}}
FROM (SELECT n.* FROM notes n WHERE {{note_filter}} AND {{note_behind}}
      ORDER BY n.{{sort}} {{order}}, n.id {{order}} LIMIT $4) n
{{note_folder}}
ORDER BY n.{{sort}} {{order}}, n.id {{order}};

-- name: note_get :one (user_id uuid, id uuid, trashed bool)
-- batch
-- One note; with trashed also from the trash.
SELECT {{note_columns}} FROM notes n {{note_folder}}
WHERE n.id = $2 AND n.user_id = $1
  AND (n.deleted_at IS NULL OR ($3 AND NOT n.purged));

-- name: note_create :one (user_id uuid, id uuid, folder_given bool,
--   folder_id uuid?, title text, content text?, plain text, words int,
--   tags text[], pinned bool, favorite bool, client_updated_at ts?)
-- error 23505 notes_pkey = CONFLICT
-- A new note, in the default folder when none is named.
WITH {{bump}},
folder AS (
    SELECT id, name, color FROM folders
    WHERE user_id = $1 AND deleted_at IS NULL
      AND id = CASE WHEN $3 THEN $4 ELSE (
          SELECT default_folder_id FROM user_settings WHERE user_id = $1) END),
made AS (
    INSERT INTO notes (id, user_id, folder_id, title, content, content_plain,
        word_count, tags, is_pinned, is_favorite, client_updated_at,
        change_seq, created_at, updated_at)
    SELECT $2, $1, (SELECT id FROM folder), $5, $6, $7, $8, $9, $10, $11, $12,
           seq, at, at
    FROM bump
    WHERE $4 IS NULL OR EXISTS (SELECT 1 FROM folder)
    RETURNING *)
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM bump) THEN 'INVALID_TOKEN'
            WHEN n.id IS NULL THEN 'FOLDER_NOT_FOUND' END AS fault,
       {{note_columns}}
FROM (SELECT 1) one LEFT JOIN made n ON true LEFT JOIN folder f ON true;

-- name: note_update :one (user_id uuid, id uuid, match int[]?, title text?,
--   content_given bool, content text?, plain text?, words int?,
--   folder_given bool, folder_id uuid?, tags text[]?, pinned bool?,
--   favorite bool?, client_given bool, client_updated_at ts?)
-- What is not given stays; what changes nothing leaves the version.
WITH {{bump}},
cur AS (
    SELECT n.id, n.folder_id, n.title, n.content, n.content_plain,
           n.word_count, n.is_pinned, n.is_favorite, n.tags, n.version,
           n.sync_status, n.client_updated_at, n.created_at, n.updated_at,
           n.deleted_at, b.seq, b.at
    FROM bump b, notes n
    WHERE n.id = $2 AND n.user_id = $1 AND n.deleted_at IS NULL
    FOR NO KEY UPDATE OF n),
want AS (
    SELECT coalesce($4, title) AS title,
           CASE WHEN $5 THEN $6 ELSE content END AS content,
           CASE WHEN $5 THEN $7 ELSE content_plain END AS content_plain,
           CASE WHEN $5 THEN $8 ELSE word_count END AS word_count,
           CASE WHEN $9 THEN $10 ELSE folder_id END AS folder_id,
           coalesce($11, tags) AS tags, coalesce($12, is_pinned) AS is_pinned,
           coalesce($13, is_favorite) AS is_favorite,
           CASE WHEN $14 THEN $15 ELSE client_updated_at END
               AS client_updated_at
    FROM cur),
judged AS (
    SELECT CASE
        WHEN $9 AND $10 IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM folders
            WHERE id = $10 AND user_id = $1 AND deleted_at IS NULL)
        THEN 'FOLDER_NOT_FOUND'
        WHEN NOT c.version = ANY ($3)
        THEN 'PRECONDITION_FAILED:' || c.version END AS fault,
        (w.title, w.content) IS DISTINCT FROM (c.title, c.content)
            AS text_differs,
        (w.folder_id, w.tags, w.is_pinned, w.is_favorite,
         w.client_updated_at)
            IS DISTINCT FROM (c.folder_id, c.tags, c.is_pinned,
                              c.is_favorite, c.client_updated_at)
            AS rest_differs
    FROM cur c, want w),
verdict AS (
    SELECT fault, text_differs,
           fault IS NULL AND (text_differs OR rest_differs) AS go
    FROM judged),
{{note_history}},
done AS (
    UPDATE notes n
    SET title = w.title, content = w.content,
        content_plain = w.content_plain, word_count = w.word_count,
        folder_id = w.folder_id, tags = w.tags, is_pinned = w.is_pinned,
        is_favorite = w.is_favorite, client_updated_at = w.client_updated_at,
        version = n.version + 1, updated_at = c.at, change_seq = c.seq
    FROM cur c, want w, verdict v
    WHERE n.id = c.id AND v.go
    RETURNING n.id, n.folder_id, n.title, n.content, n.content_plain,
        n.word_count, n.is_pinned, n.is_favorite, n.tags, n.version,
        n.sync_status, n.client_updated_at, n.created_at, n.updated_at,
        n.deleted_at),
n AS (
    SELECT * FROM done
    UNION ALL
    SELECT id, folder_id, title, content, content_plain, word_count,
           is_pinned, is_favorite, tags, version, sync_status,
           client_updated_at, created_at, updated_at, deleted_at
    FROM cur, verdict WHERE NOT go)
SELECT v.fault, {{note_columns}}
FROM verdict v, n {{note_folder}};

-- name: note_mark :one (user_id uuid, id uuid, match int[]?, value bool?)
-- variants: mark = pin:is_pinned favorite:is_favorite ; which = live:n.deleted_at~IS~NULL
-- Sets or, without a value, turns a mark. No text is touched, so the search
-- column stays as it is.
WITH {{bump}}, {{note_cur}},
judged AS (
    SELECT CASE WHEN NOT version = ANY ($3)
                THEN 'PRECONDITION_FAILED:' || version END AS fault,
           coalesce($4, NOT {{mark}}) AS value, {{mark}} AS was
    FROM cur),
verdict AS (
    SELECT fault, value, false AS text_differs,
           fault IS NULL AND value <> was AS go
    FROM judged),
{{note_history}},
done AS (
    UPDATE notes n
    SET {{mark}} = v.value, version = n.version + 1, updated_at = c.at,
        change_seq = c.seq
    FROM cur c, verdict v
    WHERE n.id = c.id AND v.go RETURNING n.*, c.seq, c.at),
n AS (SELECT * FROM done
      UNION ALL
      SELECT cur.* FROM cur, verdict WHERE NOT go)
SELECT v.fault, {{note_columns}}
FROM verdict v, n {{note_folder}};

-- name: note_trash :one (user_id uuid, id uuid, match int[]?)
-- variants: which = live:n.deleted_at~IS~NULL
-- Puts a note into the trash.
WITH {{bump}}, {{note_cur}},
judged AS (
    SELECT CASE WHEN NOT version = ANY ($3)
                THEN 'PRECONDITION_FAILED:' || version END AS fault
    FROM cur),
verdict AS (
    SELECT fault, false AS text_differs, fault IS NULL AS go FROM judged),
{{note_history}},
done AS (
    UPDATE notes n
    SET deleted_at = c.at, version = n.version + 1, updated_at = c.at,
        change_seq = c.seq
    FROM cur c, verdict v
    WHERE n.id = c.id AND v.go RETURNING n.*)
SELECT v.fault, n.id, n.deleted_at, n.version
FROM verdict v LEFT JOIN done n ON true;

-- name: note_purge :one (user_id uuid, id uuid, match int[]?)
-- variants: which = any:true expired:n.deleted_at~<~now()~-~interval~'30~days'
-- Deletes a note for good: an empty tombstone stays for sync; history goes,
-- and attachments, whose files a job removes. Behind sync_lock, in its
-- transaction: else what others wrote while it waited would stay.
WITH {{bump}}, {{note_cur}},
verdict AS (
    SELECT CASE WHEN NOT version = ANY ($3)
                THEN 'PRECONDITION_FAILED:' || version END AS fault
    FROM cur),
past AS (
    DELETE FROM note_versions h USING cur c, verdict v
    WHERE h.note_id = c.id AND v.fault IS NULL),
files AS (
    DELETE FROM attachments a USING cur c, verdict v
    WHERE a.note_id = c.id AND v.fault IS NULL
    RETURNING a.storage_key, a.thumbnail_key),
cleanup AS (
    INSERT INTO jobs (id, type, payload)
    SELECT {{new_id}}, 'file_delete', jsonb_build_object('keys', jsonb_agg(key))
    FROM (SELECT storage_key AS key FROM files
          UNION ALL
          SELECT thumbnail_key FROM files WHERE thumbnail_key IS NOT NULL) k
    HAVING count(*) > 0),
quarrels AS (
    DELETE FROM sync_conflicts s USING cur c, verdict v
    WHERE s.user_id = $1 AND s.item_type = 'note' AND s.item_id = c.id
      AND v.fault IS NULL),
done AS (
    UPDATE notes n
    SET title = '', content = NULL, content_plain = '', word_count = 0,
        tags = '{}', is_pinned = false, is_favorite = false,
        folder_id = NULL, client_updated_at = NULL, sync_status = 'synced',
        purged = true, deleted_at = coalesce(n.deleted_at, c.at),
        version = n.version + 1, updated_at = c.at, change_seq = c.seq
    FROM cur c, verdict v
    WHERE n.id = c.id AND v.fault IS NULL RETURNING n.*)
SELECT v.fault, n.id, n.deleted_at, true AS permanent
FROM verdict v LEFT JOIN done n ON true;

-- name: note_restore :one (user_id uuid, id uuid, match int[]?)
-- variants: which = any:true
-- Takes a note out of the trash.
WITH {{bump}}, {{note_cur}},
judged AS (
    SELECT CASE WHEN NOT version = ANY ($3)
                THEN 'PRECONDITION_FAILED:' || version
                WHEN deleted_at IS NULL THEN 'NOT_DELETED' END AS fault
    FROM cur),
verdict AS (
    SELECT fault, false AS text_differs, fault IS NULL AS go FROM judged),
{{note_history}},
done AS (
    UPDATE notes n
    SET deleted_at = NULL, version = n.version + 1, updated_at = c.at,
        change_seq = c.seq
    FROM cur c, verdict v
    WHERE n.id = c.id AND v.go RETURNING n.*)
SELECT v.fault, {{note_columns}}
FROM verdict v LEFT JOIN done n ON true {{note_folder}};

-- name: note_version_page :many (user_id uuid, note_id uuid,
--   want_total bool, fetch int, skip int)
-- The text history of a live note, newest first. No row: no such note.
SELECT t.total, h.*
FROM notes n
CROSS JOIN LATERAL (
    SELECT CASE WHEN $3 THEN
        (SELECT count(*) FROM note_versions v
         WHERE v.note_id = n.id AND v.is_text) END AS total) t
LEFT JOIN LATERAL (
    SELECT v.id, v.note_id, v.version, v.title, v.word_count, v.created_at
    FROM note_versions v WHERE v.note_id = n.id AND v.is_text
    ORDER BY v.version DESC LIMIT $4 OFFSET $5) h ON true
WHERE n.id = $2 AND n.user_id = $1 AND n.deleted_at IS NULL;

-- name: note_version_after :many (user_id uuid, note_id uuid, version int,
--   fetch int)
-- The page behind a version.
SELECT h.*
FROM notes n
LEFT JOIN LATERAL (
    SELECT v.id, v.note_id, v.version, v.title, v.word_count, v.created_at
    FROM note_versions v
    WHERE v.note_id = n.id AND v.is_text AND v.version < $3
    ORDER BY v.version DESC LIMIT $4) h ON true
WHERE n.id = $2 AND n.user_id = $1 AND n.deleted_at IS NULL;

-- name: note_version_get :one (user_id uuid, note_id uuid, version int)
-- One text version of a live note. No row: no such note.
SELECT CASE WHEN v.id IS NULL THEN 'VERSION_NOT_FOUND' END AS fault,
       v.id, v.note_id, v.version, v.title, v.content, v.word_count,
       v.created_at
FROM notes n
LEFT JOIN note_versions v
       ON v.note_id = n.id AND v.version = $3 AND v.is_text
WHERE n.id = $2 AND n.user_id = $1 AND n.deleted_at IS NULL;
