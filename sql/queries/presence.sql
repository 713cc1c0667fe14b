-- Who is online (0007_realtime.sql). Each of the statements that change it is
-- sent behind one that takes the locks of its users: what two children say of
-- one user happens one after the other, and each sees what the other did. A
-- lock is for one of 256 groups of users, so that there are never more than
-- that many, taken in order.
--
-- Whether somebody lives anywhere is asked for one user after the other, by a
-- subquery of a value: NOT EXISTS would become a join, and its plan, made once
-- for any table, would read all who are online for each who comes.

-- name: presence_lock :exec (users uuid[])
-- What is written is not logged, so nobody need wait for the log: but for this
-- each that comes would, as the foreign key leaves a row lock in it. And the
-- statement behind it is about a few users of many, whatever was known of the
-- tables when its plan was made: when all come back at once, that is that they
-- are empty. A plan that can't do without such a scan looks dear enough to be
-- compiled, which would take longer than all the rest.
SELECT set_config('synchronous_commit', 'off', true),
       set_config('enable_seqscan', 'off', true),
       set_config('jit', 'off', true),
       pg_advisory_xact_lock(20007, s.slot)
FROM (SELECT DISTINCT abs(hashtext(u::text)) % 256 AS slot
      FROM unnest($1::uuid[]) u ORDER BY 1) s;

-- name: presence_lock_silent :exec ()
-- The locks of all whose places are silent.
SELECT pg_advisory_xact_lock(20007, s.slot)
FROM (SELECT DISTINCT abs(hashtext(p.user_id::text)) % 256 AS slot
      FROM user_presence p JOIN presence_places b ON b.place = p.place
      WHERE b.beat <= now() - interval '30 seconds' ORDER BY 1) s;

-- name: presence_up :many (place text, users uuid[])
-- A place has sockets of these users. Who was nowhere online before is given;
-- who was stays as he is. The place beats only if it has not for a while:
-- those who come at the same time would wait for its row one after the other.
WITH beat AS (
    INSERT INTO presence_places (place)
    SELECT $1 WHERE NOT EXISTS (
        SELECT 1 FROM presence_places
        WHERE place = $1 AND beat > now() - interval '5 seconds')
    ON CONFLICT (place) DO UPDATE SET beat = now()),
known AS (
    SELECT id FROM users WHERE id = ANY ($2) AND is_active FOR KEY SHARE),
put AS (
    INSERT INTO user_presence (user_id, place, status, seen_at)
    SELECT k.id, $1, coalesce(o.status, 'online'), clock_timestamp()
    FROM known k LEFT JOIN LATERAL (
        SELECT u.status FROM {{live_rows}} AND u.user_id = k.id
        ORDER BY u.seen_at DESC, u.place LIMIT 1) o ON true
    ON CONFLICT (user_id, place)
    DO UPDATE SET status = excluded.status, seen_at = excluded.seen_at
    RETURNING user_id, status, seen_at)
SELECT p.user_id, p.status, p.seen_at, {{rooms_of_p}} AS rooms
FROM put p
WHERE (SELECT u.place FROM {{live_rows}} AND u.user_id = p.user_id
       LIMIT 1) IS NULL;

-- name: presence_down :many (place text, users uuid[])
-- A place has no sockets of these users any more. Who is nowhere online now is
-- given; what places have of him that missed a beat goes too. Such a place has
-- ended, and who leaves another one shall not stay for it; or it is only slow,
-- and tells anew who is there.
WITH gone AS (
    DELETE FROM user_presence d
    WHERE user_id = ANY ($2) AND (place = $1 OR {{is_late}})
    RETURNING user_id, place)
{{who_went}};

-- name: presence_sweep :many ()
-- All places that are silent end, each by one who comes by. Who is nowhere
-- online then is given.
WITH silent AS (
    SELECT place FROM presence_places
    WHERE beat <= now() - interval '30 seconds'
    ORDER BY place FOR UPDATE SKIP LOCKED),
ended AS (
    DELETE FROM presence_places WHERE place IN (SELECT place FROM silent)),
gone AS (
    DELETE FROM user_presence WHERE place IN (SELECT place FROM silent)
    RETURNING user_id, place)
{{who_went}};

-- name: presence_set :many (user_id uuid, status text)
-- What a user wants to be seen as, wherever his sockets are; nothing is given
-- for one who has none.
WITH put AS (
    UPDATE user_presence SET status = $2, seen_at = clock_timestamp()
    WHERE user_id = $1
    RETURNING user_id, status, seen_at)
SELECT p.user_id, p.status, p.seen_at, {{rooms_of_p}} AS rooms
FROM put p
WHERE EXISTS (SELECT 1 FROM {{live_rows}} AND u.user_id = p.user_id)
ORDER BY p.seen_at DESC LIMIT 1;

-- name: presence_beat :one (place text)
-- A place is there. lost: it was not known, or late, and others may have
-- dropped what they knew of it.
WITH beat AS (
    INSERT INTO presence_places (place) VALUES ($1)
    ON CONFLICT (place) DO UPDATE SET beat = now()
    RETURNING xmax = 0 AS fresh)
SELECT fresh OR EXISTS (
    SELECT 1 FROM presence_places
    WHERE place = $1 AND beat <= now() - interval '20 seconds') AS lost
FROM beat;

-- fragment: rooms_of_p
ARRAY(SELECT m.room_id FROM room_members m WHERE m.user_id = p.user_id)

-- fragment: who_went
-- What this statement deletes is still seen by it.
SELECT p.user_id, 'offline' AS status, now() AS seen_at, {{rooms_of_p}} AS rooms
FROM (SELECT DISTINCT user_id FROM gone) p
WHERE (SELECT u.place FROM {{live_rows}} AND u.user_id = p.user_id
         AND u.place NOT IN (SELECT place FROM gone) LIMIT 1) IS NULL

-- fragment: is_late
NOT EXISTS (
    SELECT 1 FROM presence_places b
    WHERE b.place = d.place AND b.beat > now() - interval '20 seconds')

-- fragment: live_rows
user_presence u JOIN presence_places b
ON b.place = u.place AND b.beat > now() - interval '30 seconds' WHERE true
