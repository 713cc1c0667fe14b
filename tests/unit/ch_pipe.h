/* What the tests of store/db_pipe share: a table, statements that change it,
 * and questions behind their back. */
#ifndef CH_TESTS_PIPE_H
#define CH_TESTS_PIPE_H

#include <apr_thread_proc.h>

#include "ch_database.h"

static ch_db_home_t *home;
static ch_db_t *door;

/* A database with a sequence "tries", which no rollback takes back, and a
 * table t; a request's door to it. */
static inline void prepare(void)
{
    ch_database_make();
    ch_sql("CREATE SEQUENCE tries; CREATE TABLE t (n bigint PRIMARY KEY)");
    home = ch_home_make(CH_CONNECTIONS, 1000);
    door = ch_db_make(pool, home);
}

static inline int tries(void)
{
    return (int)apr_atoi64(ch_sql("SELECT CASE WHEN is_called "
                                  "THEN last_value ELSE 0 END FROM tries"));
}

static inline const char *rows_of_t(void)
{
    return ch_sql("SELECT coalesce(string_agg(n::text, ' ' ORDER BY n), '') "
                  "FROM t");
}

/* After everything: nothing is held, nothing is left open. */
static inline void ck_clean(void)
{
    ck_assert_int_eq(ch_busy(home), 0);
    ck_assert_int_eq(database.opened, database.closed);
}

/* --- statements -----------------------------------------------------------
 */

static const unsigned bigint[] = { CH_OID_BIGINT };
static const unsigned a_text[] = { CH_OID_TEXT };

/* The same twice, to tell whose error it is. */
#define INSERT(id, number, of_clash)                                          \
    {                                                                         \
        .name = id, .text = "INSERT INTO t VALUES ($1)", .index = number,     \
        .params = 1, .types = bigint, .error_count = 1,                       \
        .errors = (const ch_sql_error_t[]){ { "23505", NULL, of_clash } }     \
    }

static const ch_sql_t insert = INSERT("insert", 0, CH_E_EMAIL_TAKEN);
static const ch_sql_t other = INSERT("other", 1, CH_E_SKU_TAKEN);

static const ch_sql_t look = {
    .name = "look",
    .text = "SELECT string_agg(n::text, ' ' ORDER BY n) AS all FROM t",
    .index = 2,
    .repeatable = 1
};
static inline ch_err_t *put(const ch_sql_t *sql, apr_int64_t n)
{
    const ch_param_t param = CH_P_INT(n);

    return ch_db_exec(door, sql, &param);
}

static inline void ck_look(const ch_rows_t *rows, const char *all)
{
    ck_assert_int_eq(ch_rows_count(rows), 1);
    ck_assert_str_eq(ch_rows_text(rows, 0, "all"), all);
}

/* That what follows a failure is as if nothing had been. */
static inline void ck_goes_on(const char *all)
{
    ch_rows_t *rows;

    ck_clean();
    ch_db_gather(door);
    ck_result(put(&insert, 1000), "");
    ck_result(ch_db_query(door, &look, NULL, &rows), "");
    ck_result(ch_db_send(door), "");
    ck_look(rows, all);
    ck_clean();
}

/* --- threads --------------------------------------------------------------
 */

static inline apr_thread_t *start(apr_thread_start_t what)
{
    apr_thread_t *thread;

    ck_assert_int_eq(apr_thread_create(&thread, NULL, what, NULL, pool), 0);
    return thread;
}

static inline void join(apr_thread_t *thread)
{
    apr_status_t status;

    apr_thread_join(&status, thread);
}

#endif
