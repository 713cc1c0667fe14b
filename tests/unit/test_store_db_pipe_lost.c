/* Tests of store/db_pipe on a real PostgreSQL: what the server undoes is done
 * again, also at the commit; what is lost on its way is not, and told. */
#include "ch_killer.h"
#include "ch_pipe.h"

/* Both sleep in their first try only, so that a second one would be seen. */
static const ch_sql_t slow_read = {
    .name = "slow_read",
    .text = "SELECT n, CASE WHEN n = 1 THEN pg_sleep(15) END "
            "FROM (SELECT nextval('tries') AS n) x",
    .index = 7,
    .repeatable = 1
};
static const ch_sql_t slow_write = {
    .name = "slow_write",
    .text = "WITH a AS MATERIALIZED (SELECT nextval('tries') AS n), "
            "b AS MATERIALIZED (SELECT n, CASE WHEN n = 1 "
            "THEN pg_sleep(15) END FROM a) "
            "INSERT INTO t SELECT n FROM b",
    .index = 8
};
static const ch_sql_t flaky_write = { .name = "flaky_write",
                                      .text = "INSERT INTO t SELECT flaky()",
                                      .index = 9 };

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
        "RETURN n; END $$;"
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN PERFORM flaky(); RETURN NULL; END $$",
        successes_from, state));
}

static const struct {
    const char *state;
    int successes_from;
    const char *result;
    int tries;
} undone[] = {
    { "40001", 3, "", 3 },
    { "40P01", 2, "", 2 },
    { "23503", 2, "", 2 },
    /* at most three times */
    { "40001", 9, "DATABASE_ERROR", 3 },
    /* what failed for another reason would fail again */
    { "23505", 2, "CONFLICT", 1 },
    { "57014", 2, "DATABASE_ERROR", 1 },
    { "53200", 2, "DATABASE_ERROR", 1 },
};

START_TEST(undone_by_the_server)
{
    int fails = *undone[_i].result;

    prepare();
    make_flaky(undone[_i].state, undone[_i].successes_from);
    ch_db_gather(door);
    ck_result(put(&insert, 100), "");
    ck_result(ch_db_exec(door, &flaky_write, NULL), "");
    ck_result(put(&insert, 101), "");
    ck_result(ch_db_send(door), undone[_i].result);
    ck_assert_int_eq(tries(), undone[_i].tries);
    ck_assert_str_eq(rows_of_t(),
                     fails ? ""
                           : apr_psprintf(pool, "%d 100 101",
                                          undone[_i].tries));
    ck_assert_int_eq(ch_db_in_doubt(door), 0);
    ck_clean();
}
END_TEST

/* The same at the commit, which no statement asks for. */
START_TEST(undone_at_the_commit)
{
    ch_rows_t *rows;
    int fails = *undone[_i].result;

    prepare();
    make_flaky(undone[_i].state, undone[_i].successes_from);
    ch_sql("CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE "
           "INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()");
    ch_db_gather(door);
    ck_result(put(&insert, 100), "");
    ck_result(ch_db_query(door, &look, NULL, &rows), "");
    ck_result(ch_db_send(door), undone[_i].result);
    ck_assert_int_eq(tries(), undone[_i].tries);
    ck_assert_str_eq(rows_of_t(), fails ? "" : "100");
    ck_assert_int_eq(ch_rows_count(rows), fails ? 0 : 1);
    ck_assert_int_eq(ch_db_in_doubt(door), 0);
    ck_clean();
}
END_TEST

START_TEST(a_deferred_constraint)
{
    prepare();
    ch_sql("ALTER TABLE t ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED, "
           "DROP CONSTRAINT t_pkey");
    ch_db_gather(door);
    ck_result(put(&insert, 1), "");
    ck_result(put(&insert, 1), "");
    ck_assert_ptr_nonnull(ch_db_send(door));
    ck_assert_str_eq(rows_of_t(), "");
    ck_assert_int_eq(ch_db_in_doubt(door), 0);
    ck_goes_on("1000");
}
END_TEST

/* --- lost connections -----------------------------------------------------
 */

START_TEST(reads_are_repeated)
{
    apr_thread_t *killer;
    ch_rows_t *slow, *rows;

    prepare();
    ch_sql("INSERT INTO t VALUES (1)");
    killer = start_killer();
    ch_db_gather(door);
    ck_result(ch_db_query(door, &look, NULL, &rows), "");
    ck_result(ch_db_query(door, &slow_read, NULL, &slow), "");
    ck_result(ch_db_send(door), "");
    ck_killed(killer);
    ck_look(rows, "1");
    ck_assert_int_eq(ch_rows_int(slow, 0, "n"), 2);
    ck_assert_int_eq(ch_db_in_doubt(door), 0);
    ck_clean();
}
END_TEST

/* One write among them is enough. */
START_TEST(writes_are_not_repeated)
{
    apr_thread_t *killer;
    ch_rows_t *slow;

    prepare();
    killer = start_killer();
    ch_db_gather(door);
    ck_result(put(&insert, 100), "");
    ck_result(_i ? ch_db_query(door, &slow_read, NULL, &slow)
                 : ch_db_exec(door, &slow_write, NULL),
              "");
    ck_result(put(&insert, 101), "");
    ck_result(ch_db_send(door), "DATABASE_ERROR");
    ck_killed(killer);
    ck_assert_int_eq(ch_db_in_doubt(door), 1);
    ck_assert_int_eq(tries(), 1);
    ck_assert_str_eq(rows_of_t(), "");
    ck_goes_on("1000");
}
END_TEST

START_TEST(lost_at_the_commit)
{
    apr_thread_t *killer;

    prepare();
    ch_sql("CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ "
           "BEGIN IF nextval('tries') = 1 THEN PERFORM pg_sleep(15); END IF; "
           "RETURN NULL; END $$;"
           "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE "
           "INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle()");
    killer = start_killer();
    ch_db_gather(door);
    ck_result(put(&insert, 100), "");
    ck_result(ch_db_send(door), "DATABASE_ERROR");
    ck_killed(killer);
    ck_assert_int_eq(ch_db_in_doubt(door), 1);
    ck_assert_str_eq(rows_of_t(), "");
    ck_goes_on("1000");
}
END_TEST

/* It broke while nobody looked: nothing was sent over it, nothing is in
 * doubt. */
START_TEST(lost_before)
{
    prepare();
    ck_goes_on("1000");
    ch_terminate(ch_backend(0));
    ch_db_gather(door);
    ck_result(put(&insert, 1), "");
    ck_result(put(&other, 2), "");
    ck_result(ch_db_send(door), "");
    ck_assert_str_eq(rows_of_t(), "1 2 1000");
    ck_clean();
}
END_TEST

START_TEST(no_connection)
{
    prepare();
    database.refuse = 1;
    ch_db_gather(door);
    ck_result(put(&insert, 1), "");
    ck_result(ch_db_send(door), "DATABASE_ERROR");
    ck_assert_int_eq(ch_db_in_doubt(door), 0);
    ck_assert_int_eq(ch_busy(home), 0);
    database.refuse = 0;
    usleep(250 * 1000);
    ck_goes_on("1000");
}
END_TEST

static const int two[] = { 0, 1 };

CH_POSTGRES_MAIN("store/db_pipe: once or twice",
                 CH_EACH(undone_by_the_server, undone),
                 CH_EACH(undone_at_the_commit, undone),
                 CH_ONCE(a_deferred_constraint), CH_ONCE(reads_are_repeated),
                 CH_EACH(writes_are_not_repeated, two),
                 CH_ONCE(lost_at_the_commit), CH_ONCE(lost_before),
                 CH_ONCE(no_connection))
