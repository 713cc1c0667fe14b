/* The database of one test, and connections to it in a pool as mod_dbd keeps
 * them: opened when they are needed, given out again most recently used
 * first, each with a memory pool that dies with it. */
#ifndef CH_TESTS_DATABASE_H
#define CH_TESTS_DATABASE_H

#include <apr_strings.h>
#include <apr_thread_mutex.h>

#include "ch_postgres.h"
#include "store/db.h"

#define CH_CONNECTIONS 8

typedef struct {
    PGconn *pg; /* NULL = none */
    apr_pool_t *pool;
    int taken;
} ch_connection_t;

/* Of the running test. */
static struct {
    char name[32];
    char conninfo[256];
    apr_thread_mutex_t *mutex;
    ch_connection_t all[CH_CONNECTIONS];
    int asked;          /* calls of open */
    int opened, closed; /* connections given out, taken back */
    int refuse;         /* open gives nothing */
    int refuse_at;      /* nor does this call of it, 0 = all do */
} database;

/* --- past the code under test ---------------------------------------------
 */

/* Runs a statement as somebody else and gives the first cell, "" when there
 * is none. */
static inline const char *ch_sql(const char *text)
{
    PGconn *pg = ch_pg_connect(database.name);
    const char *cell = "";
    PGresult *res;

    ck_assert_ptr_nonnull(pg);
    res = PQexec(pg, text);
    if (PQresultStatus(res) != PGRES_COMMAND_OK
        && PQresultStatus(res) != PGRES_TUPLES_OK) {
        ck_abort_msg("%s: %s", text, PQerrorMessage(pg));
    }
    if (PQntuples(res) > 0) {
        cell = apr_pstrdup(pool, PQgetvalue(res, 0, 0));
    }
    PQclear(res);
    PQfinish(pg);
    return cell;
}

/* Runs statements on an idle connection of the pool, behind the module's
 * back. */
static inline void ch_behind(int index, const char *text)
{
    PGresult *res = PQexec(database.all[index].pg, text);

    ck_assert_int_eq(PQresultStatus(res), PGRES_COMMAND_OK);
    PQclear(res);
}

static inline int ch_backend(int index)
{
    return PQbackendPID(database.all[index].pg);
}

/* Ends the server's side of a connection and waits until it is gone. */
static inline void ch_terminate(int backend)
{
    int tries;

    ch_sql(apr_psprintf(pool, "SELECT pg_terminate_backend(%d)", backend));
    for (tries = 0; tries < 1000; tries++) {
        if (*ch_sql(apr_psprintf(pool,
                                 "SELECT 1 FROM pg_stat_activity "
                                 "WHERE pid = %d",
                                 backend))
            == '\0') {
            return;
        }
        usleep(5000);
    }
    ck_abort_msg("the backend does not end");
}

/* --- the source -----------------------------------------------------------
 */

static inline ch_connection_t *ch_database_pick(void)
{
    ch_connection_t *empty = NULL;
    int i;

    for (i = 0; i < CH_CONNECTIONS; i++) {
        ch_connection_t *one = &database.all[i];

        if (one->taken) {
            continue; /* and what is in it, its holder's */
        }
        if (one->pg) {
            return one;
        }
        if (!empty) {
            empty = one;
        }
    }
    return empty;
}

/* As apr_dbd_check_conn does for PostgreSQL. */
static inline int ch_database_check(ch_connection_t *one)
{
    if (!one->pg) {
        one->pg = PQconnectdb(database.conninfo);
        apr_pool_create(&one->pool, NULL);
    }
    else if (PQstatus(one->pg) != CONNECTION_OK) {
        PQreset(one->pg);
    }
    if (PQstatus(one->pg) == CONNECTION_OK) {
        return 1;
    }
    PQfinish(one->pg);
    apr_pool_destroy(one->pool);
    one->pg = NULL;
    return 0;
}

static inline void *ch_database_take(void *ctx, apr_pool_t *request,
                                     void **handle, apr_pool_t **conn_pool)
{
    ch_connection_t *one = NULL;

    apr_thread_mutex_lock(database.mutex);
    database.asked++;
    if (!database.refuse && database.asked != database.refuse_at) {
        one = ch_database_pick();
        ck_assert_ptr_nonnull(one); /* the gate is there to prevent it */
        one->taken = 1;
        database.opened++;
    }
    apr_thread_mutex_unlock(database.mutex);
    if (one && !ch_database_check(one)) {
        apr_thread_mutex_lock(database.mutex);
        one->taken = 0;
        one = NULL;
        database.closed++;
        apr_thread_mutex_unlock(database.mutex);
    }
    if (!one) {
        return NULL;
    }
    *handle = one;
    *conn_pool = one->pool;
    return one->pg;
}

static inline void ch_database_give(void *ctx, void *handle)
{
    ch_connection_t *one = handle;

    apr_thread_mutex_lock(database.mutex);
    database.closed++;
    ck_assert_int_eq(one->taken, 1);
    one->taken = 0;
    apr_thread_mutex_unlock(database.mutex);
}

static const ch_db_source_t ch_database_source = { .open = ch_database_take,
                                                   .close = ch_database_give };

/* --- for the tests --------------------------------------------------------
 */

/* A database with the product's schema that no other test has seen. */
static inline void ch_database_make(void)
{
    static int number;
    PGconn *pg;
    PGresult *res;

    if (getpid() != cluster.owner) {
        close(cluster.life); /* that of the program is the one that counts */
    }
    memset(&database, 0, sizeof(database));
    apr_thread_mutex_create(&database.mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    pg = ch_pg_connect("postgres");
    ck_assert_ptr_nonnull(pg);
    snprintf(database.name, sizeof(database.name), "test_%d_%d", (int)getpid(),
             ++number);
    res =
        PQexec(pg, apr_psprintf(pool, "CREATE DATABASE %s TEMPLATE chronicle",
                                database.name));
    ck_assert_int_eq(PQresultStatus(res), PGRES_COMMAND_OK);
    PQclear(res);
    PQfinish(pg);
    ch_pg_conninfo(database.conninfo, sizeof(database.conninfo),
                   database.name);
}

/* How often the source gave a connection, while threads may ask it. */
static inline int ch_database_opened(void)
{
    int opened;

    apr_thread_mutex_lock(database.mutex);
    opened = database.opened;
    apr_thread_mutex_unlock(database.mutex);
    return opened;
}

/* What a child of the server has: at most max connections, for which a
 * request waits at most wait_ms. */
static inline ch_db_home_t *ch_home_make(int max, int wait_ms)
{
    ch_db_home_t *home =
        ch_db_home_make(pool, &ch_database_source, NULL, max, wait_ms);

    ck_assert_ptr_nonnull(home);
    return home;
}

/* A database of its own and a request's door to it, in the simplest case. */
static inline ch_db_t *ch_door_make(void)
{
    ch_database_make();
    return ch_db_make(pool, ch_home_make(CH_CONNECTIONS, 1000));
}

static inline int ch_busy(ch_db_home_t *home)
{
    int busy, max;

    ch_db_home_state(home, &busy, &max);
    return busy;
}

/* That a call gave this error code, "" for success. */
#define ck_result(call, want)                                                 \
    do {                                                                      \
        const ch_err_t *err_ = (call);                                        \
        const char *got_ = err_ ? ch_code_name(err_->code) : "";              \
                                                                              \
        ck_assert_msg(strcmp(got_, want) == 0, "%s gave \"%s\" (%s)", #call,  \
                      got_, err_ && err_->cause ? err_->cause : "-");         \
    } while (0)

/* Types of parameters, as PostgreSQL numbers them. */
#define CH_OID_BOOL 16
#define CH_OID_BYTEA 17
#define CH_OID_BIGINT 20
#define CH_OID_TEXT 25
#define CH_OID_JSONB 3802
#define CH_OID_TEXTS 1009
#define CH_OID_BIGINTS 1016
#define CH_OID_TIME 1184
#define CH_OID_UUID 2950

#endif
