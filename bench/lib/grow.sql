-- Gives user 51 notes :first to :last (numbers from 1000001 up), for the
-- question how costs grow. The search index is dropped and built again: that
-- is how one loads a million rows.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET maintenance_work_mem = '256MB';

CREATE TEMP TABLE texts AS
SELECT row_number() OVER () - 1 AS n, content, content_plain, word_count
  FROM (SELECT content, content_plain, word_count FROM notes
         WHERE user_id <> '01990000-0000-7000-9000-000000000051'
         ORDER BY id LIMIT 500) t;

CREATE TEMP TABLE gin_indexes AS
SELECT c.relname, pg_get_indexdef(c.oid) AS definition
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_am a ON a.oid = c.relam
 WHERE i.indrelid = 'notes'::regclass AND a.amname = 'gin';
SELECT format('DROP INDEX %I', relname) FROM gin_indexes \gexec

INSERT INTO notes (id, user_id, folder_id, title, content, content_plain,
                   word_count, tags, change_seq, created_at, updated_at)
SELECT ('01990000-0000-7000-8000-' || lpad((1000000 + k)::text, 12, '0'))::uuid,
       '01990000-0000-7000-9000-000000000051',
       '01990000-0000-7000-b000-000000000051', 'Note ' || k,
       t.content, t.content_plain, t.word_count, '{bench,load}', k + 1,
       now() - (2000000 - k) * interval '1 second',
       now() - (2000000 - k) * interval '1 second'
  FROM generate_series(:first, :last) k, texts t
 WHERE t.n = k % 500
 ORDER BY k;

UPDATE users SET change_seq = :last + 1
 WHERE id = '01990000-0000-7000-9000-000000000051';

SELECT definition FROM gin_indexes \gexec
VACUUM ANALYZE notes;
CHECKPOINT;
