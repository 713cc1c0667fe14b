/* Runs statements: encodes parameters, prepares on first use, repeats what
 * may be repeated, and turns SQLSTATEs into error codes. */
#include "store/db.h"

#include <string.h>

#include <apr_strings.h>

#include "base/steady.h"
#include "store/counter.h"
#include "store/db_batch.h"
#include "store/db_conn.h"
#include "store/db_param.h"
#include "store/db_pipe.h"

#define TRIES 3
#define CAUSE_MAX 400 /* characters of Postgres' text that reach the log */

struct ch_db_t {
    apr_pool_t *pool;
    ch_db_home_t *home;
    ch_conn_t conn; /* of the open transaction */
    int depth;      /* of nested begins */
    int failed;     /* an inner one was rolled back */
    int done;       /* statements in it so far */
    int in_doubt;   /* a write was lost on its way */
    apr_array_header_t *gathered; /* of ch_piped_t: to be sent together */
    apr_time_t elapsed;
    int statements;
};

struct ch_rows_t {
    PGresult *res;
    int rows;
    int columns;
};

static apr_status_t close_db(void *data)
{
    ch_db_abandon(data);
    return APR_SUCCESS;
}

ch_db_t *ch_db_make(apr_pool_t *pool, ch_db_home_t *home)
{
    ch_db_t *db = apr_pcalloc(pool, sizeof(*db));

    db->pool = pool;
    db->home = home;
    apr_pool_cleanup_register(pool, db, close_db, apr_pool_cleanup_null);
    return db;
}

ch_db_t *ch_db_fork(const ch_db_t *db, apr_pool_t *pool)
{
    return ch_db_make(pool, db->home);
}

apr_time_t ch_db_elapsed(const ch_db_t *db)
{
    return db->elapsed;
}

int ch_db_statements(const ch_db_t *db)
{
    return db->statements;
}

int ch_db_in_doubt(const ch_db_t *db)
{
    return db->in_doubt;
}

/* --- errors ----------------------------------------------------------- */

static int is_class(const char *state, const char *prefix)
{
    return strncmp(state, prefix, strlen(prefix)) == 0;
}

/* What will pass: lost connections, shutdowns, time-outs, exhausted
 * resources, locks, a server that became read-only. */
static int may_pass(const char *state)
{
    static const char *const classes[] = { "08", "53", "57", "58", "55P03",
                                           "40", "25006" };
    size_t i;

    if (!*state) {
        return 1;
    }
    for (i = 0; i < CH_COUNT(classes); i++) {
        if (is_class(state, classes[i])) {
            return 1;
        }
    }
    return 0;
}

static ch_code_e code_of(const ch_sql_t *sql, const char *state,
                         const char *constraint)
{
    int i;

    for (i = 0; i < sql->error_count; i++) {
        const ch_sql_error_t *own = &sql->errors[i];

        if (strcmp(own->state, state) == 0
            && (!own->constraint
                || (constraint && strcmp(own->constraint, constraint) == 0))) {
            return own->code;
        }
    }
    if (may_pass(state)) {
        return CH_E_DATABASE_ERROR;
    }
    if (strcmp(state, "23505") == 0) {
        return CH_E_CONFLICT;
    }
    return CH_E_INTERNAL_ERROR;
}

/* The one place where a SQLSTATE becomes an error. Never names SQL to the
 * client. */
static ch_err_t *error_of(apr_pool_t *pool, const ch_sql_t *sql,
                          const PGresult *res, const PGconn *pg)
{
    const char *constraint =
        res ? PQresultErrorField(res, PG_DIAG_CONSTRAINT_NAME) : NULL;
    const char *text = res ? PQresultErrorMessage(res) : PQerrorMessage(pg);
    const char *state = ch_conn_state(res);

    return ch_err_cause(pool, code_of(sql, state, constraint),
                        "database: %s: %s %.*s", sql->name, state, CAUSE_MAX,
                        text);
}

/* --- running ---------------------------------------------------------- */

static ch_run_e run_once(const ch_conn_t *conn, const ch_sql_t *sql,
                      const ch_encoded_t *in, PGresult **res)
{
    ch_run_e run;

    if (!ch_conn_plan(conn, sql->custom)) {
        return RUN_UNSENT;
    }
    if (sql->custom) {
        *res = PQexecParams(conn->pg, sql->text, sql->params, sql->types,
                            in->values, in->lengths, in->formats, 0);
        return ch_conn_judge(conn, *res);
    }
    if (!ch_conn_prepared(conn, sql)) {
        run = ch_conn_prepare(conn, sql, res);
        if (run != RUN_DONE) {
            return run;
        }
        PQclear(*res);
    }
    *res = PQexecPrepared(conn->pg, sql->name, sql->params, in->values,
                          in->lengths, in->formats, 0);
    return ch_conn_judge(conn, *res);
}

/* Whether the same statement may be sent once more after this outcome. */
static int may_repeat(const ch_sql_t *sql, ch_run_e run, const PGresult *res)
{
    const char *state = ch_conn_state(res);

    switch (run) {
    case RUN_UNPREPARED:
    case RUN_UNSENT:
        return 1;
    case RUN_LOST:
        return sql->repeatable;
    case RUN_REFUSED:
        /* undone whole by the server: deadlock, serialization, or what it
         * refers to went while it ran, which it will see the next time */
        return strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0
               || strcmp(state, "23503") == 0;
    case RUN_DONE:
        break;
    }
    return 0;
}

/* The transaction begins again on its connection, with nothing prepared. */
static int begin_again(ch_db_t *db)
{
    PQclear(PQexec(db->conn.pg, "ROLLBACK"));
    ch_conn_forget(&db->conn);
    PQclear(PQexec(db->conn.pg, "BEGIN"));
    return PQtransactionStatus(db->conn.pg) == PQTRANS_INTRANS;
}

/* Inside a transaction: once, on its connection. Only "not prepared" can be
 * mended, and only when nothing was done yet. */
static ch_err_t *run_inside(ch_db_t *db, const ch_sql_t *sql,
                            const ch_encoded_t *in, PGresult **res)
{
    ch_run_e run = run_once(&db->conn, sql, in, res);

    if (run == RUN_UNPREPARED && !db->done) {
        PQclear(*res);
        *res = NULL;
        run = begin_again(db) ? run_once(&db->conn, sql, in, res) : RUN_LOST;
    }
    if (run == RUN_DONE) {
        db->done++;
        return NULL;
    }
    if (run == RUN_UNPREPARED) {
        db->conn.stale = 1;
        return ch_err_cause(db->pool, CH_E_DATABASE_ERROR,
                            "database: %s: was dropped in a transaction",
                            sql->name);
    }
    return error_of(db->pool, sql, *res, db->conn.pg);
}

static ch_err_t *run_alone(ch_db_t *db, const ch_sql_t *sql,
                           const ch_encoded_t *in, PGresult **res)
{
    ch_conn_t conn;
    ch_err_t *err;
    int tries;
    ch_run_e run;

    for (tries = 1;; tries++) {
        err = ch_conn_take(db->pool, db->home, &conn);
        if (err) {
            return err;
        }
        run = run_once(&conn, sql, in, res);
        if (run == RUN_DONE) {
            break;
        }
        if (run == RUN_UNPREPARED) {
            ch_conn_forget(&conn);
        }
        if (tries == TRIES || !may_repeat(sql, run, *res)) {
            db->in_doubt |= run == RUN_LOST && !sql->repeatable;
            err = error_of(db->pool, sql, *res, conn.pg);
            break;
        }
        PQclear(*res);
        *res = NULL;
        ch_conn_give(db->home, &conn);
    }
    ch_conn_give(db->home, &conn);
    return err;
}

static apr_status_t clear_result(void *res)
{
    PQclear(res);
    return APR_SUCCESS;
}

static void note_time(ch_db_t *db, apr_time_t start, int statements)
{
    apr_time_t took = ch_steady_now() - start;

    db->elapsed += took;
    db->statements += statements;
    ch_counter_statement(took);
}

/* For later: its rows are filled in when all are sent. */
static ch_rows_t *gather(ch_db_t *db, const ch_sql_t *sql,
                         const ch_param_t *params)
{
    ch_piped_t *piped = apr_array_push(db->gathered);

    piped->sql = sql;
    piped->in = ch_param_encode(db->pool, sql, params);
    piped->rows = apr_pcalloc(db->pool, sizeof(*piped->rows));
    return piped->rows;
}

static ch_err_t *run(ch_db_t *db, const ch_sql_t *sql,
                     const ch_param_t *params, PGresult **res)
{
    ch_encoded_t in = ch_param_encode(db->pool, sql, params);
    apr_time_t start = ch_steady_now();
    ch_err_t *err = NULL;

    *res = NULL;
    if (db->depth) {
        err = run_inside(db, sql, &in, res);
    }
    else if (sql->batch) {
        err = ch_batch_run(db->pool, db->home, ch_conn_batch(db->home), sql,
                           &in, res);
    }
    if (!err && !*res) {
        err = run_alone(db, sql, &in, res);
    }
    if (*res) {
        apr_pool_cleanup_register(db->pool, *res, clear_result,
                                  apr_pool_cleanup_null);
    }
    note_time(db, start, 1);
    return err;
}

static void fill(ch_rows_t *rows, PGresult *res)
{
    rows->res = res;
    rows->rows = PQntuples(res);
    rows->columns = PQnfields(res);
}

ch_err_t *ch_db_query(ch_db_t *db, const ch_sql_t *sql,
                      const ch_param_t *params, ch_rows_t **out)
{
    PGresult *res;
    ch_err_t *err;

    if (db->gathered) {
        *out = gather(db, sql, params);
        return NULL;
    }
    err = run(db, sql, params, &res);
    if (err) {
        return err;
    }
    *out = apr_palloc(db->pool, sizeof(**out));
    fill(*out, res);
    return NULL;
}

ch_err_t *ch_db_exec(ch_db_t *db, const ch_sql_t *sql,
                     const ch_param_t *params)
{
    PGresult *res;

    if (db->gathered) {
        gather(db, sql, params);
        return NULL;
    }
    return run(db, sql, params, &res);
}

ch_err_t *ch_db_count(ch_db_t *db, const ch_sql_t *sql,
                      const ch_param_t *params, apr_int64_t *out)
{
    PGresult *res;
    ch_err_t *err = run(db, sql, params, &res);

    if (!err) {
        *out = apr_atoi64(PQcmdTuples(res));
    }
    return err;
}

/* --- together --------------------------------------------------------- */

void ch_db_gather(ch_db_t *db)
{
    if (!db->depth) {
        db->gathered = apr_array_make(db->pool, 4, sizeof(ch_piped_t));
    }
}

static void drop_results(ch_piped_t *piped, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        PQclear(piped[i].res);
        piped[i].res = NULL;
    }
}

static int all_repeatable(const ch_piped_t *piped, int count)
{
    int i;

    for (i = 0; i < count && piped[i].sql->repeatable; i++) {
    }
    return i == count;
}

/* As run_alone() does it with one. */
static ch_err_t *send_once(ch_db_t *db, ch_piped_t *piped, int count,
                           int *again)
{
    int reads = all_repeatable(piped, count);
    ch_conn_t conn;
    ch_err_t *err = ch_conn_take(db->pool, db->home, &conn);
    ch_run_e run;
    int bad;

    *again = 0;
    if (err) {
        return err;
    }
    run = ch_pipe_run(&conn, piped, count, &bad);
    if (run == RUN_UNPREPARED) {
        ch_conn_forget(&conn);
    }
    if (run != RUN_DONE) {
        *again = run == RUN_LOST
                     ? reads
                     : may_repeat(piped[bad].sql, run, piped[bad].res);
        db->in_doubt |= run == RUN_LOST && !reads;
        err = error_of(db->pool, piped[bad].sql, piped[bad].res, conn.pg);
        drop_results(piped, count);
    }
    ch_conn_give(db->home, &conn);
    return err;
}

ch_err_t *ch_db_send(ch_db_t *db)
{
    apr_array_header_t *gathered = db->gathered;
    apr_time_t start = ch_steady_now();
    ch_piped_t *piped;
    ch_err_t *err = NULL;
    int i, again = 1, tries;

    db->gathered = NULL;
    if (!gathered || !gathered->nelts) {
        return NULL;
    }
    piped = (ch_piped_t *)(void *)gathered->elts;
    for (tries = 0; again && tries < TRIES; tries++) {
        err = send_once(db, piped, gathered->nelts, &again);
    }
    for (i = 0; i < gathered->nelts && !err; i++) {
        fill(piped[i].rows, piped[i].res);
        apr_pool_cleanup_register(db->pool, piped[i].res, clear_result,
                                  apr_pool_cleanup_null);
    }
    note_time(db, start, gathered->nelts);
    return err;
}

/* --- transactions ----------------------------------------------------- */

static ch_err_t *command(ch_db_t *db, const char *text)
{
    PGresult *res = PQexec(db->conn.pg, text);
    const ch_sql_t self = { .name = text };
    ch_err_t *err = NULL;

    if (PQresultStatus(res) != PGRES_COMMAND_OK) {
        err = error_of(db->pool, &self, res, db->conn.pg);
    }
    PQclear(res);
    return err;
}

ch_err_t *ch_db_begin(ch_db_t *db)
{
    ch_err_t *err;

    if (db->depth) {
        db->depth++;
        return NULL;
    }
    err = ch_conn_take(db->pool, db->home, &db->conn);
    if (err) {
        return err;
    }
    err = command(db, "BEGIN");
    if (err) {
        ch_conn_give(db->home, &db->conn);
        return err;
    }
    db->depth = 1;
    db->failed = 0;
    db->done = 0;
    return NULL;
}

ch_err_t *ch_db_commit(ch_db_t *db)
{
    ch_err_t *err = NULL;

    if (db->depth > 1) {
        db->depth--;
        return NULL;
    }
    if (db->failed || PQtransactionStatus(db->conn.pg) != PQTRANS_INTRANS) {
        /* COMMIT of a failed transaction would roll back and look well */
        err = ch_err_cause(db->pool, CH_E_INTERNAL_ERROR,
                           "database: commit of a failed transaction");
    }
    else {
        err = command(db, "COMMIT");
        db->in_doubt |= err && PQstatus(db->conn.pg) != CONNECTION_OK;
    }
    db->depth = 0;
    ch_conn_give(db->home, &db->conn);
    return err;
}

void ch_db_rollback(ch_db_t *db)
{
    if (db->depth > 1) {
        db->depth--;
        db->failed = 1;
    }
    else if (db->depth == 1) {
        db->depth = 0;
        ch_conn_give(db->home, &db->conn);
    }
}

void ch_db_abandon(ch_db_t *db)
{
    db->gathered = NULL;
    while (db->depth) {
        ch_db_rollback(db);
    }
}

/* --- rows ------------------------------------------------------------- */

int ch_rows_count(const ch_rows_t *rows)
{
    return rows->rows;
}

int ch_rows_columns(const ch_rows_t *rows)
{
    return rows->columns;
}

size_t ch_rows_size(const ch_rows_t *rows)
{
    size_t size = 0;
    int row, column;

    for (row = 0; row < rows->rows; row++) {
        for (column = 0; column < rows->columns; column++) {
            size += (size_t)PQgetlength(rows->res, row, column);
        }
    }
    return size;
}

int ch_rows_find(const ch_rows_t *rows, const char *name, int hint)
{
    int column;

    if (hint >= 0 && hint < rows->columns
        && strcmp(PQfname(rows->res, hint), name) == 0) {
        return hint;
    }
    for (column = 0; column < rows->columns; column++) {
        if (strcmp(PQfname(rows->res, column), name) == 0) {
            return column;
        }
    }
    return -1;
}

const char *ch_rows_cell(const ch_rows_t *rows, int row, int column,
                         size_t *len)
{
    if (column < 0 || row >= rows->rows
        || PQgetisnull(rows->res, row, column)) {
        *len = 0;
        return NULL;
    }
    *len = (size_t)PQgetlength(rows->res, row, column);
    return PQgetvalue(rows->res, row, column);
}

const char *ch_rows_text(const ch_rows_t *rows, int row, const char *name)
{
    size_t len;

    return ch_rows_cell(rows, row, ch_rows_find(rows, name, -1), &len);
}

apr_int64_t ch_rows_int(const ch_rows_t *rows, int row, const char *name)
{
    const char *text = ch_rows_text(rows, row, name);

    return text ? apr_atoi64(text) : 0;
}

int ch_rows_bool(const ch_rows_t *rows, int row, const char *name)
{
    const char *text = ch_rows_text(rows, row, name);

    return text && *text == 't';
}
