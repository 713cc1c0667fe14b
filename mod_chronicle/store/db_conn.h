/* Inside store/: one connection, taken through the gate, healed and ready. */
#ifndef CH_STORE_DB_CONN_H
#define CH_STORE_DB_CONN_H

#include <libpq-fe.h>

#include "store/db.h"

typedef struct {
    PGconn *pg;
    void *handle; /* the source's */
} ch_conn_t;

/* Waits for a place, takes a connection and makes it ready: alive, in UTC,
 * schema known to fit. DATABASE_ERROR when any of it fails; nothing is held
 * then. */
ch_err_t *ch_conn_take(apr_pool_t *pool, ch_db_home_t *home, ch_conn_t *conn);

/* Gives it back, rolled back if it is inside a transaction. */
void ch_conn_give(ch_db_home_t *home, ch_conn_t *conn);

/* Connects anew at once; the prepared set is forgotten. 0 on failure. */
int ch_conn_reset(ch_db_home_t *home, ch_conn_t *conn);

/* Whether this statement is prepared on this connection, and notes that it
 * is. ch_conn_forget drops the whole set (SQLSTATE 26000). */
int ch_conn_prepared(const ch_conn_t *conn, const ch_sql_t *sql);
void ch_conn_note_prepared(const ch_conn_t *conn, const ch_sql_t *sql);
void ch_conn_forget(const ch_conn_t *conn);

#endif
