-- A page may hold this many bytes of text; one item is always let through.
-- fragment: sync_bytes
8388608

-- About as many bytes as a note takes in an answer, without reading its text.
-- fragment: sync_size
(512 + octet_length(title) + coalesce(octet_length(content), 0)
 + coalesce(octet_length(content_plain), 0))

-- The time of a user's latest change: up to it everything can be seen, and
-- whatever comes is later, whatever the clock does.
-- fragment: sync_time
coalesce(changed_at, created_at)

-- The last number whose change, and so all before it, is not later than $4:
-- times have the order of the numbers, so it is looked for by halves.
-- fragment: sync_place
WITH RECURSIVE place (low, high) AS (
    SELECT 0::bigint, change_seq
    UNION ALL
    SELECT CASE WHEN seen THEN middle ELSE low END,
           CASE WHEN seen THEN high ELSE middle - 1 END
    FROM place,
        LATERAL (SELECT (low + high + 1) / 2 AS middle) m,
        LATERAL (SELECT coalesce(date_trunc('milliseconds', greatest(
            (SELECT n.updated_at FROM notes n
             WHERE n.user_id = $1 AND n.change_seq <= middle
             ORDER BY n.change_seq DESC LIMIT 1),
            (SELECT f.updated_at FROM folders f
             WHERE f.user_id = $1 AND f.change_seq <= middle
             ORDER BY f.change_seq DESC LIMIT 1))) <= $4, true) AS seen) t
    WHERE low < high)
SELECT max(low) FROM place

-- name: sync_pull :many (user_id uuid, device text, after bigint?, since ts?,
--   fetch int, starts bool)
-- What changed behind a number or a time, in the order of the changes. Every
-- row says how far the user is (head), and whether there is more behind it
-- (more); no change: one row without a seq. A number that nobody has given yet
-- was given by a database that is no more: the device starts anew. Nobody
-- needs to wait for the disk because of what is written here.
WITH me AS (
    SELECT change_seq AS head, {{sync_time}} AS head_at,
        CASE WHEN $4 IS NOT NULL THEN ({{sync_place}})
             WHEN $3 > change_seq THEN 0
             ELSE coalesce($3, 0) END AS after,
        set_config('synchronous_commit', 'off', true)
    FROM users WHERE id = $1),
page AS MATERIALIZED (
    SELECT * FROM (
        SELECT i.*, row_number() OVER w AS place,
               sum(size) OVER w AS bytes, lead(seq) OVER w IS NOT NULL AS more
        FROM (
            (SELECT change_seq AS seq, true AS is_note, {{sync_size}} AS size,
                    id, folder_id, title, content, content_plain, word_count,
                    is_pinned, is_favorite, tags, version, sync_status,
                    client_updated_at, created_at, updated_at, deleted_at,
                    NULL AS name, NULL AS color, NULL AS icon,
                    NULL::integer AS position
             FROM notes
             WHERE user_id = $1 AND change_seq > (SELECT after FROM me)
             ORDER BY change_seq LIMIT $5 + 1)
            UNION ALL
            (SELECT change_seq, false, 512, id, NULL, NULL, NULL, NULL, NULL,
                    NULL, NULL, NULL, version, NULL, NULL, created_at,
                    updated_at, deleted_at, name, color, icon, position
             FROM folders
             WHERE user_id = $1 AND change_seq > (SELECT after FROM me)
             ORDER BY change_seq LIMIT $5 + 1)
            ORDER BY seq LIMIT $5 + 1) i
        WINDOW w AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)) p
    WHERE place = 1 OR (place <= $5 AND bytes <= {{sync_bytes}})),
reached AS (
    SELECT count(p.seq) AS items,
           coalesce(bool_and(p.more), false) AS more,
           CASE WHEN bool_and(p.more) THEN max(p.seq) ELSE max(head) END
               AS seq,
           CASE WHEN bool_and(p.more) THEN max(p.updated_at)
                ELSE max(head_at) END AS at
    FROM me LEFT JOIN page p ON true HAVING count(*) > 0),
device AS (
    INSERT INTO sync_devices (user_id, device_id, change_seq, synced_at,
                              last_pull_at)
    SELECT $1, $2, seq, at, statement_timestamp() FROM reached
    ON CONFLICT (user_id, device_id) DO UPDATE
    SET change_seq = excluded.change_seq, synced_at = excluded.synced_at,
        last_pull_at = excluded.last_pull_at),
logged AS (
    INSERT INTO sync_logs (id, user_id, device_id, action, notes_synced)
    SELECT {{new_id}}, $1, $2, action, items
    FROM reached, unnest('{sync_start,pull,sync_end}'::text[]) action
    WHERE action = 'pull' OR (items > 0 AND CASE action
        WHEN 'sync_start' THEN $6 ELSE NOT reached.more END))
SELECT r.seq AS reached, r.at AS reached_at, r.more AS unfinished, p.is_note,
       p.id, p.folder_id, p.title, p.content, p.content_plain, p.word_count,
       p.is_pinned, p.is_favorite, p.tags, p.version, p.sync_status,
       p.client_updated_at, p.created_at, p.updated_at, p.deleted_at,
       p.name, p.color, p.icon, p.position
FROM reached r LEFT JOIN page p ON true ORDER BY p.seq;

-- name: sync_lock :one (user_id uuid)
-- Has the writers of a user wait until the transaction ends, and tells how far
-- the user is. A statement behind it sees what those before it did.
SELECT change_seq AS head, {{sync_time}} AS head_at FROM users
WHERE id = $1 FOR NO KEY UPDATE;

-- The changes of one statement have a time each, the last one that of the user.
-- fragment: push_time
(b.at - (b.steps - r.step) * interval '1 millisecond')

-- name: sync_push_notes :many (user_id uuid, items json, plains text[],
--   words int[])
-- Changes of notes, one row of the answer for each, in their order. items are
-- objects as API.md 7 has them, no id twice; plains and words belong to their
-- contents. status says what became of an item, fault why it was rejected.
-- Behind sync_lock, in its transaction. left_out: the texts of what is in the
-- answer pass a page; whoever wants them reads them again.
WITH sent AS MATERIALIZED (
    SELECT e.place, e.item, e.plain, e.words, (e.item ->> 'id')::uuid AS id,
           (e.item ->> 'baseVersion')::integer AS base,
           (e.item ->> 'updatedAt')::timestamptz AS seen,
           (e.item ->> 'folderId')::uuid AS in_folder,
           e.item ->> 'deletedAt' IS NOT NULL AS trash
    FROM ROWS FROM (jsonb_array_elements($2), unnest($3), unnest($4))
         WITH ORDINALITY AS e (item, plain, words, place)),
compared AS (
    SELECT s.*, n.user_id, n.purged, n.folder_id AS old_folder_id,
        n.title AS old_title, n.content AS old_content,
        n.content_plain AS old_plain, n.word_count AS old_words,
        n.is_pinned AS old_pinned, n.is_favorite AS old_favorite,
        n.tags AS old_tags, n.version AS old_version, n.sync_status,
        n.client_updated_at AS old_client_at, n.created_at AS old_created_at,
        n.updated_at AS old_updated_at, n.deleted_at AS old_deleted_at,
        CASE WHEN s.item ? 'title' THEN s.item ->> 'title'
             ELSE coalesce(n.title, 'Untitled Note') END AS title,
        CASE WHEN s.item ? 'content' THEN s.item ->> 'content'
             ELSE n.content END AS content,
        CASE WHEN s.item ? 'folderId' THEN s.in_folder
             WHEN n.id IS NOT NULL THEN n.folder_id
             ELSE (SELECT f.id FROM user_settings u
                   JOIN folders f ON f.id = u.default_folder_id
                   WHERE u.user_id = $1 AND f.user_id = $1
                     AND f.deleted_at IS NULL) END AS folder_id,
        CASE WHEN s.item ? 'tags'
             THEN ARRAY(SELECT jsonb_array_elements_text(s.item -> 'tags'))
             ELSE coalesce(n.tags, '{}') END AS tags,
        coalesce((s.item ->> 'isPinned')::boolean, n.is_pinned, false)
            AS is_pinned,
        coalesce((s.item ->> 'isFavorite')::boolean, n.is_favorite, false)
            AS is_favorite,
        CASE WHEN s.item ? 'clientUpdatedAt'
             THEN (s.item ->> 'clientUpdatedAt')::timestamptz
             ELSE n.client_updated_at END AS client_updated_at,
        CASE WHEN s.item ? 'deletedAt' THEN s.trash
             ELSE n.deleted_at IS NOT NULL END AS deleted
    FROM sent s
    LEFT JOIN LATERAL (SELECT * FROM notes WHERE id = s.id OFFSET 0) n
        ON true),
differing AS (
    SELECT *,
        (title, content) IS DISTINCT FROM (old_title, old_content)
            AS text_differs,
        (folder_id, tags, is_pinned, is_favorite, client_updated_at, deleted)
            IS DISTINCT FROM (old_folder_id, old_tags, old_pinned,
                              old_favorite, old_client_at,
                              old_deleted_at IS NOT NULL) AS rest_differs
    FROM compared),
judged AS (
    SELECT *, CASE
        WHEN user_id IS NULL AND trash THEN 'gone'
        WHEN user_id IS NULL AND base > 0 THEN 'NOTE_NOT_FOUND'
        WHEN user_id <> $1 THEN 'CONFLICT'
        WHEN purged AND trash THEN 'same'
        WHEN purged THEN 'NOTE_NOT_FOUND'
        WHEN in_folder IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM folders f WHERE f.id = in_folder AND f.user_id = $1)
            THEN 'FOLDER_NOT_FOUND'
        WHEN user_id IS NULL THEN 'create'
        WHEN NOT (text_differs OR rest_differs) THEN 'same'
        WHEN base > old_version THEN 'BASE_AHEAD'
        WHEN base < old_version THEN 'conflict'
        WHEN base IS NOT NULL THEN 'update'
        WHEN seen IS NULL THEN 'BASE_MISSING'
        WHEN date_trunc('milliseconds', old_updated_at) > seen THEN 'conflict'
        ELSE 'update' END AS verdict
    FROM differing),
ranked AS MATERIALIZED (
    SELECT *, count(*) FILTER (WHERE verdict IN ('create', 'update'))
                  OVER (ORDER BY place) AS step
    FROM judged),
bump AS (
    UPDATE users
    SET change_seq = change_seq + c.steps,
        changed_at = greatest(clock_timestamp(),
                              changed_at + c.steps * interval '1 millisecond')
    FROM (SELECT max(step) AS steps FROM ranked) c
    WHERE id = $1 AND c.steps > 0
    RETURNING change_seq - c.steps AS before, change_seq AS head, c.steps,
              changed_at AS at),
history AS (
    INSERT INTO note_versions (id, note_id, user_id, is_text, title, content,
        word_count, folder_id, tags, is_pinned, is_favorite, deleted_at,
        version)
    SELECT {{new_id}}, id, $1, text_differs,
           CASE WHEN text_differs THEN old_title END,
           CASE WHEN text_differs THEN old_content END,
           old_words, old_folder_id, old_tags, old_pinned, old_favorite,
           old_deleted_at, old_version
    FROM ranked WHERE verdict = 'update'),
made AS (
    INSERT INTO notes (id, user_id, folder_id, title, content, content_plain,
        word_count, tags, is_pinned, is_favorite, client_updated_at,
        change_seq, created_at, updated_at)
    SELECT r.id, $1, r.folder_id, r.title, r.content, coalesce(r.plain, ''),
           coalesce(r.words, 0), r.tags, r.is_pinned, r.is_favorite,
           r.client_updated_at, b.before + r.step,
           least((r.item ->> 'createdAt')::timestamptz, {{push_time}}),
           {{push_time}}
    FROM ranked r, bump b WHERE r.verdict = 'create'
    ON CONFLICT (id) DO NOTHING
    RETURNING id),
texts AS (
    UPDATE notes n
    SET title = r.title, content = r.content,
        content_plain = CASE WHEN r.item ? 'content' THEN r.plain
                             ELSE r.old_plain END,
        word_count = CASE WHEN r.item ? 'content' THEN r.words
                          ELSE r.old_words END,
        folder_id = r.folder_id, tags = r.tags, is_pinned = r.is_pinned,
        is_favorite = r.is_favorite, client_updated_at = r.client_updated_at,
        deleted_at = CASE WHEN r.deleted
                          THEN coalesce(r.old_deleted_at, {{push_time}}) END,
        version = r.old_version + 1, change_seq = b.before + r.step,
        updated_at = {{push_time}}
    FROM ranked r, bump b
    WHERE n.id = r.id AND r.verdict = 'update' AND r.text_differs),
-- no text is touched, so the search column stays as it is
marks AS (
    UPDATE notes n
    SET folder_id = r.folder_id, tags = r.tags, is_pinned = r.is_pinned,
        is_favorite = r.is_favorite, client_updated_at = r.client_updated_at,
        deleted_at = CASE WHEN r.deleted
                          THEN coalesce(r.old_deleted_at, {{push_time}}) END,
        version = r.old_version + 1, change_seq = b.before + r.step,
        updated_at = {{push_time}}
    FROM ranked r, bump b
    WHERE n.id = r.id AND r.verdict = 'update' AND NOT r.text_differs),
quarrels AS (
    INSERT INTO sync_conflicts AS c (id, user_id, item_type, item_id,
        base_version, client_data, server_version)
    SELECT {{new_id}}, $1, 'note', id, base, item, old_version
    FROM ranked WHERE verdict = 'conflict'
    ON CONFLICT (user_id, item_type, item_id) WHERE resolved_at IS NULL
    DO UPDATE SET base_version = excluded.base_version,
        client_data = excluded.client_data,
        server_version = excluded.server_version, created_at = now()),
flags AS (
    UPDATE notes n SET sync_status = 'conflict'
    FROM ranked r
    WHERE n.id = r.id AND r.verdict = 'conflict'
      AND n.sync_status <> 'conflict'),
outcome AS (
    SELECT r.*, {{push_time}} AS at, b.head, b.at AS head_at,
        CASE WHEN r.verdict = 'create' AND m.id IS NULL THEN 'CONFLICT'
             ELSE r.verdict END AS result,
        r.verdict IN ('create', 'update') AS changed
    FROM ranked r LEFT JOIN bump b ON true LEFT JOIN made m ON m.id = r.id),
shown AS (
    SELECT place, id, result, head,
        CASE result WHEN 'conflict' THEN 'conflict' ELSE 'applied' END
            AS status,
        CASE result WHEN 'gone' THEN 0 WHEN 'create' THEN 1
             WHEN 'update' THEN old_version + 1 ELSE old_version END
            AS version,
        CASE WHEN changed THEN folder_id ELSE old_folder_id END AS folder_id,
        CASE WHEN changed THEN title ELSE old_title END AS title,
        CASE WHEN changed THEN content ELSE old_content END AS content,
        CASE WHEN NOT changed OR (result = 'update' AND NOT item ? 'content')
             THEN old_plain ELSE coalesce(plain, '') END AS content_plain,
        CASE WHEN NOT changed OR (result = 'update' AND NOT item ? 'content')
             THEN old_words ELSE coalesce(words, 0) END AS word_count,
        CASE WHEN changed THEN is_pinned ELSE old_pinned END AS is_pinned,
        CASE WHEN changed THEN is_favorite ELSE old_favorite END
            AS is_favorite,
        CASE WHEN changed THEN tags ELSE old_tags END AS tags,
        CASE result WHEN 'conflict' THEN 'conflict'
             ELSE coalesce(sync_status, 'synced') END AS sync_status,
        CASE WHEN changed THEN client_updated_at ELSE old_client_at END
            AS client_updated_at,
        CASE WHEN result = 'create'
             THEN least((item ->> 'createdAt')::timestamptz, at)
             ELSE old_created_at END AS created_at,
        CASE WHEN changed THEN at ELSE old_updated_at END AS updated_at,
        CASE WHEN NOT changed THEN old_deleted_at
             WHEN deleted THEN coalesce(old_deleted_at, at) END AS deleted_at
    FROM outcome WHERE result = lower(result)),
measured AS (
    SELECT *, sum({{sync_size}}) OVER (ORDER BY place) > {{sync_bytes}}
               AND place > 1 AS left_out
    FROM shown)
SELECT o.place, CASE WHEN m.place IS NULL THEN o.result END AS fault, o.head,
       o.head_at, m.status, m.result IN ('gone', 'same') AS unchanged,
       m.left_out, m.version, m.result = 'gone' AS gone, o.id, m.folder_id,
       m.title, CASE WHEN NOT m.left_out THEN m.content END AS content,
       CASE WHEN NOT m.left_out THEN m.content_plain END AS content_plain,
       m.word_count, m.is_pinned, m.is_favorite, m.tags, m.sync_status,
       m.client_updated_at, m.created_at, m.updated_at, m.deleted_at
FROM outcome o LEFT JOIN measured m ON m.place = o.place
ORDER BY o.place;

-- name: sync_push_folder :one (user_id uuid, item json)
-- A change of a folder, with the same columns as those of notes. Behind
-- sync_lock, in its transaction.
WITH compared AS (
    SELECT (i.item ->> 'id')::uuid AS id, i.item,
        (i.item ->> 'baseVersion')::integer AS base,
        (i.item ->> 'updatedAt')::timestamptz AS seen,
        i.item ->> 'deletedAt' IS NOT NULL AS trash,
        f.user_id, f.name AS old_name, f.color AS old_color,
        f.icon AS old_icon, f.position AS old_position,
        f.version AS old_version, f.created_at AS old_created_at,
        f.updated_at AS old_updated_at, f.deleted_at AS old_deleted_at,
        coalesce(i.item ->> 'name', f.name) AS name,
        CASE WHEN i.item ? 'color' THEN i.item ->> 'color'
             ELSE f.color END AS color,
        CASE WHEN i.item ? 'icon' THEN i.item ->> 'icon'
             ELSE f.icon END AS icon,
        coalesce((i.item ->> 'position')::integer, f.position, 0) AS position,
        CASE WHEN i.item ? 'deletedAt' THEN i.item ->> 'deletedAt' IS NOT NULL
             ELSE f.deleted_at IS NOT NULL END AS deleted
    FROM (SELECT $2 AS item) i
    LEFT JOIN folders f ON f.id = ($2 ->> 'id')::uuid),
judged AS (
    SELECT *, NOT deleted AND EXISTS (
            SELECT 1 FROM folders o
            WHERE o.user_id = $1 AND o.name = compared.name
              AND o.deleted_at IS NULL AND o.id <> compared.id) AS taken,
        (name, color, icon, position, deleted)
            IS DISTINCT FROM (old_name, old_color, old_icon, old_position,
                              old_deleted_at IS NOT NULL) AS differs
    FROM compared),
verdict AS (
    SELECT *, CASE
        WHEN user_id IS NULL AND trash THEN 'gone'
        WHEN user_id IS NULL AND base > 0 THEN 'FOLDER_NOT_FOUND'
        WHEN user_id <> $1 THEN 'CONFLICT'
        WHEN user_id IS NULL AND name IS NULL THEN 'NAME_MISSING'
        WHEN user_id IS NULL AND taken THEN 'FOLDER_NAME_TAKEN'
        WHEN user_id IS NULL THEN 'create'
        WHEN NOT differs THEN 'same'
        WHEN base > old_version THEN 'BASE_AHEAD'
        WHEN base < old_version THEN 'conflict'
        WHEN base IS NULL AND seen IS NULL THEN 'BASE_MISSING'
        WHEN base IS NULL
             AND date_trunc('milliseconds', old_updated_at) > seen
             THEN 'conflict'
        WHEN taken THEN 'FOLDER_NAME_TAKEN'
        ELSE 'update' END AS verdict
    FROM judged),
bump AS (
    UPDATE users
    SET change_seq = change_seq + 1, changed_at = {{change_time}}
    FROM verdict
    WHERE users.id = $1 AND verdict IN ('create', 'update')
    RETURNING change_seq AS head, changed_at AS at),
history AS (
    INSERT INTO folder_versions (id, folder_id, name, color, icon, position,
                                 deleted_at, version)
    SELECT {{new_id}}, id, old_name, old_color, old_icon, old_position,
           old_deleted_at, old_version
    FROM verdict WHERE verdict = 'update'),
made AS (
    INSERT INTO folders (id, user_id, name, color, icon, position, change_seq,
                         created_at, updated_at)
    SELECT v.id, $1, v.name, v.color, v.icon, v.position, b.head,
           least((v.item ->> 'createdAt')::timestamptz, b.at), b.at
    FROM verdict v, bump b WHERE v.verdict = 'create'
    ON CONFLICT (id) DO NOTHING
    RETURNING id, created_at),
changed AS (
    UPDATE folders f
    SET name = v.name, color = v.color, icon = v.icon, position = v.position,
        deleted_at = CASE WHEN v.deleted
                          THEN coalesce(v.old_deleted_at, b.at) END,
        version = v.old_version + 1, updated_at = b.at, change_seq = b.head
    FROM verdict v, bump b
    WHERE f.id = v.id AND v.verdict = 'update'),
quarrel AS (
    INSERT INTO sync_conflicts (id, user_id, item_type, item_id, base_version,
                                client_data, server_version)
    SELECT {{new_id}}, $1, 'folder', id, base, item, old_version
    FROM verdict WHERE verdict = 'conflict'
    ON CONFLICT (user_id, item_type, item_id) WHERE resolved_at IS NULL
    DO UPDATE SET base_version = excluded.base_version,
        client_data = excluded.client_data,
        server_version = excluded.server_version, created_at = now()),
outcome AS (
    SELECT v.*, b.at, b.head, m.created_at AS made_at, b.at IS NOT NULL AS new,
        CASE WHEN v.verdict = 'create' AND m.id IS NULL THEN 'CONFLICT'
             ELSE v.verdict END AS result
    FROM verdict v LEFT JOIN bump b ON true LEFT JOIN made m ON true)
SELECT CASE WHEN result <> lower(result) THEN result END AS fault, head,
    at AS head_at, CASE WHEN result = 'conflict' THEN 'conflict'
         WHEN result = lower(result) THEN 'applied' END AS status,
    result IN ('gone', 'same') AS unchanged, false AS left_out,
    result = 'gone' AS gone,
    CASE result WHEN 'gone' THEN 0 WHEN 'create' THEN 1
         WHEN 'update' THEN old_version + 1 ELSE old_version END AS version,
    id, CASE WHEN new THEN name ELSE old_name END AS name,
    CASE WHEN new THEN color ELSE old_color END AS color,
    CASE WHEN new THEN icon ELSE old_icon END AS icon,
    CASE WHEN new THEN position ELSE old_position END AS position,
    coalesce(made_at, old_created_at) AS created_at,
    CASE WHEN new THEN at ELSE old_updated_at END AS updated_at,
    CASE WHEN NOT new THEN old_deleted_at
         WHEN deleted THEN coalesce(old_deleted_at, at) END AS deleted_at
FROM outcome;

-- name: sync_push_end :one (user_id uuid, device text, before bigint,
--   after bigint, at ts?, applied int, conflicts int)
-- Notes what a device pushed. It has come as far as its own changes only when
-- it had everything in front of them (before); else it stays where it is, so
-- that a pull behind this position misses nothing that others changed.
WITH device AS (
    INSERT INTO sync_devices AS d (user_id, device_id, change_seq, synced_at,
                                   last_push_at)
    SELECT id, $2, CASE WHEN $3 = 0 THEN $4 ELSE 0 END,
           coalesce(CASE WHEN $3 = 0 THEN $5 END,
                    created_at - interval '1 millisecond'),
           statement_timestamp()
    FROM users WHERE id = $1
    ON CONFLICT (user_id, device_id) DO UPDATE
    SET change_seq = CASE WHEN d.change_seq >= $3 AND d.change_seq <= $4
                          THEN $4 ELSE d.change_seq END,
        synced_at = CASE WHEN d.change_seq >= $3 AND d.change_seq <= $4
                         THEN coalesce($5, d.synced_at)
                         ELSE d.synced_at END,
        last_push_at = excluded.last_push_at
    RETURNING change_seq, synced_at,
              set_config('synchronous_commit', 'off', true)),
logged AS (
    INSERT INTO sync_logs (id, user_id, device_id, action, notes_synced)
    SELECT {{new_id}}, $1, $2, action,
           CASE action WHEN 'push' THEN $6 ELSE $7 END
    FROM device, unnest('{push,conflict_detected}'::text[]) action
    WHERE action = 'push' OR $7 > 0)
SELECT change_seq AS reached, synced_at AS reached_at FROM device;

-- name: sync_note_get :one (user_id uuid, id uuid)
-- A note as sync shows it, wherever it is.
SELECT id, folder_id, title, content, content_plain, word_count, is_pinned,
       is_favorite, tags, version, sync_status, client_updated_at, created_at,
       updated_at, deleted_at
FROM notes WHERE id = $2 AND user_id = $1;

-- fragment: json_time
to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')

-- name: sync_head :one (user_id uuid)
-- batch
-- How far the user is.
SELECT change_seq AS head FROM users WHERE id = $1;

-- name: sync_status :one (user_id uuid, device text?)
-- batch 4
-- How far the user and the devices are, and what is open.
SELECT u.change_seq AS head, d.*,
    (SELECT count(*) FROM sync_conflicts c
     WHERE c.user_id = $1 AND c.resolved_at IS NULL) AS pending_conflicts,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('id', c.item_id, 'type',
                c.item_type, 'createdAt', {{json_time}})
                ORDER BY c.created_at, c.id), '[]')
     FROM (SELECT c.*, c.created_at AS at FROM sync_conflicts c
           WHERE c.user_id = $1 AND c.resolved_at IS NULL
           ORDER BY c.created_at, c.id LIMIT 100) c) AS conflicts,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('deviceId', s.device_id,
                'lastSyncAt', {{json_time}})
                ORDER BY s.at DESC, s.device_id), '[]')
     FROM (SELECT device_id, greatest(last_pull_at, last_push_at) AS at
           FROM sync_devices WHERE user_id = $1
           ORDER BY 2 DESC, 1 LIMIT 100) s) AS devices,
    n.notes, n.deleted_notes, f.folders, f.deleted_folders
FROM users u,
    LATERAL (SELECT max(greatest(last_pull_at, last_push_at)) AS last_sync_at,
                    max(last_pull_at) AS last_pull_at,
                    max(last_push_at) AS last_push_at
             FROM sync_devices
             WHERE user_id = $1 AND ($2 IS NULL OR device_id = $2)) d,
    LATERAL (SELECT count(*) FILTER (WHERE deleted_at IS NULL) AS notes,
                    count(*) FILTER (WHERE deleted_at IS NOT NULL
                                     AND NOT purged) AS deleted_notes
             FROM notes WHERE user_id = $1) n,
    LATERAL (SELECT count(*) FILTER (WHERE deleted_at IS NULL) AS folders,
                    count(*) FILTER (WHERE deleted_at IS NOT NULL)
                        AS deleted_folders
             FROM folders WHERE user_id = $1) f
WHERE u.id = $1;

-- The stored change, if there is one, and the version that the client's is
-- based on.
-- fragment: sync_stored
LEFT JOIN sync_conflicts c
    ON c.user_id = $1 AND c.item_type = '{{type}}' AND c.item_id = $2
   AND c.resolved_at IS NULL
CROSS JOIN LATERAL (
    SELECT CASE WHEN $3 THEN $4 ELSE c.base_version END AS version) b

-- name: sync_quarrel_note :one (user_id uuid, id uuid, given bool, base int?)
-- variants: type = note
-- A note, the stored change that is in conflict with it, and the state that
-- both come from: that of version base when a change is given, else that of
-- the stored one's. All three as objects of fields, base and client NULL when
-- there is none.
SELECT c.client_data AS client,
    jsonb_build_object('title', n.title, 'content', n.content, 'folderId',
        n.folder_id, 'tags', n.tags, 'isPinned', n.is_pinned, 'isFavorite',
        n.is_favorite, 'deletedAt', n.deleted_at) AS server,
    CASE WHEN b.version BETWEEN 1 AND n.version THEN jsonb_build_object(
        'title', coalesce(t.title, n.title),
        'content', CASE WHEN t.version IS NULL THEN n.content
                        ELSE t.content END,
        'folderId', CASE WHEN h.version IS NULL THEN n.folder_id
                         ELSE h.folder_id END,
        'tags', coalesce(h.tags, n.tags),
        'isPinned', coalesce(h.is_pinned, n.is_pinned),
        'isFavorite', coalesce(h.is_favorite, n.is_favorite),
        'deletedAt', CASE WHEN h.version IS NULL THEN n.deleted_at
                          ELSE h.deleted_at END) END AS base
FROM notes n
{{sync_stored}}
LEFT JOIN LATERAL (
    SELECT v.* FROM note_versions v
    WHERE v.note_id = n.id AND v.is_text AND v.version >= b.version
    ORDER BY v.version LIMIT 1) t ON true
LEFT JOIN LATERAL (
    SELECT v.* FROM note_versions v
    WHERE v.note_id = n.id AND v.version >= b.version
    ORDER BY v.version LIMIT 1) h ON true
WHERE n.id = $2 AND n.user_id = $1 AND NOT n.purged;

-- name: sync_quarrel_folder :one (user_id uuid, id uuid, given bool,
--   base int?)
-- variants: type = folder
-- The same of a folder.
SELECT c.client_data AS client,
    jsonb_build_object('name', f.name, 'color', f.color, 'icon', f.icon,
        'position', f.position, 'deletedAt', f.deleted_at) AS server,
    CASE WHEN b.version NOT BETWEEN 1 AND f.version THEN NULL
         WHEN h.version IS NULL THEN jsonb_build_object('name', f.name,
             'color', f.color, 'icon', f.icon, 'position', f.position,
             'deletedAt', f.deleted_at)
         ELSE jsonb_build_object('name', h.name, 'color', h.color, 'icon',
             h.icon, 'position', h.position, 'deletedAt', h.deleted_at)
    END AS base
FROM folders f
{{sync_stored}}
LEFT JOIN LATERAL (
    SELECT v.* FROM folder_versions v
    WHERE v.folder_id = f.id AND v.version >= b.version
    ORDER BY v.version LIMIT 1) h ON b.version IS NOT NULL
WHERE f.id = $2 AND f.user_id = $1;

-- fragment: sync_close
closed AS (
    UPDATE sync_conflicts SET resolved_at = now(), strategy = $3
    WHERE user_id = $1 AND item_id = $2 AND resolved_at IS NULL
      AND item_type = '{{type}}'),
logged AS (
    INSERT INTO sync_logs (id, user_id, action, conflicts_resolved)
    VALUES ({{new_id}}, $1, 'conflict_resolved', 1))

-- name: sync_close_note :one (user_id uuid, id uuid, strategy text)
-- variants: type = note
-- The quarrel about a note is over.
WITH {{sync_close}},
flag AS (
    UPDATE notes SET sync_status = 'synced'
    WHERE id = $2 AND user_id = $1 AND sync_status <> 'synced')
SELECT id, folder_id, title, content, content_plain, word_count, is_pinned,
       is_favorite, tags, version, 'synced' AS sync_status, client_updated_at,
       created_at, updated_at, deleted_at
FROM notes WHERE id = $2 AND user_id = $1;

-- name: sync_close_folder :one (user_id uuid, id uuid, strategy text)
-- variants: type = folder
-- The quarrel about a folder is over.
WITH {{sync_close}}
SELECT id, name, color, icon, position, version, created_at, updated_at,
       deleted_at
FROM folders WHERE id = $2 AND user_id = $1;
