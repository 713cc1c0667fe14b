/* Tests of store/db on a real PostgreSQL: of which writes nobody knows whether
 * they were done, and transactions that are left open. */
#include "ch_proxy.h"

#include <apr_thread_proc.h>

static const ch_sql_t slow_write = {
    .name = "slow_write",
    .text = "INSERT INTO t SELECT 1 FROM pg_sleep(0.5)",
    .index = 0
};
static const ch_sql_t slow_read = { .name = "slow_read",
                                    .text = "SELECT 7 AS n FROM pg_sleep(0.5)",
                                    .index = 1,
                                    .repeatable = 1 };
static const ch_sql_t quick_write = { .name = "quick_write",
                                      .text = "INSERT INTO t VALUES (2)",
                                      .index = 2 };

static ch_db_t *door;

static void prepare(void)
{
    ch_database_make();
    ch_sql("CREATE TABLE t (n int PRIMARY KEY)");
    ch_proxy_start();
    snprintf(database.conninfo, sizeof(database.conninfo), "%s",
             proxy.conninfo);
    /* nothing but the proxy's one connection */
    door = ch_db_make(pool, ch_home_make(1, 1000));
}

static void *APR_THREAD_FUNC cut_soon(apr_thread_t *thread, void *data)
{
    usleep(200 * 1000);
    ch_proxy_put(&proxy.set->cut, 1);
    return NULL;
}

static apr_thread_t *start(apr_thread_start_t what)
{
    apr_thread_t *thread;

    ck_assert_int_eq(apr_thread_create(&thread, NULL, what, NULL, pool), 0);
    return thread;
}

static void join(apr_thread_t *thread)
{
    apr_status_t status;

    apr_thread_join(&status, thread);
}

static int appears(const char *row)
{
    int tries;

    for (tries = 0; tries < 40; tries++) {
        if (strcmp(ch_sql("SELECT coalesce(max(n), 0) FROM t"), row) == 0) {
            return 1;
        }
        usleep(50 * 1000);
    }
    return 0;
}

/* The connection is gone, and the server does it all the same. */
START_TEST(a_write)
{
    apr_thread_t *thread;

    prepare();
    ck_assert_int_eq(ch_db_in_doubt(door), 0);
    thread = start(cut_soon);
    ck_result(ch_db_exec(door, &slow_write, NULL), "DATABASE_ERROR");
    join(thread);
    ck_assert_int_eq(ch_db_in_doubt(door), 1);
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM t"), "0");
    ck_assert(appears("1"));
    /* another request's door knows nothing of it */
    ck_assert_int_eq(ch_db_in_doubt(ch_db_make(pool, NULL)), 0);
    ch_proxy_stop();
}
END_TEST

/* A read is sent again. */
START_TEST(a_read)
{
    apr_thread_t *thread;
    ch_rows_t *rows;

    prepare();
    thread = start(cut_soon);
    ck_result(ch_db_query(door, &slow_read, NULL, &rows), "");
    join(thread);
    ck_assert_int_eq(ch_db_in_doubt(door), 0);
    ck_assert_int_eq(ch_proxy_get(&proxy.set->connects), 2);
    ch_proxy_stop();
}
END_TEST

/* The server said so: it was not done. */
START_TEST(a_refusal)
{
    prepare();
    ch_sql("INSERT INTO t VALUES (2)");
    ck_result(ch_db_exec(door, &quick_write, NULL), "CONFLICT");
    ck_assert_int_eq(ch_db_in_doubt(door), 0);
    ch_proxy_stop();
}
END_TEST

/* There was nothing to send it over. */
START_TEST(never_sent)
{
    prepare();
    ch_proxy_put(&proxy.set->refuse, 1);
    ck_result(ch_db_exec(door, &quick_write, NULL), "DATABASE_ERROR");
    ck_assert_int_eq(ch_db_in_doubt(door), 0);
    ch_proxy_stop();
}
END_TEST

/* Without COMMIT there is nothing to doubt. */
START_TEST(inside_a_transaction)
{
    apr_thread_t *thread;

    prepare();
    ck_result(ch_db_begin(door), "");
    thread = start(cut_soon);
    ck_result(ch_db_exec(door, &slow_write, NULL), "DATABASE_ERROR");
    join(thread);
    ch_db_rollback(door);
    ck_assert_int_eq(ch_db_in_doubt(door), 0);
    usleep(600 * 1000);
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM t"), "0");
    ch_proxy_stop();
}
END_TEST

START_TEST(a_commit)
{
    apr_thread_t *thread;

    prepare();
    ch_sql("CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ "
           "BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$");
    ch_sql("CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE "
           "INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle()");
    ck_result(ch_db_begin(door), "");
    ck_result(ch_db_exec(door, &quick_write, NULL), "");
    thread = start(cut_soon);
    ck_result(ch_db_commit(door), "DATABASE_ERROR");
    join(thread);
    ck_assert_int_eq(ch_db_in_doubt(door), 1);
    ck_assert(appears("2"));
    ch_proxy_stop();
}
END_TEST

/* A commit that the server refuses is none to doubt. */
START_TEST(a_refused_commit)
{
    prepare();
    ch_sql("ALTER TABLE t ADD CONSTRAINT twice UNIQUE (n) DEFERRABLE "
           "INITIALLY DEFERRED");
    ch_sql("ALTER TABLE t DROP CONSTRAINT t_pkey");
    ch_sql("INSERT INTO t VALUES (2)");
    ck_result(ch_db_begin(door), "");
    ck_result(ch_db_exec(door, &quick_write, NULL), "");
    ck_assert_ptr_nonnull(ch_db_commit(door));
    ck_assert_int_eq(ch_db_in_doubt(door), 0);
    ch_proxy_stop();
}
END_TEST

/* However deep a handler has left it, the connection comes back with the
 * pool, or when it is asked for. */
START_TEST(left_open)
{
    ch_db_home_t *home;
    apr_pool_t *request;
    int depth, i;

    ch_database_make();
    ch_sql("CREATE TABLE t (n int)");
    home = ch_home_make(1, 0);
    for (depth = 1; depth <= 3; depth++) {
        apr_pool_create(&request, pool);
        door = ch_db_make(request, home);
        for (i = 0; i < depth; i++) {
            ck_result(ch_db_begin(door), "");
        }
        ck_result(ch_db_exec(door, &quick_write, NULL), "");
        ck_assert_int_eq(ch_busy(home), 1);
        if (_i) {
            ch_db_abandon(door);
            ck_assert_int_eq(ch_busy(home), 0);
        }
        apr_pool_destroy(request);
        ck_assert_int_eq(ch_busy(home), 0);
        ck_assert_int_eq(database.opened, database.closed);
    }
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM t"), "0");
}
END_TEST

static const int two[] = { 0, 1 };

CH_POSTGRES_MAIN("store/db, doubt", CH_ONCE(a_write), CH_ONCE(a_read),
                 CH_ONCE(a_refusal), CH_ONCE(never_sent),
                 CH_ONCE(inside_a_transaction), CH_ONCE(a_commit),
                 CH_ONCE(a_refused_commit), CH_EACH(left_open, two))
