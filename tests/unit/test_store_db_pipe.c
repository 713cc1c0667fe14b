/* Tests of store/db_pipe on a real PostgreSQL: statements that go together
 * keep their order, are done all or none, see what others have committed by
 * their turn, and are prepared again when the server forgot them. */
#include "ch_pipe.h"

static const ch_sql_t lock = { .name = "lock",
                               .text = "SELECT n FROM t WHERE n = 1 "
                                       "FOR UPDATE",
                               .index = 3 };
static const ch_sql_t echo = { .name = "echo",
                               .text = "SELECT $1 AS text",
                               .index = 4,
                               .params = 1,
                               .types = a_text,
                               .repeatable = 1 };
static const ch_sql_t whole = { .name = "whole",
                                .text = "SELECT * FROM t",
                                .index = 5 };
static const ch_sql_t broken = { .name = "broken",
                                 .text = "SELECT FROM WHERE",
                                 .index = 6 };

/* --- one round trip -------------------------------------------------------
 */

START_TEST(in_order)
{
    ch_rows_t *rows[2];
    int i;

    prepare();
    ch_db_gather(door);
    for (i = 0; i < 2; i++) {
        ck_result(put(&insert, i), "");
        ck_result(ch_db_query(door, &look, NULL, &rows[i]), "");
    }
    /* nothing is done before it is sent */
    ck_assert_int_eq(database.opened, 0);
    ck_assert_int_eq(ch_rows_count(rows[0]), 0);
    ck_result(ch_db_send(door), "");
    ck_look(rows[0], "0");
    ck_look(rows[1], "0 1");
    ck_assert_str_eq(rows_of_t(), "0 1");
    ck_assert_int_eq(database.opened, 1);
    ck_assert_int_eq(ch_db_statements(door), 4);
    ck_clean();
    /* from here on they run at once again */
    ck_result(put(&insert, 2), "");
    ck_assert_str_eq(rows_of_t(), "0 1 2");
    ck_result(ch_db_send(door), "");
    ck_assert_int_eq(ch_db_statements(door), 5);
}
END_TEST

START_TEST(nothing_to_send)
{
    prepare();
    ck_result(ch_db_send(door), "");
    ch_db_gather(door);
    ck_result(ch_db_send(door), "");
    ck_assert_int_eq(database.opened, 0);
    ck_assert_int_eq(ch_db_statements(door), 0);
}
END_TEST

/* Which of the three clashes, and whose error that is. */
static const struct {
    int there;
    const char *error;
} clashes[] = { { 1, "EMAIL_TAKEN" },
                { 2, "SKU_TAKEN" },
                { 3, "EMAIL_TAKEN" } };

START_TEST(all_or_none)
{
    ch_rows_t *rows;

    prepare();
    ch_sql(apr_psprintf(pool, "INSERT INTO t VALUES (%d)",
                        clashes[_i].there));
    ch_db_gather(door);
    ck_result(put(&insert, 1), "");
    ck_result(ch_db_query(door, &look, NULL, &rows), "");
    ck_result(put(&other, 2), "");
    ck_result(put(&insert, 3), "");
    ck_result(ch_db_send(door), clashes[_i].error);
    ck_assert_int_eq(ch_rows_count(rows), 0);
    ck_assert_str_eq(rows_of_t(), apr_itoa(pool, clashes[_i].there));
    ck_assert_int_eq(ch_db_in_doubt(door), 0);
    ck_goes_on(apr_psprintf(pool, "%d 1000", clashes[_i].there));
}
END_TEST

START_TEST(one_cannot_be_prepared)
{
    ch_rows_t *rows;

    prepare();
    ch_db_gather(door);
    ck_result(put(&insert, 1), "");
    ck_result(ch_db_query(door, &broken, NULL, &rows), "");
    ck_result(ch_db_send(door), "INTERNAL_ERROR");
    ck_assert_str_eq(rows_of_t(), "");
    ck_goes_on("1000");
}
END_TEST

/* More than the sockets hold, in both directions at once. */
START_TEST(large_ones)
{
    const size_t size = 10 << 20;
    char *text = apr_palloc(pool, size + 1);
    const ch_param_t param = CH_P_TEXT(text);
    ch_rows_t *rows[4];
    size_t i, len;

    prepare();
    memset(text, 'x', size);
    text[size] = '\0';
    ch_db_gather(door);
    for (i = 0; i < CH_COUNT(rows); i++) {
        ck_result(ch_db_query(door, &echo, &param, &rows[i]), "");
    }
    ck_result(ch_db_send(door), "");
    for (i = 0; i < CH_COUNT(rows); i++) {
        const char *cell = ch_rows_cell(rows[i], 0, 0, &len);

        ck_assert_uint_eq(len, size);
        ck_assert_int_eq(memcmp(cell, text, size), 0);
    }
    ck_clean();
}
END_TEST

/* --- what others do meanwhile ---------------------------------------------
 */

static ch_err_t *outcome;

static void *APR_THREAD_FUNC send_all(apr_thread_t *thread, void *data)
{
    outcome = ch_db_send(door);
    return NULL;
}

static void command(PGconn *pg, const char *text)
{
    PGresult *res = PQexec(pg, text);

    ck_assert_int_eq(PQresultStatus(res), PGRES_COMMAND_OK);
    PQclear(res);
}

/* A statement behind a lock sees what was committed while it was waited
 * for: that is what the lock is for. */
START_TEST(others_commit_meanwhile)
{
    apr_thread_t *thread;
    ch_rows_t *locked, *rows;
    PGconn *pg;
    int i;

    prepare();
    ch_sql("INSERT INTO t VALUES (1)");
    pg = ch_pg_connect(database.name);
    command(pg, "BEGIN; UPDATE t SET n = n");
    ch_db_gather(door);
    ck_result(ch_db_query(door, &lock, NULL, &locked), "");
    ck_result(ch_db_query(door, &look, NULL, &rows), "");
    thread = start(send_all);
    for (i = 0; i < 1000
                && !*ch_sql("SELECT 1 FROM pg_stat_activity WHERE "
                            "wait_event_type = 'Lock' "
                            "AND datname = current_database()");
         i++) {
        usleep(5000);
    }
    ck_assert_int_lt(i, 1000);
    command(pg, "INSERT INTO t VALUES (5); COMMIT");
    join(thread);
    PQfinish(pg);
    ck_result(outcome, "");
    ck_look(rows, "1 5");
    ck_clean();
}
END_TEST

/* --- statements that were forgotten ---------------------------------------
 */

static const char *const forgetful[] = { "DEALLOCATE ALL", "DISCARD ALL",
                                         "DEALLOCATE insert",
                                         "DEALLOCATE other" };

START_TEST(forgotten)
{
    int round;

    prepare();
    for (round = 0; round < 2; round++) {
        ch_db_gather(door);
        ck_result(put(&insert, 1 + 2 * round), "");
        ck_result(put(&other, 2 + 2 * round), "");
        ck_result(ch_db_send(door), "");
        ck_assert_str_eq(rows_of_t(), round ? "1 2 3 4" : "1 2");
        ch_behind(0, forgetful[_i]);
    }
    ck_goes_on("1 2 3 4 1000");
}
END_TEST

/* After a migration a plan may not fit the table any more. */
START_TEST(a_plan_that_is_too_old)
{
    ch_rows_t *rows;
    int round;

    prepare();
    for (round = 1; round < 4; round++) {
        ch_db_gather(door);
        ck_result(put(&insert, round), "");
        ck_result(ch_db_query(door, &whole, NULL, &rows), "");
        ck_result(ch_db_send(door), "");
        ck_assert_int_eq(ch_rows_columns(rows), round);
        ck_assert_int_eq(ch_rows_count(rows), round);
        ch_sql(apr_psprintf(pool, "ALTER TABLE t ADD c%d int", round));
    }
    ck_clean();
}
END_TEST

/* --- beside transactions --------------------------------------------------
 */

/* Inside one they run at once, on its connection. */
START_TEST(inside_a_transaction)
{
    ch_rows_t *rows;

    prepare();
    ck_result(ch_db_begin(door), "");
    ch_db_gather(door);
    ck_result(put(&insert, 1), "");
    ck_result(ch_db_query(door, &look, NULL, &rows), "");
    ck_look(rows, "1");
    ck_result(put(&other, 1), "SKU_TAKEN");
    ck_result(ch_db_send(door), "");
    ck_assert_int_eq(database.opened, 1);
    ch_db_rollback(door);
    ck_assert_str_eq(rows_of_t(), "");
    ck_goes_on("1000");
}
END_TEST

/* What a handler gathered and never sent is not done, and what comes behind
 * it in the same request is. */
START_TEST(abandoned)
{
    apr_pool_t *request;

    prepare();
    apr_pool_create(&request, pool);
    door = ch_db_make(request, home);
    ch_db_gather(door);
    ck_result(put(&insert, 1), "");
    ch_db_abandon(door);
    ck_result(put(&insert, 2), "");
    ck_assert_str_eq(rows_of_t(), "2");
    ck_result(ch_db_send(door), "");
    ch_db_gather(door);
    ck_result(put(&insert, 3), "");
    apr_pool_destroy(request);
    ck_assert_str_eq(rows_of_t(), "2");
    ck_clean();
}
END_TEST

CH_POSTGRES_MAIN("store/db_pipe", CH_ONCE(in_order), CH_ONCE(nothing_to_send),
                 CH_EACH(all_or_none, clashes),
                 CH_ONCE(one_cannot_be_prepared), CH_ONCE(large_ones),
                 CH_ONCE(others_commit_meanwhile),
                 CH_EACH(forgotten, forgetful),
                 CH_ONCE(a_plan_that_is_too_old),
                 CH_ONCE(inside_a_transaction), CH_ONCE(abandoned))
