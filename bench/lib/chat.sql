-- The tables of a chat, where the product's schema does not have them yet.
\set ON_ERROR_STOP on
SELECT to_regclass('chat_rooms') IS NULL AS missing \gset
\if :missing
CREATE TABLE chat_rooms (
    id              uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    name            text        NOT NULL,
    description     text,
    is_private      boolean     NOT NULL DEFAULT false,
    owner_id        uuid        NOT NULL REFERENCES users (id),
    version         integer     NOT NULL DEFAULT 1,
    last_seq        bigint      NOT NULL DEFAULT 0,
    last_message_at timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE INDEX ON chat_rooms (owner_id);
CREATE INDEX ON chat_rooms (last_message_at);
CREATE TABLE chat_messages (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    content     text        NOT NULL,
    room_id     uuid        NOT NULL REFERENCES chat_rooms (id)
        ON DELETE CASCADE,
    seq         bigint      NOT NULL,
    user_id     uuid        REFERENCES users (id) ON DELETE SET NULL,
    reply_to_id uuid        REFERENCES chat_messages (id) ON DELETE SET NULL,
    client_id   varchar(64),
    edited_at   timestamptz,
    deleted_at  timestamptz,
    search      tsvector    GENERATED ALWAYS AS
        (to_tsvector('simple', content)) STORED,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (room_id, seq)
);
CREATE UNIQUE INDEX ON chat_messages (room_id, user_id, client_id)
    WHERE client_id IS NOT NULL;
CREATE INDEX ON chat_messages USING gin (search);
CREATE TABLE room_members (
    id                   uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    room_id              uuid        NOT NULL REFERENCES chat_rooms (id)
        ON DELETE CASCADE,
    user_id              uuid        NOT NULL REFERENCES users (id)
        ON DELETE CASCADE,
    role                 varchar(10) NOT NULL DEFAULT 'member',
    last_read_message_id uuid,
    last_read_seq        bigint      NOT NULL DEFAULT 0,
    last_read_at         timestamptz,
    joined_at            timestamptz NOT NULL DEFAULT now(),
    UNIQUE (room_id, user_id)
) WITH (fillfactor = 80);
CREATE INDEX ON room_members (user_id);
\endif
