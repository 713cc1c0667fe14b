// The statements of the measured endpoints. Both peers run the same text.
//
// Those of notes are one round trip each: everything that an endpoint promises
// is in its one statement, which is the fastest way for a Node server too.
// Those of sync go row by row, which is what it is measured against.

const NOTE = `n.id, n.folder_id, n.title, n.content, n.content_plain,
  n.word_count, n.is_pinned, n.is_favorite, n.tags, n.version, n.sync_status,
  n.client_updated_at, n.created_at, n.updated_at, n.deleted_at,
  f.id AS live_folder_id, f.name AS folder_name, f.color AS folder_color`;

const FOLDER = `LEFT JOIN folders f
  ON f.id = n.folder_id AND f.deleted_at IS NULL`;

/* $1 note, $2 user */
export const NOTE_GET = `
SELECT ${NOTE} FROM notes n ${FOLDER}
 WHERE n.id = $1 AND n.user_id = $2 AND n.deleted_at IS NULL`;

/* $1 user, $2 limit, $3 offset; no row when the page is past the end */
export const NOTE_LIST = `
SELECT n.id, n.folder_id, n.title, left(n.content_plain, 500) AS content_plain,
  n.word_count, n.is_pinned, n.is_favorite, n.tags, n.version, n.sync_status,
  n.client_updated_at, n.created_at, n.updated_at, n.deleted_at,
  f.id AS live_folder_id, f.name AS folder_name, f.color AS folder_color,
  (SELECT count(*)::int FROM notes c
    WHERE c.user_id = $1 AND c.deleted_at IS NULL) AS total
  FROM notes n ${FOLDER}
 WHERE n.user_id = $1 AND n.deleted_at IS NULL
 ORDER BY n.updated_at DESC, n.id DESC
 LIMIT $2 OFFSET $3`;

export const NOTE_COUNT = `
SELECT count(*)::int AS total FROM notes
 WHERE user_id = $1 AND deleted_at IS NULL`;

/* $1 user, $2 id, $3 folder|null, $4 title, $5 content, $6 plain, $7 words,
   $8 tags, $9 pinned, $10 favorite, $11 client time.
   No row: the folder is not a live one of this user. */
export const NOTE_CREATE = `
WITH seq AS (
  UPDATE users SET change_seq = change_seq + 1
   WHERE id = $1 AND ($3::uuid IS NULL OR EXISTS (
     SELECT 1 FROM folders
      WHERE id = $3 AND user_id = $1 AND deleted_at IS NULL))
  RETURNING change_seq
), n AS (
  INSERT INTO notes (id, user_id, folder_id, title, content, content_plain,
                     word_count, tags, is_pinned, is_favorite,
                     client_updated_at, change_seq)
  SELECT $2::uuid, $1, $3::uuid, $4::text, $5::text, $6::text, $7::int,
         $8::text[], $9::bool, $10::bool, $11::timestamptz, change_seq
    FROM seq
  RETURNING *
)
SELECT ${NOTE} FROM n ${FOLDER}`;

/* $1 note, $2 user, $3 title|null, $4 content|null, $5 plain, $6 words
   (null = unchanged). No row: no such note. */
export const NOTE_UPDATE = `
WITH old AS (
  SELECT * FROM notes
   WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL
     FOR UPDATE
), seq AS (
  UPDATE users SET change_seq = change_seq + 1
   WHERE id = $2 AND EXISTS (SELECT 1 FROM old)
  RETURNING change_seq
), history AS (
  INSERT INTO note_versions (note_id, user_id, is_text, title, content,
                             word_count, folder_id, tags, is_pinned,
                             is_favorite, deleted_at, version)
  SELECT id, user_id, true, title, content, word_count, folder_id, tags,
         is_pinned, is_favorite, deleted_at, version
    FROM old
), n AS (
  UPDATE notes t
     SET title = coalesce($3::text, t.title),
         content = coalesce($4::text, t.content),
         content_plain = coalesce($5::text, t.content_plain),
         word_count = coalesce($6::int, t.word_count),
         version = t.version + 1,
         change_seq = seq.change_seq,
         updated_at = now()
    FROM old, seq
   WHERE t.id = old.id
  RETURNING t.*
)
SELECT ${NOTE} FROM n ${FOLDER}`;

const SYNCED = `id, user_id, folder_id, title, content, content_plain,
  word_count, is_pinned, is_favorite, tags, version, sync_status,
  client_updated_at, created_at, updated_at, deleted_at, change_seq`;

const CHANGES = `WHERE user_id = $1 AND change_seq > $2
   AND ($3::timestamptz IS NULL OR updated_at > $3)
 ORDER BY change_seq LIMIT $4`;

/* $1 user, $2 place, $3 time|null, $4 limit */
export const SYNC_NOTES = `SELECT ${SYNCED} FROM notes ${CHANGES}`;
export const SYNC_FOLDERS = `
SELECT id, name, color, icon, position, version, created_at, updated_at,
  deleted_at, change_seq FROM folders ${CHANGES}`;

/* $1 user, $2 device, $3 action, $4 notes */
export const SYNC_LOG = `
INSERT INTO sync_logs (user_id, device_id, action, notes_synced)
VALUES ($1, $2, $3, $4)`;

/* $1 note */
export const SYNC_FIND = `SELECT ${SYNCED} FROM notes WHERE id = $1`;

/* $1 note, $2 user, and what it was */
export const SYNC_HISTORY = `
INSERT INTO note_versions (note_id, user_id, is_text, title, content,
  word_count, folder_id, tags, is_pinned, is_favorite, deleted_at, version)
VALUES ($1, $2, true, $3, $4, $5, $6, $7, $8, $9, $10, $11)`;

/* $1 note, $2 user, $3 title, $4 content, $5 plain, $6 words, $7 folder,
   $8 tags, $9 pinned, $10 favorite, $11 client time */
const STEP = `
WITH seq AS (
  UPDATE users SET change_seq = change_seq + 1
   WHERE id = $2 RETURNING change_seq AS next)`;
export const SYNC_UPDATE = `${STEP}
UPDATE notes
   SET title = $3, content = $4, content_plain = $5, word_count = $6,
       folder_id = $7, tags = $8, is_pinned = $9, is_favorite = $10,
       client_updated_at = $11, version = version + 1, updated_at = now(),
       change_seq = next
  FROM seq
 WHERE id = $1
RETURNING ${SYNCED}`;
export const SYNC_INSERT = `${STEP}
INSERT INTO notes (id, user_id, title, content, content_plain, word_count,
  folder_id, tags, is_pinned, is_favorite, client_updated_at, change_seq)
SELECT $1::uuid, $2, $3::text, $4::text, $5::text, $6::int, $7::uuid,
       $8::text[], $9::bool, $10::bool, $11::timestamptz, next FROM seq
RETURNING ${SYNCED}`;

/* $1 user */
export const SYNC_HEAD = 'SELECT change_seq FROM users WHERE id = $1';
