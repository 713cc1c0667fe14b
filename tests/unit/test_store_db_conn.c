/* Tests of store/db_conn on a real PostgreSQL: connections that lost their
 * state, or their other end, are mended before anybody sees it; a server that
 * is away, or busy, is told at once. */
#include "ch_database.h"

#include <time.h>

#include <apr_thread_proc.h>

/* Somebody sets the clock of the wall. */
static apr_time_t wall_is_ahead;

apr_time_t apr_time_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000 + wall_is_ahead;
}

static const ch_sql_t answer = { .name = "answer",
                                 .text = "SELECT 42 AS n, "
                                         "'2026-01-24T00:00:00Z'::timestamptz "
                                         "AS t, pg_backend_pid() AS pid",
                                 .index = 1,
                                 .repeatable = 1 };

/* The answer must come, in UTC; tells the server's process. */
static int ck_answers(ch_db_t *db)
{
    ch_rows_t *rows;

    ck_result(ch_db_query(db, &answer, NULL, &rows), "");
    ck_assert_int_eq(ch_rows_int(rows, 0, "n"), 42);
    ck_assert_str_eq(ch_rows_text(rows, 0, "t"), "2026-01-24 00:00:00+00");
    return (int)ch_rows_int(rows, 0, "pid");
}

static const char *failure(ch_db_t *db)
{
    ch_rows_t *rows;
    ch_err_t *err = ch_db_query(db, &answer, NULL, &rows);

    ck_assert_ptr_nonnull(err);
    ck_assert_str_eq(ch_code_name(err->code), "DATABASE_ERROR");
    return err->cause;
}

/* --- connections that changed ---------------------------------------------
 */

/* The server's own settings are New York and German dates. */
START_TEST(sessions_are_set_up)
{
    ch_db_t *db = ch_door_make();
    PGconn *pg;

    ck_answers(db);
    pg = database.all[0].pg;
    ck_assert_str_eq(PQparameterStatus(pg, "TimeZone"), "UTC");
    ck_assert_str_eq(PQparameterStatus(pg, "DateStyle"), "ISO, YMD");
    ck_assert_str_eq(PQparameterStatus(pg, "client_encoding"), "UTF8");
}
END_TEST

static int is_prepared(void)
{
    PGresult *res = PQdescribePrepared(database.all[0].pg, "answer");
    int there = PQresultStatus(res) == PGRES_COMMAND_OK;

    PQclear(res);
    return there;
}

START_TEST(prepared_once)
{
    ch_db_t *db = ch_door_make();
    int pid = ck_answers(db);

    ck_assert(is_prepared());
    ck_assert_int_eq(ck_answers(db), pid);
    /* one for each statement and connection, as the server counts them */
    ch_behind(0, "DO $$ BEGIN ASSERT (SELECT count(*) = 1 "
                 "FROM pg_prepared_statements); END $$");
}
END_TEST

START_TEST(deallocate_all)
{
    ch_db_t *db = ch_door_make();
    int pid = ck_answers(db);

    ch_behind(0, "DEALLOCATE ALL");
    ck_assert_int_eq(ck_answers(db), pid);
    ck_assert(is_prepared());
    ck_assert_int_eq(database.opened, database.closed);
}
END_TEST

/* It takes back the settings, too: New York and German dates again. */
START_TEST(discard_all)
{
    ch_db_t *db = ch_door_make();
    int pid = ck_answers(db);

    ch_behind(0, "DISCARD ALL");
    ck_assert_str_eq(PQparameterStatus(database.all[0].pg, "TimeZone"),
                     "America/New_York");
    ck_assert_int_eq(ck_answers(db), pid);
    ch_behind(0, "RESET ALL");
    ck_assert_int_eq(ck_answers(db), pid);
}
END_TEST

START_TEST(prepared_by_somebody_else)
{
    ch_db_t *db = ch_door_make();
    static const ch_sql_t other = { .name = "other",
                                    .text = "SELECT 42 AS n",
                                    .index = 2 };
    ch_rows_t *rows;

    ck_answers(db);
    /* a pooler may hand out a backend that knows the name already */
    ch_behind(0, "PREPARE other AS SELECT 42 AS n");
    ck_result(ch_db_query(db, &other, NULL, &rows), "");
    ck_assert_int_eq(ch_rows_int(rows, 0, "n"), 42);
}
END_TEST

/* After a migration a plan may not fit the table any more. */
START_TEST(a_plan_that_is_too_old)
{
    static const ch_sql_t all = {
        .name = "all", .text = "SELECT * FROM t", .index = 3, .repeatable = 1
    };
    ch_db_t *db = ch_door_make();
    ch_rows_t *rows;

    ch_sql("CREATE TABLE t AS SELECT 1 AS a");
    ck_result(ch_db_query(db, &all, NULL, &rows), "");
    ck_assert_int_eq(ch_rows_columns(rows), 1);
    ch_sql("ALTER TABLE t ADD b int");
    ck_result(ch_db_query(db, &all, NULL, &rows), "");
    ck_assert_int_eq(ch_rows_columns(rows), 2);
}
END_TEST

START_TEST(terminated_while_idle)
{
    ch_db_t *db = ch_door_make();
    int pid = ck_answers(db);
    int i;

    for (i = 0; i < 3; i++) {
        int next;

        ch_terminate(pid);
        next = ck_answers(db);
        ck_assert_int_ne(next, pid);
        pid = next;
    }
    ck_assert_int_eq(ch_backend(0), pid);
    ck_assert_int_eq(database.opened, 4);
}
END_TEST

/* A write, too: nothing of it was sent. */
START_TEST(a_write_after_the_end)
{
    static const ch_sql_t write = { .name = "write",
                                    .text = "INSERT INTO t VALUES (1)",
                                    .index = 4 };
    ch_db_t *db = ch_door_make();
    int i;

    ch_sql("CREATE TABLE t (n int)");
    for (i = 0; i < 2; i++) {
        ch_terminate(ck_answers(db));
        ck_result(ch_db_exec(db, &write, NULL), "");
    }
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM t"), "2");
}
END_TEST

/* A connection that mod_dbd opened long ago and nobody has used yet. */
START_TEST(terminated_before_its_first_use)
{
    ch_db_t *db = ch_door_make();
    ch_connection_t *one = &database.all[0];

    one->pg = PQconnectdb(database.conninfo);
    apr_pool_create(&one->pool, NULL);
    ch_terminate(ch_backend(0));
    ck_answers(db);
}
END_TEST

START_TEST(reset_behind_its_back)
{
    ch_db_t *db = ch_door_make();
    int pid = ck_answers(db);

    PQreset(database.all[0].pg);
    ck_assert_int_ne(ck_answers(db), pid);
    ck_assert(is_prepared());
}
END_TEST

/* Somebody left a transaction open, or a failed one. */
START_TEST(left_in_a_transaction)
{
    ch_db_t *db = ch_door_make();
    PGresult *res;

    ck_answers(db);
    ch_behind(0, "BEGIN");
    ck_answers(db);
    ck_assert_int_eq(PQtransactionStatus(database.all[0].pg), PQTRANS_IDLE);
    ch_behind(0, "BEGIN");
    res = PQexec(database.all[0].pg, "SELECT 1/0");
    PQclear(res);
    ck_answers(db);
    ck_assert_int_eq(PQtransactionStatus(database.all[0].pg), PQTRANS_IDLE);
}
END_TEST

/* --- the gate -------------------------------------------------------------
 */

static ch_db_home_t *home;

/* Statements of threads that failed. */
static int failures;

/* Holds a connection for as long as a statement takes. */
static void *APR_THREAD_FUNC hold(apr_thread_t *thread, void *seconds)
{
    const ch_sql_t sleep = { .name = seconds,
                             .text = apr_psprintf(apr_thread_pool_get(thread),
                                                  "SELECT pg_sleep(%s)",
                                                  (const char *)seconds),
                             .index = 5,
                             .repeatable = 1 };
    ch_db_t *db = ch_db_make(apr_thread_pool_get(thread), home);
    ch_rows_t *rows;
    ch_err_t *err = ch_db_query(db, &sleep, NULL, &rows);

    __atomic_fetch_add(&failures, err != NULL, __ATOMIC_RELAXED);
    return NULL;
}

/* A thread whose statement has begun. */
static apr_thread_t *start_holding(const char *seconds, int busy)
{
    char *text = apr_pstrdup(pool, seconds);
    apr_thread_t *thread;
    int tries;

    ck_assert_int_eq(apr_thread_create(&thread, NULL, hold, text, pool), 0);
    for (tries = 0; ch_busy(home) < busy && tries < 1000; tries++) {
        usleep(5000);
    }
    ck_assert_int_eq(ch_busy(home), busy);
    return thread;
}

static void ck_join(apr_thread_t *thread)
{
    apr_status_t status;

    apr_thread_join(&status, thread);
    ck_assert_int_eq(__atomic_load_n(&failures, __ATOMIC_RELAXED), 0);
}

START_TEST(waits_and_gives_up)
{
    apr_thread_t *threads[2];
    apr_time_t start;
    ch_db_t *db;
    int busy, max;

    ch_database_make();
    home = ch_home_make(2, 300);
    db = ch_db_make(pool, home);
    ch_db_home_state(home, &busy, &max);
    ck_assert_int_eq(busy, 0);
    ck_assert_int_eq(max, 2);
    threads[0] = start_holding("4", 1);
    threads[1] = start_holding("4", 2);
    start = apr_time_now();
    ck_assert_ptr_nonnull(strstr(failure(db), "busy"));
    ck_assert_int_ge(apr_time_now() - start, 290 * 1000);
    ck_assert_int_lt(apr_time_now() - start, 3900 * 1000);
    /* the source was not asked */
    ck_assert_int_eq(ch_database_opened(), 2);
    ck_join(threads[0]);
    ck_join(threads[1]);
    ck_assert_int_eq(ch_busy(home), 0);
    ck_answers(db);
}
END_TEST

START_TEST(waits_and_gets_one)
{
    apr_thread_t *thread;
    ch_db_t *db;

    ch_database_make();
    home = ch_home_make(1, 10000);
    db = ch_db_make(pool, home);
    thread = start_holding("0.3", 1);
    ck_answers(db);
    ck_join(thread);
    ck_assert_int_eq(ch_busy(home), 0);
    ck_assert_ptr_null(database.all[1].pg);
}
END_TEST

static void *APR_THREAD_FUNC ask_much(apr_thread_t *thread, void *data)
{
    int i;

    for (i = 0; i < 200; i++) {
        apr_pool_t *request;
        ch_rows_t *rows;
        ch_err_t *err;

        apr_pool_create(&request, apr_thread_pool_get(thread));
        err = ch_db_query(ch_db_make(request, home), &answer, NULL, &rows);
        __atomic_fetch_add(&failures, err != NULL, __ATOMIC_RELAXED);
        apr_pool_destroy(request);
    }
    return NULL;
}

/* Eight threads, three connections, no one left out and none too many (the
 * source would end the test). */
START_TEST(shared_by_many)
{
    apr_thread_t *threads[8];
    size_t i;

    ch_database_make();
    home = ch_home_make(3, 10000);
    for (i = 0; i < CH_COUNT(threads); i++) {
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, ask_much, NULL, pool), 0);
    }
    for (i = 0; i < CH_COUNT(threads); i++) {
        ck_join(threads[i]);
    }
    ck_assert_int_eq(ch_busy(home), 0);
    ck_assert_int_eq(database.opened, 1600);
    ck_assert_int_eq(database.closed, 1600);
    ck_assert_ptr_null(database.all[3].pg);
}
END_TEST

/* --- a server that is away ------------------------------------------------
 */

/* After a failure nobody tries for a while: it fails at once. Not for longer
 * when the clock is set back meanwhile. */
START_TEST(away)
{
    apr_time_t begun;
    const char *cause;
    ch_db_t *db;
    int asked;

    ch_database_make();
    home = ch_home_make(2, 1000);
    db = ch_db_make(pool, home);
    do { /* until nobody else has held us up in between */
        usleep(250 * 1000);
        asked = database.asked;
        database.refuse = 1;
        begun = apr_time_now();
        ck_assert_ptr_nonnull(strstr(failure(db), "cannot connect"));
        cause = failure(db);
    } while (apr_time_now() - begun > 150 * 1000);
    ck_assert_ptr_nonnull(strstr(cause, "away"));
    ck_assert_int_eq(database.asked, asked + 1);
    ck_assert_int_eq(ch_busy(home), 0);
    database.refuse = 0;
    wall_is_ahead = -apr_time_from_sec(3600);
    usleep(250 * 1000);
    ck_answers(db);
}
END_TEST

/* A connection whose server does not come back: its socket is taken away. */
START_TEST(away_while_connected)
{
    const char *dir, *link, *target;
    ch_db_t *db;

    ch_database_make();
    dir = apr_psprintf(pool, "%s/%s", cluster.dir, database.name);
    link = apr_pstrcat(pool, dir, "/.s.PGSQL.5432", NULL);
    target = apr_pstrcat(pool, cluster.dir, "/.s.PGSQL.5432", NULL);
    ck_assert_int_eq(mkdir(dir, 0755), 0);
    ck_assert_int_eq(symlink(target, link), 0);
    snprintf(database.conninfo, sizeof(database.conninfo),
             "host=%s user=tester dbname=%s", dir, database.name);
    home = ch_home_make(2, 1000);
    db = ch_db_make(pool, home);
    ck_answers(db);
    ck_assert_int_eq(unlink(link), 0);
    ch_terminate(ch_backend(0));
    ck_assert_ptr_nonnull(strstr(failure(db), "cannot connect"));
    failure(db);
    ck_assert_int_eq(ch_busy(home), 0);
    ck_assert_int_eq(symlink(target, link), 0);
    usleep(250 * 1000);
    ck_answers(db);
}
END_TEST

/* --- the schema -----------------------------------------------------------
 */

START_TEST(another_schema)
{
    ch_db_t *db = NULL;

    ch_database_make();
    home = ch_home_make(2, 1000);
    db = ch_db_make(pool, home);
    ck_assert_int_eq(ch_db_home_schema(home), -1);
    ck_answers(db);
    ck_assert_int_eq(ch_db_home_schema(home), CH_SCHEMA_VERSION);

    /* a child that comes to a newer one */
    ch_sql("INSERT INTO schema_migrations VALUES (9999, 'x', 'x')");
    home = ch_home_make(2, 1000);
    db = ch_db_make(pool, home);
    ck_assert_ptr_nonnull(strstr(failure(db), "version 9999"));
    ck_assert_int_eq(ch_db_home_schema(home), 9999);
    ck_assert_int_eq(ch_busy(home), 0);
    /* it looks again soon */
    ch_sql("DELETE FROM schema_migrations WHERE version = 9999");
    usleep(600 * 1000);
    ck_answers(db);

    ch_sql("TRUNCATE schema_migrations");
    home = ch_home_make(2, 1000);
    db = ch_db_make(pool, home);
    ck_assert_ptr_nonnull(strstr(failure(db), "version 0"));
    ch_sql("DROP TABLE schema_migrations");
    usleep(600 * 1000);
    ck_assert_ptr_nonnull(strstr(failure(db), "version 0"));
    ck_assert_int_eq(ch_db_home_schema(home), 0);
}
END_TEST

/* It cannot look: that is told, and it is not taken for an old schema. */
START_TEST(a_schema_out_of_sight)
{
    ch_db_t *db;

    ch_database_make();
    ch_sql("DROP TABLE schema_migrations");
    ch_sql("CREATE VIEW schema_migrations AS SELECT 1 / 0 AS version");
    home = ch_home_make(2, 1000);
    db = ch_db_make(pool, home);
    ck_assert_ptr_nonnull(strstr(failure(db), "schema"));
    ck_assert_int_eq(ch_db_home_schema(home), -1);
    ck_assert_int_eq(ch_busy(home), 0);
}
END_TEST

/* The first requests of a child come at once: none of them is refused because
 * another one is still looking. */
START_TEST(many_first_looks)
{
    static char at_once[] = "0";
    int round;

    ch_database_make();
    for (round = 0; round < 20; round++) {
        apr_thread_t *threads[8];
        size_t i;

        home = ch_home_make(8, 10000);
        for (i = 0; i < CH_COUNT(threads); i++) {
            ck_assert_int_eq(
                apr_thread_create(&threads[i], NULL, hold, at_once, pool), 0);
        }
        for (i = 0; i < CH_COUNT(threads); i++) {
            ck_join(threads[i]);
        }
    }
}
END_TEST

CH_POSTGRES_MAIN(
    "store/db_conn", CH_ONCE(sessions_are_set_up), CH_ONCE(prepared_once),
    CH_ONCE(deallocate_all), CH_ONCE(discard_all),
    CH_ONCE(prepared_by_somebody_else), CH_ONCE(a_plan_that_is_too_old),
    CH_ONCE(terminated_while_idle), CH_ONCE(a_write_after_the_end),
    CH_ONCE(terminated_before_its_first_use), CH_ONCE(reset_behind_its_back),
    CH_ONCE(left_in_a_transaction), CH_ONCE(waits_and_gives_up),
    CH_ONCE(waits_and_gets_one), CH_ONCE(shared_by_many), CH_ONCE(away),
    CH_ONCE(away_while_connected), CH_ONCE(another_schema),
    CH_ONCE(a_schema_out_of_sight), CH_ONCE(many_first_looks))
