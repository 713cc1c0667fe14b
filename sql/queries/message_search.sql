-- Words in messages. The question asks for the lexemes of the rooms, too
-- (schema 0008), so it costs what is in these rooms.

-- name: message_search :many (user_id uuid, room_id uuid?, admin bool, q text,
--   fetch int, skip int)
-- plan: custom
-- Messages of one room, or of all the caller's rooms, newest first.
WITH gate AS ({{room_gate}}),
place AS (
    SELECT string_agg('''' || ' ' || right(room_id::text, 12) || '''', ' | ')
               ::tsquery AS rooms
    FROM (SELECT id AS room_id FROM gate WHERE fault IS NULL
          UNION ALL
          SELECT room_id FROM room_members
          WHERE user_id = $1 AND $2 IS NULL) x),
words AS (SELECT websearch_to_tsquery('simple', $4) AS q),
found AS MATERIALIZED (
    SELECT m.id, m.created_at
    FROM chat_messages m
    WHERE numnode((SELECT q FROM words)) > 0
      AND m.search @@ ((SELECT q FROM words) && (SELECT rooms FROM place))
      AND m.deleted_at IS NULL
      AND (m.room_id IN (SELECT room_id FROM room_members
                         WHERE user_id = $1 AND $2 IS NULL)
           OR m.room_id = (SELECT id FROM gate WHERE fault IS NULL))),
page AS (
    SELECT * FROM found ORDER BY created_at DESC, id DESC
    LIMIT $5 OFFSET $6)
SELECT t.*, p.*
FROM (SELECT count(*) AS total,
             CASE WHEN $2 IS NULL THEN NULL
                  ELSE coalesce((SELECT coalesce(fault, 'none') FROM gate),
                                'ROOM_NOT_FOUND') END AS verdict
      FROM found) t
LEFT JOIN (
    SELECT {{message_columns}},
           ts_headline('simple',
                       translate(m.content, E'<>\x02\x03\x04\x05\x06',
                                 E'\x04\x05'), h.q,
                       E'HighlightAll=true, StartSel="\x02", StopSel="\x03"')
               AS highlight
    FROM words h, page k JOIN chat_messages m ON m.id = k.id
    {{message_joins}}) p ON true
ORDER BY p.sent_at DESC, p.message_id DESC;
