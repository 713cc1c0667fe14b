/* Inside store/: parameters of statements as libpq takes them. */
#ifndef CH_STORE_DB_PARAM_H
#define CH_STORE_DB_PARAM_H

#include "store/db.h"

/* What libpq is given. */
typedef struct {
    const char **values;
    int *lengths;
    int *formats;
} ch_encoded_t;

/* Text is not copied, everything else is made in pool. */
ch_encoded_t ch_param_encode(apr_pool_t *pool, const ch_sql_t *sql,
                             const ch_param_t *params);

#endif
