/* Inside store/: statements of one request in one round trip and one
 * transaction. */
#ifndef CH_STORE_DB_PIPE_H
#define CH_STORE_DB_PIPE_H

#include "store/db_conn.h"
#include "store/db_param.h"

typedef struct {
    const ch_sql_t *sql;
    ch_encoded_t in;
    ch_rows_t *rows; /* to be filled by the caller of ch_pipe_run */
    PGresult *res;   /* NULL when it did not run */
} ch_piped_t;

/* Sends count statements in order. They are one transaction, of which each
 * statement sees what those before it did and what others have committed by
 * its turn; the first that fails undoes all. Results are the caller's to
 * clear, also after a failure, where *failed is the index of the statement to
 * blame, whose res says why (it may be NULL when the connection broke). */
ch_run_e ch_pipe_run(const ch_conn_t *conn, ch_piped_t *piped, int count,
                     int *failed);

#endif
