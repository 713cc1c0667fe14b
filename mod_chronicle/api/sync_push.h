/* A push while it is under way: read and applied by sync_push.c, answered by
 * sync_answer.c. */
#ifndef CH_API_SYNC_PUSH_H
#define CH_API_SYNC_PUSH_H

#include "api/sync.h"

typedef enum {
    CH_SYNC_APPLIED,
    CH_SYNC_CONFLICT,
    CH_SYNC_REJECTED,
    CH_SYNC_STATUS__COUNT
} ch_sync_status_e;

typedef struct {
    const ch_json_t *sent;
    ch_item_t item;
    const char *id; /* NULL: it was not a good one */
    ch_err_t *fault;
    const ch_rows_t *rows; /* its answer, NULL when it was not asked about */
    int row;
    ch_sync_status_e status;
} ch_sync_entry_t;

typedef struct {
    ch_sync_kind_e kind;
    ch_sync_entry_t *entries;
    int count;
    int good; /* entries without a fault */
    /* numbers of the user's changes in front of these and behind them, and
     * the time of the latter; 0 and NULL when nothing was done */
    apr_int64_t before, after;
    const char *after_at;
} ch_sync_group_t;

/* The answer: groups by kind, how many items of each status, and the row of
 * sync_push_end. */
ch_err_t *ch_sync_push_reply(ch_req_t *rq, const ch_sync_group_t *groups,
                             const int counts[CH_SYNC_STATUS__COUNT],
                             const ch_rows_t *end);

#endif
