-- Sync: the time of changes in their order, and how far each device has come.
--
-- Runs inside one transaction that chronicle-migrate opens. Forward only.

-- ── the time of changes ──────────────────────────────────────────────────────
-- Time of the latest change of a user's notes and folders, taken with the
-- change number, under the same lock. It grows by a millisecond at least, so
-- that the times of changes have the order of their numbers, also when a clock
-- is set back, and a client that asks for "later than" by what it was told, in
-- milliseconds, misses nothing.

ALTER TABLE users ADD COLUMN changed_at timestamptz;

UPDATE users u SET changed_at = greatest(
    (SELECT max(n.updated_at) FROM notes n WHERE n.user_id = u.id),
    (SELECT max(f.updated_at) FROM folders f WHERE f.user_id = u.id));

-- ── devices ──────────────────────────────────────────────────────────────────
-- How far a device has come: it has everything up to change_seq, which is of
-- synced_at or later, by pulling it or having pushed it. Written by every pull and push, so no other column than
-- those of the key is indexed, and rows leave room for their next version.

CREATE TABLE sync_devices (
    user_id      uuid         NOT NULL
        REFERENCES users (id) ON DELETE CASCADE,
    device_id    varchar(255) NOT NULL,
    change_seq   bigint       NOT NULL,
    synced_at    timestamptz  NOT NULL,
    last_pull_at timestamptz,
    last_push_at timestamptz,

    PRIMARY KEY (user_id, device_id),
    CONSTRAINT sync_devices_seen_check
        CHECK (last_pull_at IS NOT NULL OR last_push_at IS NOT NULL)
) WITH (fillfactor = 70);
