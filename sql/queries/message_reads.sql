-- How far members have read, and who is there. $1 is always the caller.

-- One member: joined as it is, the view looks at all who are online.
-- fragment: member_online
LATERAL (SELECT user_id, status, seen_at FROM online_users x
         WHERE x.user_id = a.user_id LIMIT 1)

-- name: room_read :one (user_id uuid, room_id uuid, admin bool,
--   message_id uuid?)
-- Moves the marker to a message, or to the newest; never back. moved: it was.
WITH gate AS ({{room_gate}}),
cur AS (
    SELECT a.* FROM room_members a
    WHERE a.room_id = $2 AND a.user_id = $1 FOR NO KEY UPDATE),
target AS (
    SELECT m.id, m.seq FROM gate g JOIN chat_messages m ON m.room_id = g.id
    WHERE CASE WHEN $4 IS NULL THEN m.seq = g.last_seq ELSE m.id = $4 END),
verdict AS (
    SELECT CASE WHEN g.fault IS NOT NULL THEN g.fault
                WHEN c.user_id IS NULL THEN 'NOT_ROOM_MEMBER'
                WHEN $4 IS NOT NULL AND t.id IS NULL
                THEN 'MESSAGE_NOT_FOUND' END AS fault,
           t.seq > c.last_read_seq AS go
    FROM gate g LEFT JOIN cur c ON true LEFT JOIN target t ON true),
done AS (
    UPDATE room_members a
    SET last_read_seq = t.seq, last_read_message_id = t.id,
        last_read_at = clock_timestamp()
    FROM cur c, target t, verdict v
    WHERE a.id = c.id AND v.fault IS NULL AND v.go
    RETURNING a.*)
SELECT v.fault, g.id AS room_id, d.id IS NOT NULL AS moved,
       coalesce(d.last_read_message_id, c.last_read_message_id)
           AS last_read_message_id,
       coalesce(d.last_read_seq, c.last_read_seq) AS seq,
       greatest(g.last_seq - coalesce(d.last_read_seq, c.last_read_seq), 0)
           AS unread_count
FROM verdict v CROSS JOIN gate g LEFT JOIN cur c ON true
LEFT JOIN done d ON true;

-- name: room_unread :many (user_id uuid)
-- What is unread in the rooms of the caller.
SELECT a.room_id, greatest(r.last_seq - a.last_read_seq, 0) AS unread_count,
       a.last_read_message_id
FROM room_members a JOIN chat_rooms r ON r.id = a.room_id
WHERE a.user_id = $1
ORDER BY coalesce(r.last_message_at, r.created_at) DESC, r.id DESC;

-- name: room_presence :many (user_id uuid, room_id uuid, admin bool)
-- Members of a room who are there.
WITH gate AS ({{room_gate}})
SELECT g.fault, p.*
FROM gate g
LEFT JOIN LATERAL (
    SELECT o.* FROM room_members a CROSS JOIN {{member_online}} o
    WHERE a.room_id = g.id AND g.fault IS NULL) p ON true
ORDER BY p.user_id;

-- name: room_state :many (user_id uuid, room_id uuid, admin bool,
--   since bigint, fetch int)
-- All that a socket needs that is now subscribed to a room, from one moment:
-- how far the room is, who is there, and messages behind a place, oldest
-- first. Who is no member gets nothing.
WITH gate AS ({{room_gate}}),
mine AS (SELECT EXISTS (SELECT 1 FROM room_members
                        WHERE room_id = $2 AND user_id = $1) AS is_member)
SELECT CASE WHEN g.fault IS NOT NULL THEN g.fault
            WHEN NOT i.is_member THEN 'NOT_ROOM_MEMBER' END AS fault,
       g.event_seq, g.last_seq,
       (SELECT jsonb_agg(a.user_id ORDER BY a.user_id)
        FROM room_members a CROSS JOIN {{member_online}} o
        WHERE a.room_id = $2) AS online, {{message_columns}}
FROM gate g CROSS JOIN mine i
LEFT JOIN LATERAL (
    SELECT * FROM chat_messages x
    WHERE x.room_id = g.id AND g.fault IS NULL AND i.is_member AND x.seq > $4
    ORDER BY x.seq LIMIT $5) m ON true
{{message_joins}}
ORDER BY m.seq;

-- name: room_member :one (user_id uuid, room_id uuid)
-- batch
-- Whether the caller is a member of a room that he knows of.
SELECT CASE WHEN a.user_id IS NOT NULL THEN NULL
            WHEN r.is_private THEN 'ROOM_NOT_FOUND'
            ELSE 'NOT_ROOM_MEMBER' END AS fault
FROM chat_rooms r
LEFT JOIN room_members a ON a.room_id = r.id AND a.user_id = $1
WHERE r.id = $2;
