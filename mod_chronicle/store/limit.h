/* Rate limits: fixed windows counted in shared memory, exact across all
 * processes of this server. */
#ifndef CH_STORE_LIMIT_H
#define CH_STORE_LIMIT_H

#include "chronicle.h"

#define CH_LIMIT_MAX 200000000 /* the largest limit */

typedef struct {
    int limit;     /* requests allowed in a window */
    int remaining; /* 0 or more */
    int reset;     /* seconds to the window's end, 1 or more */
    int refused;   /* this request is over the limit */
} ch_limit_state_t;

/* Memory shared by all processes, zeroed when new. seed is secret and the
 * same in all of them: nobody can aim keys at one bucket. */
void ch_limit_open(void *memory, const unsigned char seed[16]);
size_t ch_limit_size(void);

/* Counts one request of `key` (any bytes) against `limit` per `seconds`. The
 * window opens with the first request of a key. Before open: never
 * refuses. */
ch_limit_state_t ch_limit_count(const void *key, size_t len, int limit,
                                int seconds);

#endif
