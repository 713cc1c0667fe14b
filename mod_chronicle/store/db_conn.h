/* Inside store/: one connection, taken through the gate, healed and ready. */
#ifndef CH_STORE_DB_CONN_H
#define CH_STORE_DB_CONN_H

#include <libpq-fe.h>

#include "store/db.h"

typedef struct {
    PGconn *pg;
    void *handle; /* the source's */
    int stale;    /* forget what is prepared once it is given back */
} ch_conn_t;

/* Waits for a place, takes a connection and makes it ready: alive, in UTC,
 * schema known to fit. DATABASE_ERROR when any of it fails; nothing is held
 * then. */
ch_err_t *ch_conn_take(apr_pool_t *pool, ch_db_home_t *home, ch_conn_t *conn);

/* Gives it back, rolled back if it is inside a transaction. */
void ch_conn_give(ch_db_home_t *home, ch_conn_t *conn);

/* Connects anew at once; the prepared set is forgotten. 0 on failure. */
int ch_conn_reset(ch_db_home_t *home, ch_conn_t *conn);

/* What became of one try to run a statement. */
typedef enum {
    RUN_DONE,
    RUN_REFUSED,    /* the server said no and undid it */
    RUN_UNPREPARED, /* the server does not know the statement */
    RUN_UNSENT,     /* the connection broke before it was sent */
    RUN_LOST        /* the connection broke; it may have been done */
} ch_run_e;

ch_run_e ch_conn_judge(const ch_conn_t *conn, const PGresult *res);

/* Prepares a statement on this connection; *res is the caller's to clear. */
ch_run_e ch_conn_prepare(const ch_conn_t *conn, const ch_sql_t *sql,
                         PGresult **res);

/* SQLSTATE of a result, "" when there is none. */
const char *ch_conn_state(const PGresult *res);

/* Has statements planned at each use, or once for all. 0 on failure. */
int ch_conn_plan(const ch_conn_t *conn, int custom);

/* The batch of a home. */
struct ch_batch_t *ch_conn_batch(ch_db_home_t *home);

/* Whether this statement is prepared on this connection, and forgets
 * the whole set (SQLSTATE 26000). */
int ch_conn_prepared(const ch_conn_t *conn, const ch_sql_t *sql);
void ch_conn_forget(const ch_conn_t *conn);

#endif
