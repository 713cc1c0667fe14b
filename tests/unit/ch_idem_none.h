/* In place of idempotency keys and of the database's announcements: each key
 * is new, and nobody listens. */
#ifndef CH_TEST_IDEM_NONE_H
#define CH_TEST_IDEM_NONE_H

#include <string.h>

#include "store/idem.h"
#include "store/sql_gen.h"

ch_err_t *sql_bus_tell(ch_db_t *db, const sql_bus_tell_t *in,
                       ch_rows_t **rows)
{
    return NULL;
}

ch_err_t *ch_idem_begin(apr_pool_t *p, ch_db_t *db, const ch_idem_t *idem,
                        ch_idem_answer_t *answer)
{
    memset(answer, 0, sizeof(*answer));
    return NULL;
}

ch_err_t *ch_idem_end(apr_pool_t *p, ch_db_t *db, const ch_idem_t *idem,
                      const ch_idem_answer_t *answer)
{
    return NULL;
}

void ch_idem_abandon(ch_db_t *db, const ch_idem_t *idem)
{
}

#endif
