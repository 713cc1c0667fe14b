/* Takes connections from the pool, finds out whether they live, and keeps
 * what is known of each (its prepared statements) through resets. */
#include "store/db_conn.h"

#include <sys/socket.h>

#include <string.h>

#include <apr_strings.h>
#include <libpq-events.h>

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

#define SCHEMA_CHECK_USEC (5 * APR_USEC_PER_SEC)
#define SCHEMA_RECHECK_USEC (APR_USEC_PER_SEC / 2)

/* After a failed connect nobody else tries for this long: requests fail in
 * microseconds instead of queueing behind a server that is not there. */
#define AWAY_USEC (200 * 1000)

struct ch_db_home_t {
    const ch_db_source_t *source;
    void *ctx;
    int max;
    int wait_ms;
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *free_place;
    int busy;                /* under mutex */
    apr_time_t away_until;   /* relaxed atomics from here */
    apr_time_t schema_seen;
    int schema;
};

/* Rides on the PGconn through libpq's events. */
typedef struct {
    int ready; /* session settings are right */
    int used;  /* a statement went over it since connecting */
    size_t prepared_size;
    unsigned char prepared[];
} conn_state_t;

static int on_event(PGEventId id, void *info, void *through)
{
    if (id == PGEVT_CONNRESET) {
        PGEventConnReset *event = info;
        conn_state_t *state = PQinstanceData(event->conn, on_event);

        if (state) {
            state->ready = 0;
            state->used = 0;
            memset(state->prepared, 0, state->prepared_size);
        }
    }
    return 1;
}

static conn_state_t *state_of(const ch_conn_t *conn)
{
    return PQinstanceData(conn->pg, on_event);
}

ch_db_home_t *ch_db_home_make(apr_pool_t *pool, const ch_db_source_t *source,
                              void *ctx, int max, int wait_ms)
{
    ch_db_home_t *home = apr_pcalloc(pool, sizeof(*home));

    home->source = source;
    home->ctx = ctx;
    home->max = max > 0 ? max : 1;
    home->wait_ms = wait_ms;
    home->schema = -1;
    if (apr_thread_mutex_create(&home->mutex, APR_THREAD_MUTEX_DEFAULT, pool)
            != APR_SUCCESS
        || apr_thread_cond_create(&home->free_place, pool) != APR_SUCCESS) {
        return NULL;
    }
    return home;
}

void ch_db_home_state(ch_db_home_t *home, int *busy, int *max)
{
    *busy = __atomic_load_n(&home->busy, __ATOMIC_RELAXED);
    *max = home->max;
}

int ch_db_home_schema(ch_db_home_t *home)
{
    return __atomic_load_n(&home->schema, __ATOMIC_RELAXED);
}

/* Waits for a place among the connections. mod_dbd itself would wait for
 * ever. */
static int enter_gate(ch_db_home_t *home)
{
    apr_time_t deadline = 0;
    int entered = 1;

    apr_thread_mutex_lock(home->mutex);
    while (home->busy >= home->max) {
        apr_time_t now = apr_time_now();

        if (!deadline) {
            deadline = now + (apr_time_t)home->wait_ms * 1000;
        }
        if (now >= deadline) {
            entered = 0;
            break;
        }
        apr_thread_cond_timedwait(home->free_place, home->mutex,
                                  deadline - now);
    }
    if (entered) {
        home->busy++;
    }
    apr_thread_mutex_unlock(home->mutex);
    return entered;
}

static void leave_gate(ch_db_home_t *home)
{
    apr_thread_mutex_lock(home->mutex);
    home->busy--;
    apr_thread_cond_signal(home->free_place);
    apr_thread_mutex_unlock(home->mutex);
}

static void note_away(ch_db_home_t *home)
{
    __atomic_store_n(&home->schema, -1, __ATOMIC_RELAXED);
    __atomic_store_n(&home->away_until, apr_time_now() + AWAY_USEC,
                     __ATOMIC_RELAXED);
}

int ch_conn_reset(ch_db_home_t *home, ch_conn_t *conn)
{
    PQreset(conn->pg);
    if (PQstatus(conn->pg) == CONNECTION_OK) {
        return 1;
    }
    note_away(home);
    return 0;
}

/* An idle connection has nothing to read; if there is something, it is the
 * server's farewell. Costs one system call and spares a write the doubt
 * whether it was done. */
static int looks_alive(const ch_conn_t *conn)
{
    char byte;

    if (PQstatus(conn->pg) != CONNECTION_OK
        || PQtransactionStatus(conn->pg) != PQTRANS_IDLE) {
        return 0;
    }
    return !state_of(conn)->used
           || recv(PQsocket(conn->pg), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

static int is_setting(const ch_conn_t *conn, const char *name,
                      const char *value)
{
    const char *now = PQparameterStatus(conn->pg, name);

    return now && strncmp(now, value, strlen(value)) == 0;
}

/* Sets what the text forms of our results rest on. */
static int settle(const ch_conn_t *conn)
{
    PGresult *res;
    int good = 1;

    if (!is_setting(conn, "TimeZone", "UTC")
        || !is_setting(conn, "DateStyle", "ISO")
        || !is_setting(conn, "client_encoding", "UTF8")) {
        res = PQexec(conn->pg, "SET TimeZone = 'UTC';"
                               "SET DateStyle = 'ISO, YMD';"
                               "SET client_encoding = 'UTF8'");
        good = PQresultStatus(res) == PGRES_COMMAND_OK;
        PQclear(res);
    }
    return good;
}

/* Looks at the schema's version now and then; a connection to a schema that
 * does not fit must not be used. Returns 1 when the look itself worked. */
static int look_at_schema(ch_db_home_t *home, const ch_conn_t *conn)
{
    int version = __atomic_load_n(&home->schema, __ATOMIC_RELAXED);
    apr_time_t now = apr_time_now();
    apr_time_t age = now
                     - __atomic_load_n(&home->schema_seen, __ATOMIC_RELAXED);
    PGresult *res;

    if (version >= 0
        && age < (version == CH_SCHEMA_VERSION ? SCHEMA_CHECK_USEC
                                               : SCHEMA_RECHECK_USEC)) {
        return 1;
    }
    if (version >= 0) { /* one looks, the others go on with what is known */
        __atomic_store_n(&home->schema_seen, now, __ATOMIC_RELAXED);
    }
    res = PQexec(conn->pg,
                 "SELECT coalesce(max(version), 0) FROM schema_migrations");
    if (PQresultStatus(res) == PGRES_TUPLES_OK) {
        version = (int)apr_atoi64(PQgetvalue(res, 0, 0));
    }
    else {
        const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

        if (!state || strcmp(state, "42P01") != 0) {
            PQclear(res);
            return 0;
        }
        version = 0; /* no such table: an empty database */
    }
    PQclear(res);
    __atomic_store_n(&home->schema, version, __ATOMIC_RELAXED);
    __atomic_store_n(&home->schema_seen, now, __ATOMIC_RELAXED);
    return 1;
}

/* Gives a new connection its state, in the pool that dies with it. */
static int adopt(const ch_conn_t *conn, apr_pool_t *conn_pool)
{
    size_t size = ((size_t)ch_sql_count + 7) / 8;
    conn_state_t *state;

    if (state_of(conn)) {
        return 1;
    }
    state = apr_pcalloc(conn_pool, sizeof(*state) + size);
    state->prepared_size = size;
    return PQregisterEventProc(conn->pg, on_event, "chronicle", NULL)
           && PQsetInstanceData(conn->pg, on_event, state);
}

/* What must be true of a connection before a statement goes over it; NULL or
 * what could not be done. */
static const char *set_up(ch_db_home_t *home, const ch_conn_t *conn)
{
    conn_state_t *state = state_of(conn);

    if (!state->ready) {
        if (!settle(conn)) {
            return "cannot set up the session";
        }
        state->ready = 1;
    }
    return look_at_schema(home, conn) ? NULL : "cannot read the schema";
}

/* A connection that broke while nobody looked is made anew, once: nothing
 * that counts was sent over it yet. */
static const char *make_ready(ch_db_home_t *home, ch_conn_t *conn)
{
    const char *failure = "is dead";

    if (looks_alive(conn)) {
        failure = set_up(home, conn);
    }
    if (failure && (!looks_alive(conn) || !state_of(conn)->used)) {
        failure = ch_conn_reset(home, conn) ? set_up(home, conn)
                                            : "cannot connect";
    }
    if (!failure) {
        state_of(conn)->used = 1;
    }
    return failure;
}

static ch_err_t *unavailable(apr_pool_t *pool, const char *cause,
                             const PGconn *pg)
{
    return ch_err_cause(pool, CH_E_DATABASE_ERROR, "database: %s%s%s", cause,
                        pg ? ": " : "", pg ? PQerrorMessage(pg) : "");
}

static ch_err_t *check_schema(apr_pool_t *pool, ch_db_home_t *home)
{
    int version = ch_db_home_schema(home);

    if (version == CH_SCHEMA_VERSION) {
        return NULL;
    }
    return ch_err_cause(pool, CH_E_DATABASE_ERROR,
                        "database: the schema is at version %d, this build "
                        "needs %d: run chronicle-migrate apply, or load the "
                        "module that fits",
                        version, CH_SCHEMA_VERSION);
}

ch_err_t *ch_conn_take(apr_pool_t *pool, ch_db_home_t *home, ch_conn_t *conn)
{
    apr_pool_t *conn_pool = NULL;
    const char *cause = NULL;
    ch_err_t *err;

    if (__atomic_load_n(&home->away_until, __ATOMIC_RELAXED)
        > apr_time_now()) {
        return unavailable(pool, "is away", NULL);
    }
    if (!enter_gate(home)) {
        return unavailable(pool, "all connections are busy", NULL);
    }
    conn->pg = home->source->open(home->ctx, pool, &conn->handle, &conn_pool);
    if (!conn->pg) {
        note_away(home);
        leave_gate(home);
        return unavailable(pool, "cannot connect", NULL);
    }
    if (!adopt(conn, conn_pool)) {
        cause = "out of memory";
    }
    else {
        cause = make_ready(home, conn);
    }
    err = cause ? unavailable(pool, cause, conn->pg) : check_schema(pool, home);
    if (err) {
        ch_conn_give(home, conn);
    }
    return err;
}

void ch_conn_give(ch_db_home_t *home, ch_conn_t *conn)
{
    PGTransactionStatusType status = PQtransactionStatus(conn->pg);

    if (status == PQTRANS_INTRANS || status == PQTRANS_INERROR) {
        PQclear(PQexec(conn->pg, "ROLLBACK"));
    }
    /* whatever is still not idle is reset by the next one that takes it */
    home->source->close(home->ctx, conn->handle);
    conn->pg = NULL;
    leave_gate(home);
}

int ch_conn_prepared(const ch_conn_t *conn, const ch_sql_t *sql)
{
    return state_of(conn)->prepared[sql->index / 8] >> (sql->index % 8) & 1;
}

void ch_conn_note_prepared(const ch_conn_t *conn, const ch_sql_t *sql)
{
    state_of(conn)->prepared[sql->index / 8] |=
        (unsigned char)(1 << (sql->index % 8));
}

void ch_conn_forget(const ch_conn_t *conn)
{
    conn_state_t *state = state_of(conn);

    PQclear(PQexec(conn->pg, "DEALLOCATE ALL"));
    memset(state->prepared, 0, state->prepared_size);
}
