-- Notes: folders, notes, their history and files, and what sync has to keep.
--
-- Runs inside one transaction that chronicle-migrate opens. Forward only.
--
-- Nothing is deleted by a user's DELETE: deleted_at is set, and uniqueness is
-- asked of live rows only, by partial unique indexes.

-- ── folders ──────────────────────────────────────────────────────────────────

CREATE TABLE folders (
    id         uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id    uuid         NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       varchar(255) NOT NULL,
    color      varchar(7),
    icon       varchar(50),
    position   integer      NOT NULL DEFAULT 0,
    version    integer      NOT NULL DEFAULT 1,
    change_seq bigint       NOT NULL,
    created_at timestamptz  NOT NULL DEFAULT now(),
    updated_at timestamptz  NOT NULL DEFAULT now(),
    deleted_at timestamptz,

    CONSTRAINT folders_color_check CHECK (color ~ '^#[0-9A-Fa-f]{6}$'),
    CONSTRAINT folders_position_check CHECK (position BETWEEN 0 AND 1000000),
    CONSTRAINT folders_version_check CHECK (version >= 1)
);

CREATE UNIQUE INDEX unique_user_folder_name ON folders (user_id, name)
    WHERE deleted_at IS NULL;

-- Also the index on user_id, which is its first column.
CREATE INDEX folders_user_change_seq_idx ON folders (user_id, change_seq);

-- Only rows that have the column: nobody asks for "not deleted" by it.
CREATE INDEX folders_deleted_at_idx ON folders (deleted_at)
    WHERE deleted_at IS NOT NULL;

ALTER TABLE user_settings
    ADD CONSTRAINT user_settings_default_folder_id_fkey
    FOREIGN KEY (default_folder_id) REFERENCES folders (id)
    ON DELETE SET NULL;

-- Without it, removing a folder row would read all settings.
CREATE INDEX user_settings_default_folder_id_idx
    ON user_settings (default_folder_id) WHERE default_folder_id IS NOT NULL;

-- Superseded states of a folder, the base of a three-way merge.
CREATE TABLE folder_versions (
    id         uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    folder_id  uuid         NOT NULL REFERENCES folders (id) ON DELETE CASCADE,
    name       varchar(255) NOT NULL,
    color      varchar(7),
    icon       varchar(50),
    position   integer      NOT NULL,
    deleted_at timestamptz,
    version    integer      NOT NULL,
    created_at timestamptz  NOT NULL DEFAULT now(),

    CONSTRAINT folder_versions_folder_id_version_key
        UNIQUE (folder_id, version)
);

-- ── notes ────────────────────────────────────────────────────────────────────

CREATE TABLE notes (
    id                uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id           uuid         NOT NULL
        REFERENCES users (id) ON DELETE CASCADE,
    folder_id         uuid         REFERENCES folders (id) ON DELETE SET NULL,
    title             varchar(500) NOT NULL,
    content           text,
    content_plain     text,
    word_count        integer      NOT NULL DEFAULT 0,
    is_pinned         boolean      NOT NULL DEFAULT false,
    is_favorite       boolean      NOT NULL DEFAULT false,
    tags              text[]       NOT NULL DEFAULT '{}',
    version           integer      NOT NULL DEFAULT 1,
    client_updated_at timestamptz,
    sync_status       varchar(20)  NOT NULL DEFAULT 'synced',
    -- deleted for good: an empty tombstone that only sync still sees
    purged            boolean      NOT NULL DEFAULT false,
    change_seq        bigint       NOT NULL,
    -- A tsvector may hold 1 MB at most and refuses the row beyond it. left()
    -- keeps any text far below that, so that search can never refuse a note:
    -- words after the first 100000 characters are just not found.
    search            tsvector     GENERATED ALWAYS AS (
        setweight(to_tsvector('english', coalesce(title, '')), 'A') ||
        setweight(to_tsvector('english',
                              left(coalesce(content_plain, ''), 100000)), 'B')
    ) STORED,
    created_at        timestamptz  NOT NULL DEFAULT now(),
    updated_at        timestamptz  NOT NULL DEFAULT now(),
    deleted_at        timestamptz,

    CONSTRAINT notes_word_count_check CHECK (word_count >= 0),
    CONSTRAINT notes_version_check CHECK (version >= 1),
    CONSTRAINT notes_sync_status_check
        CHECK (sync_status IN ('synced', 'pending', 'conflict')),
    CONSTRAINT notes_purged_check CHECK (NOT purged OR deleted_at IS NOT NULL)
);

-- The list of a user's live notes, newest first, and its keyset pages. It
-- stands for (user_id, updated_at DESC) as well, of which it has the columns:
-- what is not live is found by notes_user_deleted_at_idx.
CREATE INDEX notes_user_updated_at_idx
    ON notes (user_id, updated_at DESC, id DESC) WHERE deleted_at IS NULL;

-- Pull. Also the index on user_id alone, which is its first column.
CREATE INDEX notes_user_change_seq_idx ON notes (user_id, change_seq);

CREATE INDEX notes_user_folder_id_idx ON notes (user_id, folder_id);
CREATE INDEX notes_user_pinned_idx ON notes (user_id, is_pinned)
    WHERE is_pinned;
CREATE INDEX notes_user_deleted_at_idx ON notes (user_id, deleted_at)
    WHERE deleted_at IS NOT NULL;

-- For the foreign key: removing a folder row looks for its notes by this.
CREATE INDEX notes_folder_id_idx ON notes (folder_id);

CREATE INDEX notes_tags_idx ON notes USING gin (tags);
CREATE INDEX notes_search_idx ON notes USING gin (search);

-- These four are asked across all users only: by the daily purge of the trash,
-- by retention, and by people who look after the service. Each write of a note
-- would pay for a full b-tree; a block range index costs next to nothing, and
-- a partial one only where its condition holds.
CREATE INDEX notes_created_at_idx ON notes USING brin (created_at);
CREATE INDEX notes_updated_at_idx ON notes USING brin (updated_at);
CREATE INDEX notes_deleted_at_idx ON notes (deleted_at)
    WHERE deleted_at IS NOT NULL AND NOT purged;
CREATE INDEX notes_is_pinned_idx ON notes (is_pinned) WHERE is_pinned;

-- ── history ──────────────────────────────────────────────────────────────────
-- Every step of a note's version leaves one row with the state before it. A
-- text row holds title and content; a meta row, of a step that changed neither,
-- holds the rest only and is never listed.

CREATE TABLE note_versions (
    id          uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    note_id     uuid         NOT NULL REFERENCES notes (id) ON DELETE CASCADE,
    user_id     uuid         NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    is_text     boolean      NOT NULL,
    title       varchar(500),
    content     text,
    word_count  integer      NOT NULL DEFAULT 0,
    -- no foreign key: it says where the note was, also when that is gone
    folder_id   uuid,
    tags        text[],
    is_pinned   boolean,
    is_favorite boolean,
    deleted_at  timestamptz,
    version     integer      NOT NULL,
    created_at  timestamptz  NOT NULL DEFAULT now(),

    -- is also the index on note_id
    CONSTRAINT note_versions_note_id_version_key UNIQUE (note_id, version),
    CONSTRAINT note_versions_text_check CHECK (NOT is_text OR title IS NOT NULL)
);

-- The only table that grows with every edit: a block range index, as above.
CREATE INDEX note_versions_created_at_idx ON note_versions
    USING brin (created_at);

-- For the foreign key: without it, deleting an account would read every row.
CREATE INDEX note_versions_user_id_idx ON note_versions (user_id);

-- ── files ────────────────────────────────────────────────────────────────────

CREATE TABLE attachments (
    id            uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    note_id       uuid         NOT NULL
        REFERENCES notes (id) ON DELETE CASCADE,
    user_id       uuid         NOT NULL
        REFERENCES users (id) ON DELETE CASCADE,
    filename      varchar(255) NOT NULL,
    file_size     bigint       NOT NULL,
    mime_type     varchar(100) NOT NULL,
    storage_key   text         NOT NULL,
    storage_url   text         NOT NULL,
    thumbnail_key text,
    thumbnail_url text,
    sha256        char(64)     NOT NULL,
    width         integer,
    height        integer,
    created_at    timestamptz  NOT NULL DEFAULT now(),

    CONSTRAINT attachments_file_size_check CHECK (file_size > 0)
);

CREATE INDEX attachments_note_id_idx ON attachments (note_id);
CREATE INDEX attachments_user_id_idx ON attachments (user_id);

-- ── sync ─────────────────────────────────────────────────────────────────────

CREATE TABLE sync_logs (
    id                 uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id            uuid         NOT NULL
        REFERENCES users (id) ON DELETE CASCADE,
    device_id          varchar(255),
    action             varchar(50)  NOT NULL,
    notes_synced       integer      NOT NULL DEFAULT 0,
    conflicts_resolved integer      NOT NULL DEFAULT 0,
    error_message      text,
    created_at         timestamptz  NOT NULL DEFAULT now(),

    CONSTRAINT sync_logs_action_check
        CHECK (action IN ('sync_start', 'sync_end', 'pull', 'push',
                          'conflict_detected', 'conflict_resolved'))
);

-- Also the index on user_id: the newest rows of a user, and of his devices.
CREATE INDEX sync_logs_user_id_idx ON sync_logs (user_id, created_at DESC);
CREATE INDEX sync_logs_created_at_idx ON sync_logs USING brin (created_at);

CREATE TABLE sync_conflicts (
    id             uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id        uuid        NOT NULL
        REFERENCES users (id) ON DELETE CASCADE,
    item_type      varchar(10) NOT NULL,
    -- a note's or a folder's id, so there is no foreign key
    item_id        uuid        NOT NULL,
    base_version   integer,
    client_data    jsonb       NOT NULL,
    server_version integer     NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    resolved_at    timestamptz,
    strategy       varchar(20),

    CONSTRAINT sync_conflicts_item_type_check
        CHECK (item_type IN ('note', 'folder')),
    CONSTRAINT sync_conflicts_strategy_check
        CHECK (strategy IN ('server-wins', 'client-wins', 'manual', 'merge'))
);

-- One open conflict per object: a newer one replaces it.
CREATE UNIQUE INDEX unique_open_sync_conflict
    ON sync_conflicts (user_id, item_type, item_id) WHERE resolved_at IS NULL;

-- For the foreign key: closed conflicts are in no other index.
CREATE INDEX sync_conflicts_user_id_idx ON sync_conflicts (user_id);

-- ── compression ──────────────────────────────────────────────────────────────
-- lz4 makes writing and reading of long notes about a quarter faster than the
-- built-in method, which is what remains where the server has no lz4: before
-- PostgreSQL 14 the words are a syntax error, and a later server may have been
-- built without it.

DO $$
BEGIN
    EXECUTE 'ALTER TABLE notes'
            '   ALTER COLUMN content SET COMPRESSION lz4,'
            '   ALTER COLUMN content_plain SET COMPRESSION lz4,'
            '   ALTER COLUMN search SET COMPRESSION lz4';
    EXECUTE 'ALTER TABLE note_versions'
            '   ALTER COLUMN content SET COMPRESSION lz4';
EXCEPTION
    WHEN syntax_error OR feature_not_supported OR invalid_parameter_value THEN
        RAISE NOTICE 'no lz4 in this server: notes use its own compression';
END
$$;
