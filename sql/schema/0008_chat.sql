-- Chat: rooms, their members and messages, reactions; notifications.
--
-- Runs inside one transaction that chronicle-migrate opens. Forward only.

-- ── chat_rooms ───────────────────────────────────────────────────────────────
-- Every change of a room that its members are told of takes the next event_seq
-- under the lock of this row; a message takes the next last_seq as well. Both
-- become visible in the order in which they were given. member_count is kept by
-- the same statements.
--
-- active_hour is the hour of the last activity: an index on last_message_at
-- would have every message write every index of the room. Lists walk the hours,
-- newest first, and sort within them.

CREATE TABLE chat_rooms (
    id              uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    name            text        NOT NULL,
    description     text,
    is_private      boolean     NOT NULL DEFAULT false,
    owner_id        uuid        NOT NULL REFERENCES users (id),
    member_count    integer     NOT NULL DEFAULT 0,
    version         integer     NOT NULL DEFAULT 1,
    last_seq        bigint      NOT NULL DEFAULT 0,
    event_seq       bigint      NOT NULL DEFAULT 0,
    last_message_at timestamptz,
    active_hour     timestamptz NOT NULL
        DEFAULT date_trunc('hour', now(), 'UTC'),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT chat_rooms_name_check
        CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT chat_rooms_description_check
        CHECK (char_length(description) <= 1000),
    CONSTRAINT chat_rooms_member_count_check CHECK (member_count >= 0),
    CONSTRAINT chat_rooms_version_check CHECK (version >= 1),
    CONSTRAINT chat_rooms_seq_check
        CHECK (last_seq >= 0 AND event_seq >= last_seq)
)
-- Each message moves last_seq, which is in no index: with room on the page that
-- is a heap-only update.
WITH (fillfactor = 50);

CREATE INDEX chat_rooms_owner_idx ON chat_rooms (owner_id);
CREATE INDEX chat_rooms_active_idx ON chat_rooms (active_hour DESC);

-- ── room_members ─────────────────────────────────────────────────────────────

CREATE TABLE room_members (
    id                   uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    room_id              uuid        NOT NULL
        REFERENCES chat_rooms (id) ON DELETE CASCADE,
    user_id              uuid        NOT NULL
        REFERENCES users (id) ON DELETE CASCADE,
    role                 varchar(10) NOT NULL DEFAULT 'member',
    -- the marker: everything up to it is read
    last_read_message_id uuid,
    last_read_seq        bigint      NOT NULL DEFAULT 0,
    last_read_at         timestamptz,
    joined_at            timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT room_members_key UNIQUE (room_id, user_id),
    CONSTRAINT room_members_role_check
        CHECK (role IN ('owner', 'moderator', 'member')),
    CONSTRAINT room_members_last_read_seq_check CHECK (last_read_seq >= 0)
) WITH (fillfactor = 70);

CREATE INDEX room_members_user_idx ON room_members (user_id);

-- ── chat_messages ────────────────────────────────────────────────────────────
-- A deleted message keeps its place, but nothing of its text. The search column
-- also holds a lexeme for the room, as that of notes for their user (0006): a
-- question costs what the rooms cost that it is about.

CREATE TABLE chat_messages (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    content     text        NOT NULL,
    room_id     uuid        NOT NULL
        REFERENCES chat_rooms (id) ON DELETE CASCADE,
    seq         bigint      NOT NULL,
    user_id     uuid        REFERENCES users (id) ON DELETE SET NULL,
    reply_to_id uuid        REFERENCES chat_messages (id) ON DELETE SET NULL,
    client_id   varchar(64),
    edited_at   timestamptz,
    deleted_at  timestamptz,
    search      tsvector GENERATED ALWAYS AS (
        to_tsvector('simple', translate(content, '<>', '  ')) ||
        array_to_tsvector(ARRAY[' ' || right(room_id::text, 12)])
    ) STORED,
    created_at  timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT chat_messages_seq_key UNIQUE (room_id, seq),
    CONSTRAINT chat_messages_content_check
        CHECK (char_length(content) <= 4000),
    CONSTRAINT chat_messages_seq_check CHECK (seq >= 1)
);

CREATE UNIQUE INDEX unique_message_client_id
    ON chat_messages (room_id, user_id, client_id)
    WHERE client_id IS NOT NULL;

CREATE INDEX chat_messages_search_idx ON chat_messages USING gin (search)
    WITH (gin_pending_list_limit = 1024);

-- For those who leave for good, and their exports; for what is replied to.
CREATE INDEX chat_messages_user_idx ON chat_messages (user_id, id)
    WHERE user_id IS NOT NULL;
CREATE INDEX chat_messages_reply_idx ON chat_messages (reply_to_id)
    WHERE reply_to_id IS NOT NULL;

-- ── message_reactions ────────────────────────────────────────────────────────

CREATE TABLE message_reactions (
    id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    message_id uuid        NOT NULL
        REFERENCES chat_messages (id) ON DELETE CASCADE,
    user_id    uuid        NOT NULL
        REFERENCES users (id) ON DELETE CASCADE,
    emoji      varchar(64) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT message_reactions_key UNIQUE (message_id, user_id, emoji),
    CONSTRAINT message_reactions_emoji_check
        CHECK (octet_length(emoji) BETWEEN 1 AND 64)
);

CREATE INDEX message_reactions_user_idx ON message_reactions (user_id);

-- ── notifications ────────────────────────────────────────────────────────────

CREATE TABLE notifications (
    id         uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id    uuid         NOT NULL
        REFERENCES users (id) ON DELETE CASCADE,
    type       varchar(30)  NOT NULL,
    title      varchar(200) NOT NULL,
    body       text,
    data       jsonb        NOT NULL DEFAULT '{}',
    read_at    timestamptz,
    created_at timestamptz  NOT NULL DEFAULT now(),

    CONSTRAINT notifications_type_check
        CHECK (type IN ('contact_form', 'demo_request', 'room_invite',
                        'inventory_sync', 'discrepancy', 'claim',
                        'integration', 'export', 'security', 'system')),
    CONSTRAINT notifications_data_check CHECK (jsonb_typeof(data) = 'object')
);

CREATE INDEX notifications_user_idx
    ON notifications (user_id, created_at DESC, id DESC);
CREATE INDEX notifications_unread_idx ON notifications (user_id)
    WHERE read_at IS NULL;
