/* Three-way merge of a note or a folder. */
#ifndef CH_API_SYNC_MERGE_H
#define CH_API_SYNC_MERGE_H

#include "api/sync.h"

/* Where both sides said something else. */
typedef struct {
    const char *field;
    int count;
} ch_clash_t;

/* What is merged: fields without those that only a push has. A field that the
 * client did not give is as in base, without a base as on the server. */
typedef struct {
    ch_sync_kind_e kind;
    const ch_item_t *base; /* NULL: nobody knows what both come from */
    const ch_item_t *server;
    const ch_item_t *client;
} ch_merge_t;

/* Puts every field into out (values, given, nulls; in pool) and what clashes
 * into clashes (of ch_clash_t). VALIDATION_ERROR when the merged text is too
 * long to be kept. */
ch_err_t *ch_sync_merge(apr_pool_t *pool, const ch_merge_t *merge,
                        ch_item_t *out, apr_array_header_t *clashes);

#endif
