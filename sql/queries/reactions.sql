-- Reactions to messages, each behind message_lock. No number: nothing changed.

-- What a message has, without or with one that this statement takes or adds.
-- fragment: reactions_left
coalesce((SELECT jsonb_agg(jsonb_build_object('emoji', x.emoji,
                     'count', x.count, 'me', x.me) ORDER BY x.first, x.emoji)
          FROM (SELECT emoji, count(*) AS count, bool_or(user_id = $1) AS me,
                       min(created_at) AS first
                FROM now_there GROUP BY emoji) x), '[]') AS reactions,
(SELECT count(*) FROM now_there WHERE emoji = $3) AS count

-- fragment: reacting
cur AS (
    SELECT m.id, m.room_id FROM chat_messages m
    JOIN room_members a ON a.room_id = m.room_id AND a.user_id = $1
    WHERE m.id = $2 AND m.deleted_at IS NULL),
there AS (
    SELECT x.user_id, x.emoji, x.created_at
    FROM cur c JOIN message_reactions x ON x.message_id = c.id)

-- name: reaction_add :one (user_id uuid, message_id uuid, emoji text, id uuid,
--   max int)
-- error 23503 = INVALID_TOKEN
-- One more reaction, unless the message has so many different ones already
-- (too_many).
WITH {{reacting}},
verdict AS (
    SELECT bool_or(mine) AS mine,
           count(*) >= $5 AND NOT bool_or(used) AS too_many
    FROM (SELECT emoji = $3 AS used,
                 emoji = $3 AND bool_or(user_id = $1) AS mine
          FROM there GROUP BY emoji) e),
bump AS (
    UPDATE chat_rooms r SET event_seq = r.event_seq + 1
    FROM cur c, verdict v
    WHERE r.id = c.room_id AND v.mine IS NOT TRUE AND v.too_many IS NOT TRUE
    RETURNING r.event_seq),
made AS (
    INSERT INTO message_reactions (id, message_id, user_id, emoji, created_at)
    SELECT $4, $2, $1, $3, clock_timestamp() FROM bump
    RETURNING user_id, emoji, created_at),
now_there AS (SELECT * FROM there UNION ALL SELECT * FROM made)
SELECT c.id AS message_id, c.room_id, v.too_many,
       (SELECT event_seq FROM bump) AS number, {{reactions_left}}
FROM cur c, verdict v;

-- name: reaction_remove :one (user_id uuid, message_id uuid, emoji text)
-- One of the caller's reactions less.
WITH {{reacting}},
mine AS (SELECT 1 FROM there WHERE user_id = $1 AND emoji = $3),
bump AS (
    UPDATE chat_rooms r SET event_seq = r.event_seq + 1
    FROM cur c, mine WHERE r.id = c.room_id
    RETURNING r.event_seq),
gone AS (
    DELETE FROM message_reactions x USING bump
    WHERE x.message_id = $2 AND x.user_id = $1 AND x.emoji = $3),
now_there AS (
    SELECT * FROM there WHERE NOT (user_id = $1 AND emoji = $3))
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM mine)
            THEN 'REACTION_NOT_FOUND' END AS fault,
       c.id AS message_id, c.room_id,
       (SELECT event_seq FROM bump) AS number, {{reactions_left}}
FROM cur c;
