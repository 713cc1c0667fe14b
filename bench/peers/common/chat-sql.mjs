// The statements of a room. Each is one round trip and one transaction, which
// is the fastest way for a Node server. (What SEND says of the others' unread
// counts is as old as its snapshot: where it waited for another sender's lock,
// that sender's marker may be one message behind. The steps have it exact.)

const MESSAGE = `m.id, m.room_id, m.seq, m.user_id, m.content, m.reply_to_id,
  m.client_id, m.edited_at, m.deleted_at, m.created_at, u.full_name,
  u.avatar_url, p.user_id AS reply_user, left(p.content, 200) AS reply_text`;
const AROUND = `LEFT JOIN users u ON u.id = m.user_id
  LEFT JOIN chat_messages p ON p.id = m.reply_to_id`;

/* $1 room, $2 user; no row: not a member */
export const ROOM = `
SELECT r.id, r.name, r.description, r.is_private, r.owner_id, r.last_seq,
  r.version, r.created_at, r.updated_at, me.role, me.last_read_seq,
  (SELECT count(*)::int FROM room_members c WHERE c.room_id = r.id) AS members
  FROM chat_rooms r
  JOIN room_members me ON me.room_id = r.id AND me.user_id = $2
 WHERE r.id = $1`;

/* $1 room, $2 user, $3 new id, $4 content, $5 reply to|null, $6 client id|null.
   No row: not a member. others: {user, unread before this message, …}. */
export const SEND = `
WITH me AS (
  SELECT last_read_seq FROM room_members WHERE room_id = $1 AND user_id = $2
), twin AS (
  SELECT * FROM chat_messages
   WHERE room_id = $1 AND user_id = $2 AND client_id = $6
), room AS (
  UPDATE chat_rooms SET last_seq = last_seq + 1, event_seq = event_seq + 1,
       last_message_at = now()
   WHERE id = $1 AND EXISTS (SELECT 1 FROM me)
     AND NOT EXISTS (SELECT 1 FROM twin)
  RETURNING last_seq
), made AS (
  INSERT INTO chat_messages (id, room_id, seq, user_id, content, reply_to_id,
                             client_id)
  SELECT $3::uuid, $1, last_seq, $2, $4::text, $5::uuid, $6::varchar FROM room
  RETURNING *
), marker AS (
  UPDATE room_members SET last_read_seq = room.last_seq,
         last_read_message_id = $3, last_read_at = now()
    FROM room WHERE room_id = $1 AND user_id = $2
), m AS (
  SELECT * FROM made UNION ALL
  SELECT twin.* FROM twin WHERE NOT EXISTS (SELECT 1 FROM made)
)
SELECT ${MESSAGE}, (SELECT count(*)::int FROM made) AS made,
  (SELECT array_agg(c.user_id) FROM room_members c
    WHERE c.room_id = $1) AS member_ids,
  (SELECT array_agg(c.last_read_seq) FROM room_members c
    WHERE c.room_id = $1) AS member_seqs
  FROM m ${AROUND}`;

/* $1 message, $2 user, $3 content; no row: not the author's */
export const EDIT = `
WITH m AS (
  UPDATE chat_messages SET content = $3, edited_at = now()
   WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL
  RETURNING *
)
SELECT ${MESSAGE} FROM m ${AROUND}`;

/* The same as SEND step by step, in a transaction, as it is mostly written. */
export const STEP_LOCK = `
UPDATE chat_rooms SET last_seq = last_seq + 1, event_seq = event_seq + 1,
       last_message_at = now()
 WHERE id = $1 RETURNING last_seq`;
export const STEP_MEMBER = `
SELECT last_read_seq FROM room_members WHERE room_id = $1 AND user_id = $2`;
export const STEP_TWIN = `
SELECT ${MESSAGE}, 0 AS made FROM chat_messages m ${AROUND}
 WHERE m.room_id = $1 AND m.user_id = $2 AND m.client_id = $3`;
export const STEP_INSERT = `
INSERT INTO chat_messages (id, room_id, seq, user_id, content, reply_to_id,
                           client_id)
VALUES ($3, $1, $7, $2, $4, $5, $6)`;
export const STEP_MARKER = `
UPDATE room_members SET last_read_seq = $3, last_read_message_id = $4,
       last_read_at = now()
 WHERE room_id = $1 AND user_id = $2`;
/* $1 message */
export const STEP_READ = `
SELECT ${MESSAGE}, 1 AS made FROM chat_messages m ${AROUND} WHERE m.id = $1`;
export const STEP_MEMBERS = `
SELECT array_agg(user_id) AS member_ids, array_agg(last_read_seq) AS member_seqs
  FROM room_members WHERE room_id = $1`;
