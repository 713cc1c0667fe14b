-- Conversations :first to :last, public, of users 1 to 50 in turn, each of 20
-- messages of 30 words. How often a word occurs goes by its rank, as in
-- languages: the first ones are in every conversation, the last of 201600 in
-- one of thousands. Every fiftieth is featured.
--
-- A conversation is twenty of 20000 texts whose words were made to a tsvector
-- once: so a hundred thousand of them are there within minutes.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET maintenance_work_mem = '256MB';
SET synchronous_commit = off;
-- foreign keys are right by themselves
SET session_replication_role = replica;
SELECT setseed(0.42) \g /dev/null

CREATE TABLE IF NOT EXISTS talk_words AS
SELECT row_number() OVER (ORDER BY md5(a || b || c || d || e)) AS n,
       a || b || c || d || e AS word
  FROM unnest('{ba,co,di,fu,ge,ha,jo,ki,lu,me,no,pa,re,sa,ty,vo}'::text[]) a,
       unnest('{lan,mir,nor,pel,ran,sim,tor,vel,wen,yar,zon,bel,dar,kim,hul}'
              ::text[]) b,
       unnest('{ba,co,di,fu,ge,ha,jo,ki,lu,me,no,pa}'::text[]) c,
       unnest('{k,x,z,m,p,q,v}'::text[]) d,
       unnest('{an,er,il,ot,um,ak,esh,ov,in,urt}'::text[]) e;
CREATE UNIQUE INDEX IF NOT EXISTS talk_words_n ON talk_words (n);
CREATE TABLE IF NOT EXISTS talk_texts AS
SELECT n, plain, chronicle_message_words(ARRAY[plain]) AS words
  FROM (SELECT t AS n, (SELECT string_agg(word, ' ')
                          FROM (SELECT floor(exp(random() * ln(201600)))::int
                                       AS n
                                  FROM generate_series(1, 30 + 0 * t)) pick
                          JOIN talk_words USING (n)) AS plain
          FROM generate_series(0, 19999) t) made;
CREATE UNIQUE INDEX IF NOT EXISTS talk_texts_n ON talk_texts (n);
ANALYZE talk_texts;

CREATE AGGREGATE pg_temp.joined (tsvector) (
    SFUNC = tsvector_concat, STYPE = tsvector, INITCOND = '');

CREATE TEMP TABLE indexes AS
SELECT c.relname, pg_get_indexdef(c.oid) AS definition
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_am a ON a.oid = c.relam
 WHERE i.indrelid = 'conversations'::regclass AND a.amname = 'gin';
SELECT format('DROP INDEX %I', relname) FROM indexes \gexec

-- Text i of conversation k.
CREATE FUNCTION pg_temp.text_of(k bigint, i bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT (k * 7919 + i * i * 31 + i) % 20000 $$;

INSERT INTO conversations (id, user_id, slug, title, description, category,
    tags, provider, model, visibility, featured, featured_at, message_count,
    view_count, search, created_at, updated_at)
SELECT c.id, c.user_id, 'talk-' || k, c.title, c.description,
       ('{general,programming,writing,education,research,business,creative,'
        'science,health,productivity,entertainment,other}'::text[])
           [1 + k % 12],
       ARRAY['tag' || k % 50, 'topic' || k % 997],
       ('{openai,anthropic,google,meta,mistral,deepseek,xai,other}'::text[])
           [1 + k % 8],
       'model-' || k % 30, 'public', k % 50 = 0,
       CASE WHEN k % 50 = 0 THEN c.made END, 20, k % 1000,
       chronicle_conversation_words(c.user_id, 'public', c.title,
                                    c.description, w.words), c.made, c.made
  FROM (SELECT k,
               ('01990000-0000-7000-8000-' || lpad(k::text, 12, '0'))::uuid
                   AS id,
               ('01990000-0000-7000-9000-' || lpad((1 + k % 50)::text, 12, '0')
                   )::uuid AS user_id,
               split_part(t.plain, ' ', (1 + k % 29)::int) || ' '
                   || split_part(t.plain, ' ', (1 + k % 23)::int) || ' ' || k AS title,
               t.plain AS description,
               now() - (200000 - k) * interval '5 minutes' AS made
          FROM generate_series(:first::bigint, :last::bigint) k
          JOIN talk_texts t ON t.n = pg_temp.text_of(k, 99)) c
 CROSS JOIN LATERAL (
       SELECT pg_temp.joined(t.words) AS words FROM generate_series(1, 20) i
         JOIN talk_texts t ON t.n = pg_temp.text_of(k, i)) w
 ORDER BY k;

ALTER TABLE conversation_messages
    DROP CONSTRAINT conversation_messages_key;
INSERT INTO conversation_messages (conversation_id, position, role, content,
    created_at)
SELECT ('01990000-0000-7000-8000-' || lpad(k::text, 12, '0'))::uuid, i - 1,
       CASE WHEN i % 2 = 1 THEN 'user' ELSE 'assistant' END, t.plain, now()
  FROM generate_series(:first::bigint, :last::bigint) k,
       generate_series(1, 20) i, talk_texts t
 WHERE t.n = pg_temp.text_of(k, i)
 ORDER BY k, i;
ALTER TABLE conversation_messages ADD CONSTRAINT conversation_messages_key
    UNIQUE (conversation_id, position);

SELECT definition FROM indexes \gexec
VACUUM ANALYZE conversations;
VACUUM ANALYZE conversation_messages;
CHECKPOINT;
