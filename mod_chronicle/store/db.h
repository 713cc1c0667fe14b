/* PostgreSQL: statements in, rows out. A connection is held for a statement
 * or a transaction, never for a request; the pool itself is the caller's
 * (mod_dbd's in the server, a single connection in a test). */
#ifndef CH_STORE_DB_H
#define CH_STORE_DB_H

#include "base/err.h"

/* One row of the generated statement table. */
typedef struct {
    const char *state;      /* SQLSTATE */
    const char *constraint; /* NULL = any */
    ch_code_e code;
} ch_sql_error_t;

typedef struct {
    const char *name;
    const char *text;
    int index;
    int params;
    const unsigned *types; /* OIDs */
    const ch_sql_error_t *errors;
    int error_count;
    int repeatable; /* writes nothing: may be sent again */
    int custom;     /* planned at each use with its values */
    int batch;      /* sixteenths of a shared round trip; 0 = runs alone */
} ch_sql_t;

extern const ch_sql_t ch_sql_table[];
extern const int ch_sql_count;

typedef struct {
    enum {
        CH_PARAM_TEXT,
        CH_PARAM_INT,
        CH_PARAM_BOOL,
        CH_PARAM_TEXTS,
        CH_PARAM_INTS,
        CH_PARAM_BYTES
    } kind;
    int null;
    const void *data;
    apr_int64_t number;
    size_t len;
} ch_param_t;

#define CH_P_TEXT(v) { .kind = CH_PARAM_TEXT, .null = !(v), .data = (v) }
#define CH_P_INT(v) { .kind = CH_PARAM_INT, .number = (v) }
#define CH_P_INT_PTR(v)                                                       \
    { .kind = CH_PARAM_INT, .null = !(v), .number = (v) ? *(v) : 0 }
#define CH_P_BOOL(v) { .kind = CH_PARAM_BOOL, .number = (v) }
#define CH_P_BOOL_PTR(v)                                                      \
    { .kind = CH_PARAM_BOOL, .null = !(v), .number = (v) ? *(v) : 0 }
#define CH_P_TEXTS(v) { .kind = CH_PARAM_TEXTS, .null = !(v), .data = (v) }
#define CH_P_INTS(v) { .kind = CH_PARAM_INTS, .null = !(v), .data = (v) }
#define CH_P_BYTES(v)                                                         \
    { .kind = CH_PARAM_BYTES, .null = !(v).data, .data = (v).data,            \
      .len = (v).len }

/* Where connections come from. open gives a PGconn (as void, so that nobody
 * outside store/ needs libpq), a handle for close, and a pool that lives as
 * long as the connection; NULL when there is none. discard, not close, is
 * called for a connection that must not be used again. */
typedef struct {
    void *(*open)(void *ctx, apr_pool_t *pool, void **handle,
                  apr_pool_t **conn_pool);
    void (*close)(void *ctx, void *handle);
    /* Whether what open gave works; NULL = nobody wants to know. */
    void (*tell)(void *ctx, int up);
} ch_db_source_t;

/* What one child knows of one database: the gate before the source, whether
 * the server is away, whether the schema fits. */
typedef struct ch_db_home_t ch_db_home_t;

/* A home in pool (of the child). max: connections of the source; a request
 * waits at most wait_ms for one. schema: version that must be applied. */
ch_db_home_t *ch_db_home_make(apr_pool_t *pool, const ch_db_source_t *source,
                              void *ctx, int max, int wait_ms);

/* Connections in use and the most there can be, for /metrics. */
void ch_db_home_state(ch_db_home_t *home, int *busy, int *max);

/* The schema version found last: CH_SCHEMA_VERSION when all is well, 0 for
 * none, -1 before the first look. */
int ch_db_home_schema(ch_db_home_t *home);

/* A request's door to the database; closes what is open with pool. */
ch_db_t *ch_db_make(apr_pool_t *pool, ch_db_home_t *home);

/* Another door to the same database, outside any transaction of db, whose
 * rows live with pool. */
ch_db_t *ch_db_fork(const ch_db_t *db, apr_pool_t *pool);

/* Microseconds spent in statements so far, and their number. */
apr_time_t ch_db_elapsed(const ch_db_t *db);
int ch_db_statements(const ch_db_t *db);

/* Whether the connection broke under a write (or a COMMIT) that was sent:
 * nobody knows whether it was done, or will be. */
int ch_db_in_doubt(const ch_db_t *db);

/* A transaction on one connection; calls nest (the outermost counts). After
 * an error inside it only rollback helps. Rolled back with the pool when left
 * open. commit answers DATABASE_ERROR when the outcome is unknown. */
ch_err_t *ch_db_begin(ch_db_t *db);
ch_err_t *ch_db_commit(ch_db_t *db);
void ch_db_rollback(ch_db_t *db);

/* Rolls back whatever is open, however deep, and forgets what was gathered. */
void ch_db_abandon(ch_db_t *db);

/* Statements that go together: after ch_db_gather they are only noted, and
 * ch_db_send sends them in one round trip and one transaction, in which each
 * sees what those before it did and what others have committed by its turn.
 * Their rows are there once ch_db_send gave NULL; the first that fails undoes
 * all, and its error is given. Statements that count rows do not take part,
 * nor any inside a transaction: those run at once, and there is nothing to
 * send. Texts among their parameters must live until they are sent. */
void ch_db_gather(ch_db_t *db);
ch_err_t *ch_db_send(ch_db_t *db);

/* What the generated functions call. Errors: the statement's own codes for
 * their SQLSTATEs, CONFLICT for other 23505, DATABASE_ERROR for everything
 * that may pass, INTERNAL_ERROR for what is a defect. */
ch_err_t *ch_db_query(ch_db_t *db, const ch_sql_t *sql,
                      const ch_param_t *params, ch_rows_t **out);
ch_err_t *ch_db_exec(ch_db_t *db, const ch_sql_t *sql,
                     const ch_param_t *params);
ch_err_t *ch_db_count(ch_db_t *db, const ch_sql_t *sql,
                      const ch_param_t *params, apr_int64_t *out);

/* Rows live with the request's pool. Cells are text as Postgres writes it. */
int ch_rows_count(const ch_rows_t *rows);
int ch_rows_columns(const ch_rows_t *rows);

/* Bytes of all cells, for sizing an answer. */
size_t ch_rows_size(const ch_rows_t *rows);

/* The column of this name, first looked for at `hint`; -1 when there is
 * none. */
int ch_rows_find(const ch_rows_t *rows, const char *name, int hint);

/* A cell, NULL for SQL NULL or column -1. */
const char *ch_rows_cell(const ch_rows_t *rows, int row, int column,
                         size_t *len);

/* By name; a column that is not there is a defect and reads as NULL. */
const char *ch_rows_text(const ch_rows_t *rows, int row, const char *name);
apr_int64_t ch_rows_int(const ch_rows_t *rows, int row, const char *name);
int ch_rows_bool(const ch_rows_t *rows, int row, const char *name);

#endif
