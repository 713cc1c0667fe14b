-- Fifty users; user u owns 20*u notes of 1 KB, one folder and one session.
--
-- Ids are counted, so that a load script can name any row without a look-up:
-- the last twelve digits are the row's number, the fourth group's first digit
-- says whose number it is (8 note, 9 user, a session, b folder). Notes of
-- user u are 10*u*(u-1)+1 .. 10*u*(u+1).
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT setseed(0.42) \g /dev/null

CREATE FUNCTION pg_temp.id(kind text, n bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$
  SELECT ('01990000-0000-7000-' || kind || '000-' || lpad(n::text, 12, '0'))::uuid
$$;

-- 500 different texts out of some 2000 made-up words.
CREATE TEMP TABLE words AS
SELECT row_number() OVER (ORDER BY random()) AS n, a || b || c AS word
  FROM unnest('{ba,co,di,fu,ge,ha,jo,ki,lu,me,no,pa,re}'::text[]) a,
       unnest('{lan,mir,nor,pel,ran,sim,tor,vel,wen,yar,zon,bel,dar}'::text[]) b,
       unnest('{a,eth,ing,is,o,um,y,er,ent,al,ic,or}'::text[]) c;
CREATE TEMP TABLE texts AS
SELECT t.n, left(string_agg(w.word, ' '), 1000) AS plain
  FROM generate_series(0, 499) AS t(n)
 CROSS JOIN LATERAL (SELECT word FROM words
                      WHERE (words.n * 37 + t.n * 13) % 12 = 0
                      ORDER BY md5(words.n::text || t.n) LIMIT 160) w
 GROUP BY t.n;

INSERT INTO users (id, email, password_hash, ai_period, change_seq)
SELECT pg_temp.id('9', u), 'user' || u || '@bench.example', 'none',
       date_trunc('month', now())::date, 20 * u + 1
  FROM generate_series(1, 51) u;

INSERT INTO user_settings (user_id)
SELECT id FROM users ON CONFLICT DO NOTHING;

INSERT INTO sessions (id, user_id, token_hash, refresh_key, device_type,
                      expires_at)
SELECT pg_temp.id('a', u), pg_temp.id('9', u), md5(u::text),
       '\x00'::bytea, 'api', now() + interval '30 days'
  FROM generate_series(1, 51) u;

INSERT INTO folders (id, user_id, name, color, change_seq)
SELECT pg_temp.id('b', u), pg_temp.id('9', u), 'Notes', '#336699', 1
  FROM generate_series(1, 51) u;

INSERT INTO notes (id, user_id, folder_id, title, content, content_plain,
                   word_count, tags, change_seq, created_at, updated_at)
SELECT pg_temp.id('8', 10 * u * (u - 1) + k), pg_temp.id('9', u),
       pg_temp.id('b', u), 'Note ' || k || ' of user ' || u,
       '<p>' || t.plain || '</p>', t.plain,
       cardinality(string_to_array(t.plain, ' ')), '{bench,load}', k + 1,
       now() - (20 * u - k) * interval '1 minute',
       now() - (20 * u - k) * interval '1 minute'
  FROM generate_series(1, 50) u, generate_series(1, 20 * u) k, texts t
 WHERE t.n = (u * 31 + k) % 500;
