-- name: hub_members :many (users uuid[])
-- The rooms of these users, and how far each was read.
SELECT m.user_id, m.room_id, m.last_read_seq, r.last_seq, r.event_seq
FROM room_members m JOIN chat_rooms r ON r.id = m.room_id
WHERE m.user_id = ANY($1);

-- name: hub_rooms :many (ids uuid[])
-- How far these rooms are; those that are gone are not among them.
SELECT id, event_seq FROM chat_rooms WHERE id = ANY($1);

-- name: hub_sessions :many (ids uuid[])
-- Those of these sessions that live, and who is behind them.
SELECT s.id, u.role, u.email_verified
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.id = ANY($1) AND s.revoked_at IS NULL
  AND s.expires_at > now() AND u.is_active;

-- name: hub_fade :exec (place text)
-- A place ends: whoever was there has some seconds to come back elsewhere.
UPDATE presence_places SET beat = now() - interval '25 seconds'
WHERE place = $1;
