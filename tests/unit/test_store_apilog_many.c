/* Tests of store/apilog with many at work: none loses, doubles or tears
 * another's row, also when some die. */
#include "ch_apilog.h"

#include <apr_thread_proc.h>

/* A process that dies in the midst of a row: what it copies from is not
 * there. */
static void die_writing(void)
{
    ch_apilog_t row = usual;
    long page = sysconf(_SC_PAGESIZE);
    char *hole = mmap(NULL, (size_t)page, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        row.path = hole;
        ch_apilog_put(&row, &anywhere);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_ne(status, 0);
}

START_TEST(dead_writers)
{
    int i;

    open_all();
    put_many(0, 10);
    for (i = 0; i < 20; i++) {
        die_writing();
    }
    put_many(10, 10);
    ck_dropped(0, 0, 0);
    ck_assert_int_eq(drain(), 20); /* and finds the dead */
    ck_dropped(0, 0, 20);
    put_many(20, SLOTS);
    ck_dropped(0, 0, 20);
    ck_assert_int_eq(drain_to_end(), SLOTS);
    ck_assert_int_eq(in_table(), SLOTS + 20);
}
END_TEST

/* Whoever comes along while a slot is held by the dead goes to the next. */
START_TEST(around_the_dead)
{
    open_all();
    put_many(0, SLOTS - 2);
    die_writing();
    put_many(SLOTS, 3); /* one place was left */
    ck_dropped(0, 2, 0);
    drain_of(7); /* nothing of that database; but the dead are found */
    ck_dropped(0, 2, 1);
    ck_assert_int_eq(drain_to_end(), SLOTS - 1);
    put_many(0, SLOTS);
    ck_dropped(0, 2, 1);
}
END_TEST

/* --- many at once ---------------------------------------------------------
 */

#define WRITERS 6
#define EACH 6000

static int *written; /* rows of processes that came to their end */

/* Rows that a reader can tell to be whole. */
static void put_telling(int writer, int number)
{
    char text[200];
    ch_apilog_t row = usual;
    int len = snprintf(text, sizeof(text), "%d-%d", writer, number);

    row.request_id = text;
    row.path = text;
    row.user_agent = text;
    row.status = 200 + number % 100;
    row.took = number % 100 * APR_INT64_C(1000);
    memset(text + len, 0, 1);
    ch_apilog_put(&row, &anywhere);
}

static void *APR_THREAD_FUNC write_rows(apr_thread_t *thread, void *data)
{
    int i;

    for (i = 0; i < EACH; i++) {
        put_telling((int)(intptr_t)data, i);
        if (i % 100 == 0) {
            usleep(2000);
        }
    }
    __atomic_fetch_add(written, 1, __ATOMIC_ACQ_REL);
    return NULL;
}

static void *APR_THREAD_FUNC drain_rows(apr_thread_t *thread, void *data)
{
    apr_pool_t *own;
    int moved;

    while (__atomic_load_n(written, __ATOMIC_ACQUIRE) < WRITERS) {
        apr_pool_create(&own, NULL);
        ck_result(ch_apilog_drain(ch_db_make(own, home), own, 1, &moved), "");
        apr_pool_destroy(own);
    }
    return NULL;
}

static void ck_rows_whole(void)
{
    ck_assert_str_eq(
        ch_sql("SELECT count(*) FROM api_logs WHERE request_id <> path OR "
               "path <> user_agent OR status - 200 <> duration_ms OR "
               "split_part(path, '-', 2)::int % 100 <> duration_ms"),
        "0");
    ck_assert_str_eq(ch_sql("SELECT count(*) - count(DISTINCT request_id) "
                            "FROM api_logs"),
                     "0");
}

/* Two take out at the same time. */
START_TEST(threads)
{
    apr_thread_t *all[WRITERS + 2];
    apr_status_t status;
    intptr_t i;

    open_all();
    written = shared(sizeof(int));
    for (i = 0; i < WRITERS + 2; i++) {
        ck_assert_int_eq(apr_thread_create(&all[i], NULL,
                                           i < WRITERS ? write_rows
                                                       : drain_rows,
                                           (void *)i, pool),
                         0);
    }
    for (i = 0; i < WRITERS + 2; i++) {
        apr_thread_join(&status, all[i]);
    }
    drain_to_end();
    ck_rows_whole();
    ck_dropped(0, ch_apilog_dropped(CH_APILOG_FULL), 0);
    ck_assert_int_eq(in_table(), (int)(WRITERS * EACH
                                       - ch_apilog_dropped(CH_APILOG_FULL)));
}
END_TEST

/* Some are killed, at any point. */
START_TEST(processes)
{
    pid_t pids[WRITERS];
    int status, i;

    open_all();
    written = shared(sizeof(int));
    for (i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            write_rows(NULL, (void *)(intptr_t)i);
            _exit(0);
        }
    }
    for (i = 0; i < 30; i++) {
        drain();
        if (i % 10 == 5) {
            kill(pids[i / 10], SIGKILL);
        }
    }
    for (i = 0; i < WRITERS; i++) {
        waitpid(pids[i], &status, 0);
        drain();
    }
    drain_to_end();
    ck_rows_whole();
    ck_assert_uint_le(ch_apilog_dropped(CH_APILOG_LOST), 3);
    ck_assert_int_ge(in_table(), (int)(3 * EACH
                                       - ch_apilog_dropped(CH_APILOG_FULL)));
    put_many(0, SLOTS); /* all places are free again */
    ck_assert_int_eq(drain_to_end(), SLOTS);
}
END_TEST

CH_POSTGRES_MAIN("store/apilog, many", CH_ONCE(dead_writers),
                 CH_ONCE(around_the_dead), CH_ONCE(threads),
                 CH_ONCE(processes))
