-- fragment: folder_columns
f.id, f.name, f.color, f.icon, f.position,
(SELECT count(*) FROM notes n
 WHERE n.user_id = f.user_id AND n.folder_id = f.id
   AND n.deleted_at IS NULL) AS note_count,
f.version, f.created_at, f.updated_at, f.deleted_at

-- fragment: folder_history
history AS (
    INSERT INTO folder_versions (id, folder_id, name, color, icon, position,
                                 deleted_at, version)
    SELECT {{new_id}}, c.id, c.name, c.color, c.icon, c.position,
           c.deleted_at, c.version
    FROM cur c, verdict v WHERE v.go)

-- name: folder_page :many (user_id uuid, want_total bool, fetch int, skip int)
-- variants: scope = live:deleted_at~IS~NULL trash:deleted_at~IS~NOT~NULL
-- A user's folders by position and name.
SELECT t.total, p.*
FROM (SELECT CASE WHEN $2 THEN
          (SELECT count(*) FROM folders WHERE user_id = $1 AND {{scope}})
      END AS total) t
LEFT JOIN (
    SELECT {{folder_columns}} FROM folders f
    WHERE f.user_id = $1 AND f.{{scope}}
    ORDER BY f.position, f.name, f.id LIMIT $3 OFFSET $4) p ON true;

-- name: folder_after :many (user_id uuid, after_id uuid, fetch int)
-- variants: scope = live:deleted_at~IS~NULL trash:deleted_at~IS~NOT~NULL
-- The page behind a folder: its place is looked up, so a cursor stays short.
SELECT {{folder_columns}} FROM folders f
WHERE f.user_id = $1 AND f.{{scope}}
  AND (f.position, f.name, f.id) > (
      SELECT a.position, a.name, a.id FROM folders a
      WHERE a.id = $2 AND a.user_id = $1)
ORDER BY f.position, f.name, f.id LIMIT $3;

-- name: folder_get :one (user_id uuid, id uuid)
-- batch
-- One live folder.
SELECT {{folder_columns}} FROM folders f
WHERE f.id = $2 AND f.user_id = $1 AND f.deleted_at IS NULL;

-- name: folder_create :one (user_id uuid, id uuid, name text, color text?,
--   icon text?, position int)
-- error 23505 unique_user_folder_name = FOLDER_NAME_TAKEN
-- error 23505 folders_pkey = CONFLICT
-- A new folder.
WITH {{bump}},
f AS (
    INSERT INTO folders (id, user_id, name, color, icon, position, change_seq,
                         created_at, updated_at)
    SELECT $2, $1, $3, $4, $5, $6, seq, at, at FROM bump RETURNING *)
SELECT {{folder_columns}} FROM f;

-- name: folder_update :one (user_id uuid, id uuid, match int[]?, name text?,
--   color_given bool, color text?, icon_given bool, icon text?, position int?)
-- error 23505 unique_user_folder_name = FOLDER_NAME_TAKEN
-- What is not given stays; what changes nothing leaves the version.
WITH {{bump}},
cur AS (
    SELECT f.*, b.seq, b.at FROM bump b, folders f
    WHERE f.id = $2 AND f.user_id = $1 AND f.deleted_at IS NULL
    FOR NO KEY UPDATE OF f),
want AS (
    SELECT coalesce($4, name) AS name,
           CASE WHEN $5 THEN $6 ELSE color END AS color,
           CASE WHEN $7 THEN $8 ELSE icon END AS icon,
           coalesce($9, position) AS position
    FROM cur),
judged AS (
    SELECT CASE WHEN NOT c.version = ANY ($3)
                THEN 'PRECONDITION_FAILED:' || c.version END AS fault,
           (w.name, w.color, w.icon, w.position)
               IS DISTINCT FROM (c.name, c.color, c.icon, c.position) AS differs
    FROM cur c, want w),
verdict AS (SELECT fault, fault IS NULL AND differs AS go FROM judged),
{{folder_history}},
done AS (
    UPDATE folders f
    SET name = w.name, color = w.color, icon = w.icon, position = w.position,
        version = f.version + 1, updated_at = c.at, change_seq = c.seq
    FROM cur c, want w, verdict v
    WHERE f.id = c.id AND v.go RETURNING f.*)
SELECT v.fault, f.* FROM verdict v, (
    SELECT {{folder_columns}} FROM done f
    UNION ALL
    SELECT {{folder_columns}} FROM cur f, verdict WHERE NOT go) f;

-- name: folder_delete :one (user_id uuid, id uuid, match int[]?)
-- Puts a folder into the trash; its notes stay as they are.
WITH {{bump}},
cur AS (
    SELECT f.*, b.seq, b.at FROM bump b, folders f
    WHERE f.id = $2 AND f.user_id = $1 AND f.deleted_at IS NULL
    FOR NO KEY UPDATE OF f),
judged AS (
    SELECT CASE WHEN NOT version = ANY ($3)
                THEN 'PRECONDITION_FAILED:' || version END AS fault
    FROM cur),
verdict AS (SELECT fault, fault IS NULL AS go FROM judged),
{{folder_history}},
done AS (
    UPDATE folders f
    SET deleted_at = c.at, version = f.version + 1, updated_at = c.at,
        change_seq = c.seq
    FROM cur c, verdict v
    WHERE f.id = c.id AND v.go RETURNING f.*)
SELECT v.fault, f.id, f.deleted_at, f.version
FROM verdict v LEFT JOIN done f ON true;

-- name: folder_restore :one (user_id uuid, id uuid, match int[]?)
-- error 23505 unique_user_folder_name = FOLDER_NAME_TAKEN
-- Takes a folder out of the trash.
WITH {{bump}},
cur AS (
    SELECT f.*, b.seq, b.at FROM bump b, folders f
    WHERE f.id = $2 AND f.user_id = $1 FOR NO KEY UPDATE OF f),
judged AS (
    SELECT CASE WHEN NOT version = ANY ($3)
                THEN 'PRECONDITION_FAILED:' || version
                WHEN deleted_at IS NULL THEN 'NOT_DELETED' END AS fault
    FROM cur),
verdict AS (SELECT fault, fault IS NULL AS go FROM judged),
{{folder_history}},
done AS (
    UPDATE folders f
    SET deleted_at = NULL, version = f.version + 1, updated_at = c.at,
        change_seq = c.seq
    FROM cur c, verdict v
    WHERE f.id = c.id AND v.go RETURNING f.*)
SELECT v.fault, f.* FROM verdict v LEFT JOIN (
    SELECT {{folder_columns}} FROM done f) f ON true;
