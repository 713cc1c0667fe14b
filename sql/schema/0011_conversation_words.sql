-- Search in conversations: scripts that put no blanks between words.
--
-- Runs inside one transaction that chronicle-migrate opens. Forward only.
-- Reads what was said in other signs than ASCII once, and makes the words of
-- conversations in such scripts anew: a minute for 100 MB of them.

-- ── windows ──────────────────────────────────────────────────────────────────
-- The parser takes a run of such letters for one word. Instead each letter
-- begins a lexeme of the letters that follow: of three in the scripts of China
-- and Japan, whose words are short, of four in those that have alphabets (Thai,
-- Lao, Myanmar, Khmer); towards the end of a run, of as many as there are. What
-- is looked for must have all windows of its own in common with the text, or
-- when it is shorter is the beginning of one. All of that by the index; the
-- search then reads what it found, to tell windows that stand apart, where that
-- is not much work.
--
-- Letters are those of chronicle_words() (0006) and of ch_text_has_unspaced().

CREATE FUNCTION chronicle_is_unspaced(line text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(line) = char_length(line) THEN false
    ELSE line ~ (
        '[\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u2E80-\u2FDF\u3005-\u3007'
        '\u3040-\u30FF\u31F0-\u31FF\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF'
        '\uFF66-\uFF9F\U00020000-\U0003FFFF]') END
$$;

-- Puts `around` around each run of such letters; without one, a blank into its
-- place.
CREATE FUNCTION chronicle_parted(line text, around text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(line) = char_length(line) THEN line
    ELSE regexp_replace(line,
        '[\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u2E80-\u2FDF\u3005-\u3007'
        '\u3040-\u30FF\u31F0-\u31FF\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF'
        '\uFF66-\uFF9F\U00020000-\U0003FFFF]+',
        coalesce(around || '\&' || around, ' '), 'g') END
$$;

-- All windows of a text, in any order. Long runs are cut into pieces first,
-- with the letters that the last windows of each need, for a letter is found in
-- a text by counting those before it. PostgreSQL takes it for so much work that
-- it would compile it each time, which takes longer than all of it.
CREATE FUNCTION chronicle_windows(line text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET jit = off AS $$
DECLARE
    runs text := regexp_replace(line,
        '[^\u2E80-\u2FDF\u3005-\u3007\u3040-\u30FF\u31F0-\u31FF\u3400-\u4DBF'
        '\u4E00-\u9FFF\uF900-\uFAFF\uFF66-\uFF9F\U00020000-\U0003FFFF]+',
        ' ', 'g');
    made text[] := ARRAY(
        SELECT substr(piece, generate_series(1, least(128, length(piece))), 3)
        FROM (SELECT substr(run, 1 + 128 * generate_series(
                                0, (length(run) - 1) / 128), 130) AS piece
              FROM unnest(string_to_array(runs, ' ')) run) x);
BEGIN
    IF line ~ '[\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF]' THEN
        runs := regexp_replace(line,
            '[^\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF]+', ' ', 'g');
        made := made || ARRAY(
            SELECT substr(piece, generate_series(1, least(128, length(piece))),
                          4)
            FROM (SELECT substr(run, 1 + 128 * generate_series(
                                    0, (length(run) - 1) / 128), 131) AS piece
                  FROM unnest(string_to_array(runs, ' ')) run) x);
    END IF;
    RETURN made;
END
$$;

-- What a text must have to have all of `words` (one of them, if `any_will_do`)
-- and none of `without`. Each may hold several words, then a phrase, and
-- letters of any script. NULL: there is no word in them.
CREATE FUNCTION chronicle_parts_query(
    words text[], without text[], any_will_do boolean)
RETURNS tsquery LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    line    text;
    spaced  tsquery;
    windows tsquery;
    whole   tsquery;
BEGIN
    FOR n IN 1..cardinality(words) + cardinality(without) LOOP
        line := (words || without)[n];
        SELECT string_agg(CASE WHEN length(run) < size THEN run || ':*'
                          ELSE substr(run, place, size) END, '&')::tsquery
        INTO windows
        FROM (SELECT r[1] AS run, CASE WHEN r[1] ~
                  '^[\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF]'
                  THEN 4 ELSE 3 END AS size
              FROM regexp_matches(
                  line, '[\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF]+|'
                  '[\u2E80-\u2FDF\u3005-\u3007\u3040-\u30FF\u31F0-\u31FF'
                  '\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF\uFF66-\uFF9F'
                  '\U00020000-\U0003FFFF]+', 'g') r) x,
             generate_series(1, greatest(1, length(run) - size + 1)) place;
        line := chronicle_parted(line, NULL);
        spaced := CASE WHEN line ~ '[[:alnum:]]' THEN phraseto_tsquery(
            'english', translate(line, '<>', '  ')) END;
        windows := CASE WHEN numnode(spaced) > 0
                   THEN coalesce(spaced && windows, spaced)
                   ELSE windows END;
        whole := CASE WHEN windows IS NULL THEN whole
                 WHEN n > cardinality(words)
                 THEN coalesce(whole && !!windows, !!windows)
                 WHEN any_will_do THEN coalesce(whole || windows, windows)
                 ELSE coalesce(whole && windows, windows) END;
    END LOOP;
    RETURN whole;
END
$$;

-- By what their place is told: any of them counts, more in a title.
CREATE FUNCTION chronicle_parts_rank(words text[]) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(replace(
        chronicle_parts_query(words, '{}', true)::text, ' & ', ' | '),
        '')::tsquery
$$;

-- ── words ────────────────────────────────────────────────────────────────────
-- As in 0009, with windows beside the words. They say nothing of places: what
-- they weigh is what lexemes without places do, but in the title and in the
-- description, where they stand as the first.
--
-- When a tsvector is nearly full, what follows is left out; some is kept free
-- for title and description. Windows take longer than their text, so they count
-- for what is read at most.

CREATE FUNCTION chronicle_spaced_words(line text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF chronicle_is_unspaced(line) THEN
        line := chronicle_parted(line, NULL);
    END IF;
    RETURN to_tsvector('english', translate(line, '<>', '  '));
END
$$;

CREATE FUNCTION chronicle_tsvector_is_full(words tsvector) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT pg_column_size(words) - 4 * length(words) > 980000
$$;

CREATE OR REPLACE FUNCTION chronicle_message_words(contents text[])
RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    piece    text := array_to_string(contents, E'\n');
    is_short boolean := octet_length(piece) <= 300000;
    windows  text[];
    words    tsvector := '';
    more     tsvector;
    seen     integer := 0;
BEGIN
    IF is_short THEN
        words := setweight(chronicle_spaced_words(piece), 'C');
        IF NOT chronicle_is_unspaced(piece) THEN
            RETURN words;
        END IF;
    END IF;
    piece := '';
    FOR n IN 1..cardinality(contents) LOOP
        piece := piece || E'\n' || contents[n];
        CONTINUE WHEN octet_length(piece) <= 150000
                      AND n < cardinality(contents);
        more := words;
        IF NOT is_short THEN
            more := more || strip(chronicle_spaced_words(piece));
        END IF;
        FOR part IN 0..CASE WHEN chronicle_is_unspaced(piece)
                       THEN char_length(piece) / 20000 ELSE -1 END LOOP
            windows := chronicle_windows(
                substr(piece, part * 20000 + 1, 20003));
            seen := seen + 10 * cardinality(windows);
            more := more || array_to_tsvector(windows);
            EXIT WHEN chronicle_tsvector_is_full(more);
            words := more;
        END LOOP;
        EXIT WHEN chronicle_tsvector_is_full(more);
        words := more;
        seen := seen + octet_length(piece);
        piece := '';
        EXIT WHEN seen > 8000000;
    END LOOP;
    RETURN words;
EXCEPTION
    WHEN program_limit_exceeded THEN
        RETURN words;
END
$$;

CREATE OR REPLACE FUNCTION chronicle_conversation_words(
    user_id uuid, visibility text, title text, description text,
    messages tsvector)
RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    head tsvector :=
        setweight(chronicle_spaced_words(title), 'A')
        || setweight(chronicle_spaced_words(coalesce(description, '')), 'B')
        || array_to_tsvector(
            ARRAY[' ' || right(user_id::text, 12)]
            || CASE WHEN visibility = 'public' THEN ARRAY[' public']
               ELSE '{}' END);
BEGIN
    IF chronicle_is_unspaced(title) THEN
        head := head || (array_to_string(chronicle_windows(title), ':1A ')
                         || ':1A')::tsvector;
    END IF;
    IF chronicle_is_unspaced(description) THEN
        head := head || (array_to_string(chronicle_windows(description),
                                         ':1B ') || ':1B')::tsvector;
    END IF;
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

-- ── those that are there ─────────────────────────────────────────────────────

-- A server of the release before may be writing. What it has begun is waited
-- for, since it has the words as they were; what it begins now waits for the
-- functions above. Nobody who reads waits.
LOCK TABLE conversations IN EXCLUSIVE MODE;

UPDATE conversations c
SET search = chronicle_conversation_words(
    c.user_id, c.visibility, c.title, c.description,
    chronicle_message_words(ARRAY(
        SELECT content FROM conversation_messages m
        WHERE m.conversation_id = c.id ORDER BY m.position)))
WHERE chronicle_is_unspaced(c.title)
   OR chronicle_is_unspaced(coalesce(c.description, ''))
   OR EXISTS (SELECT 1 FROM conversation_messages m
              WHERE m.conversation_id = c.id
                AND chronicle_is_unspaced(m.content));
