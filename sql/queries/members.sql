-- Members of rooms. $1 is always the caller.

-- fragment: member_rank
CASE a.role WHEN 'owner' THEN 0 WHEN 'moderator' THEN 1 ELSE 2 END

-- fragment: member_columns
a.user_id, u.full_name, u.avatar_url, a.role, a.joined_at,
coalesce(o.status, 'offline') AS presence

-- fragment: notification_columns
n.id AS notification_id, n.type, n.title, n.body, n.data, n.read_at,
n.created_at

-- fragment: member_joins
CROSS JOIN LATERAL (SELECT id, full_name, avatar_url FROM users x
                    WHERE x.id = a.user_id LIMIT 1) u
LEFT JOIN LATERAL (SELECT status FROM online_users x
                   WHERE x.user_id = a.user_id LIMIT 1) o ON true

-- name: member_page :many (user_id uuid, room_id uuid, admin bool, fetch int,
--   skip int)
-- The members of a room, by role. place is what a cursor holds.
WITH gate AS ({{room_gate}})
SELECT g.fault, r.member_count AS total, p.*
FROM gate g JOIN chat_rooms r ON r.id = g.id
LEFT JOIN LATERAL (
    SELECT {{member_columns}}, a.rank || ' ' || a.joined_at AS place, a.rank
    FROM (SELECT a.*, {{member_rank}} AS rank FROM room_members a
          WHERE a.room_id = g.id AND g.fault IS NULL
          ORDER BY {{member_rank}}, a.joined_at, a.user_id
          LIMIT $4 OFFSET $5) a
    {{member_joins}}) p ON true
ORDER BY p.rank, p.joined_at, p.user_id;

-- name: member_after :many (user_id uuid, room_id uuid, admin bool, rank int,
--   joined_at ts, after_id uuid, fetch int)
-- The page behind a place.
WITH gate AS ({{room_gate}})
SELECT g.fault, p.*
FROM gate g
LEFT JOIN LATERAL (
    SELECT {{member_columns}}, a.rank || ' ' || a.joined_at AS place, a.rank
    FROM (SELECT a.*, {{member_rank}} AS rank FROM room_members a
          WHERE a.room_id = g.id AND g.fault IS NULL
            AND ({{member_rank}}, a.joined_at, a.user_id) > ($4, $5, $6)
          ORDER BY {{member_rank}}, a.joined_at, a.user_id LIMIT $7) a
    {{member_joins}}) p ON true
ORDER BY p.rank, p.joined_at, p.user_id;

-- What the caller is in a room that he knows of, behind room_lock.
-- fragment: member_cur
cur AS (
    SELECT r.*, a.role FROM chat_rooms r
    LEFT JOIN room_members a ON a.room_id = r.id AND a.user_id = $1
    WHERE r.id = $2 AND (NOT r.is_private OR a.user_id IS NOT NULL OR $3))

-- name: member_invite :one (user_id uuid, room_id uuid, admin bool,
--   invited_id uuid?, email text?, role text, notification_id uuid)
-- error 23503 = USER_NOT_FOUND
-- Somebody becomes a member, and is told.
WITH {{member_cur}},
who AS (
    SELECT id FROM users
    WHERE is_active AND (id = $4 OR ($4 IS NULL AND email = $5))),
judged AS (
    SELECT CASE WHEN c.role IS NULL THEN 'NOT_ROOM_MEMBER'
                WHEN (c.is_private AND c.role = 'member')
                     OR ($6 = 'moderator' AND c.role <> 'owner')
                THEN 'FORBIDDEN'
                WHEN w.id IS NULL THEN 'USER_NOT_FOUND'
                WHEN EXISTS (SELECT 1 FROM room_members x
                             WHERE x.room_id = c.id AND x.user_id = w.id)
                THEN 'ALREADY_MEMBER' END AS fault
    FROM cur c LEFT JOIN who w ON true),
r AS (
    UPDATE chat_rooms r
    SET event_seq = r.event_seq + 1, member_count = r.member_count + 1
    FROM cur c, judged j WHERE r.id = c.id AND j.fault IS NULL
    RETURNING r.*),
a AS (
    INSERT INTO room_members (id, room_id, user_id, role, last_read_seq,
                              last_read_message_id, joined_at)
    SELECT {{new_id}}, r.id, w.id, $6, r.last_seq,
           (SELECT m.id FROM chat_messages m
            WHERE m.room_id = r.id AND m.seq = r.last_seq),
           clock_timestamp()
    FROM r, who w RETURNING *),
n AS (
    INSERT INTO notifications (id, user_id, type, title, data)
    SELECT $7, a.user_id, 'room_invite',
           'You were invited to ' || r.name,
           jsonb_build_object('roomId', r.id, 'roomName', r.name,
                              'invitedBy', $1, 'role', a.role)
    FROM r, a RETURNING *)
SELECT j.fault, r.id AS room_id, r.event_seq AS number, r.member_count,
       r.last_seq, {{member_columns}}, {{notification_columns}}
FROM judged j
LEFT JOIN (r JOIN a ON true JOIN n ON true {{member_joins}}) ON true;

-- Caller, room and somebody in it. Who is no member is told nothing of others.
-- fragment: member_target
who AS (
    SELECT x.user_id, x.role FROM cur c
    JOIN room_members x ON x.room_id = c.id AND x.user_id = $4)

-- name: member_role :one (user_id uuid, room_id uuid, admin bool,
--   target_id uuid, role text?)
-- Another role, behind room_lock. A new owner takes the place of the old one,
-- who is a moderator then: three numbers, the last of which is given: the new
-- one, the old one, the room. self: the owner would have been none.
WITH {{member_cur}}, {{member_target}},
judged AS (
    SELECT CASE WHEN c.role IS NULL THEN 'FORBIDDEN'
                WHEN w.user_id IS NULL THEN 'MEMBER_NOT_FOUND'
                WHEN c.role <> 'owner' THEN 'FORBIDDEN' END AS fault,
           w.role IS DISTINCT FROM coalesce($5, w.role) AS differs,
           $1 = $4 AS self
    FROM cur c LEFT JOIN who w ON true),
verdict AS (
    SELECT fault, fault IS NULL AND differs AND self AS self,
           fault IS NULL AND differs AND NOT self AS go
    FROM judged),
bump AS (
    UPDATE chat_rooms r
    SET event_seq = r.event_seq + CASE WHEN $5 = 'owner' THEN 3 ELSE 1 END,
        owner_id = CASE WHEN $5 = 'owner' THEN $4 ELSE r.owner_id END,
        version = r.version + ($5 = 'owner')::int,
        updated_at = CASE WHEN $5 = 'owner'
                          THEN {{room_time}}
                          ELSE r.updated_at END
    FROM cur c, verdict v WHERE r.id = c.id AND v.go
    RETURNING r.id, r.event_seq),
done AS (
    UPDATE room_members x
    SET role = CASE WHEN x.user_id = $4 THEN $5 ELSE 'moderator' END
    FROM bump b
    WHERE x.room_id = b.id
      AND (x.user_id = $4 OR (x.user_id = $1 AND $5 = 'owner'))
    RETURNING x.*),
a AS (
    SELECT * FROM done WHERE user_id = $4
    UNION ALL
    SELECT x.* FROM room_members x, verdict v
    WHERE x.room_id = $2 AND x.user_id = $4 AND NOT v.go)
SELECT v.fault, v.self, (SELECT event_seq FROM bump) AS number, m.*
FROM verdict v
LEFT JOIN (SELECT {{member_columns}} FROM a {{member_joins}}) m
       ON v.fault IS NULL;

-- name: member_kick :one (user_id uuid, room_id uuid, admin bool,
--   target_id uuid)
-- Somebody is a member no more, behind room_lock.
WITH {{member_cur}}, {{member_target}},
verdict AS (
    SELECT CASE WHEN c.role IS NULL THEN 'FORBIDDEN'
                WHEN w.user_id IS NULL THEN 'MEMBER_NOT_FOUND'
                WHEN NOT (c.role = 'owner'
                          OR (c.role = 'moderator' AND w.role = 'member'))
                THEN 'FORBIDDEN' END AS fault
    FROM cur c LEFT JOIN who w ON true),
bump AS (
    UPDATE chat_rooms r
    SET event_seq = r.event_seq + 1, member_count = r.member_count - 1
    FROM cur c, verdict v WHERE r.id = c.id AND v.fault IS NULL
    RETURNING r.id, r.event_seq, r.member_count),
gone AS (
    DELETE FROM room_members x USING bump b
    WHERE x.room_id = b.id AND x.user_id = $4 RETURNING x.user_id)
SELECT v.fault, g.user_id AS id, b.event_seq AS number, b.member_count
FROM verdict v LEFT JOIN (bump b JOIN gone g ON true) ON true;
