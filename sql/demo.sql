-- The demo account, demo@example.com with the password chronicle-demo: three
-- folders, eight notes with some history, and one note in the trash. And
-- somebody to talk to: demo2@example.com, with the same password.
--
-- Loaded once by "apxs-build.sh up". A second time changes nothing: everything
-- hangs on the row of the user being new. Change numbers are given in the order
-- in which the changes would have happened, the user's own being the last.

-- What the server derives from HTML: block ends become spaces, tags go, the few
-- entities used below are decoded, white space is one space.
CREATE FUNCTION pg_temp.plain(html text) RETURNS text LANGUAGE sql AS $$
    SELECT btrim(regexp_replace(
        replace(replace(replace(
            regexp_replace(
                regexp_replace(html,
                               '<br>|</(p|h[1-6]|li|ul|ol|pre|blockquote)>',
                               ' ', 'g'),
                '<[^>]*>', '', 'g'),
            '&lt;', '<'), '&gt;', '>'), '&amp;', '&'),
        '\s+', ' ', 'g'))
$$;

CREATE FUNCTION pg_temp.words(html text) RETURNS integer LANGUAGE sql AS $$
    SELECT coalesce(array_length(
        string_to_array(nullif(pg_temp.plain(html), ''), ' '), 1), 0)
$$;

CREATE TEMP TABLE demo_user AS
WITH added AS (
    INSERT INTO users (id, email, password_hash, full_name, email_verified,
                       created_at, updated_at)
    VALUES ('0198a000-0000-7000-8000-000000000001', 'demo@example.com',
            '$2y$12$l/2o7vNDVJotOC7TX/Vtgu821X2sYxHFp5YxV5hEFg3dbhyrC5jFK',
            'Dana Demo', true,
            now() - interval '30 days', now() - interval '30 days')
    ON CONFLICT (email) DO NOTHING
    RETURNING id
)
SELECT id FROM added;

-- ── folders ──────────────────────────────────────────────────────────────────

INSERT INTO folders (id, user_id, name, color, icon, position, change_seq,
                     created_at, updated_at)
SELECT f.id::uuid, u.id, f.name, f.color, f.icon, f.position, f.change_seq,
       now() - f.age, now() - f.age
FROM demo_user u, (VALUES
    ('0198a000-0000-7000-8000-000000000011', 'Notes',
     NULL, NULL, 0, 1, interval '30 days'),
    ('0198a000-0000-7000-8000-000000000012', 'Work',
     '#2563EB', 'briefcase', 1, 2, interval '29 days'),
    ('0198a000-0000-7000-8000-000000000013', 'Kitchen',
     '#16A34A', 'utensils', 2, 3, interval '29 days')
) AS f (id, name, color, icon, position, change_seq, age);

INSERT INTO user_settings (user_id, default_folder_id)
SELECT id, '0198a000-0000-7000-8000-000000000011' FROM demo_user;

-- ── notes ────────────────────────────────────────────────────────────────────

CREATE TEMP TABLE demo_notes (
    id text, folder text, title text, content text, tags text[],
    is_pinned boolean, is_favorite boolean, version integer,
    change_seq bigint, created interval, updated interval, deleted boolean
);

INSERT INTO demo_notes VALUES
('0198a000-0000-7000-8000-000000000021',
 '0198a000-0000-7000-8000-000000000011',
 'Welcome to mod_chronicle',
 '<h1>Welcome</h1><p>This account is here to be played with. Edit a note and '
 'look at its history, delete one and find it in the trash, or search for '
 '<em>sourdough</em>.</p><p>Everything that you see is an answer of the API; '
 'its documentation is at <code>/api-docs</code>.</p>',
 '{welcome,help}', true, true, 3, 12, '30 days', '2 hours', false),

('0198a000-0000-7000-8000-000000000022',
 '0198a000-0000-7000-8000-000000000011',
 'Books to read',
 '<ul><li>The Pragmatic Programmer — again</li><li>A Pattern Language'
 '</li><li>The Left Hand of Darkness</li><li>Gödel, Escher, Bach</li></ul>',
 '{reading,lists}', false, true, 1, 5, '26 days', '26 days', false),

('0198a000-0000-7000-8000-000000000023',
 '0198a000-0000-7000-8000-000000000011',
 'Ideas for the weekend',
 '<p>Walk around the lake if it stays dry. Repair the bicycle: new chain, '
 'brake pads, and find out where that noise comes from.</p>'
 '<p>Call grandmother on Sunday.</p>',
 '{personal}', false, false, 1, 6, '20 days', '20 days', false),

('0198a000-0000-7000-8000-000000000024',
 '0198a000-0000-7000-8000-000000000012',
 'Meeting: release plan',
 '<h2>Release plan</h2><ol><li>Freeze on Monday</li><li>Upgrade test with a '
 'copy of the live data</li><li>Release on Thursday morning, not on Friday'
 '</li></ol><p><strong>Decided:</strong> whoever finds a regression owns the '
 'roll-back.</p>',
 '{work,meetings,release}', true, false, 2, 10, '12 days', '4 days', false),

('0198a000-0000-7000-8000-000000000025',
 '0198a000-0000-7000-8000-000000000012',
 'How to restore a backup',
 '<p>Practise this before it is needed.</p><pre>createdb chronicle_restored'
 '<br>pg_restore -d chronicle_restored chronicle.dump</pre><p>Then compare the '
 'number of notes &amp; folders with the live database.</p>',
 '{work,howto,postgresql}', false, true, 1, 7, '15 days', '15 days', false),

('0198a000-0000-7000-8000-000000000026',
 '0198a000-0000-7000-8000-000000000013',
 'Sourdough bread',
 '<h2>Sourdough</h2><p>500 g flour, 350 g water, 100 g starter, 10 g salt.</p>'
 '<ol><li>Mix flour and water, rest for an hour</li><li>Add starter and salt'
 '</li><li>Fold four times, every half hour</li><li>Overnight in the fridge'
 '</li><li>Bake at 250 °C: 20 minutes with the lid, 25 without</li></ol>',
 '{recipes,bread}', false, true, 3, 11, '24 days', '1 day', false),

('0198a000-0000-7000-8000-000000000027',
 '0198a000-0000-7000-8000-000000000013',
 'Shopping list',
 '<ul><li>Flour</li><li>Olive oil</li><li>Coffee</li><li>Lemons</li></ul>',
 '{lists}', false, false, 1, 8, '6 days', '6 days', false),

('0198a000-0000-7000-8000-000000000028', NULL,
 'Things that need no folder',
 '<p>A note may lie outside of every folder. Ask for these with '
 '<code>folderId=none</code>.</p>',
 '{help}', false, false, 1, 9, '5 days', '5 days', false),

('0198a000-0000-7000-8000-000000000029',
 '0198a000-0000-7000-8000-000000000011',
 'Old phone numbers',
 '<p>All of these moved to the address book.</p>',
 '{}', false, false, 2, 13, '28 days', '1 hour', true);

INSERT INTO notes (id, user_id, folder_id, title, content, content_plain,
                   word_count, is_pinned, is_favorite, tags, version,
                   change_seq, created_at, updated_at, deleted_at)
SELECT n.id::uuid, u.id, n.folder::uuid, n.title, n.content,
       pg_temp.plain(n.content), pg_temp.words(n.content), n.is_pinned,
       n.is_favorite, n.tags, n.version, n.change_seq,
       now() - n.created, now() - n.updated,
       CASE WHEN n.deleted THEN now() - n.updated END
FROM demo_user u, demo_notes n;

-- ── history ──────────────────────────────────────────────────────────────────
-- One row per superseded version. The meta rows (is_text false) are steps that
-- left title and content alone: a pin, a move to the trash.

CREATE TEMP TABLE demo_versions (
    id text, note text, version integer, is_text boolean, title text,
    content text, age interval
);

INSERT INTO demo_versions VALUES
('0198a000-0000-7000-8000-000000000031',
 '0198a000-0000-7000-8000-000000000021', 1, true, 'Welcome',
 '<h1>Welcome</h1><p>This account is here to be played with.</p>', '10 days'),
('0198a000-0000-7000-8000-000000000032',
 '0198a000-0000-7000-8000-000000000021', 2, true, 'Welcome to mod_chronicle',
 '<h1>Welcome</h1><p>This account is here to be played with. Edit a note and '
 'look at its history.</p>', '2 hours'),
('0198a000-0000-7000-8000-000000000033',
 '0198a000-0000-7000-8000-000000000024', 1, false, NULL, NULL, '4 days'),
('0198a000-0000-7000-8000-000000000034',
 '0198a000-0000-7000-8000-000000000026', 1, true, 'Bread',
 '<p>500 g flour, 300 g water, 100 g starter.</p>', '18 days'),
('0198a000-0000-7000-8000-000000000035',
 '0198a000-0000-7000-8000-000000000026', 2, true, 'Sourdough bread',
 '<h2>Sourdough</h2><p>500 g flour, 350 g water, 100 g starter, 10 g salt.</p>'
 '<p>Fold four times, overnight in the fridge, bake hot.</p>', '1 day'),
('0198a000-0000-7000-8000-000000000036',
 '0198a000-0000-7000-8000-000000000029', 1, false, NULL, NULL, '1 hour');

INSERT INTO note_versions (id, note_id, user_id, is_text, title, content,
                           word_count, folder_id, tags, is_pinned, is_favorite,
                           version, created_at)
SELECT v.id::uuid, v.note::uuid, u.id, v.is_text, v.title, v.content,
       coalesce(pg_temp.words(coalesce(v.content, n.content)), 0),
       n.folder::uuid, n.tags,
       n.is_pinned AND v.is_text, n.is_favorite, v.version, now() - v.age
FROM demo_user u, demo_versions v JOIN demo_notes n ON n.id = v.note;

UPDATE users
SET change_seq = (SELECT max(change_seq) FROM demo_notes), changed_at = now()
WHERE id IN (SELECT id FROM demo_user);

-- ── somebody to talk to ──────────────────────────────────────────────────────

WITH added AS (
    INSERT INTO users (id, email, password_hash, full_name, email_verified,
                       change_seq, changed_at)
    SELECT '0198a000-0000-7000-8000-000000000002', 'demo2@example.com',
           u.password_hash, 'Sam Second', true, 1, now()
    FROM demo_user JOIN users u USING (id)
    ON CONFLICT (email) DO NOTHING
    RETURNING id
), folder AS (
    INSERT INTO folders (id, user_id, name, position, change_seq)
    SELECT '0198a000-0000-7000-8000-000000000041', id, 'Notes', 0, 1
    FROM added
    RETURNING id, user_id
)
INSERT INTO user_settings (user_id, default_folder_id)
SELECT user_id, id FROM folder;

DROP TABLE demo_versions, demo_notes, demo_user;
