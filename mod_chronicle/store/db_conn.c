/* Takes connections from the pool, finds out whether they live, and keeps
 * what is known of each (its prepared statements) through resets. */
#include "store/db_conn.h"

#include <sys/socket.h>

#include <string.h>

#include <apr_strings.h>
#include <libpq-events.h>

#include "base/steady.h"
#include "store/db_batch.h"
#include "store/gate.h"

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
    ch_gate_t *gate;
    ch_batch_t *batch;
    apr_time_t away_until; /* relaxed atomics from here */
    apr_time_t schema_seen;
    int schema;
};

/* Rides on the PGconn through libpq's events. */
typedef struct {
    int ready; /* session settings are right */
    int used;  /* a statement went over it since connecting */
    int custom; /* statements are planned with their values */
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
            state->custom = 0;
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
    home->gate = ch_gate_make(pool, home->max);
    /* one connection stays for what takes longer */
    home->batch = ch_batch_make(pool, home->max - 1);
    return home->gate && home->batch ? home : NULL;
}

void ch_db_home_state(ch_db_home_t *home, int *busy, int *max)
{
    *busy = ch_gate_busy(home->gate);
    *max = home->max;
}

int ch_db_home_schema(ch_db_home_t *home)
{
    return __atomic_load_n(&home->schema, __ATOMIC_RELAXED);
}

static void note_away(ch_db_home_t *home)
{
    __atomic_store_n(&home->schema, -1, __ATOMIC_RELAXED);
    __atomic_store_n(&home->away_until, ch_steady_now() + AWAY_USEC,
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

static int set(const ch_conn_t *conn, const char *settings)
{
    PGresult *res = PQexec(conn->pg, settings);
    int good = PQresultStatus(res) == PGRES_COMMAND_OK;

    PQclear(res);
    return good;
}

/* Sets what the text forms of our results rest on; and plans once for all:
 * with a LIMIT among the parameters Postgres would else take planning anew
 * each time for the better deal. */
static int settle(const ch_conn_t *conn)
{
    return set(conn, "SET TimeZone = 'UTC';"
                     "SET DateStyle = 'ISO, YMD';"
                     "SET client_encoding = 'UTF8';"
                     "SET plan_cache_mode = force_generic_plan");
}

static int is_setting(const ch_conn_t *conn, const char *name,
                      const char *value)
{
    const char *now = PQparameterStatus(conn->pg, name);

    return now && strncmp(now, value, strlen(value)) == 0;
}

/* Whether nobody (a pooler, a RESET) took our settings back; libpq knows
 * without asking. */
static int has_settings(const ch_conn_t *conn)
{
    return is_setting(conn, "TimeZone", "UTC")
           && is_setting(conn, "DateStyle", "ISO")
           && is_setting(conn, "client_encoding", "UTF8");
}

int ch_conn_plan(const ch_conn_t *conn, int custom)
{
    conn_state_t *state = state_of(conn);

    if (state->custom == custom
        || PQtransactionStatus(conn->pg) != PQTRANS_IDLE) {
        return 1;
    }
    if (!set(conn, custom ? "SET plan_cache_mode = force_custom_plan"
                          : "SET plan_cache_mode = force_generic_plan")) {
        return 0;
    }
    state->custom = custom;
    return 1;
}

/* Looks at the schema's version now and then; a connection to a schema that
 * does not fit must not be used. Returns 1 when the look itself worked. */
static int look_at_schema(ch_db_home_t *home, const ch_conn_t *conn)
{
    int version = __atomic_load_n(&home->schema, __ATOMIC_RELAXED);
    apr_time_t now = ch_steady_now();
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

/* Notices ("word is too long to be indexed") would go to stderr. */
static void ignore_notice(void *unused, const char *text)
{
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
    PQsetNoticeProcessor(conn->pg, ignore_notice, NULL);
    return PQregisterEventProc(conn->pg, on_event, "chronicle", NULL)
           && PQsetInstanceData(conn->pg, on_event, state);
}

/* What must be true of a connection before a statement goes over it; NULL or
 * what could not be done. */
static const char *set_up(ch_db_home_t *home, const ch_conn_t *conn)
{
    conn_state_t *state = state_of(conn);

    if (!state->ready || !has_settings(conn)) {
        if (!settle(conn)) {
            return "cannot set up the session";
        }
        state->ready = 1;
        state->custom = 0;
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

/* Tells the source whether it gave a connection that works. */
static void tell(const ch_db_home_t *home, int up)
{
    if (home->source->tell) {
        home->source->tell(home->ctx, up);
    }
}

ch_err_t *ch_conn_take(apr_pool_t *pool, ch_db_home_t *home, ch_conn_t *conn)
{
    apr_pool_t *conn_pool = NULL;
    const char *cause = NULL;
    ch_err_t *err;

    if (__atomic_load_n(&home->away_until, __ATOMIC_RELAXED)
        > ch_steady_now()) {
        return unavailable(pool, "is away", NULL);
    }
    if (!ch_gate_enter(home->gate, home->wait_ms)) {
        return unavailable(pool, "all connections are busy", NULL);
    }
    conn->stale = 0;
    conn->pg = home->source->open(home->ctx, pool, &conn->handle, &conn_pool);
    if (!conn->pg) {
        note_away(home);
        tell(home, 0);
        ch_gate_leave(home->gate);
        return unavailable(pool, "cannot connect", NULL);
    }
    if (!adopt(conn, conn_pool)) {
        cause = "out of memory";
    }
    else {
        cause = make_ready(home, conn);
    }
    tell(home, cause == NULL);
    err = cause ? unavailable(pool, cause, conn->pg)
                : check_schema(pool, home);
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
    if (conn->stale) {
        ch_conn_forget(conn);
    }
    /* whatever is still not idle is reset by the next one that takes it */
    home->source->close(home->ctx, conn->handle);
    conn->pg = NULL;
    ch_gate_leave(home->gate);
}

int ch_conn_prepared(const ch_conn_t *conn, const ch_sql_t *sql)
{
    return state_of(conn)->prepared[sql->index / 8] >> (sql->index % 8) & 1;
}

static void note_prepared(const ch_conn_t *conn, const ch_sql_t *sql)
{
    state_of(conn)->prepared[sql->index / 8] |=
        (unsigned char)(1 << (sql->index % 8));
}

const char *ch_conn_state(const PGresult *res)
{
    const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;

    return state ? state : "";
}

ch_run_e ch_conn_judge(const ch_conn_t *conn, const PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);
    const char *state;

    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        return RUN_DONE;
    }
    if (PQstatus(conn->pg) != CONNECTION_OK) {
        return RUN_LOST;
    }
    state = ch_conn_state(res);
    /* 26000: not prepared here (a pooler, a DISCARD). 0A000 at execution:
     * "cached plan must not change result type", after a migration. */
    if (strcmp(state, "26000") == 0
        || (strcmp(state, "0A000") == 0
            && strstr(PQresultErrorMessage(res), "cached plan"))) {
        return RUN_UNPREPARED;
    }
    return RUN_REFUSED;
}

/* A name that is there already (a pooler handed us a backend that knows it)
 * is as good. */
ch_run_e ch_conn_prepare(const ch_conn_t *conn, const ch_sql_t *sql,
                         PGresult **res)
{
    ch_run_e run;

    *res = PQprepare(conn->pg, sql->name, sql->text, sql->params, sql->types);
    run = ch_conn_judge(conn, *res);
    if (run == RUN_REFUSED && strcmp(ch_conn_state(*res), "42P05") == 0) {
        run = RUN_DONE;
    }
    if (run == RUN_DONE) {
        note_prepared(conn, sql);
    }
    return run == RUN_LOST ? RUN_UNSENT : run;
}

struct ch_batch_t *ch_conn_batch(ch_db_home_t *home)
{
    return home->batch;
}

void ch_conn_forget(const ch_conn_t *conn)
{
    conn_state_t *state = state_of(conn);

    PQclear(PQexec(conn->pg, "DEALLOCATE ALL"));
    state->ready = 0; /* who dropped them may have dropped settings, too */
    memset(state->prepared, 0, state->prepared_size);
}
