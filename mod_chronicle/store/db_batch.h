/* Inside store/: quick statements of several requests in one round trip. */
#ifndef CH_STORE_DB_BATCH_H
#define CH_STORE_DB_BATCH_H

#include "store/db_conn.h"
#include "store/db_param.h"

typedef struct ch_batch_t ch_batch_t;

/* One per home, in pool; at most `leaders` round trips run at once. */
ch_batch_t *ch_batch_make(apr_pool_t *pool, int leaders);

/* Runs a statement that is marked as "batch" with those of other threads, or
 * alone when nobody else is there. *res is its result (the caller's to
 * clear), or NULL when it must be run by itself: the batch broke, or somebody
 * else's statement did. NULL, or an error when no connection was to be had. */
ch_err_t *ch_batch_run(apr_pool_t *pool, ch_db_home_t *home,
                       ch_batch_t *batch, const ch_sql_t *sql,
                       const ch_encoded_t *in, PGresult **res);

#endif
