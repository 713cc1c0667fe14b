-- Words that people type become a query that no string can break. Asked for
-- together with the lexeme of the user (schema 0006) it costs what his own
-- notes cost; user_id is then compared in a way that no index serves, because
-- a second bitmap of all his notes would cost more than it saves.

-- fragment: search_words
websearch_to_tsquery('english', $2)

-- fragment: search_mine
(''' ' || right($1::text, 12) || '''')::tsquery

-- fragment: search_filter
($5 IS NULL OR n.folder_id = $5)
AND (NOT $6 OR n.folder_id IS NULL)
AND ($7 IS NULL OR n.is_pinned = $7)
AND ($8 IS NULL OR n.is_favorite = $8)
AND ($9 IS NULL OR n.tags @> $9)

-- fragment: search_page
page AS (
    SELECT * FROM found ORDER BY rank DESC, updated_at DESC, id DESC
    LIMIT $3 OFFSET $4)

-- Text in which hits will be marked by control characters: those are taken out
-- first; < and > become others, because ts_headline would drop what looks like
-- a tag (base/jsonw.h).
-- fragment: search_title
translate(n.title, E'<>\x02\x03\x04\x05\x06', E'\x04\x05')

-- fragment: search_content
translate(left(coalesce(n.content_plain, ''), 100000),
          E'<>\x02\x03\x04\x05\x06', E'\x04\x05')

-- What may be marked: any of the words, but those that are shut out.
-- fragment: search_hits
(SELECT CASE WHEN querytree(q) = 'T' THEN q
             ELSE replace(querytree(q), ' & ', ' | ')::tsquery END AS q
 FROM (SELECT {{search_words}} AS q) w) h

-- name: search_page :many (user_id uuid, q text, fetch int, skip int,
--   folder_id uuid?, no_folder bool, pinned bool?, favorite bool?,
--   tags text[]?)
-- plan: custom
-- Live notes that have the words, best first; hits are marked in the notes of
-- the page alone. No words: nothing.
WITH found AS MATERIALIZED (
    SELECT n.id, n.updated_at, ts_rank(n.search, {{search_words}}) AS rank
    FROM notes n
    WHERE numnode({{search_words}}) > 0
      AND n.search @@ ({{search_words}} && {{search_mine}})
      AND n.user_id IS NOT DISTINCT FROM $1 AND n.deleted_at IS NULL
      AND {{search_filter}}),
{{search_page}}
SELECT t.total, p.*
FROM (SELECT count(*) AS total FROM found) t
LEFT JOIN (
    SELECT {{note_item_columns}}, k.rank,
           ts_headline('english', {{search_title}}, h.q,
                       E'HighlightAll=true, StartSel="\x02", StopSel="\x03"')
               AS title_marked,
           ts_headline('english', {{search_content}}, h.q,
                       'MaxFragments=3, MaxWords=24, MinWords=8, ShortWord=0,'
                       || E'StartSel="\x02", StopSel="\x03",'
                       || E'FragmentDelimiter="\x06"') AS content_marked
    FROM {{search_hits}}, page k JOIN notes n ON n.id = k.id
    {{note_folder}}) p ON true
ORDER BY p.rank DESC, p.updated_at DESC, p.id DESC;

-- name: search_page_unspaced :many (user_id uuid, q text, fetch int,
--   skip int, folder_id uuid?, no_folder bool, pinned bool?,
--   favorite bool?, tags text[]?, words text[], without text[])
-- variants: match = exact:LIKE|c folded:ILIKE|ci ; which = all:ALL any:ANY
-- plan: custom
-- The same of what has letters of a script without blanks, which full-text
-- search takes for one word up to the next blank: the parts are looked for in
-- the text itself. words, without: patterns of LIKE; q: all words as a regular
-- expression. A hit in the title weighs as much as in full-text search.
WITH found AS MATERIALIZED (
    SELECT n.id, n.updated_at,
           coalesce((SELECT avg(CASE WHEN n.title {{match}} w THEN 1.0
                                     WHEN n.content_plain {{match}} w THEN 0.4
                                     ELSE 0 END)
                     FROM unnest($10) w), 0)::real AS rank
    FROM notes n
    WHERE n.user_id = $1 AND n.deleted_at IS NULL
      AND n.title || E'\n' || coalesce(n.content_plain, '')
          {{match}} {{which}} ($10)
      AND NOT n.title || E'\n' || coalesce(n.content_plain, '')
          {{match}} ANY ($11)
      AND {{search_filter}}),
{{search_page}}
SELECT t.total, p.*
FROM (SELECT count(*) AS total FROM found) t
LEFT JOIN (
    SELECT {{note_item_columns}}, k.rank,
           regexp_replace({{search_title}}, '(' || $2 || ')', E'\x02\\1\x03',
                          'g{{match.2}}') AS title_marked,
           (SELECT string_agg(regexp_replace(c.part, '(' || $2 || ')',
                                             E'\x02\\1\x03', 'g{{match.2}}'),
                              E'\x06' ORDER BY c.place)
            FROM (SELECT m[1] AS part, place
                  FROM regexp_matches(
                      {{search_content}},
                      '(.{0,40}(?:' || $2 || ').{0,80})', 'g{{match.2}}')
                      WITH ORDINALITY AS r (m, place)
                  LIMIT 3) c) AS content_marked
    FROM page k JOIN notes n ON n.id = k.id
    {{note_folder}}) p ON true
ORDER BY p.rank DESC, p.updated_at DESC, p.id DESC;

-- Most titles do not have it anywhere: that is found out more quickly.
-- fragment: suggest_match
CASE WHEN strpos(lower(n.title), (SELECT line FROM typed)) > 0
     THEN lower(n.title) ~ (SELECT pattern FROM typed)
     ELSE false END

-- name: search_suggestions :many (user_id uuid, q text, fetch int)
-- Tags that begin so, then titles with a word that begins so. Of titles the
-- newest are looked through first: what many titles have is found there, the
-- index (schema 0006) finds what few have, by the words of what is typed, the
-- last one as a beginning; a single word then needs no other test. Planned
-- once: what is typed is taken apart by itself, and the range of tags ends
-- behind the longest one that there can be.
WITH typed AS MATERIALIZED (
    SELECT line, line || repeat(chr(1114111), 51) AS line_end,
           chronicle_word_pattern(line) AS pattern,
           chronicle_words(line, '', E'\x03') = line || E'\x03' AS is_word,
           (nullif(left(chronicle_words(
               line, '''' || right($1::text, 12) || ' ', ''' & '), -3), '')
            || ':*')::tsquery AS query
    FROM (SELECT lower($2) AS line) l),
tags AS (
    SELECT tag, uses FROM user_tags
    WHERE user_id = $1 AND uses > 0
      AND lower(tag) ~>=~ (SELECT line FROM typed)
      AND lower(tag) ~<~ (SELECT line_end FROM typed)
    ORDER BY uses DESC, tag LIMIT $3),
room AS (SELECT $3 - count(*) AS rows FROM tags),
near AS MATERIALIZED (
    SELECT n.id, n.title, n.updated_at
    FROM (SELECT id, title, updated_at FROM notes
          WHERE user_id = $1 AND deleted_at IS NULL
          ORDER BY updated_at DESC, id DESC LIMIT 1000) n
    WHERE {{suggest_match}}
    ORDER BY n.updated_at DESC, n.id DESC LIMIT (SELECT rows FROM room)),
short AS (SELECT count(*) < (SELECT rows FROM room) AS it_is FROM near),
far AS MATERIALIZED (
    SELECT n.id, n.title, n.updated_at
    FROM notes n
    WHERE (SELECT it_is FROM short)
      AND array_to_tsvector(array_remove(string_to_array(
          chronicle_words(lower(n.title), right(n.user_id::text, 12) || ' ',
                          E'\x03'), E'\x03'), ''))
          @@ (SELECT query FROM typed)
      AND n.user_id IS NOT DISTINCT FROM $1 AND n.deleted_at IS NULL
      AND ((SELECT is_word FROM typed) OR {{suggest_match}})
    ORDER BY n.updated_at DESC, n.id DESC LIMIT (SELECT rows FROM room))
SELECT 'tag' AS type, tag AS value, NULL::uuid AS note_id, uses AS count,
       NULL::timestamptz AS at
FROM tags
UNION ALL
SELECT 'note', title, id, NULL, updated_at FROM near
WHERE NOT (SELECT it_is FROM short)
UNION ALL
SELECT 'note', title, id, NULL, updated_at FROM far
ORDER BY 1 DESC, 4 DESC, 5 DESC NULLS FIRST, 3 DESC NULLS FIRST, 2;
