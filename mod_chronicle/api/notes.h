/* What the files of notes share. */
#ifndef CH_API_NOTES_H
#define CH_API_NOTES_H

#include "store/sql_gen.h"
#include "web/request.h"

/* What notes and folders may hold, in characters if nothing else is said. */
#define CH_NOTE_TITLE_MAX 500
#define CH_NOTE_CONTENT_MAX 2097152 /* bytes */
#define CH_NOTE_TAG_MAX 50
#define CH_NOTE_TAGS_MAX 50
#define CH_NOTE_UNTITLED "Untitled Note"
#define CH_FOLDER_NAME_MAX 255
#define CH_FOLDER_ICON_MAX 50
#define CH_FOLDER_POSITION_MAX 1000000

/* What a list's folderId says for notes of no folder; the member of the query
 * is then this very pointer. */
extern const char ch_note_no_folder[];

/* The wire forms of a note, of a version of one, of a folder; of notes and
 * folders for sync. */
extern const ch_fields_t ch_note_out;
extern const ch_fields_t ch_note_version_out;
extern const ch_fields_t ch_folder_out;
extern const ch_fields_t ch_sync_note_out;
extern const ch_fields_t ch_sync_folder_out;

/* The rows that a note has in lists: head and tail; all of it has the content
 * between them. */
extern const ch_fields_t ch_note_folder_out;
extern const char *const ch_note_sync_states[3];

#define CH_NOTE_ID                                                            \
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },                         \
    { .name = "folderId", .type = CH_T_UUID, .column = "folder_id",           \
      .flags = CH_NULLABLE, .doc = "Its folder, live or deleted" }

#define CH_NOTE_TITLE { .name = "title", .type = CH_T_STR, .doc = "Title" }

#define CH_NOTE_HEAD                                                          \
    CH_NOTE_ID,                                                               \
    { .name = "folder", .type = CH_T_NEST, .nested = &ch_note_folder_out,     \
      .column = "folder_ref", .flags = CH_NULLABLE,                           \
      .doc = "Its folder while that is live" },                               \
    CH_NOTE_TITLE

#define CH_NOTE_TAIL                                                          \
    { .name = "contentPlain", .type = CH_T_TEXT, .column = "content_plain",   \
      .doc = "Its text without markup; 500 characters in lists" },            \
    { .name = "wordCount", .type = CH_T_INT, .column = "word_count",          \
      .doc = "Words of the text" },                                           \
    { .name = "isPinned", .type = CH_T_BOOL, .column = "is_pinned",           \
      .doc = "Pinned" },                                                      \
    { .name = "isFavorite", .type = CH_T_BOOL, .column = "is_favorite",       \
      .doc = "Favourite" },                                                   \
    { .name = "tags", .type = CH_T_STRS, .doc = "Tags" },                     \
    { .name = "version", .type = CH_T_INT, .min = 1,                          \
      .doc = "Counts changes" },                                              \
    { .name = "syncStatus", .type = CH_T_ENUM,                                \
      CH_CHOICES(ch_note_sync_states), .column = "sync_status",               \
      .doc = "conflict: one is to be resolved" },                             \
    { .name = "clientUpdatedAt", .type = CH_T_TIME,                           \
      .column = "client_updated_at", .flags = CH_NULLABLE,                    \
      .doc = "The client's own time of the change" },                         \
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",         \
      .doc = "Made" },                                                        \
    { .name = "updatedAt", .type = CH_T_TIME, .column = "updated_at",         \
      .doc = "Last change" },                                                 \
    { .name = "deletedAt", .type = CH_T_TIME, .column = "deleted_at",         \
      .flags = CH_NULLABLE, .doc = "Put into the trash" }

#define CH_NOTE_ROUTE                                                         \
    .auth = CH_USER, .rate = CH_RATE_API, .feature = CH_FEATURE_NOTES,        \
    .tag = "Notes"

/* The text of a note's HTML, in pool, and its number of words; "" and 0 for
 * NULL. */
const char *ch_note_plain(apr_pool_t *pool, const char *content,
                          apr_int64_t *words);

/* Which notes ch_note_purge takes: any, or only one that has been in the trash
 * for 30 days. */
enum { CH_PURGE_ANY, CH_PURGE_EXPIRED };

/* Deletes a note for good, after waiting for the user's lock. */
ch_err_t *ch_note_purge(ch_db_t *db, const sql_note_purge_t *in,
                        ch_rows_t **rows);

/* Writes the fields set in row to the note of the path, under If-Match, and
 * replies with it. What is derived from the content is filled in here. */
ch_err_t *ch_note_write_text(ch_req_t *rq, sql_note_update_t *row,
                             const char *message);

#endif
