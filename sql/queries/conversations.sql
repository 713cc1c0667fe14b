-- Conversations (0009_conversations.sql). Lists never touch their messages.

-- fragment: conversation_columns
c.id, c.slug, c.user_id, u.id AS author_id, u.full_name, u.avatar_url,
c.title, c.description, c.category, c.tags, c.provider, c.model, c.source,
c.visibility, c.featured, c.featured_at, c.message_count, c.view_count,
c.version, c.created_at, c.updated_at

-- When it changes: later than before, also in the milliseconds that are told.
-- fragment: conversation_time
greatest(clock_timestamp(), c.updated_at + interval '1 millisecond')

-- A page of messages stands beside the conversation: the first row has both,
-- the others messages alone.
-- fragment: message_page_columns
m.id AS message_id, m.position, m.role, m.content, m.model AS message_model,
m.created_at AS said_at

-- Who reads: a user, nobody, or an admin.
-- fragment: conversation_readable
(c.visibility <> 'private' OR c.user_id = $1 OR $2)

-- When an import was made, whose times are of elsewhere: an id of ours begins
-- with that (UUIDv7).
-- fragment: conversation_imported
CASE WHEN c.source_id IS NOT NULL AND substr(c.id::text, 15, 1) = '7'
THEN to_timestamp(('x' || left(translate(c.id::text, '-', ''), 12))::bit(48)
                      ::bigint / 1e3)
END

-- name: conversation_get :many (viewer uuid?, admin bool, id uuid?, slug text?,
--   after int, fetch int)
-- One conversation, and of its messages those behind a position. author_newer:
-- the author may have another name than when version was given.
WITH one AS MATERIALIZED (
    SELECT 1::bigint AS place, {{conversation_columns}},
           u.updated_at > greatest(c.updated_at, {{conversation_imported}})
               AS author_newer
    FROM conversations c JOIN users u ON u.id = c.user_id
    WHERE (c.id = $3 OR c.slug = $4) AND {{conversation_readable}})
SELECT h.id, h.slug, h.user_id, h.author_id, h.full_name, h.avatar_url,
       h.title, h.description, h.category, h.tags, h.provider, h.model,
       h.source, h.visibility, h.featured, h.featured_at, h.message_count,
       h.view_count, h.version, h.created_at, h.updated_at, h.author_newer,
       {{message_page_columns}}
FROM one h FULL JOIN (
    SELECT row_number() OVER (ORDER BY x.position) AS place, x.*
    FROM (SELECT p.id, p.position, p.role, p.content, p.model, p.created_at
          FROM one, LATERAL (
              SELECT q.* FROM conversation_messages q
              WHERE q.conversation_id = one.id AND q.position > $5
              ORDER BY q.position LIMIT $6) p) x) m ON m.place = h.place
ORDER BY m.place NULLS FIRST;

-- name: conversation_create :many (id uuid, user_id uuid, slug text,
--   slug_given bool, title text, description text?, category text,
--   tags text[], provider text?, model text?, source text, source_id text?,
--   visibility text, version int, created_at ts?, updated_at ts?,
--   roles text[], contents text[], models text[], times ts[], ids uuid[],
--   fetch int)
-- error 23505 conversations_slug_key = SLUG_TAKEN
-- error 23505 conversations_pkey = CONFLICT
-- A new conversation with all its messages; answered as conversation_get does.
-- A slug that was not given is one of its title, made free. No row: there is no
-- such account any more, or it has taken in this source_id before.
WITH owner AS (SELECT id FROM users WHERE id = $2 FOR KEY SHARE),
made AS (
    INSERT INTO conversations AS c (id, user_id, slug, title, description,
        category, tags, provider, model, source, source_id, visibility,
        version, message_count, created_at, updated_at, search)
    SELECT $1, o.id,
           CASE WHEN $4 THEN chronicle_given_slug($3)
           ELSE chronicle_free_slug($3) END,
           $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, cardinality($18),
           coalesce($15, now()), coalesce($16, $15, now()),
           chronicle_conversation_words(o.id, $13, $5, $6,
                                        chronicle_message_words($18))
    FROM owner o
    WHERE $12 IS NULL OR NOT EXISTS (
        SELECT 1 FROM conversations
        WHERE user_id = $2 AND source = $11 AND source_id = $12)
    ON CONFLICT (user_id, source, source_id) WHERE source_id IS NOT NULL
    DO NOTHING
    RETURNING *),
said AS (
    INSERT INTO conversation_messages (id, conversation_id, position, role,
        content, model, created_at)
    SELECT coalesce(x.id, {{new_id}}), made.id, x.place - 1, x.role,
           x.content, x.model, x.at
    FROM made, unnest($17::text[], $18::text[], $19::text[],
                      $20::timestamptz[], $21::uuid[])
        WITH ORDINALITY AS x (role, content, model, at, id, place)
    RETURNING *)
SELECT {{conversation_columns}}, {{message_page_columns}}
FROM (SELECT 1::bigint AS place, * FROM made) c
JOIN users u ON u.id = c.user_id
FULL JOIN (
    SELECT position + 1::bigint AS place, * FROM said
    WHERE position < $22) m ON m.place = c.place
ORDER BY m.position NULLS FIRST;

-- name: conversation_lock :many (id uuid, user_id uuid, admin bool)
-- Before a change.
SELECT id FROM conversations
WHERE id = $1 AND (user_id = $2 OR $3) FOR UPDATE;

-- name: conversation_update :many (id uuid, user_id uuid, admin bool,
--   match int[]?, slug text?, title text?, description_given bool,
--   description text?, category text?, tags text[]?, provider_given bool,
--   provider text?, model_given bool, model text?, visibility text?,
--   replaces bool, roles text[], contents text[], models text[], times ts[],
--   fetch int)
-- error 23505 conversations_slug_key = SLUG_TAKEN
-- What is not given stays; what changes nothing leaves the version. Sent behind
-- conversation_lock.
WITH cur AS (
    SELECT c.* FROM conversations c
    WHERE c.id = $1 AND (c.user_id = $2 OR $3)),
want AS (
    SELECT coalesce(chronicle_given_slug($5), slug) AS slug,
           coalesce($6, title) AS title,
           CASE WHEN $7 THEN $8 ELSE description END AS description,
           coalesce($9, category) AS category, coalesce($10, tags) AS tags,
           CASE WHEN $11 THEN $12 ELSE provider END AS provider,
           CASE WHEN $13 THEN $14 ELSE model END AS model,
           coalesce($15, visibility) AS visibility
    FROM cur),
verdict AS (
    SELECT CASE WHEN NOT c.version = ANY ($4)
                THEN 'PRECONDITION_FAILED:' || c.version END AS fault,
           $16 AND EXISTS (
               SELECT 1
               FROM unnest($17::text[], $18::text[], $19::text[],
                           $20::timestamptz[])
                   WITH ORDINALITY AS x (role, content, model, at, place)
               FULL JOIN (SELECT * FROM conversation_messages
                          WHERE conversation_id = $1) m
                   ON m.position = x.place - 1
               WHERE (x.role, x.content, x.model, x.at)
                   IS DISTINCT FROM (m.role, m.content, m.model, m.created_at)
           ) AS retold,
           (w.title, w.description) IS DISTINCT FROM (c.title, c.description)
               AS reworded,
           (w.slug, w.title, w.description, w.category, w.tags, w.provider,
            w.model, w.visibility) IS DISTINCT FROM
           (c.slug, c.title, c.description, c.category, c.tags, c.provider,
            c.model, c.visibility) AS differs
    FROM cur c, want w),
changed AS (
    UPDATE conversations c
    SET slug = w.slug, title = w.title, description = w.description,
        category = w.category, tags = w.tags, provider = w.provider,
        model = w.model, visibility = w.visibility,
        featured = c.featured AND w.visibility = 'public',
        featured_at = CASE WHEN w.visibility = 'public' THEN c.featured_at
                      END,
        message_count = CASE WHEN v.retold THEN cardinality($18)
                        ELSE c.message_count END,
        search = CASE
            WHEN v.retold OR v.reworded THEN chronicle_conversation_words(
                c.user_id, w.visibility, w.title, w.description,
                chronicle_message_words(
                    CASE WHEN v.retold THEN $18
                    ELSE ARRAY(SELECT content FROM conversation_messages
                               WHERE conversation_id = c.id
                               ORDER BY position) END))
            WHEN w.visibility = c.visibility THEN c.search
            WHEN w.visibility = 'public'
            THEN c.search || array_to_tsvector('{" public"}')
            ELSE ts_delete(c.search, ' public') END,
        version = c.version + 1,
        updated_at = {{conversation_time}}
    FROM want w, verdict v
    WHERE c.id = $1 AND v.fault IS NULL AND (v.differs OR v.retold)
    RETURNING c.*),
gone AS (
    DELETE FROM conversation_messages
    WHERE conversation_id = $1
      AND EXISTS (SELECT 1 FROM verdict WHERE retold AND fault IS NULL)
    RETURNING 1),
said AS (
    INSERT INTO conversation_messages (id, conversation_id, position, role,
        content, model, created_at)
    SELECT {{new_id}}, $1, x.place - 1, x.role, x.content, x.model, x.at
    FROM (SELECT count(*) FROM gone) after, verdict v,
         unnest($17::text[], $18::text[], $19::text[], $20::timestamptz[])
             WITH ORDINALITY AS x (role, content, model, at, place)
    WHERE v.retold AND v.fault IS NULL
    RETURNING *),
page AS (
    SELECT * FROM said WHERE position < $21
    UNION ALL
    (SELECT m.* FROM conversation_messages m, verdict v
     WHERE m.conversation_id = $1 AND NOT v.retold
     ORDER BY m.position LIMIT $21))
SELECT c.fault, {{conversation_columns}}, {{message_page_columns}}
FROM (SELECT 1::bigint AS place, v.fault, x.*
      FROM verdict v, (
          SELECT * FROM changed
          UNION ALL
          SELECT * FROM cur WHERE NOT EXISTS (SELECT 1 FROM changed)) x) c
JOIN users u ON u.id = c.user_id
FULL JOIN (SELECT position + 1::bigint AS place, * FROM page) m
    ON m.place = c.place
ORDER BY m.position NULLS FIRST;

-- name: conversation_delete :one (id uuid, user_id uuid, admin bool,
--   match int[]?)
-- For good, with its messages.
WITH cur AS (
    SELECT c.id, c.version FROM conversations c
    WHERE c.id = $1 AND (c.user_id = $2 OR $3) FOR UPDATE),
gone AS (
    DELETE FROM conversations c USING cur
    WHERE c.id = cur.id AND (cur.version = ANY ($4)) IS NOT FALSE
    RETURNING c.id)
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM gone)
            THEN 'PRECONDITION_FAILED:' || version END AS fault, id
FROM cur;

-- name: conversation_feature :one (id uuid, match int[]?, value bool?,
--   actor uuid, ip inet?, request_id text)
-- By an admin; without a value the other way round. The trail keeps it.
WITH cur AS (SELECT c.* FROM conversations c WHERE c.id = $1 FOR UPDATE),
want AS (
    SELECT id, version, visibility, coalesce($3, NOT featured) AS featured
    FROM cur),
verdict AS (
    SELECT CASE
        WHEN NOT version = ANY ($2) THEN 'PRECONDITION_FAILED:' || version
        WHEN featured AND visibility <> 'public' THEN 'NOT_PUBLIC' END AS fault
    FROM want),
changed AS (
    UPDATE conversations c
    SET featured = w.featured,
        featured_at = CASE WHEN w.featured THEN clock_timestamp() END,
        version = c.version + 1,
        updated_at = {{conversation_time}}
    FROM want w, verdict v
    WHERE c.id = w.id AND v.fault IS NULL AND c.featured <> w.featured
    RETURNING c.*),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, $4, 'conversation.feature', 'conversation', id, $5, $6,
           jsonb_build_object('featured', featured)
    FROM changed)
SELECT v.fault, {{conversation_columns}}
FROM verdict v, (
    SELECT * FROM changed
    UNION ALL
    SELECT * FROM cur WHERE NOT EXISTS (SELECT 1 FROM changed)) c
JOIN users u ON u.id = c.user_id;

-- name: conversation_viewed :exec (viewer uuid?, id uuid, viewer_hash text)
-- Somebody has looked who may and is not the owner: counted once per hour.
WITH seen AS (
    INSERT INTO conversation_views (conversation_id, hour, viewer_hash)
    SELECT c.id, date_trunc('hour', now(), 'UTC'), $3
    FROM conversations c
    WHERE c.id = $2 AND c.user_id IS DISTINCT FROM $1
    ON CONFLICT DO NOTHING
    RETURNING conversation_id)
UPDATE conversations c SET view_count = view_count + 1
FROM seen WHERE c.id = seen.conversation_id;

-- ── lists ────────────────────────────────────────────────────────────────────
-- Planned with the values at hand: filters that are not there vanish, and the
-- first pages of the usual order walk an index and stop.

-- fragment: conversation_filter
{{scope}} AND ($1 IS NULL OR c.user_id = $1)
AND ($2 IS NULL OR c.category = $2)
AND ($3 IS NULL OR c.tags @> $3)
AND ($4 IS NULL OR c.provider = $4)
AND ($5 IS NULL OR c.model = $5)
AND ($6 IS NULL OR c.featured = $6)
AND ($7 IS NULL OR c.visibility = $7)

-- name: conversation_page :many (author uuid?, category text?, tags text[]?,
--   provider text?, model text?, featured bool?, visibility text?,
--   want_total bool, fetch int, skip int)
-- variants: scope = public:c.visibility='public' all:true ; sort = createdAt:created_at|timestamptz updatedAt:updated_at|timestamptz title:title|varchar viewCount:view_count|bigint messageCount:message_count|int featuredAt:featured_at|timestamptz ; order = asc:asc|> desc:desc|<
-- plan: custom
-- Any page in any order.
SELECT t.total, p.*
FROM (SELECT CASE WHEN $8 THEN
          (SELECT count(*) FROM conversations c WHERE {{conversation_filter}})
      END AS total) t
LEFT JOIN (
    SELECT {{conversation_columns}}
    FROM (SELECT c.id FROM conversations c WHERE {{conversation_filter}}
          ORDER BY c.{{sort}} {{order}}, c.id {{order}}
          LIMIT $9 OFFSET $10) k
    JOIN conversations c ON c.id = k.id
    JOIN users u ON u.id = c.user_id
    ORDER BY c.{{sort}} {{order}}, c.id {{order}}) p ON true;

-- name: conversation_after :many (author uuid?, category text?, tags text[]?,
--   provider text?, model text?, featured bool?, visibility text?,
--   after text?, after_id uuid, fetch int)
-- variants: scope = public:c.visibility='public' all:true ; sort = createdAt:created_at|timestamptz updatedAt:updated_at|timestamptz title:title|varchar viewCount:view_count|bigint messageCount:message_count|int featuredAt:featured_at|timestamptz ; order = asc:asc|> desc:desc|<
-- plan: custom
-- The page behind a cursor. A sort value too long for a cursor is looked up.
SELECT {{conversation_columns}}
FROM (SELECT c.* FROM conversations c
      WHERE {{conversation_filter}}
        AND (c.{{sort}}, c.id) {{order.2}} (
            coalesce($8::{{sort.2}}, (SELECT a.{{sort}} FROM conversations a
                                      WHERE a.id = $9)), $9)
      ORDER BY c.{{sort}} {{order}}, c.id {{order}} LIMIT $10) c
JOIN users u ON u.id = c.user_id
ORDER BY c.{{sort}} {{order}}, c.id {{order}};

-- name: conversation_stats :many (author uuid?)
-- variants: scope = public:c.visibility='public' all:true
-- plan: custom
-- Counts by what they are, of all, and (kind) of each category, provider, model
-- and month of UTC. Rows are read once, into the few combinations that there
-- are; those are then counted from each side.
WITH few AS MATERIALIZED (
    SELECT date_trunc('month', c.created_at, 'UTC') AS month, c.category,
           c.provider, c.model, count(*) AS count,
           sum(c.message_count) AS messages, sum(c.view_count) AS views,
           count(*) FILTER (WHERE c.featured) AS featured
    FROM conversations c
    WHERE {{scope}} AND ($1 IS NULL OR c.user_id = $1)
    GROUP BY 1, 2, 3, 4)
SELECT CASE WHEN grouping(month) = 0 THEN 'month'
            WHEN grouping(category) = 0 THEN 'category'
            WHEN grouping(provider) = 0 THEN 'provider'
            WHEN grouping(model) = 0 THEN 'model' ELSE 'all' END AS kind,
       coalesce(to_char(month AT TIME ZONE 'UTC', 'YYYY-MM'), category,
                provider, model) AS what,
       coalesce(sum(count), 0)::bigint AS count,
       coalesce(sum(messages), 0)::bigint AS messages,
       coalesce(sum(views), 0)::bigint AS views,
       coalesce(sum(featured), 0)::bigint AS featured
FROM few
GROUP BY GROUPING SETS ((), (month), (category), (provider), (model))
ORDER BY 3 DESC, 2;

-- name: conversation_categories :many ()
-- How many public ones each category has.
SELECT category AS what, count(*) AS count FROM conversations
WHERE visibility = 'public' GROUP BY category;

-- ── search ───────────────────────────────────────────────────────────────────

-- Public ones, and the searcher's own.
-- fragment: conversation_scope
(CASE WHEN $1 IS NULL THEN ''' public'''
      ELSE ''' public'' | '' ' || right($1::text, 12) || '''' END)::tsquery

-- What the page's conversations are read for marks, in bytes; the rest of what
-- they say is found but not shown.
-- fragment: conversation_marks_bytes
(SELECT 40000000 / greatest(1, count(*)) FROM page)

-- Asked of the index always: what is wanted is unknown to the planner in a query
-- of its own. Else, of what nearly all have, it reads the column of each, not
-- knowing how much there is in one.
-- fragment: conversation_match
FROM conversations c
WHERE numnode({{wanted}}) > 0
  AND c.search @@ (SELECT {{wanted}} && {{conversation_scope}})
  AND (c.visibility = 'public' OR c.user_id IS NOT DISTINCT FROM $1)
  AND ($3 IS NULL OR c.category = $3)
  AND ($4 IS NULL OR c.tags @> $4)
  AND ($5 IS NULL OR c.provider = $5)

-- fragment: conversation_hits
page AS (
    SELECT * FROM found ORDER BY rank DESC, created_at DESC, id DESC
    LIMIT $6 OFFSET $7)
SELECT t.total, p.*
FROM (SELECT count(*) AS total FROM found) t

-- Messages of a conversation, with how many bytes come before each.
-- fragment: conversation_said
(SELECT z.position, z.content,
        sum(octet_length(z.content)) OVER (
            ORDER BY z.position ROWS UNBOUNDED PRECEDING)
        - octet_length(z.content) AS before
 FROM conversation_messages z WHERE z.conversation_id = c.id)

-- Text in which hits will be marked by control characters, from a little before
-- the place of the first one.
-- fragment: conversation_line
translate(substr(y.content, greatest(1, f.place - 1000), 20000),
          E'<>\x02\x03\x04\x05\x06', E'\x04\x05')

-- fragment: conversation_title
translate(c.title, E'<>\x02\x03\x04\x05\x06', E'\x04\x05')

-- name: conversation_search :many (user_id uuid?, q text, category text?,
--   tags text[]?, provider text?, fetch int, skip int)
-- variants: wanted = typed:websearch_to_tsquery('english',$2) ; ranked = typed:websearch_to_tsquery('english',$2)
-- plan: custom
-- Best first. Hits are marked in the title, and in the first messages that have
-- any of the words, of the page's conversations alone. How a word begins is
-- looked for first, which takes a tenth of the time of parsing a text: a lexeme
-- is the beginning of its words but for its last letter (happi), or of a short
-- one two (dying: die). What stands in a script without blanks is set apart by
-- \x01 while hits are marked, or words beside it would not be seen.
WITH found AS MATERIALIZED (
    SELECT c.id, c.created_at, ts_rank(c.search, {{ranked}}) AS rank
    {{conversation_match}}),
{{conversation_hits}}
LEFT JOIN (
    SELECT {{conversation_columns}}, k.rank,
           translate(ts_headline('english', chronicle_parted(
                         {{conversation_title}}, E'\x01'), h.q,
                         'HighlightAll=true,'
                         || E'StartSel="\x02", StopSel="\x03"'), E'\x01', '')
               AS title_marked,
           translate(ts_headline('english', s.said, h.q,
                         'MaxFragments=3, MaxWords=24, MinWords=8,'
                         || E'ShortWord=0, StartSel="\x02", StopSel="\x03",'
                         || E'FragmentDelimiter="\x06"'), E'\x01', '')
               AS content_marked
    FROM {{search_hits}}
    CROSS JOIN LATERAL (
        SELECT ARRAY(SELECT w[1] FROM regexp_matches(h.q::text, '''([^'']+)''',
                                                     'g') w) AS words) g
    CROSS JOIN page k JOIN conversations c ON c.id = k.id
    JOIN users u ON u.id = c.user_id
    LEFT JOIN LATERAL (
        SELECT string_agg(x.line, E'\n' ORDER BY x.position) AS said
        FROM (SELECT m.position, m.line
              FROM (SELECT y.position, chronicle_parted({{conversation_line}},
                                                        E'\x01') AS line
                    FROM {{conversation_said}} y, LATERAL (
                        SELECT min(coalesce(
                            nullif(strpos(l.text, w), 0),
                            nullif(strpos(l.text, left(w, greatest(1,
                                length(w) - CASE WHEN length(w) < 4 THEN 2
                                            ELSE 1 END))), 0))) AS place
                        FROM (SELECT lower(y.content) AS text OFFSET 0) l,
                             unnest(g.words) w) f
                    WHERE y.before < {{conversation_marks_bytes}}
                      AND f.place > 0
                    ORDER BY y.position LIMIT 500) m
              WHERE to_tsvector('english', m.line) @@ h.q
              LIMIT 3) x) s ON true) p ON true
ORDER BY p.rank DESC, p.created_at DESC, p.id DESC;

-- name: conversation_search_unspaced :many (user_id uuid?, q text,
--   category text?, tags text[]?, provider text?, fetch int, skip int,
--   words text[], without text[], any_will_do bool)
-- variants: wanted = parts:chronicle_parts_query($8,$9,$10) ; ranked = parts:chronicle_parts_rank($8) ; match = exact:y.content|g folded:lower(y.content)|gi
-- plan: custom
-- The same of what has letters of a script without blanks: its parts are found
-- by their windows (schema 0011), and marked as they are. Those of several
-- windows are looked for in the texts, too, as long as that is not much work.
-- Among thousands the rank says no more than whether the title or the
-- description has one: in scripts of which most texts have most letters, to read
-- what all of them consist of takes seconds.
-- q: all words as a regular expression.
WITH hit AS MATERIALIZED (
    SELECT c.id, c.created_at,
           CASE WHEN EXISTS (SELECT 1 FROM unnest($8) w
                             WHERE strpos(lower(c.title), lower(w)) > 0)
                THEN 0.6
                WHEN EXISTS (SELECT 1 FROM unnest($8) w
                             WHERE strpos(lower(c.description), lower(w)) > 0)
                THEN 0.24 ELSE 0.06 END::real AS rank
    {{conversation_match}}),
candidate AS MATERIALIZED (
    SELECT h.id, h.created_at,
           CASE WHEN (SELECT count(*) FROM hit) > 2000 THEN h.rank
           ELSE (SELECT ts_rank(c.search, {{ranked}}) FROM conversations c
                 WHERE c.id = h.id) END AS rank
    FROM hit h),
long AS MATERIALIZED (
    SELECT lower(w) AS word FROM unnest($8) w
    WHERE NOT $10 AND chronicle_is_unspaced(w)
      AND numnode(chronicle_parts_query(ARRAY[w], '{}', false)) > 1),
found AS MATERIALIZED (
    SELECT k.* FROM candidate k
    WHERE NOT EXISTS (SELECT 1 FROM long)
       OR (SELECT count(*) FROM candidate) > 500
       OR (SELECT sum(octet_length(y.content)) FROM conversation_messages y
           WHERE y.conversation_id = k.id) > 300000
       OR NOT EXISTS (
           SELECT 1 FROM long, conversations c
           WHERE c.id = k.id AND strpos(lower(c.title), word) = 0
             AND strpos(lower(coalesce(c.description, '')), word) = 0
             AND NOT EXISTS (
                 SELECT 1 FROM conversation_messages y
                 WHERE y.conversation_id = k.id
                   AND strpos({{match}}, word) > 0))),
{{conversation_hits}}
LEFT JOIN (
    SELECT {{conversation_columns}}, k.rank,
           regexp_replace({{conversation_title}}, '(' || $2 || ')',
                          E'\x02\\1\x03', '{{match.2}}') AS title_marked,
           s.content_marked
    FROM page k JOIN conversations c ON c.id = k.id
    JOIN users u ON u.id = c.user_id
    LEFT JOIN LATERAL (
        SELECT string_agg(regexp_replace(x.part, '(' || $2 || ')',
                                         E'\x02\\1\x03', '{{match.2}}'),
                          E'\x06' ORDER BY x.position, x.place)
                   AS content_marked
        FROM (SELECT m.position, r.part[1] AS part, r.place
              FROM (SELECT y.position, {{conversation_line}} AS line
                    FROM {{conversation_said}} y, LATERAL (
                        SELECT min(nullif(strpos(l.text, lower(w)), 0))
                                   AS place
                        FROM (SELECT {{match}} AS text OFFSET 0) l,
                             unnest($8) w) f
                    WHERE y.before < {{conversation_marks_bytes}}
                      AND f.place > 0
                    ORDER BY y.position LIMIT 3) m
              CROSS JOIN LATERAL regexp_matches(
                  m.line, '(.{0,40}(?:' || $2 || ').{0,80})', '{{match.2}}')
                  WITH ORDINALITY AS r (part, place)
              ORDER BY m.position, r.place LIMIT 3) x) s ON true) p ON true
ORDER BY p.rank DESC, p.created_at DESC, p.id DESC;
