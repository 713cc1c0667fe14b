-- Messages of rooms. $1 is always the caller.
--
-- Whatever changes a room for all to see takes a number of its row
-- (event_seq), and no-ops take none. So a change must be judged by what is
-- there once the lock is held: room_lock comes first, in the same round trip
-- and transaction, and the statement behind it sees what was committed before.
-- Sending does without, in one statement: what it can't see yet (a repeat with
-- the same clientId, a member who was removed meanwhile) makes it fail.

-- fragment: message_reactions
coalesce((SELECT jsonb_agg(jsonb_build_object('emoji', x.emoji,
                     'count', x.count, 'me', x.me) ORDER BY x.first, x.emoji)
          FROM (SELECT emoji, count(*) AS count,
                       coalesce(bool_or(user_id = $1), false) AS me,
                       min(created_at) AS first
                FROM message_reactions WHERE message_id = m.id
                GROUP BY emoji) x), '[]')

-- fragment: message_columns
m.id AS message_id, m.room_id, m.seq, m.user_id, mu.id AS author_id,
mu.full_name AS author_name, mu.avatar_url AS author_avatar, m.content,
m.reply_to_id, mp.id AS reply_id, mp.user_id AS reply_user,
left(mp.content, 200) AS reply_content, m.client_id,
{{message_reactions}} AS reactions, m.edited_at, m.deleted_at,
m.created_at AS sent_at

-- One by one: a page is short, but its plan, made once for any length, would
-- read all users and messages there are.
-- fragment: message_joins
LEFT JOIN LATERAL (
    SELECT x.id, x.full_name, x.avatar_url FROM users x
    WHERE x.id = m.user_id LIMIT 1) mu ON true
LEFT JOIN LATERAL (
    SELECT x.id, x.user_id, x.content FROM chat_messages x
    WHERE x.id = m.reply_to_id LIMIT 1) mp ON true

-- Who may read a room: $2 is the room, $3 says that the caller is an
-- administrator.
-- fragment: room_gate
SELECT CASE WHEN a.user_id IS NOT NULL OR $3 THEN NULL
            WHEN r.is_private THEN 'ROOM_NOT_FOUND'
            ELSE 'NOT_ROOM_MEMBER' END AS fault,
       r.id, r.last_seq, r.event_seq
FROM chat_rooms r
LEFT JOIN room_members a ON a.room_id = r.id AND a.user_id = $1
WHERE r.id = $2

-- A room that a message belongs to, and whether the caller sees it.
-- fragment: message_cur
cur AS (
    SELECT m.*, a.role, r.event_seq
    FROM chat_messages m JOIN chat_rooms r ON r.id = m.room_id
    LEFT JOIN room_members a ON a.room_id = m.room_id AND a.user_id = $1
    WHERE m.id = $2 AND m.deleted_at IS NULL
      AND (a.user_id IS NOT NULL OR $3))

-- name: room_lock :one (id uuid)
-- Has the writers of a room wait until the transaction ends.
SELECT id FROM chat_rooms WHERE id = $1 FOR NO KEY UPDATE;

-- name: message_lock :one (id uuid)
-- The same with the room of a message.
SELECT r.id FROM chat_messages m JOIN chat_rooms r ON r.id = m.room_id
WHERE m.id = $1 FOR NO KEY UPDATE OF r;

-- name: message_send :one (user_id uuid, room_id uuid, admin bool, id uuid,
--   content text, reply_to uuid?, client_id text?)
-- error 22004 = NOT_ROOM_MEMBER
-- error 23505 unique_message_client_id = CONFLICT
-- A new message, or the one that the caller has sent with this clientId; then
-- there is no number. The room's row is locked before the member's. Who was
-- removed while this waited has no marker to be moved, and no message can be
-- found without a room: 22004, by the search column. CONFLICT: the clientId was
-- used while this waited. Either way, once more.
WITH gate AS ({{room_gate}}),
mine AS (SELECT EXISTS (SELECT 1 FROM room_members
                        WHERE room_id = $2 AND user_id = $1) AS is_member),
first AS (
    SELECT * FROM chat_messages
    WHERE room_id = $2 AND user_id = $1 AND client_id = $7),
judged AS (
    SELECT CASE WHEN g.fault IS NOT NULL THEN g.fault
                WHEN NOT i.is_member THEN 'NOT_ROOM_MEMBER'
                WHEN f.id IS NOT NULL THEN NULL
                WHEN $6 IS NOT NULL AND NOT EXISTS (
                    SELECT 1 FROM chat_messages
                    WHERE id = $6 AND room_id = $2 AND deleted_at IS NULL)
                THEN 'MESSAGE_NOT_FOUND' END AS fault,
           f.id AS first_id
    FROM gate g, mine i LEFT JOIN first f ON true),
verdict AS (
    SELECT fault, fault IS NULL AND first_id IS NULL AS go FROM judged),
bump AS (
    UPDATE chat_rooms r
    SET last_seq = r.last_seq + 1, event_seq = r.event_seq + 1,
        last_message_at = greatest(clock_timestamp(), r.last_message_at),
        active_hour = date_trunc('hour', greatest(clock_timestamp(),
                                 r.last_message_at), 'UTC')
    FROM verdict v
    WHERE r.id = $2 AND v.go
    RETURNING r.id, r.last_seq, r.event_seq, r.last_message_at AS at),
marked AS (
    UPDATE room_members a
    SET last_read_seq = b.last_seq, last_read_message_id = $4,
        last_read_at = b.at
    FROM bump b WHERE a.room_id = $2 AND a.user_id = $1
    RETURNING a.room_id),
made AS (
    INSERT INTO chat_messages (id, room_id, seq, user_id, content,
                               reply_to_id, client_id, created_at)
    SELECT $4, (SELECT room_id FROM marked), b.last_seq, $1, $5, $6, $7, b.at
    FROM bump b
    RETURNING *),
m AS (SELECT * FROM made UNION ALL SELECT * FROM first)
SELECT CASE WHEN v.fault IS NOT NULL THEN v.fault
            WHEN m.id IS NULL THEN 'ROOM_NOT_FOUND' END AS fault,
       b.event_seq AS number, {{message_columns}}
FROM verdict v LEFT JOIN bump b ON true
LEFT JOIN m ON v.fault IS NULL {{message_joins}};

-- name: message_page :many (user_id uuid, room_id uuid, admin bool,
--   before bigint?, fetch int)
-- Messages before a place, newest first. place is what a cursor holds.
WITH gate AS ({{room_gate}})
SELECT g.fault, 'd' || m.seq AS place, {{message_columns}}
FROM gate g
LEFT JOIN LATERAL (
    SELECT * FROM chat_messages x
    WHERE x.room_id = g.id AND g.fault IS NULL
      AND x.seq < coalesce($4, g.last_seq + 1)
    ORDER BY x.seq DESC LIMIT $5) m ON true
{{message_joins}}
ORDER BY m.seq DESC;

-- name: message_since :many (user_id uuid, room_id uuid, admin bool,
--   after uuid?, since bigint?, fetch int)
-- Messages behind a place, or behind a message (lost: it is not of this room),
-- oldest first.
WITH gate AS ({{room_gate}}),
start AS (
    SELECT coalesce($5, (SELECT seq FROM chat_messages
                         WHERE id = $4 AND room_id = $2)) AS seq)
SELECT g.fault, s.seq IS NULL AS lost, g.event_seq, 'a' || m.seq AS place,
       {{message_columns}}
FROM gate g CROSS JOIN start s
LEFT JOIN LATERAL (
    SELECT * FROM chat_messages x
    WHERE x.room_id = g.id AND g.fault IS NULL AND x.seq > s.seq
    ORDER BY x.seq LIMIT $6) m ON true
{{message_joins}}
ORDER BY m.seq;

-- name: message_get :one (user_id uuid, id uuid, admin bool)
-- One message of a room that the caller is a member of.
SELECT {{message_columns}}
FROM chat_messages m {{message_joins}}
WHERE m.id = $2 AND m.deleted_at IS NULL
  AND ($3 OR EXISTS (SELECT 1 FROM room_members a
                     WHERE a.room_id = m.room_id AND a.user_id = $1));

-- name: message_edit :one (user_id uuid, id uuid, admin bool, content text?)
-- Other words by the author, behind message_lock. The same ones, or none,
-- change nothing: then there is no number.
WITH {{message_cur}},
verdict AS (
    SELECT CASE WHEN user_id IS DISTINCT FROM $1 OR role IS NULL
                THEN 'FORBIDDEN' END AS fault,
           user_id = $1 AND role IS NOT NULL
               AND content <> coalesce($4, content) AS go
    FROM cur),
bump AS (
    UPDATE chat_rooms r SET event_seq = r.event_seq + 1
    FROM cur c, verdict v WHERE r.id = c.room_id AND v.go
    RETURNING r.event_seq),
done AS (
    UPDATE chat_messages m
    SET content = $4, edited_at = greatest(clock_timestamp(), m.created_at)
    FROM bump b WHERE m.id = $2
    RETURNING m.id, m.room_id, m.seq, m.user_id, m.content, m.reply_to_id,
              m.client_id, m.edited_at, m.deleted_at, m.created_at),
m AS (SELECT * FROM done
      UNION ALL
      SELECT id, room_id, seq, user_id, content, reply_to_id, client_id,
             edited_at, deleted_at, created_at
      FROM cur, verdict WHERE NOT go)
SELECT v.fault, (SELECT event_seq FROM bump) AS number, {{message_columns}},
       coalesce((SELECT jsonb_agg(jsonb_build_object('emoji', x.emoji,
                            'count', x.count, 'me', false)
                            ORDER BY x.first, x.emoji)
                 FROM (SELECT emoji, count(*) AS count,
                              min(created_at) AS first
                       FROM message_reactions WHERE message_id = m.id
                       GROUP BY emoji) x), '[]') AS reactions_told
FROM verdict v, m {{message_joins}};

-- name: message_delete :one (user_id uuid, id uuid, admin bool)
-- Empties a message, behind message_lock.
WITH {{message_cur}},
verdict AS (
    SELECT CASE WHEN NOT ($3 OR role IN ('owner', 'moderator')
                          OR user_id IS NOT DISTINCT FROM $1)
                THEN 'FORBIDDEN' END AS fault
    FROM cur),
bump AS (
    UPDATE chat_rooms r SET event_seq = r.event_seq + 1
    FROM cur c, verdict v WHERE r.id = c.room_id AND v.fault IS NULL
    RETURNING r.event_seq),
reactions AS (
    DELETE FROM message_reactions x USING bump WHERE x.message_id = $2),
done AS (
    UPDATE chat_messages m
    SET content = '', deleted_at = greatest(clock_timestamp(), m.created_at)
    FROM bump b WHERE m.id = $2
    RETURNING m.id, m.room_id, m.deleted_at, b.event_seq)
SELECT v.fault, d.id, d.room_id, d.deleted_at, d.event_seq AS number
FROM verdict v LEFT JOIN done d ON true;
