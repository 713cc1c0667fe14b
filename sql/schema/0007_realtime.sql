-- Realtime: records between servers, and who is online.
--
-- Runs inside one transaction that chronicle-migrate opens. Forward only.
-- Nothing in these tables is worth a write-ahead log: after a crash they are
-- empty, and fill again within half a minute.

-- ── records ──────────────────────────────────────────────────────────────────
-- What is too long for NOTIFY. Each is read within a second or never.

CREATE UNLOGGED TABLE realtime_parcels (
    id         uuid        PRIMARY KEY,
    data       bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX realtime_parcels_created_at_idx ON realtime_parcels (created_at);

-- ── presence ─────────────────────────────────────────────────────────────────
-- A place is one child of one server, "<server>:<slot>:<life>". While it beats,
-- the users whose sockets it has are online. A place that does not beat for 30
-- seconds counts for nothing, and is cleared away by whoever comes by.

CREATE UNLOGGED TABLE presence_places (
    place varchar(48) PRIMARY KEY,
    beat  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE UNLOGGED TABLE user_presence (
    user_id uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    place   varchar(48) NOT NULL,
    status  varchar(10) NOT NULL DEFAULT 'online'
            CHECK (status IN ('online', 'away', 'busy')),
    seen_at timestamptz NOT NULL DEFAULT now(), -- when he came, or set it

    PRIMARY KEY (user_id, place)
) WITH (fillfactor = 70);

CREATE INDEX user_presence_place_idx ON user_presence (place);

-- One row per user who is online: what was set last, wherever it was. Name the
-- users (= ANY of an array, or one by one in a LATERAL with LIMIT 1): joined as
-- it is, all who are online are looked at.
CREATE VIEW online_users AS
SELECT DISTINCT ON (p.user_id) p.user_id, p.status, p.seen_at
FROM user_presence p JOIN presence_places b ON b.place = p.place
WHERE b.beat > now() - interval '30 seconds'
ORDER BY p.user_id, p.seen_at DESC, p.place;
