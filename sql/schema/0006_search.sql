-- Search: words found by their user, tags counted, titles by their words.
--
-- Runs inside one transaction that chronicle-migrate opens. Forward only.
-- Rewrites the table of notes: about two minutes for a million notes of 1 KB.

-- ── words ────────────────────────────────────────────────────────────────────
-- Every note's search column also holds a lexeme for its user: a blank and the
-- last digits of the user's id. A question that asks for it beside the words
-- intersects inside of the index, so it costs what the user's own notes cost,
-- however many there are of others. No parser makes a lexeme with a blank, so
-- nothing that is typed finds it, and user_id is compared all the same.
--
-- What stands between < and > is text here (content_plain has no markup), but
-- the parser would leave it out as a tag: "List<String>" is found by "string".

ALTER TABLE notes
    DROP COLUMN search,
    ADD COLUMN search tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('english',
                              translate(title, '<>', '  ')), 'A') ||
        setweight(to_tsvector('english',
                              translate(left(coalesce(content_plain, ''),
                                             100000), '<>', '  ')), 'B') ||
        array_to_tsvector(ARRAY[' ' || right(user_id::text, 12)])
    ) STORED;

DO $$
BEGIN
    EXECUTE 'ALTER TABLE notes ALTER COLUMN search SET COMPRESSION lz4';
EXCEPTION
    WHEN syntax_error OR feature_not_supported OR invalid_parameter_value THEN
        NULL; -- 0002 has said so
END
$$;

-- New words wait in a list of the index until it is full; who fills it puts
-- them all in their places. With 4 MB, as a server has it by itself, that is
-- every sixteenth push of a hundred notes, which then takes three times as
-- long; with 1 MB the work is the same, in more even parts, and a search, which
-- reads the whole list, has less to read.
CREATE INDEX notes_search_idx ON notes USING gin (search)
    WITH (gin_pending_list_limit = 1024);

-- ── titles ───────────────────────────────────────────────────────────────────
-- Suggestions look for titles that go on, from the beginning of a word, as what
-- was typed. A word is a run of letters, digits and marks; but each letter of a
-- script that puts no blanks between words, and each other character, is a
-- word by itself. What is typed is cut by the same rule, so a title that has it
-- has all its words, the last one as a beginning.
--
-- Neither function calls the other, nor anything else of this schema: the index
-- must also come out of a dump, which is restored without a search_path.

-- Cuts lower-case text: puts `before` and `after` around each word. Quotes and
-- backslashes, which are special in a tsquery, become control characters.
CREATE FUNCTION chronicle_words(line text, before text, after text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(
        regexp_replace(
            translate(line, E'''\\', E'\x01\x02'),
            '([\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u2E80-\u2FDF'
            '\u3005-\u3007\u3040-\u30FF\u31F0-\u31FF\u3400-\u4DBF'
            '\u4E00-\u9FFF\uF900-\uFAFF\uFF66-\uFF9F\U00020000-\U0003FFFF])',
            E'\x04\\1\x04', 'g'),
        '[\s\u0004]*([[:alnum:]\u0300-\u036F\u0483-\u0489\u0591-\u05C7'
        '\u0610-\u061A\u064B-\u065F\u0670\u06D6-\u06ED\u0900-\u0903'
        '\u093A-\u094F\u0981-\u0983\u09BC-\u09CD\u1AB0-\u1AFF\u1DC0-\u1DFF'
        '\u200C\u200D\u20D0-\u20FF\uFE00-\uFE0F\uFE20-\uFE2F]+|[^\s\u0004])'
        '[\s\u0004]*',
        before || '\1' || after, 'g')
$$;

-- What lower-case text must match to have `line`, in lower case, at the
-- beginning of a word: nothing of the same word stands before it.
CREATE FUNCTION chronicle_word_pattern(line text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN line ~ (
        '^(?![\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u2E80-\u2FDF'
        '\u3005-\u3007\u3040-\u30FF\u31F0-\u31FF\u3400-\u4DBF\u4E00-\u9FFF'
        '\uF900-\uFAFF\uFF66-\uFF9F\U00020000-\U0003FFFF])'
        '[[:alnum:]\u0300-\u036F\u0483-\u0489\u0591-\u05C7\u0610-\u061A'
        '\u064B-\u065F\u0670\u06D6-\u06ED\u0900-\u0903\u093A-\u094F'
        '\u0981-\u0983\u09BC-\u09CD\u1AB0-\u1AFF\u1DC0-\u1DFF\u200C\u200D'
        '\u20D0-\u20FF\uFE00-\uFE0F\uFE20-\uFE2F]')
    THEN '(^|[\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u2E80-\u2FDF'
        '\u3005-\u3007\u3040-\u30FF\u31F0-\u31FF\u3400-\u4DBF\u4E00-\u9FFF'
        '\uF900-\uFAFF\uFF66-\uFF9F\U00020000-\U0003FFFF]|'
        '[^[:alnum:]\u0300-\u036F\u0483-\u0489\u0591-\u05C7\u0610-\u061A'
        '\u064B-\u065F\u0670\u06D6-\u06ED\u0900-\u0903\u093A-\u094F'
        '\u0981-\u0983\u09BC-\u09CD\u1AB0-\u1AFF\u1DC0-\u1DFF\u200C\u200D'
        '\u20D0-\u20FF\uFE00-\uFE0F\uFE20-\uFE2F])'
    ELSE '' END || regexp_replace(line, '([!-/:-@\[-`{-~])', '\\\1', 'g')
$$;

-- Each word behind its user's digits, so that those of a user lie together.
CREATE INDEX notes_title_words_idx ON notes USING gin (
    array_to_tsvector(array_remove(string_to_array(
        chronicle_words(lower(title), right(user_id::text, 12) || ' ',
                        E'\x03'), E'\x03'), '')))
    WHERE deleted_at IS NULL;

-- ── tags ─────────────────────────────────────────────────────────────────────
-- How many live notes of a user have each tag. Kept by the notes themselves,
-- whoever writes them. Longer tags than the API takes are not counted: they
-- might not fit into the index, and no note is refused for that.

CREATE TABLE user_tags (
    user_id uuid    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    tag     text    NOT NULL,
    uses    integer NOT NULL,

    PRIMARY KEY (user_id, tag)
) WITH (fillfactor = 70);

CREATE INDEX user_tags_prefix_idx
    ON user_tags (user_id, lower(tag) text_pattern_ops);

-- New and deleted rows are counted together, by statement, because they may be
-- a hundred thousand, of one tag; changed ones by themselves, because nearly
-- no change touches a tag, and then nothing is called.

CREATE FUNCTION chronicle_tags_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO user_tags AS u (user_id, tag, uses)
    SELECT m.user_id, t.tag, count(*)
    FROM made m, LATERAL (
        SELECT DISTINCT tag FROM unnest(m.tags) tag
        WHERE length(tag) <= 50) t
    WHERE m.deleted_at IS NULL
    GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (user_id, tag) DO UPDATE SET uses = u.uses + excluded.uses;
    RETURN NULL;
END
$$;

CREATE FUNCTION chronicle_tags_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_tags u SET uses = u.uses - g.uses
    FROM (SELECT m.user_id, t.tag, count(*) AS uses
          FROM gone m, LATERAL (SELECT DISTINCT tag FROM unnest(m.tags) tag) t
          WHERE m.deleted_at IS NULL
          GROUP BY 1, 2) g
    WHERE u.user_id = g.user_id AND u.tag = g.tag;
    DELETE FROM user_tags
    WHERE user_id IN (SELECT user_id FROM gone) AND uses <= 0;
    RETURN NULL;
END
$$;

CREATE FUNCTION chronicle_tags_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF old.deleted_at IS NULL THEN
        UPDATE user_tags SET uses = uses - 1
        WHERE user_id = old.user_id AND tag = ANY (old.tags);
    END IF;
    IF new.deleted_at IS NULL THEN
        INSERT INTO user_tags AS u (user_id, tag, uses)
        SELECT DISTINCT new.user_id, tag, 1 FROM unnest(new.tags) tag
        WHERE length(tag) <= 50
        ORDER BY 2
        ON CONFLICT (user_id, tag) DO UPDATE SET uses = u.uses + 1;
    END IF;
    DELETE FROM user_tags
    WHERE user_id = old.user_id AND tag = ANY (old.tags) AND uses <= 0;
    RETURN NULL;
END
$$;

CREATE TRIGGER notes_tags_made AFTER INSERT ON notes
    REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION chronicle_tags_made();

CREATE TRIGGER notes_tags_gone AFTER DELETE ON notes
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION chronicle_tags_gone();

CREATE TRIGGER notes_tags_changed AFTER UPDATE ON notes
    FOR EACH ROW WHEN (
        old.user_id <> new.user_id
        OR (old.deleted_at IS NULL) <> (new.deleted_at IS NULL)
        OR (new.deleted_at IS NULL AND old.tags IS DISTINCT FROM new.tags))
    EXECUTE FUNCTION chronicle_tags_changed();

INSERT INTO user_tags (user_id, tag, uses)
SELECT user_id, tag, count(*)
FROM (SELECT DISTINCT n.id, n.user_id, t.tag
      FROM notes n, unnest(n.tags) AS t (tag)
      WHERE n.deleted_at IS NULL AND length(t.tag) <= 50) d
GROUP BY 1, 2;
