-- :users users with a session each, ids as in data.sql; rooms of :members of
-- them (user 1 to :members in room 1 and so on), and room 0, in which those of
-- room 1 are as well.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
\ir chat.sql

CREATE FUNCTION pg_temp.id(kind text, n bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$
  SELECT ('01990000-0000-7000-' || kind || '000-' || lpad(n::text, 12, '0'))::uuid
$$;

INSERT INTO users (id, email, password_hash, full_name, ai_period)
SELECT pg_temp.id('9', u), 'user' || u || '@bench.example', 'none',
       'User number ' || u, date_trunc('month', now())::date
  FROM generate_series(1, :users) u
ON CONFLICT DO NOTHING;

INSERT INTO user_settings (user_id)
SELECT id FROM users ON CONFLICT DO NOTHING;

INSERT INTO sessions (id, user_id, token_hash, refresh_key, device_type,
                      expires_at)
SELECT pg_temp.id('a', u), pg_temp.id('9', u), md5(u::text),
       '\x00'::bytea, 'api', now() + interval '30 days'
  FROM generate_series(1, :users) u
ON CONFLICT DO NOTHING;

INSERT INTO chat_rooms (id, name, owner_id)
SELECT pg_temp.id('b', 1000 + r), 'Room ' || r,
       pg_temp.id('9', greatest(r - 1, 0) * :members + 1)
  FROM generate_series(0, :users / :members) r;

INSERT INTO room_members (room_id, user_id, role)
SELECT pg_temp.id('b', 1000 + r),
       pg_temp.id('9', greatest(r - 1, 0) * :members + m),
       CASE m WHEN 1 THEN 'owner' ELSE 'member' END
  FROM generate_series(0, :users / :members) r,
       generate_series(1, :members) m
 WHERE greatest(r - 1, 0) * :members + m <= :users;

-- Something was said before: with autovacuum off, plans would go on believing
-- that there are no messages.
INSERT INTO chat_messages (room_id, seq, user_id, content, client_id,
                           created_at)
SELECT r.id, s, r.owner_id, 'This was said before, number ' || s,
       'before-' || s, now() - interval '1 day'
  FROM chat_rooms r, generate_series(1, 20) s;
UPDATE chat_rooms SET last_seq = 20, event_seq = 20,
       last_message_at = now() - interval '1 day';
UPDATE room_members SET last_read_seq = 20;

VACUUM ANALYZE users, sessions, chat_rooms, room_members, chat_messages;
