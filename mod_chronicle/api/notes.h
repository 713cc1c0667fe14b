/* What the files of notes share. */
#ifndef CH_API_NOTES_H
#define CH_API_NOTES_H

#include "store/sql_gen.h"
#include "web/request.h"

#define CH_NOTE_CONTENT_MAX 2097152 /* bytes */
#define CH_NOTE_TAGS_MAX 50
#define CH_NOTE_UNTITLED "Untitled Note"

/* The wire forms of a note, of a version of one, of a folder; of notes and
 * folders for sync. */
extern const ch_fields_t ch_note_out;
extern const ch_fields_t ch_note_version_out;
extern const ch_fields_t ch_folder_out;
extern const ch_fields_t ch_sync_note_out;
extern const ch_fields_t ch_sync_folder_out;

#define CH_NOTE_ROUTE                                                         \
    .auth = CH_USER, .rate = CH_RATE_API, .feature = CH_FEATURE_NOTES,        \
    .tag = "Notes"

/* The text of a note's HTML, in pool, and its number of words; "" and 0 for
 * NULL. */
const char *ch_note_plain(apr_pool_t *pool, const char *content,
                          apr_int64_t *words);

/* Writes the fields set in row to the note of the path, under If-Match, and
 * replies with it. What is derived from the content is filled in here. */
ch_err_t *ch_note_write_text(ch_req_t *rq, sql_note_update_t *row,
                             const char *message);

#endif
