/* Tests of store/db on a real PostgreSQL: what may be sent twice is, what may
 * not is not; transactions hold together or are undone. */
#include "ch_killer.h"

static ch_db_home_t *home;

/* A database with a sequence "tries", which no rollback takes back, and a
 * table t; a request's door to it. */
static ch_db_t *make_door(void)
{
    ch_database_make();
    ch_sql("CREATE SEQUENCE tries; CREATE TABLE t (n bigint PRIMARY KEY)");
    home = ch_home_make(CH_CONNECTIONS, 1000);
    return ch_db_make(pool, home);
}

static int tries(void)
{
    return (int)apr_atoi64(ch_sql("SELECT CASE WHEN is_called "
                                  "THEN last_value ELSE 0 END FROM tries"));
}

static const char *rows_of_t(void)
{
    return ch_sql("SELECT coalesce(string_agg(n::text, ' ' ORDER BY n), '') "
                  "FROM t");
}

/* After everything: nothing is held, nothing is left open. */
static void ck_clean(void)
{
    PGTransactionStatusType status = PQtransactionStatus(database.all[0].pg);

    ck_assert_int_eq(ch_busy(home), 0);
    ck_assert_int_eq(database.opened, database.closed);
    ck_assert(status == PQTRANS_IDLE || status == PQTRANS_UNKNOWN);
}

/* --- killed while it runs -------------------------------------------------
 */

/* Both sleep in their first try only, so that a second one would be seen. */
static const ch_sql_t slow_read = {
    .name = "slow_read",
    .text = "SELECT n, CASE WHEN n = 1 THEN pg_sleep(15) END "
            "FROM (SELECT nextval('tries') AS n) x",
    .index = 1,
    .repeatable = 1
};

static const ch_sql_t slow_write = {
    .name = "slow_write",
    .text = "WITH a AS MATERIALIZED (SELECT nextval('tries') AS n), "
            "b AS MATERIALIZED (SELECT n, CASE WHEN n = 1 "
            "THEN pg_sleep(15) END FROM a) "
            "INSERT INTO t SELECT n FROM b",
    .index = 2
};

START_TEST(a_read_is_repeated)
{
    ch_db_t *db = make_door();
    apr_thread_t *killer = start_killer();
    ch_rows_t *rows;

    ck_result(ch_db_query(db, &slow_read, NULL, &rows), "");
    ck_killed(killer);
    ck_assert_int_eq(ch_rows_int(rows, 0, "n"), 2);
    ck_assert_int_eq(tries(), 2);
    ck_clean();
}
END_TEST

START_TEST(a_write_is_not_repeated)
{
    ch_db_t *db = make_door();
    apr_thread_t *killer = start_killer();

    ck_result(ch_db_exec(db, &slow_write, NULL), "DATABASE_ERROR");
    ck_killed(killer);
    ck_assert_int_eq(tries(), 1);
    ck_assert_str_eq(rows_of_t(), "");
    ck_clean();
    /* the next one is as if nothing had been */
    ck_result(ch_db_exec(db, &slow_write, NULL), "");
    ck_assert_str_eq(rows_of_t(), "2");
}
END_TEST

START_TEST(a_read_in_a_transaction_is_not_repeated)
{
    ch_db_t *db = make_door();
    apr_thread_t *killer = start_killer();
    ch_rows_t *rows;

    ck_result(ch_db_begin(db), "");
    ck_result(ch_db_query(db, &slow_read, NULL, &rows), "DATABASE_ERROR");
    ck_killed(killer);
    ck_assert_int_eq(tries(), 1);
    ck_assert_ptr_nonnull(ch_db_commit(db));
    ck_assert_int_eq(ch_busy(home), 0);
    ck_result(ch_db_query(db, &slow_read, NULL, &rows), "");
}
END_TEST

/* --- undone by the server -------------------------------------------------
 */

/* Fails with a SQLSTATE until it was tried so often. */
static void make_flaky(const char *state, int successes_from)
{
    ch_sql(apr_psprintf(
        pool,
        "CREATE FUNCTION flaky() RETURNS bigint LANGUAGE plpgsql AS $$ "
        "DECLARE n bigint := nextval('tries'); BEGIN IF n < %d THEN "
        "RAISE EXCEPTION 'again' USING errcode = '%s'; END IF; "
        "RETURN n; END $$",
        successes_from, state));
}

static const ch_sql_t flaky_write = { .name = "flaky_write",
                                      .text = "INSERT INTO t SELECT flaky()",
                                      .index = 3 };

static const struct {
    const char *state;
    int successes_from;
    const char *result;
    int tries;
} undone[] = {
    { "40001", 3, "", 3 },
    { "40P01", 2, "", 2 },
    /* at most three times */
    { "40001", 9, "DATABASE_ERROR", 3 },
    /* what failed for another reason would fail again */
    { "23505", 2, "CONFLICT", 1 },
    { "57014", 2, "DATABASE_ERROR", 1 },
    { "55P03", 2, "DATABASE_ERROR", 1 },
    { "40003", 2, "DATABASE_ERROR", 1 },
};

START_TEST(undone_by_the_server)
{
    ch_db_t *db = make_door();

    make_flaky(undone[_i].state, undone[_i].successes_from);
    ck_result(ch_db_exec(db, &flaky_write, NULL), undone[_i].result);
    ck_assert_int_eq(tries(), undone[_i].tries);
    ck_assert_str_eq(rows_of_t(), *undone[_i].result
                                      ? ""
                                      : apr_itoa(pool, undone[_i].tries));
    ck_clean();
}
END_TEST

/* --- transactions ---------------------------------------------------------
 */

static const unsigned bigint[] = { CH_OID_BIGINT };

static const ch_sql_t insert = { .name = "insert",
                                 .text = "INSERT INTO t VALUES ($1)",
                                 .index = 4,
                                 .params = 1,
                                 .types = bigint };

static ch_err_t *put(ch_db_t *db, apr_int64_t n)
{
    const ch_param_t param = CH_P_INT(n);

    return ch_db_exec(db, &insert, &param);
}

START_TEST(commits)
{
    ch_db_t *db = make_door();

    ck_result(ch_db_begin(db), "");
    ck_assert_int_eq(ch_busy(home), 1);
    ck_result(put(db, 1), "");
    ck_result(put(db, 2), "");
    /* on one connection, which nobody else sees into */
    ck_assert_int_eq(database.opened, 1);
    ck_assert_str_eq(rows_of_t(), "");
    ck_result(ch_db_commit(db), "");
    ck_assert_str_eq(rows_of_t(), "1 2");
    ck_clean();
}
END_TEST

START_TEST(rolls_back)
{
    ch_db_t *db = make_door();

    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 1), "");
    ch_db_rollback(db);
    ck_assert_str_eq(rows_of_t(), "");
    ck_clean();
    /* without a transaction it does nothing */
    ch_db_rollback(db);
    ck_clean();
    ck_result(put(db, 2), "");
    ck_assert_str_eq(rows_of_t(), "2");
}
END_TEST

START_TEST(nests)
{
    ch_db_t *db = make_door();
    int depth;

    for (depth = 0; depth < 3; depth++) {
        ck_result(ch_db_begin(db), "");
        ck_result(put(db, depth), "");
    }
    for (depth = 0; depth < 2; depth++) {
        ck_result(ch_db_commit(db), "");
        ck_assert_str_eq(rows_of_t(), "");
        ck_assert_int_eq(ch_busy(home), 1);
    }
    ck_result(ch_db_commit(db), "");
    ck_assert_str_eq(rows_of_t(), "0 1 2");
    ck_assert_int_eq(database.opened, 1);
    ck_clean();
}
END_TEST

/* What an inner one gave up is given up whole. */
START_TEST(an_inner_one_rolls_back)
{
    ch_db_t *db = make_door();

    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 1), "");
    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 2), "");
    ch_db_rollback(db);
    ck_assert_int_eq(ch_busy(home), 1);
    ck_result(ch_db_commit(db), "INTERNAL_ERROR");
    ck_assert_str_eq(rows_of_t(), "");
    ck_clean();
    /* the next transaction knows nothing of it */
    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 3), "");
    ck_result(ch_db_commit(db), "");
    ck_assert_str_eq(rows_of_t(), "3");
}
END_TEST

/* PostgreSQL answers COMMIT of a failed transaction with a friendly
 * "ROLLBACK": nobody must take that for success. */
START_TEST(commit_of_a_failed_one)
{
    ch_db_t *db = make_door();

    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 1), "");
    ck_result(put(db, 1), "CONFLICT");
    ck_assert_ptr_nonnull(put(db, 2));
    ck_result(ch_db_commit(db), "INTERNAL_ERROR");
    ck_assert_str_eq(rows_of_t(), "");
    ck_clean();
}
END_TEST

START_TEST(left_open)
{
    apr_pool_t *request;
    ch_db_t *db = make_door();

    apr_pool_create(&request, pool);
    db = ch_db_make(request, home);
    ck_result(ch_db_begin(db), "");
    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 1), "");
    ch_db_rollback(db);
    apr_pool_destroy(request);
    ck_assert_str_eq(rows_of_t(), "");
    ck_clean();
}
END_TEST

/* The connection is gone when it comes to the commit: nobody can say whether
 * it was done. */
START_TEST(lost_before_the_commit)
{
    ch_db_t *db = make_door();

    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 1), "");
    ch_terminate(ch_backend(0));
    ck_result(ch_db_commit(db), "DATABASE_ERROR");
    ck_assert_str_eq(rows_of_t(), "");
    ck_assert_int_eq(ch_busy(home), 0);
    ck_result(put(db, 2), "");
    ck_clean();
}
END_TEST

START_TEST(lost_before_the_begin)
{
    ch_db_t *db = make_door();

    ck_result(put(db, 1), "");
    ch_terminate(ch_backend(0));
    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 2), "");
    ck_result(ch_db_commit(db), "");
    ck_assert_str_eq(rows_of_t(), "1 2");
    ck_clean();
}
END_TEST

START_TEST(lost_in_the_middle)
{
    ch_db_t *db = make_door();

    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 1), "");
    ch_terminate(ch_backend(0));
    ck_result(put(db, 2), "DATABASE_ERROR");
    ch_db_rollback(db);
    ck_assert_int_eq(ch_busy(home), 0);
    ck_assert_str_eq(rows_of_t(), "");
    ck_result(put(db, 3), "");
    ck_assert_str_eq(rows_of_t(), "3");
    ck_clean();
}
END_TEST

/* Checked at the commit, not before: told by it. */
START_TEST(a_deferred_constraint)
{
    ch_db_t *db = make_door();

    ch_sql("ALTER TABLE t ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED, "
           "DROP CONSTRAINT t_pkey");
    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 1), "");
    ck_result(put(db, 1), "");
    ck_result(ch_db_commit(db), "CONFLICT");
    ck_assert_str_eq(rows_of_t(), "");
    ck_clean();
}
END_TEST

/* --- statements that were forgotten ---------------------------------------
 */

static const char *const forgetful[] = { "DEALLOCATE ALL", "DISCARD ALL" };

/* Nothing was done yet: the transaction begins again, unseen. */
START_TEST(forgotten_before_the_first)
{
    ch_db_t *db = make_door();

    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 1), "");
    ck_result(ch_db_commit(db), "");
    ch_behind(0, forgetful[_i]);
    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 2), "");
    ck_result(put(db, 3), "");
    ck_result(ch_db_commit(db), "");
    ck_assert_str_eq(rows_of_t(), "1 2 3");
    ck_clean();
}
END_TEST

/* Something was: it is undone, told, and the next one is well again. */
START_TEST(forgotten_in_the_middle)
{
    ch_db_t *db = make_door();
    ch_rows_t *rows;
    static const ch_sql_t look = { .name = "look",
                                   .text = "SELECT 1 AS n",
                                   .index = 5 };

    ck_result(put(db, 1), "");
    ck_result(ch_db_begin(db), "");
    ck_result(ch_db_query(db, &look, NULL, &rows), "");
    ch_behind(0, "DEALLOCATE ALL");
    ck_result(put(db, 2), "DATABASE_ERROR");
    ck_result(ch_db_commit(db), "INTERNAL_ERROR");
    ck_assert_str_eq(rows_of_t(), "1");
    ck_result(ch_db_begin(db), "");
    ck_result(ch_db_query(db, &look, NULL, &rows), "");
    ck_result(put(db, 3), "");
    ck_result(ch_db_commit(db), "");
    ck_assert_str_eq(rows_of_t(), "1 3");
    ck_clean();
}
END_TEST

/* After a migration a plan may not fit the table any more. */
START_TEST(a_plan_that_is_too_old)
{
    static const ch_sql_t all = { .name = "all",
                                  .text = "SELECT * FROM t",
                                  .index = 6 };
    ch_db_t *db = make_door();
    ch_rows_t *rows;

    ck_result(ch_db_query(db, &all, NULL, &rows), "");
    ch_sql("ALTER TABLE t ADD b int");
    ck_result(ch_db_begin(db), "");
    ck_result(ch_db_query(db, &all, NULL, &rows), "");
    ck_assert_int_eq(ch_rows_columns(rows), 2);
    ck_result(ch_db_commit(db), "");
    ch_sql("ALTER TABLE t ADD c int");
    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 1), "");
    ck_result(ch_db_query(db, &all, NULL, &rows), "DATABASE_ERROR");
    ch_db_rollback(db);
    ck_result(ch_db_begin(db), "");
    ck_result(put(db, 2), "");
    ck_result(ch_db_query(db, &all, NULL, &rows), "");
    ck_assert_int_eq(ch_rows_columns(rows), 3);
    ck_result(ch_db_commit(db), "");
    ck_assert_str_eq(rows_of_t(), "2");
    ck_clean();
}
END_TEST

START_TEST(no_connection_no_transaction)
{
    ch_db_t *db = make_door();

    database.refuse = 1;
    ck_result(ch_db_begin(db), "DATABASE_ERROR");
    ck_assert_int_eq(ch_busy(home), 0);
    ch_db_rollback(db);
    ck_assert_int_eq(ch_busy(home), 0);
}
END_TEST

CH_POSTGRES_MAIN("store/db: once or twice", CH_ONCE(a_read_is_repeated),
                 CH_ONCE(a_write_is_not_repeated),
                 CH_ONCE(a_read_in_a_transaction_is_not_repeated),
                 CH_EACH(undone_by_the_server, undone), CH_ONCE(commits),
                 CH_ONCE(rolls_back), CH_ONCE(nests),
                 CH_ONCE(an_inner_one_rolls_back),
                 CH_ONCE(commit_of_a_failed_one), CH_ONCE(left_open),
                 CH_ONCE(lost_before_the_commit),
                 CH_ONCE(lost_before_the_begin), CH_ONCE(lost_in_the_middle),
                 CH_ONCE(a_deferred_constraint),
                 CH_EACH(forgotten_before_the_first, forgetful),
                 CH_ONCE(forgotten_in_the_middle),
                 CH_ONCE(a_plan_that_is_too_old),
                 CH_ONCE(no_connection_no_transaction))
