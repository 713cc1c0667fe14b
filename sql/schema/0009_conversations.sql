-- Conversations: an archive of those that people had with AI models.
--
-- Runs inside one transaction that chronicle-migrate opens. Forward only.

-- ── conversations ────────────────────────────────────────────────────────────
-- What lists show. Views move view_count, which is in no index: with room on
-- the page that is a heap-only update.

CREATE TABLE conversations (
    id            uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id       uuid         NOT NULL
        REFERENCES users (id) ON DELETE CASCADE,
    slug          varchar(120) NOT NULL,
    title         varchar(200) NOT NULL,
    description   text,
    category      varchar(30)  NOT NULL DEFAULT 'general',
    tags          text[]       NOT NULL DEFAULT '{}',
    provider      varchar(30),
    model         varchar(100),
    source        varchar(20)  NOT NULL DEFAULT 'api',
    -- of an import: the id that it had there, or a hash of what it says
    source_id     varchar(255),
    visibility    varchar(10)  NOT NULL DEFAULT 'private',
    featured      boolean      NOT NULL DEFAULT false,
    featured_at   timestamptz,
    message_count integer      NOT NULL DEFAULT 0,
    view_count    bigint       NOT NULL DEFAULT 0,
    version       integer      NOT NULL DEFAULT 1,
    search        tsvector,
    created_at    timestamptz  NOT NULL DEFAULT now(),
    updated_at    timestamptz  NOT NULL DEFAULT now(),

    CONSTRAINT conversations_slug_key UNIQUE (slug),
    CONSTRAINT conversations_slug_check
        CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    CONSTRAINT conversations_title_check
        CHECK (char_length(title) BETWEEN 1 AND 200),
    CONSTRAINT conversations_description_check
        CHECK (char_length(description) <= 2000),
    CONSTRAINT conversations_category_check CHECK (category IN (
        'general', 'programming', 'writing', 'education', 'research',
        'business', 'creative', 'science', 'health', 'productivity',
        'entertainment', 'other')),
    CONSTRAINT conversations_provider_check CHECK (provider IN (
        'openai', 'anthropic', 'google', 'meta', 'mistral', 'deepseek', 'xai',
        'other')),
    CONSTRAINT conversations_source_check
        CHECK (source IN ('api', 'chatgpt', 'claude')),
    CONSTRAINT conversations_visibility_check
        CHECK (visibility IN ('private', 'unlisted', 'public')),
    CONSTRAINT conversations_featured_check CHECK (
        featured = (featured_at IS NOT NULL)
        AND (NOT featured OR visibility = 'public')),
    CONSTRAINT conversations_count_check
        CHECK (message_count >= 0 AND view_count >= 0),
    CONSTRAINT conversations_version_check CHECK (version >= 1)
) WITH (fillfactor = 85);

CREATE UNIQUE INDEX conversations_source_key
    ON conversations (user_id, source, source_id)
    WHERE source_id IS NOT NULL;
CREATE INDEX conversations_user_idx
    ON conversations (user_id, created_at DESC, id DESC);
CREATE INDEX conversations_public_idx
    ON conversations (created_at DESC, id DESC) WHERE visibility = 'public';
CREATE INDEX conversations_updated_idx
    ON conversations (updated_at DESC, id DESC) WHERE visibility = 'public';
CREATE INDEX conversations_category_idx
    ON conversations (category, created_at DESC, id DESC)
    WHERE visibility = 'public';
CREATE INDEX conversations_featured_idx
    ON conversations (featured_at DESC, id DESC) WHERE featured;
CREATE INDEX conversations_tags_idx ON conversations USING gin (tags);
CREATE INDEX conversations_search_idx ON conversations USING gin (search)
    WITH (gin_pending_list_limit = 1024);

-- ── conversation_messages ────────────────────────────────────────────────────
-- Rows, so that a page of a conversation costs the same however long it is.

CREATE TABLE conversation_messages (
    id              uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    conversation_id uuid        NOT NULL
        REFERENCES conversations (id) ON DELETE CASCADE,
    position        integer     NOT NULL,
    role            varchar(10) NOT NULL,
    content         text        NOT NULL,
    model           varchar(100),
    created_at      timestamptz,

    CONSTRAINT conversation_messages_key UNIQUE (conversation_id, position),
    CONSTRAINT conversation_messages_position_check CHECK (position >= 0),
    CONSTRAINT conversation_messages_role_check
        CHECK (role IN ('user', 'assistant', 'system', 'tool'))
);

-- ── conversation_views ───────────────────────────────────────────────────────
-- Who has looked in which hour; cleared away when the hour is long over. Not
-- logged: after a crash somebody may be counted twice.

CREATE UNLOGGED TABLE conversation_views (
    conversation_id uuid        NOT NULL
        REFERENCES conversations (id) ON DELETE CASCADE,
    hour            timestamptz NOT NULL,
    viewer_hash     char(64)    NOT NULL,

    PRIMARY KEY (conversation_id, hour, viewer_hash)
);

CREATE INDEX conversation_views_hour_idx ON conversation_views (hour);

-- ── conversation_imports ─────────────────────────────────────────────────────
-- Exports of other products that a job takes in. The job notes how far it is.

CREATE TABLE conversation_imports (
    id           uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id      uuid        NOT NULL
        REFERENCES users (id) ON DELETE CASCADE,
    status       varchar(20) NOT NULL DEFAULT 'queued',
    storage_key  text,
    format       varchar(10) NOT NULL,
    -- NULL: each as its file has it, or by default
    visibility   varchar(10),
    category     varchar(30),
    tags         text[],
    processed    integer     NOT NULL DEFAULT 0,
    total        integer,
    result       jsonb,
    error        text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,

    CONSTRAINT conversation_imports_status_check
        CHECK (status IN ('queued', 'running', 'completed', 'failed'))
);

CREATE INDEX conversation_imports_user_idx
    ON conversation_imports (user_id, created_at DESC);

-- ── slugs ────────────────────────────────────────────────────────────────────
-- A slug made of a title gets the lowest number that is free. Where the search
-- for it may begin is noted per title, so that the ten thousandth "Untitled"
-- costs no more than the second.

CREATE TABLE conversation_slugs (
    base varchar(120) PRIMARY KEY,
    next integer      NOT NULL -- all below it, from 2 on, are taken
);

-- Whoever gives or makes a slug waits until a transaction ends that might take
-- the same one: makers of "a-2" and of "a" lock "a". Longer ones come later, so
-- that nobody waits for each other.
CREATE FUNCTION chronicle_lock_slug(slug text) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(
        20009, hashtext(regexp_replace(slug, '-[1-9][0-9]*$', '')))
$$;

-- A slug as it was given, with its lock; NULL for NULL.
CREATE FUNCTION chronicle_given_slug(slug text) RETURNS text
LANGUAGE plpgsql STRICT AS $$
BEGIN
    PERFORM chronicle_lock_slug(slug);
    RETURN slug;
END
$$;

-- A free slug for what a title gave, which may be a word of the API's paths, or
-- look like an id: then it gets a number at once. One that would be too long
-- with a number behind it is cut.
CREATE FUNCTION chronicle_free_slug(wanted text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    stem   text := rtrim(left(wanted, 109), '-');
    number integer;
BEGIN
    PERFORM chronicle_lock_slug(stem);
    PERFORM chronicle_lock_slug(stem || '-2');
    IF stem <> wanted THEN
        PERFORM chronicle_lock_slug(wanted);
        PERFORM chronicle_lock_slug(wanted || '-2');
    END IF;
    IF wanted <> ALL ('{featured,categories,search,stats,import,imports}')
       AND wanted !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
       AND NOT EXISTS (SELECT 1 FROM conversations WHERE slug = wanted) THEN
        RETURN wanted;
    END IF;
    -- its lock keeps numbers from becoming free unseen
    INSERT INTO conversation_slugs (base, next) VALUES (stem, 2)
    ON CONFLICT DO NOTHING;
    SELECT next INTO number FROM conversation_slugs WHERE base = stem
    FOR UPDATE;
    WHILE EXISTS (SELECT 1 FROM conversations
                  WHERE slug = stem || '-' || number) LOOP
        number := number + 1;
    END LOOP;
    UPDATE conversation_slugs SET next = number + 1 WHERE base = stem;
    RETURN stem || '-' || number;
END
$$;

-- Numbers that become free are given again.
CREATE FUNCTION chronicle_slug_gone() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    parts text[] := regexp_match(old.slug, '^(.+)-([1-9][0-9]{0,8})$');
BEGIN
    UPDATE conversation_slugs SET next = least(next, parts[2]::integer)
    WHERE base = parts[1] AND parts[2]::integer >= 2;
    RETURN NULL;
END
$$;

CREATE TRIGGER conversations_slug_gone AFTER DELETE ON conversations
    FOR EACH ROW WHEN (old.slug ~ '-[0-9]+$')
    EXECUTE FUNCTION chronicle_slug_gone();
CREATE TRIGGER conversations_slug_changed AFTER UPDATE ON conversations
    FOR EACH ROW WHEN (old.slug <> new.slug AND old.slug ~ '-[0-9]+$')
    EXECUTE FUNCTION chronicle_slug_gone();

-- ── words ────────────────────────────────────────────────────────────────────
-- The words of a conversation's messages. A tsvector holds a megabyte: of long
-- conversations positions are left out, and when it is full, or after 8 MB of
-- text, which take two seconds, what follows is not found by its words.

CREATE FUNCTION chronicle_message_words(contents text[]) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    words   tsvector := '';
    content text;
    piece   text := '';
    seen    integer := 0;
BEGIN
    IF octet_length(array_to_string(contents, ' ')) <= 300000 THEN
        RETURN setweight(to_tsvector('english', translate(
            array_to_string(contents, E'\n'), '<>', '  ')), 'C');
    END IF;
    FOREACH content IN ARRAY contents LOOP
        piece := piece || E'\n' || content;
        IF octet_length(piece) > 150000 THEN
            words := words || strip(to_tsvector('english',
                                                translate(piece, '<>', '  ')));
            seen := seen + octet_length(piece);
            piece := '';
            EXIT WHEN seen > 8000000;
        END IF;
    END LOOP;
    RETURN words || strip(to_tsvector('english', translate(piece, '<>', '  ')));
EXCEPTION
    WHEN program_limit_exceeded THEN
        RETURN words;
END
$$;

-- All of them, with a lexeme for its user and one for those that are public, as
-- notes have one for their user (0006).
CREATE FUNCTION chronicle_conversation_words(
    user_id uuid, visibility text, title text, description text,
    messages tsvector)
RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    head tsvector :=
        setweight(to_tsvector('english', translate(title, '<>', '  ')), 'A')
        || setweight(to_tsvector('english', translate(
            coalesce(description, ''), '<>', '  ')), 'B')
        || array_to_tsvector(
            ARRAY[' ' || right(user_id::text, 12)]
            || CASE WHEN visibility = 'public' THEN ARRAY[' public']
               ELSE '{}' END);
BEGIN
    RETURN head || messages;
EXCEPTION
    WHEN program_limit_exceeded THEN
        BEGIN
            RETURN head || strip(messages);
        EXCEPTION
            WHEN program_limit_exceeded THEN
                RETURN head;
        END;
END
$$;

DO $$
BEGIN
    EXECUTE 'ALTER TABLE conversations ALTER COLUMN search SET COMPRESSION lz4';
    EXECUTE 'ALTER TABLE conversation_messages'
            ' ALTER COLUMN content SET COMPRESSION lz4';
EXCEPTION
    WHEN syntax_error OR feature_not_supported OR invalid_parameter_value THEN
        NULL; -- 0002 has said so
END
$$;
