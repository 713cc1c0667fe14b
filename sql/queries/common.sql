-- Fragments that several resources use.

-- A new UUIDv7, for rows whose id is not made by the server's own code: the
-- milliseconds in front, the version's bits set, the rest random.
-- fragment: new_id
encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
    substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint)
              FROM 3)
    FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid

-- Takes the user's next change number and the time that goes with it. Every
-- statement that writes notes or folders does this first: it locks the user's
-- row, so all writers of one user queue there, in one order, and numbers become
-- visible in the order they were given. Times have that order, too, in
-- milliseconds, whatever the clock does.
-- fragment: change_time
greatest(clock_timestamp(), changed_at + interval '1 millisecond')

-- fragment: bump
bump AS (
    UPDATE users SET change_seq = change_seq + 1, changed_at = {{change_time}}
    WHERE id = $1
    RETURNING change_seq AS seq, changed_at AS at)
