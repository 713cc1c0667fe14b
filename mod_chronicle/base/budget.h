/* So many in so many seconds, for log lines and rows that nobody needs in
 * floods. */
#ifndef CH_BASE_BUDGET_H
#define CH_BASE_BUDGET_H

#include "chronicle.h"

/* Zeroed to begin with; may be used by all threads at once. */
typedef struct {
    apr_uint32_t window; /* number of the running window */
    apr_uint32_t count;  /* of what was taken in it */
} ch_budget_t;

/* Takes one of `limit` per `seconds`: 1, or 0 when none is left. `now` in
 * microseconds. About right where a window ends: a few more may pass then. */
int ch_budget_take(ch_budget_t *budget, apr_time_t now, apr_uint32_t limit,
                   apr_uint32_t seconds);

#endif
