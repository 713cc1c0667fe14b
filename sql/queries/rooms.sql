-- Rooms of chat. $1 is always the caller.

-- What is last said in a room is for its members.
-- fragment: room_columns
r.id, r.name, r.description, r.is_private, r.owner_id, r.member_count,
r.last_seq, a.role,
CASE WHEN a.user_id IS NULL THEN 0
     ELSE greatest(r.last_seq - a.last_read_seq, 0) END AS unread_count,
{{message_columns}}, r.created_at, r.updated_at, r.version

-- fragment: room_last
LEFT JOIN chat_messages m
       ON m.room_id = r.id AND m.seq = r.last_seq AND a.user_id IS NOT NULL
{{message_joins}}

-- fragment: room_activity
coalesce(r.last_message_at, r.created_at)

-- When it changes: later than before, also in the milliseconds that are told.
-- fragment: room_time
greatest(clock_timestamp(), r.updated_at + interval '1 millisecond')

-- fragment: room_filter
{{scope}} AND ($2 IS NULL OR r.name ILIKE $2)

-- name: room_page :many (user_id uuid, search text?, want_total bool,
--   fetch int, skip int)
-- variants: scope = joined:a.user_id~IS~NOT~NULL public:NOT~r.is_private all:(NOT~r.is_private~OR~a.user_id~IS~NOT~NULL)
-- Rooms by their last activity. place is what a cursor holds.
SELECT t.total, p.*
FROM (SELECT CASE WHEN $3 THEN (
          SELECT count(*) FROM chat_rooms r
          LEFT JOIN room_members a ON a.room_id = r.id AND a.user_id = $1
          WHERE {{room_filter}}) END AS total) t
LEFT JOIN (
    SELECT {{room_columns}}, {{room_activity}} AS place, r.active_hour
    FROM (SELECT r.* FROM chat_rooms r
          LEFT JOIN room_members a ON a.room_id = r.id AND a.user_id = $1
          WHERE {{room_filter}}
          ORDER BY r.active_hour DESC, {{room_activity}} DESC, r.id DESC
          LIMIT $4 OFFSET $5) r
    LEFT JOIN room_members a ON a.room_id = r.id AND a.user_id = $1
    {{room_last}}) p ON true
ORDER BY p.active_hour DESC, p.place DESC, p.id DESC;

-- name: room_after :many (user_id uuid, search text?, place ts, after_id uuid,
--   fetch int)
-- variants: scope = joined:a.user_id~IS~NOT~NULL public:NOT~r.is_private all:(NOT~r.is_private~OR~a.user_id~IS~NOT~NULL)
-- The page behind a place.
SELECT {{room_columns}}, {{room_activity}} AS place
FROM (SELECT r.* FROM chat_rooms r
      LEFT JOIN room_members a ON a.room_id = r.id AND a.user_id = $1
      WHERE {{room_filter}}
        AND r.active_hour <= date_trunc('hour', $3, 'UTC')
        AND ({{room_activity}}, r.id) < ($3, $4)
      ORDER BY r.active_hour DESC, {{room_activity}} DESC, r.id DESC
      LIMIT $5) r
LEFT JOIN room_members a ON a.room_id = r.id AND a.user_id = $1
{{room_last}}
ORDER BY r.active_hour DESC, {{room_activity}} DESC, r.id DESC;

-- name: room_get :one (user_id uuid, id uuid, admin bool)
-- A room that the caller may know of.
SELECT {{room_columns}}
FROM chat_rooms r
LEFT JOIN room_members a ON a.room_id = r.id AND a.user_id = $1
{{room_last}}
WHERE r.id = $2 AND (NOT r.is_private OR a.user_id IS NOT NULL OR $3);

-- name: room_create :one (user_id uuid, id uuid, name text,
--   description text?, private bool)
-- error 23503 = INVALID_TOKEN
-- A new room, of which the caller is the owner.
WITH r AS (
    INSERT INTO chat_rooms (id, name, description, is_private, owner_id,
                            member_count)
    VALUES ($2, $3, $4, $5, $1, 1) RETURNING *),
a AS (
    INSERT INTO room_members (id, room_id, user_id, role, joined_at)
    SELECT {{new_id}}, id, $1, 'owner', created_at FROM r RETURNING *)
SELECT {{room_columns}} FROM r CROSS JOIN a {{room_last}};

-- The room as the caller knows it, behind room_lock.
-- fragment: room_cur
cur AS (
    SELECT r.*, a.role
    FROM chat_rooms r
    LEFT JOIN room_members a ON a.room_id = r.id AND a.user_id = $1
    WHERE r.id = $2 AND (NOT r.is_private OR a.user_id IS NOT NULL OR $3))

-- name: room_update :one (user_id uuid, id uuid, admin bool, match int[]?,
--   name text?, description_given bool, description text?, private bool?)
-- Behind room_lock. What changes nothing leaves the version, and has no
-- number.
WITH {{room_cur}},
want AS (
    SELECT coalesce($5, name) AS name,
           CASE WHEN $6 THEN $7 ELSE description END AS description,
           coalesce($8, is_private) AS is_private
    FROM cur),
judged AS (
    SELECT CASE WHEN c.role IS NULL OR c.role = 'member'
                     OR (c.role <> 'owner' AND w.is_private <> c.is_private)
                THEN 'FORBIDDEN'
                WHEN NOT c.version = ANY ($4)
                THEN 'PRECONDITION_FAILED:' || c.version END AS fault,
           (w.name, w.description, w.is_private)
               IS DISTINCT FROM (c.name, c.description, c.is_private)
               AS differs
    FROM cur c, want w),
verdict AS (SELECT fault, fault IS NULL AND differs AS go FROM judged),
done AS (
    UPDATE chat_rooms r
    SET name = w.name, description = w.description,
        is_private = w.is_private, version = r.version + 1,
        updated_at = {{room_time}},
        event_seq = r.event_seq + 1
    FROM cur c, want w, verdict v
    WHERE r.id = c.id AND v.go RETURNING r.*),
r AS (SELECT * FROM done
      UNION ALL
      SELECT r.* FROM cur c JOIN chat_rooms r ON r.id = c.id, verdict
      WHERE NOT go)
SELECT v.fault, (SELECT event_seq FROM done) AS number, {{room_columns}}
FROM verdict v, r
LEFT JOIN room_members a ON a.room_id = r.id AND a.user_id = $1
{{room_last}};

-- name: room_delete :one (user_id uuid, id uuid, admin bool, match int[]?)
-- A room with all that is in it, behind room_lock.
WITH {{room_cur}},
verdict AS (
    SELECT CASE WHEN role IS DISTINCT FROM 'owner' AND NOT $3
                THEN 'FORBIDDEN'
                WHEN NOT version = ANY ($4)
                THEN 'PRECONDITION_FAILED:' || version END AS fault
    FROM cur),
gone AS (
    DELETE FROM chat_rooms r USING verdict v
    WHERE r.id = $2 AND v.fault IS NULL
    RETURNING r.id, r.event_seq + 1 AS number)
SELECT v.fault, g.* FROM verdict v LEFT JOIN gone g ON true;

-- name: room_join :one (user_id uuid, id uuid)
-- error 23503 = INVALID_TOKEN
-- Behind room_lock. Who is a member already has no number.
WITH cur AS (
    SELECT r.*, a.role FROM chat_rooms r
    LEFT JOIN room_members a ON a.room_id = r.id AND a.user_id = $1
    WHERE r.id = $2 AND (NOT r.is_private OR a.user_id IS NOT NULL)),
r AS (
    UPDATE chat_rooms r
    SET event_seq = r.event_seq + 1, member_count = r.member_count + 1
    FROM cur c WHERE r.id = c.id AND c.role IS NULL RETURNING r.*),
made AS (
    INSERT INTO room_members (id, room_id, user_id, last_read_seq,
                              last_read_message_id, joined_at)
    SELECT {{new_id}}, r.id, $1, r.last_seq,
           (SELECT m.id FROM chat_messages m
            WHERE m.room_id = r.id AND m.seq = r.last_seq),
           clock_timestamp()
    FROM r RETURNING *)
SELECT c.id, r.event_seq AS number, r.member_count, r.last_seq,
       {{member_columns}}
FROM cur c LEFT JOIN r ON true
LEFT JOIN (made a {{member_joins}}) ON true;

-- name: room_leave :one (user_id uuid, id uuid, admin bool)
-- Behind room_lock. An owner's room passes on: heir is the new owner then, and
-- there are three numbers, the last of which is given: left, heir, room. The
-- last one out takes the room with him (gone).
WITH {{room_cur}},
verdict AS (
    SELECT CASE WHEN role IS NULL THEN 'MEMBER_NOT_FOUND' END AS fault
    FROM cur),
heir AS (
    SELECT h.user_id FROM cur c JOIN room_members h ON h.room_id = c.id
    WHERE h.user_id <> $1
    ORDER BY c.role = 'owner' DESC, h.role = 'moderator' DESC, h.joined_at,
             h.user_id
    LIMIT 1),
past AS (
    DELETE FROM room_members x USING cur c
    WHERE x.room_id = c.id AND x.user_id = $1),
raised AS (
    UPDATE room_members x SET role = 'owner'
    FROM cur c, heir h
    WHERE x.room_id = c.id AND x.user_id = h.user_id AND c.role = 'owner'
    RETURNING x.user_id),
gone AS (
    DELETE FROM chat_rooms r USING cur c
    WHERE r.id = c.id AND c.role IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM heir)
    RETURNING r.id, r.event_seq + 1 AS number),
done AS (
    UPDATE chat_rooms r
    SET member_count = r.member_count - 1,
        event_seq = r.event_seq + CASE WHEN w.user_id IS NULL THEN 1 ELSE 3
                                  END,
        owner_id = coalesce(w.user_id, r.owner_id),
        version = r.version + (w.user_id IS NOT NULL)::int,
        updated_at = CASE WHEN w.user_id IS NULL THEN r.updated_at
                     ELSE {{room_time}} END
    FROM cur c LEFT JOIN raised w ON true
    WHERE r.id = c.id AND c.role IS NOT NULL AND EXISTS (SELECT 1 FROM heir)
    RETURNING r.*)
SELECT v.fault, c.id, g.id IS NOT NULL AS gone, w.user_id AS heir,
       coalesce(d.event_seq, g.number) AS number,
       coalesce(d.member_count, 0) AS member_count
FROM cur c, verdict v LEFT JOIN done d ON true LEFT JOIN gone g ON true
LEFT JOIN raised w ON true;

-- The rooms of a user: also those that he left, where he said something or
-- reacted.
-- fragment: rooms_of_user
SELECT room_id FROM room_members WHERE user_id = $1
UNION
SELECT room_id FROM chat_messages WHERE user_id = $1
UNION
SELECT m.room_id
FROM message_reactions x
JOIN chat_messages m ON m.id = x.message_id
WHERE x.user_id = $1

-- name: room_lock_all :exec (user_id uuid)
-- Has the writers of all rooms of a user wait, locked in one order. Else two
-- accounts that end at once, or one of them and the room, would wait for each
-- other's rows.
SELECT id FROM chat_rooms WHERE id IN ({{rooms_of_user}})
ORDER BY id FOR NO KEY UPDATE;

-- name: room_lock_new :one (user_id uuid)
-- Once more, when he can't join any: those that he joined in between. Who holds
-- one may wait for him, and is not waited for. rest: how many are held.
WITH his AS ({{rooms_of_user}}),
got AS (
    SELECT id FROM chat_rooms WHERE id IN (SELECT room_id FROM his)
    FOR NO KEY UPDATE SKIP LOCKED)
SELECT (SELECT count(*) FROM his) - (SELECT count(*) FROM got) AS rest;

-- name: room_leave_all :many (user_id uuid)
-- The same as room_leave with every room of the caller, behind room_lock_all.
WITH cur AS (
    SELECT r.*, a.role, h.user_id AS next_id
    FROM room_members a JOIN chat_rooms r ON r.id = a.room_id
    LEFT JOIN LATERAL (
        SELECT x.user_id FROM room_members x
        WHERE x.room_id = r.id AND x.user_id <> $1
        ORDER BY x.role = 'moderator' DESC, x.joined_at, x.user_id
        LIMIT 1) h ON true
    WHERE a.user_id = $1
    ORDER BY r.id FOR NO KEY UPDATE OF r),
past AS (DELETE FROM room_members WHERE user_id = $1),
raised AS (
    UPDATE room_members x SET role = 'owner'
    FROM cur c
    WHERE x.room_id = c.id AND x.user_id = c.next_id AND c.role = 'owner'
    RETURNING x.room_id, x.user_id),
gone AS (
    DELETE FROM chat_rooms r USING cur c
    WHERE r.id = c.id AND c.next_id IS NULL
    RETURNING r.id, r.event_seq + 1 AS number),
done AS (
    UPDATE chat_rooms r
    SET member_count = r.member_count - 1,
        event_seq = r.event_seq + CASE WHEN c.role = 'owner' THEN 3 ELSE 1
                                  END,
        owner_id = CASE WHEN c.role = 'owner' THEN c.next_id
                   ELSE r.owner_id END,
        version = r.version + (c.role = 'owner')::int,
        updated_at = CASE WHEN c.role = 'owner'
                     THEN {{room_time}}
                     ELSE r.updated_at END
    FROM cur c
    WHERE r.id = c.id AND c.next_id IS NOT NULL
    RETURNING r.id, r.event_seq, r.member_count)
SELECT c.id, g.id IS NOT NULL AS gone, w.user_id AS heir,
       coalesce(d.event_seq, g.number) AS number,
       coalesce(d.member_count, 0) AS member_count
FROM cur c LEFT JOIN done d ON d.id = c.id LEFT JOIN gone g ON g.id = c.id
LEFT JOIN raised w ON w.room_id = c.id
ORDER BY c.id;

-- name: room_told :one (user_id uuid?, id uuid)
-- A room as all its members are told of it, by nobody.
SELECT {{room_columns}}
FROM chat_rooms r
LEFT JOIN room_members a ON a.room_id = r.id AND a.user_id = r.owner_id
{{room_last}}
WHERE r.id = $2;
