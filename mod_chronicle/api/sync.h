/* What the files of sync share. */
#ifndef CH_API_SYNC_H
#define CH_API_SYNC_H

#include "web/item.h"
#include "web/request.h"

#define CH_SYNC_ROUTE                                                         \
    .auth = CH_USER, .rate = CH_RATE_API, .feature = CH_FEATURE_NOTES,        \
    .tag = "Sync"

/* --- the two kinds of objects ----------------------------------------- */

/* What both begin with. */
typedef struct {
    const char *id;
    apr_int64_t base_version;
    const char *updated_at;
    const char *created_at;
} ch_sync_head_t;

typedef struct {
    ch_sync_head_t head;
    const char *client_updated_at;
    const char *title;
    const char *content;
    const char *folder_id;
    const apr_array_header_t *tags;
    int is_pinned;
    int is_favorite;
    const char *deleted_at;
} ch_sync_note_t;

typedef struct {
    ch_sync_head_t head;
    const char *name;
    const char *color;
    const char *icon;
    apr_int64_t position;
    const char *deleted_at;
} ch_sync_folder_t;

typedef enum { CH_SYNC_NOTE, CH_SYNC_FOLDER } ch_sync_kind_e;

typedef struct {
    const char *name;       /* "note" */
    const ch_fields_t *in;  /* an item of a push; rows that only a push has
                             * are flagged CH_CREATE_ONLY */
    const ch_fields_t *out; /* SyncNote, SyncFolder */
    ch_code_e missing;      /* there is no such object */
} ch_sync_kind_t;

extern const ch_sync_kind_t ch_sync_kinds[2];
extern const ch_fields_t ch_sync_note_in;
extern const ch_fields_t ch_sync_folder_in;

/* By ch_sync_kind_e. */
extern const char *const ch_sync_kind_names[2];

/* An item of a push, or the fields alone (CH_CREATE_ONLY in skip), by the
 * table of its kind: what is wrong with it is in item->faults. prefix is put
 * in front of the fields' names there. */
void ch_sync_read(apr_pool_t *pool, ch_sync_kind_e kind,
                  const ch_json_t *object, unsigned skip, ch_item_t *item);

/* --- places ------------------------------------------------------------ */

/* A cursor: the place behind the change of this number, written in decimal.
 * unfinished: it was given with hasMore. It belongs to the user for good, so
 * it is not bound to a secret that may change. */
const char *ch_sync_cursor(const ch_req_t *rq, const char *number,
                           int unfinished);

/* Reads one back; 0 when it is damaged or another user's. */
int ch_sync_open_cursor(const ch_req_t *rq, const char *cursor,
                        apr_int64_t *number, int *unfinished);

/* {"cursor":…}: where the caller's notes and folders are now. */
ch_err_t *ch_sync_changed(ch_req_t *rq, ch_buf_t *data);

/* --- handlers ----------------------------------------------------------- */

extern const ch_fields_t ch_sync_push_in;
extern const ch_fields_t ch_sync_push_out;
ch_err_t *ch_sync_push(ch_req_t *rq);

extern const ch_fields_t ch_sync_resolve_in;
extern const ch_fields_t ch_sync_resolve_out;
ch_err_t *ch_sync_resolve(ch_req_t *rq);

/* The error behind the column "fault" of the statements that push. */
ch_err_t *ch_sync_fault(apr_pool_t *pool, const char *name);

#endif
