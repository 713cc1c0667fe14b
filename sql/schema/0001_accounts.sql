-- Accounts: who may log in, and the proofs and sessions that belong to them.
--
-- Runs inside one transaction that chronicle-migrate opens, so it holds no
-- BEGIN or COMMIT. Forward only: an applied file is never edited (its checksum
-- is recorded); a later change is a later file.
--
-- Ids are UUIDv7 made by the server; the default is for rows made by hand.
-- Enumerations are varchar with a named CHECK, because a value can be added to
-- those in one cheap step, and a dump of them loads anywhere.

-- ── users ────────────────────────────────────────────────────────────────────

CREATE TABLE users (
    id                 uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    -- stored in lower case by the server, so plain equality finds it
    email              varchar(255) NOT NULL,
    password_hash      varchar(255) NOT NULL,
    full_name          varchar(255),
    avatar_url         text,
    role               varchar(20)  NOT NULL DEFAULT 'user',
    email_verified     boolean      NOT NULL DEFAULT false,
    is_active          boolean      NOT NULL DEFAULT true,
    subscription_tier  varchar(50)  NOT NULL DEFAULT 'free',
    ai_tokens_used     bigint       NOT NULL DEFAULT 0,
    ai_tokens_limit    bigint       NOT NULL DEFAULT 100000,
    ai_tokens_reserved bigint       NOT NULL DEFAULT 0,
    -- the month that ai_tokens_used counts; UTC, whatever the session's zone is
    ai_period          date         NOT NULL
        DEFAULT date_trunc('month', now() AT TIME ZONE 'UTC')::date,
    -- last change number given to a note or folder of this user
    change_seq         bigint       NOT NULL DEFAULT 0,
    version            integer      NOT NULL DEFAULT 1,
    created_at         timestamptz  NOT NULL DEFAULT now(),
    updated_at         timestamptz  NOT NULL DEFAULT now(),
    last_login_at      timestamptz,

    CONSTRAINT users_email_key UNIQUE (email),
    CONSTRAINT users_role_check
        CHECK (role IN ('user', 'manager', 'admin')),
    CONSTRAINT users_subscription_tier_check
        CHECK (subscription_tier IN ('free', 'pro', 'enterprise')),
    CONSTRAINT users_ai_tokens_check
        CHECK (ai_tokens_used >= 0 AND ai_tokens_limit >= 0
               AND ai_tokens_reserved >= 0),
    CONSTRAINT users_ai_period_check
        CHECK (extract(day FROM ai_period) = 1),
    CONSTRAINT users_change_seq_check CHECK (change_seq >= 0),
    CONSTRAINT users_version_check CHECK (version >= 1)
)
-- Every write of a note or folder moves change_seq, which is in no index: with
-- room on the page that is a heap-only update, which touches no index and whose
-- dead versions the next reader of the page removes. A fifth of each page is
-- that room (a row is about 300 bytes, so some six versions).
WITH (fillfactor = 80);

-- users_email_key is the index on email.
CREATE INDEX users_created_at_idx ON users (created_at DESC, id DESC);

-- ── user_settings ────────────────────────────────────────────────────────────

CREATE TABLE user_settings (
    user_id             uuid        PRIMARY KEY
        REFERENCES users (id) ON DELETE CASCADE,
    theme               varchar(10) NOT NULL DEFAULT 'system',
    language            varchar(35) NOT NULL DEFAULT 'en',
    timezone            varchar(64) NOT NULL DEFAULT 'UTC',
    email_notifications boolean     NOT NULL DEFAULT true,
    push_notifications  boolean     NOT NULL DEFAULT true,
    -- refers to folders; the foreign key comes with that table, in 0002
    default_folder_id   uuid,
    auto_save           boolean     NOT NULL DEFAULT true,
    ai_enabled          boolean     NOT NULL DEFAULT true,
    ai_model            varchar(50),
    notes_sort_by       varchar(20) NOT NULL DEFAULT 'updatedAt',
    notes_sort_order    varchar(4)  NOT NULL DEFAULT 'desc',
    conflict_strategy   varchar(20) NOT NULL DEFAULT 'manual',
    -- the 8192 byte limit is the server's: jsonb prints wider than it was sent
    custom              jsonb       NOT NULL DEFAULT '{}',
    version             integer     NOT NULL DEFAULT 1,
    updated_at          timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT user_settings_theme_check
        CHECK (theme IN ('system', 'light', 'dark')),
    CONSTRAINT user_settings_language_check
        CHECK (char_length(language) >= 2),
    CONSTRAINT user_settings_timezone_check
        CHECK (char_length(timezone) >= 1),
    CONSTRAINT user_settings_ai_model_check
        CHECK (char_length(ai_model) >= 1),
    CONSTRAINT user_settings_notes_sort_by_check
        CHECK (notes_sort_by IN ('updatedAt', 'createdAt', 'title',
                                 'wordCount')),
    CONSTRAINT user_settings_notes_sort_order_check
        CHECK (notes_sort_order IN ('asc', 'desc')),
    CONSTRAINT user_settings_conflict_strategy_check
        CHECK (conflict_strategy IN ('manual', 'server-wins', 'client-wins',
                                     'merge')),
    CONSTRAINT user_settings_custom_check
        CHECK (jsonb_typeof(custom) = 'object'),
    CONSTRAINT user_settings_version_check CHECK (version >= 1)
);

-- ── proofs sent by mail ──────────────────────────────────────────────────────
-- The mail holds the token; these tables hold its SHA-256 in hex, so that a
-- stolen dump opens nothing.

CREATE TABLE email_verifications (
    id         uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id    uuid         NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token      varchar(255) NOT NULL,
    expires_at timestamptz  NOT NULL,
    created_at timestamptz  NOT NULL DEFAULT now(),

    -- is also the index on token
    CONSTRAINT email_verifications_token_key UNIQUE (token)
);

CREATE INDEX email_verifications_user_id_idx ON email_verifications (user_id);

CREATE TABLE password_resets (
    id         uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id    uuid         NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token      varchar(255) NOT NULL,
    expires_at timestamptz  NOT NULL,
    used       boolean      NOT NULL DEFAULT false,
    created_at timestamptz  NOT NULL DEFAULT now(),

    -- is also the index on token
    CONSTRAINT password_resets_token_key UNIQUE (token)
);

-- a new reset kills the earlier ones of its user
CREATE INDEX password_resets_user_id_idx ON password_resets (user_id);

-- ── sessions ─────────────────────────────────────────────────────────────────
-- One row is one login. Refresh tokens have no table: a token carries the
-- session's id, a counter and a MAC under refresh_key, and the row says which
-- counter is the current one.

CREATE TABLE sessions (
    id              uuid          PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id         uuid          NOT NULL
        REFERENCES users (id) ON DELETE CASCADE,
    kind            varchar(10)   NOT NULL DEFAULT 'token',
    token_hash      varchar(255)  NOT NULL,
    csrf_hash       varchar(64),
    device_name     varchar(255),
    device_type     varchar(50)   NOT NULL DEFAULT 'other',
    ip_address      inet,
    user_agent      text,
    last_active_at  timestamptz   NOT NULL DEFAULT now(),
    expires_at      timestamptz   NOT NULL,
    revoked_at      timestamptz,
    created_at      timestamptz   NOT NULL DEFAULT now(),
    refresh_key     bytea         NOT NULL,
    refresh_counter integer       NOT NULL DEFAULT 0,
    refreshed_at    timestamptz,
    -- Issue times of the newest refresh tokens: a token presented within 10 s
    -- of having been replaced is a lost answer or a race, not a theft.
    refresh_recent  timestamptz[] NOT NULL DEFAULT '{}',

    CONSTRAINT sessions_kind_check CHECK (kind IN ('token', 'cookie')),
    CONSTRAINT sessions_device_type_check
        CHECK (device_type IN ('web', 'mobile', 'desktop', 'tablet', 'api',
                               'other')),
    CONSTRAINT sessions_refresh_counter_check CHECK (refresh_counter >= 0)
)
-- last_active_at and the refresh columns move without any index changing
WITH (fillfactor = 90);

CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_token_hash_idx ON sessions (token_hash);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);
