-- Gives user :user notes :first to :last, of 60 words whose frequencies go by
-- rank, as those of languages do: the first of 20160 words is in nearly every
-- note, the last in one of thousands. :user = 0: to users 1 to 50, in turn.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET maintenance_work_mem = '256MB';

CREATE TABLE IF NOT EXISTS bench_words AS
SELECT row_number() OVER (ORDER BY md5(a || b || c || d)) AS n,
       a || b || c || d AS word
  FROM unnest('{ba,co,di,fu,ge,ha,jo,ki,lu,me,no,pa,re,sa,ty,vo}'::text[]) a,
       unnest('{lan,mir,nor,pel,ran,sim,tor,vel,wen,yar,zon,bel,dar,kim,hul}'
              ::text[]) b,
       unnest('{ba,co,di,fu,ge,ha,jo,ki,lu,me,no,pa}'::text[]) c,
       unnest('{k,x,z,m,p,q,v}'::text[]) d;
CREATE UNIQUE INDEX IF NOT EXISTS bench_words_n ON bench_words (n);
SELECT setseed(0.42) \g /dev/null
CREATE TABLE IF NOT EXISTS bench_texts AS
SELECT t AS n, (SELECT string_agg(word, ' ')
                  FROM (SELECT floor(exp(random() * ln(20160)))::int AS n
                          FROM generate_series(1, 60 + 0 * t)) pick
                  JOIN bench_words USING (n)) AS plain
  FROM generate_series(0, 19999) t;
CREATE UNIQUE INDEX IF NOT EXISTS bench_texts_n ON bench_texts (n);

CREATE TEMP TABLE gin_indexes AS
SELECT c.relname, pg_get_indexdef(c.oid) AS definition
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_am a ON a.oid = c.relam
 WHERE i.indrelid = 'notes'::regclass AND a.amname = 'gin';
SELECT format('DROP INDEX %I', relname) FROM gin_indexes \gexec

INSERT INTO notes (user_id, title, content, content_plain, word_count, tags,
                   change_seq, created_at, updated_at)
SELECT ('01990000-0000-7000-9000-'
        || lpad(coalesce(nullif(:user, 0), 1 + k % 50)::text, 12, '0'))::uuid,
       split_part(a.plain, ' ', 1 + k % 60) || ' '
       || split_part(a.plain, ' ', 1 + k % 7) || ' ' || k,
       '<p>' || b.plain || '</p>', b.plain, 60,
       ARRAY['tag' || k % 50,
             'Project ' || floor(exp((k::bigint * 7919 % 1000) / 1000.0 * ln(3000)))],
       k + 1, now() - (2000000 - k) * interval '1 second',
       now() - (2000000 - k) * interval '1 second'
  FROM generate_series(:first, :last) k
  JOIN bench_texts a ON a.n = (k * 31 + :user) % 20000
  JOIN bench_texts b ON b.n = (k * 7 + :user) % 20000
 ORDER BY k;

SELECT definition FROM gin_indexes \gexec
VACUUM ANALYZE notes;
VACUUM ANALYZE user_tags;
CHECKPOINT;
