/* Tests of store/db_batch on a real PostgreSQL: quick statements of many
 * requests go together, each gets its own rows, and what breaks for one is
 * mended for all. */
#include "ch_database.h"

#include <apr_thread_proc.h>

static const unsigned bigint[] = { CH_OID_BIGINT };

/* The number comes back, with the process that answered. */
static const ch_sql_t echo = { .name = "echo",
                               .text =
                                   "SELECT $1 AS n, pg_backend_pid() AS pid",
                               .index = 1,
                               .params = 1,
                               .types = bigint,
                               .repeatable = 1,
                               .batch = 1 };

/* Fails for every third number. */
static const ch_sql_t picky = {
    .name = "picky",
    .text = "SELECT $1 / CASE WHEN $1 % 3 = 0 THEN 0 ELSE 1 END AS n",
    .index = 2,
    .params = 1,
    .types = bigint,
    .errors = (const ch_sql_error_t[]){ { "22012", NULL, CH_E_CONFLICT } },
    .error_count = 1,
    .repeatable = 1,
    .batch = 4
};

static ch_db_home_t *home;

typedef struct {
    const ch_sql_t *sql;
    int first; /* number */
    int count;
    int right, failed, conflicts; /* what came of it */
} task_t;

static void ask(apr_pool_t *request, task_t *task, apr_int64_t number)
{
    const ch_param_t param = CH_P_INT(number);
    ch_db_t *db = ch_db_make(request, home);
    ch_rows_t *rows;
    ch_err_t *err = ch_db_query(db, task->sql, &param, &rows);

    if (err) {
        task->conflicts += err->code == CH_E_CONFLICT && number % 3 == 0;
        task->failed++;
        return;
    }
    task->right +=
        ch_rows_count(rows) == 1 && ch_rows_int(rows, 0, "n") == number;
}

static void *APR_THREAD_FUNC ask_all(apr_thread_t *thread, void *data)
{
    task_t *task = data;
    int i;

    for (i = 0; i < task->count; i++) {
        apr_pool_t *request;

        apr_pool_create(&request, apr_thread_pool_get(thread));
        ask(request, task, task->first + i);
        apr_pool_destroy(request);
    }
    return NULL;
}

#define THREADS 16

static apr_thread_t *threads[THREADS];
static task_t tasks[THREADS];

static void start(const ch_sql_t *sql, int count)
{
    int i;

    for (i = 0; i < THREADS; i++) {
        const task_t task = { .sql = sql,
                              .first = 1 + i * count,
                              .count = count };

        tasks[i] = task;
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, ask_all, &tasks[i], pool), 0);
    }
}

/* The sums of all threads. */
static task_t finish(void)
{
    task_t sum = { .count = 0 };
    apr_status_t status;
    int i;

    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&status, threads[i]);
        sum.count += tasks[i].count;
        sum.right += tasks[i].right;
        sum.failed += tasks[i].failed;
        sum.conflicts += tasks[i].conflicts;
    }
    ck_assert_int_eq(ch_busy(home), 0);
    ck_assert_int_eq(database.opened, database.closed);
    return sum;
}

static void open_home(int max)
{
    ch_database_make();
    home = ch_home_make(max, 10000);
}

START_TEST(alone)
{
    task_t task = { .sql = &echo };
    int i;

    open_home(2);
    for (i = 0; i < 100; i++) {
        ask(pool, &task, i);
    }
    ck_assert_int_eq(task.right, 100);
    ck_assert_int_eq(database.opened, 100);
    ck_assert_ptr_null(database.all[1].pg);
}
END_TEST

/* Each thread gets what it asked for; together they need fewer turns. */
START_TEST(together)
{
    task_t sum;

    open_home(3);
    start(&echo, 300);
    sum = finish();
    ck_assert_int_eq(sum.right, sum.count);
    ck_assert_int_lt(database.opened, sum.count);
    /* one connection is left for what takes longer */
    ck_assert_ptr_null(database.all[2].pg);
}
END_TEST

START_TEST(one_connection)
{
    task_t sum;

    open_home(1);
    start(&echo, 100);
    sum = finish();
    ck_assert_int_eq(sum.right, sum.count);
}
END_TEST

/* A statement that fails gets its own code; those behind it in the same round
 * trip get their rows. */
START_TEST(some_fail)
{
    task_t sum;

    open_home(3);
    start(&picky, 60);
    sum = finish();
    ck_assert_int_eq(sum.failed, sum.count / 3);
    ck_assert_int_eq(sum.conflicts, sum.count / 3);
    ck_assert_int_eq(sum.right, sum.count / 3 * 2);
}
END_TEST

/* The server ends connections while many ask: those that work, that is; one
 * that breaks while it is set up is a server that is away. */
START_TEST(some_break)
{
    task_t sum;
    int i;

    open_home(3);
    start(&echo, 300);
    for (i = 0; i < 10; i++) {
        ch_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
               "WHERE datname = current_database() "
               "AND query LIKE 'SELECT $1 AS n%'");
        usleep(20 * 1000);
    }
    sum = finish();
    ck_assert_int_eq(sum.failed, 0);
    ck_assert_int_eq(sum.right, sum.count);
}
END_TEST

/* The server ends connections in the middle of what goes together: who got
 * nothing asks again. At most three times, which is what each may try. */
START_TEST(some_break_in_the_middle)
{
    static const ch_sql_t slow = {
        .name = "slow",
        .text = "SELECT $1 AS n, pg_sleep(0.02) AS slept",
        .index = 3,
        .params = 1,
        .types = bigint,
        .repeatable = 1,
        .batch = 1
    };
    task_t sum;
    int i;

    open_home(3);
    start(&slow, 6);
    for (i = 0; i < 3; i++) {
        usleep(60 * 1000);
        ch_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
               "WHERE datname = current_database() "
               "AND wait_event = 'PgSleep'");
    }
    sum = finish();
    ck_assert_int_eq(sum.failed, 0);
    ck_assert_int_eq(sum.right, sum.count);
}
END_TEST

START_TEST(forgotten_statements)
{
    task_t task = { .sql = &echo };
    task_t sum;

    open_home(3);
    ask(pool, &task, 1);
    ch_behind(0, "DEALLOCATE ALL");
    ask(pool, &task, 2);
    ch_behind(0, "DEALLOCATE ALL");
    start(&echo, 20);
    sum = finish();
    ck_assert_int_eq(task.right, 2);
    ck_assert_int_eq(sum.right, sum.count);
}
END_TEST

/* In a transaction it runs on the transaction's connection. */
START_TEST(inside_a_transaction)
{
    const ch_param_t param = CH_P_INT(7);
    ch_rows_t *rows;
    ch_db_t *db;

    open_home(3);
    db = ch_db_make(pool, home);
    ck_result(ch_db_begin(db), "");
    ck_result(ch_db_query(db, &echo, &param, &rows), "");
    ck_assert_int_eq(ch_rows_int(rows, 0, "pid"), ch_backend(0));
    ck_assert_int_eq(database.opened, 1);
    ck_result(ch_db_commit(db), "");
}
END_TEST

/* No connection: everybody is told, nobody waits for ever. */
START_TEST(no_connection)
{
    apr_time_t start_time = apr_time_now();
    task_t sum;

    open_home(3);
    database.refuse = 1;
    start(&echo, 5);
    sum = finish();
    ck_assert_int_eq(sum.failed, sum.count);
    ck_assert_int_lt(apr_time_now() - start_time, 20000 * 1000);
    database.refuse = 0;
    usleep(250 * 1000);
    start(&echo, 5);
    sum = finish();
    ck_assert_int_eq(sum.right, sum.count);
}
END_TEST

/* Both connections are taken: all who come wait for as long as one would, not
 * one after the other. */
START_TEST(all_wait_once)
{
    apr_time_t begun;
    ch_db_t *db[2];
    task_t sum;
    int i;

    ch_database_make();
    home = ch_home_make(2, 1000);
    for (i = 0; i < 2; i++) {
        db[i] = ch_db_make(pool, home);
        ck_result(ch_db_begin(db[i]), "");
    }
    begun = apr_time_now();
    start(&echo, 1);
    for (i = 0; i < THREADS; i++) {
        apr_status_t status;

        apr_thread_join(&status, threads[i]);
        ck_assert_int_eq(tasks[i].failed, 1);
    }
    ck_assert_int_ge(apr_time_now() - begun, 990 * 1000);
    ck_assert_int_lt(apr_time_now() - begun, 1900 * 1000);
    for (i = 0; i < 2; i++) {
        ck_result(ch_db_commit(db[i]), "");
    }
    start(&echo, 1);
    sum = finish();
    ck_assert_int_eq(sum.right, sum.count);
}
END_TEST

CH_POSTGRES_MAIN("store/db_batch", CH_ONCE(alone), CH_ONCE(together),
                 CH_ONCE(one_connection), CH_ONCE(some_fail),
                 CH_ONCE(some_break), CH_ONCE(some_break_in_the_middle),
                 CH_ONCE(forgotten_statements), CH_ONCE(inside_a_transaction),
                 CH_ONCE(no_connection), CH_ONCE(all_wait_once))
