/* Tests of store/apilog on a real PostgreSQL: what goes into the ring comes
 * out once and whole, whoever puts in, takes out or dies. */
#include "ch_database.h"

#include <sched.h>
#include <sys/mman.h>

#include <apr_thread_proc.h>

#include "store/apilog.h"

#define USER "0198a000-0000-7000-8000-00000000000a"
#define SLOTS 4096
#define START APR_INT64_C(1769250600123456) /* 2026-01-24T10:30:00.123456Z */

static void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

static char *memory;
static ch_db_home_t *home;

static void open_ring(void)
{
    memory = shared(ch_apilog_size());
    ch_apilog_open(memory);
}

static void open_all(void)
{
    open_ring();
    ch_database_make();
    home = ch_home_make(CH_CONNECTIONS, 5000);
}

static const ch_apilog_to_t anywhere = { .server = 1,
                                         .database = 1,
                                         .rate = 1000000 };

static const ch_apilog_t usual = {
    .request_id = "r1",
    .user_id = USER,
    .method = "GET",
    .path = "/api/v1/notes/7",
    .route = "/api/v1/notes/{id}",
    .client_ip = "192.0.2.7",
    .user_agent = "an agent",
    .error_code = "NOTE_NOT_FOUND",
    .status = 404,
    .start = START,
    .took = 1500,
};

static void put_named(const char *name)
{
    ch_apilog_t row = usual;

    row.request_id = name;
    ch_apilog_put(&row, &anywhere);
}

static void put_many(int from, int count)
{
    int i;

    for (i = from; i < from + count; i++) {
        put_named(apr_psprintf(pool, "n%d", i));
    }
}

/* Drains once. */
static int drain_of(int which)
{
    int moved = -1;

    ck_result(ch_apilog_drain(ch_db_make(pool, home), pool, which, &moved),
              "");
    return moved;
}

static int drain(void)
{
    return drain_of(1);
}

static int drain_to_end(void)
{
    int total = 0;
    int moved;

    while ((moved = drain()) > 0) {
        total += moved;
    }
    return total;
}

static int in_table(void)
{
    return (int)apr_atoi64(ch_sql("SELECT count(*) FROM api_logs"));
}

#define ck_dropped(rate, full, lost)                                          \
    do {                                                                      \
        ck_assert_uint_eq(ch_apilog_dropped(CH_APILOG_RATE), rate);           \
        ck_assert_uint_eq(ch_apilog_dropped(CH_APILOG_FULL), full);           \
        ck_assert_uint_eq(ch_apilog_dropped(CH_APILOG_LOST), lost);           \
    } while (0)

/* --- rows -------------------------------------------------------------- */

START_TEST(before_open)
{
    int moved = 7;

    ch_apilog_put(&usual, &anywhere);
    ck_result(ch_apilog_drain(NULL, pool, 1, &moved), "");
    ck_assert_int_eq(moved, 0);
    ck_assert_int_eq(ch_apilog_note_away(1), 0);
    ck_dropped(0, 0, 0);
}
END_TEST

START_TEST(whole_row)
{
    open_all();
    ch_apilog_put(&usual, &anywhere);
    ck_assert_int_eq(drain(), 1);
    ck_assert_int_eq(drain(), 0);
    ck_assert_str_eq(
        ch_sql("SELECT concat_ws(' ', request_id, user_id, method, path, "
               "route, status, duration_ms, ip_address, user_agent, "
               "error_code, to_char(created_at AT TIME ZONE 'UTC', "
               "'HH24:MI:SS.US')) FROM api_logs"),
        "r1 " USER " GET /api/v1/notes/7 /api/v1/notes/{id} 404 2 192.0.2.7 "
        "an agent NOTE_NOT_FOUND 10:30:00.123456");
}
END_TEST

START_TEST(least_row)
{
    const ch_apilog_t row = { .request_id = "",
                              .method = "",
                              .path = "",
                              .status = 200,
                              .start = START,
                              .took = -5 };

    open_all();
    ch_apilog_put(&row, &anywhere);
    ck_assert_int_eq(drain(), 1);
    ck_assert_str_eq(
        ch_sql("SELECT concat_ws(' ', request_id = '', path = '', "
               "num_nulls(user_id, route, ip_address, user_agent, "
               "error_code), duration_ms) FROM api_logs"),
        "t t 5 0");
}
END_TEST

static const struct {
    const char *in;
    const char *out;
} agents[] = {
    { "NULL", "NULL" },
    { "{\"a\",b}\\", "{\"a\",b}\\" },
    { "tab\there\r\n", "tab?here??" },
    { "\x7F\x01", "??" },
    { "\xC3\xA9\xF0\x9F\x98\x80", "\xC3\xA9\xF0\x9F\x98\x80" },
    { "\xE9 caf\xE9", "? caf?" },
    { "\xC2\x85\xC2\xA0", "??\xC2\xA0" },
    { "\xED\xA0\x80", "???" },
    { "'; DROP TABLE api_logs; --", "'; DROP TABLE api_logs; --" },
};

START_TEST(texts_are_cleaned)
{
    ch_apilog_t row = usual;

    open_all();
    row.user_agent = agents[_i].in;
    row.path = agents[_i].in;
    ch_apilog_put(&row, &anywhere);
    ck_assert_int_eq(drain(), 1);
    ck_assert_str_eq(ch_sql("SELECT user_agent FROM api_logs"),
                     agents[_i].out);
    ck_assert_str_eq(ch_sql("SELECT path FROM api_logs"), agents[_i].out);
}
END_TEST

/* Each longer than its column, all together as long as a slot has room for;
 * the row behind it is not touched. */
START_TEST(texts_are_cut)
{
    ch_apilog_t row = usual;
    char *text = apr_palloc(pool, 5001);

    open_all();
    memset(text, 'x', 5000);
    text[5000] = '\0';
    row.request_id = row.method = row.path = row.route = text;
    row.user_agent = row.error_code = text;
    put_named("before");
    ch_apilog_put(&row, &anywhere);
    put_named("after");
    ck_assert_int_eq(drain(), 3);
    ck_assert_str_eq(
        ch_sql("SELECT concat_ws(' ', length(request_id), length(method), "
               "length(path), length(route), length(user_agent), "
               "length(error_code)) FROM api_logs WHERE method <> 'GET'"),
        "128 10 512 128 256 50");
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM api_logs WHERE path = "
                            "'/api/v1/notes/7' AND user_agent = 'an agent'"),
                     "2");
}
END_TEST

START_TEST(half_a_character_goes)
{
    ch_apilog_t row = usual;
    char *text = apr_palloc(pool, 300);

    open_all();
    memset(text, 'x', 254);
    memcpy(text + 254, "\xE2\x82\xAC", 4); /* 254 + 3 of 256 bytes */
    row.user_agent = text;
    ch_apilog_put(&row, &anywhere);
    ck_assert_int_eq(drain(), 1);
    ck_assert_str_eq(ch_sql("SELECT right(user_agent, 3) FROM api_logs"),
                     "x??");
}
END_TEST

static const char *const addresses[] = { "10.1.2", "fe80::1%eth0", "",
                                         "localhost", "::ffff:1.2.3.4.5" };

/* One that Postgres would refuse must not take the others with it. */
START_TEST(no_address)
{
    ch_apilog_t row = usual;

    open_all();
    row.client_ip = addresses[_i];
    ch_apilog_put(&row, &anywhere);
    put_named("good");
    ck_assert_int_eq(drain(), 2);
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM api_logs "
                            "WHERE ip_address IS NULL"),
                     "1");
}
END_TEST

/* --- how many ------------------------------------------------------------ */

static void put_at(int status, int seconds, int server, int rate)
{
    const ch_apilog_to_t to = { .server = server,
                                .database = 1,
                                .rate = rate };
    ch_apilog_t row = usual;

    row.status = status;
    row.start = START + apr_time_from_sec(seconds);
    ch_apilog_put(&row, &to);
}

START_TEST(rates)
{
    int i;

    open_all();
    for (i = 0; i < 20; i++) {
        put_at(200, 0, 1, 5);
    }
    ck_dropped(15, 0, 0);
    put_at(200, 0, 2, 5); /* another server has its own */
    put_at(200, 0, 3, 0); /* and one that wants none has none */
    ck_dropped(15, 0, 0);
    for (i = 0; i < 7; i++) {
        put_at(200, 1, 1, 5); /* the next second */
    }
    ck_dropped(17, 0, 0);
    ck_assert_int_eq(drain_to_end(), 5 + 1 + 5);
}
END_TEST

static const struct {
    int status;
    int kept; /* above the rate */
} statuses[] = {
    { 200, 0 }, { 304, 0 }, { 400, 0 }, { 404, 0 }, { 409, 0 },
    { 401, 1 }, { 403, 1 }, { 429, 1 }, { 500, 1 }, { 503, 1 },
};

START_TEST(trouble_is_kept)
{
    int i;

    open_all();
    for (i = 0; i < 5; i++) {
        put_at(200, 0, 1, 5);
    }
    for (i = 0; i < 60; i++) {
        put_at(statuses[_i].status, 0, 1, 5);
    }
    ck_dropped(statuses[_i].kept ? 10 : 60, 0, 0);
    ck_assert_int_eq(drain_to_end(), statuses[_i].kept ? 55 : 5);
}
END_TEST

START_TEST(full_ring)
{
    open_all();
    put_many(0, SLOTS + 100);
    ck_dropped(0, 100, 0);
    ck_assert_int_eq(drain(), CH_APILOG_BATCH);
    put_many(SLOTS + 100, 500);
    ck_assert_uint_ge(500 - (ch_apilog_dropped(CH_APILOG_FULL) - 100), 50);
    drain_to_end();
    ck_assert_str_eq(ch_sql("SELECT count(*) FROM api_logs WHERE "
                            "substr(request_id, 2)::int < 4096"),
                     "4096"); /* the newest were not kept */
    ck_assert_int_eq(in_table(), (int)(SLOTS + 600
                                       - ch_apilog_dropped(CH_APILOG_FULL)));
    ck_assert_str_eq(ch_sql("SELECT count(DISTINCT id) = count(*) AND "
                            "count(DISTINCT request_id) = count(*) "
                            "FROM api_logs"),
                     "t");
    put_many(10000, SLOTS); /* nothing was leaked */
    ck_assert_int_eq(drain_to_end(), SLOTS);
}
END_TEST

START_TEST(batches)
{
    open_all();
    put_many(0, 1200);
    ck_assert_int_eq(drain(), 500);
    ck_assert_int_eq(drain(), 500);
    ck_assert_int_eq(drain(), 200);
    ck_assert_int_eq(drain(), 0);
    ck_assert_int_eq(in_table(), 1200);
}
END_TEST

START_TEST(databases)
{
    ch_apilog_to_t to = anywhere;
    int i;

    open_all();
    for (i = 0; i < 30; i++) {
        to.database = 1 + i % 3;
        ch_apilog_put(&usual, &to);
    }
    ck_assert_int_eq(drain_of(2), 10);
    ck_assert_int_eq(drain_of(4), 0);
    ck_assert_int_eq(drain_of(1), 10);
    ck_assert_int_eq(drain_of(3), 10);
    ck_assert_int_eq(drain_of(2), 0);
}
END_TEST

/* --- what goes wrong ------------------------------------------------------ */

START_TEST(away)
{
    ch_db_t *db;
    int moved = 7;

    open_all();
    put_many(0, 700);
    database.refuse = 1;
    db = ch_db_make(pool, home);
    ck_result(ch_apilog_drain(db, pool, 1, &moved), "DATABASE_ERROR");
    ck_assert_int_eq(moved, 0);
    ck_assert_int_eq(ch_apilog_note_away(1), 1);
    ck_assert_int_eq(ch_apilog_note_away(1), 0);
    ck_assert_int_eq(ch_apilog_is_away(), 1);
    ck_assert_int_eq(ch_apilog_note_away(0), 1);
    database.refuse = 0;
    usleep(250 * 1000); /* nobody tries right after a failure */
    ck_assert_int_eq(drain_to_end(), 700);
    ck_assert_int_eq(in_table(), 700);
    ck_dropped(0, 0, 0);
}
END_TEST

/* Rows that can never be written do not stop those behind them. */
START_TEST(refused)
{
    ch_db_t *db;
    int moved = 0;

    open_all();
    ch_sql("ALTER TABLE api_logs ADD CHECK (status <> 418)");
    put_at(418, 0, 1, 100);
    db = ch_db_make(pool, home);
    ck_result(ch_apilog_drain(db, pool, 1, &moved), "INTERNAL_ERROR");
    ck_assert_int_eq(moved, 1);
    ck_dropped(0, 0, 1);
    put_at(200, 0, 1, 100);
    ck_assert_int_eq(drain_to_end(), 1);
}
END_TEST

/* The statement was done, but its answer got lost: the rows are still in the
 * ring, and are not doubled. */
START_TEST(written_twice)
{
    char *copy;

    open_all();
    put_many(0, 100);
    copy = malloc(ch_apilog_size());
    memcpy(copy, memory, ch_apilog_size());
    ck_assert_int_eq(drain(), 100);
    memcpy(memory, copy, ch_apilog_size());
    free(copy);
    put_many(100, 1);
    ck_assert_int_eq(drain(), 101);
    ck_assert_int_eq(in_table(), 101);
}
END_TEST

START_TEST(ids)
{
    open_all();
    put_many(0, SLOTS);
    drain_to_end();
    put_many(0, SLOTS);
    drain_to_end();
    ck_assert_str_eq(
        ch_sql("SELECT count(DISTINCT id) FROM api_logs WHERE id::text ~ "
               "'^019bef8d-b4bb-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'"),
        "8192");
}
END_TEST

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

/* --- many at once --------------------------------------------------------- */

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

CH_POSTGRES_MAIN("store/apilog", CH_ONCE(before_open), CH_ONCE(whole_row),
                 CH_ONCE(least_row), CH_EACH(texts_are_cleaned, agents),
                 CH_ONCE(texts_are_cut), CH_ONCE(half_a_character_goes),
                 CH_EACH(no_address, addresses), CH_ONCE(rates),
                 CH_EACH(trouble_is_kept, statuses), CH_ONCE(full_ring),
                 CH_ONCE(batches), CH_ONCE(databases), CH_ONCE(away),
                 CH_ONCE(refused), CH_ONCE(written_twice), CH_ONCE(ids),
                 CH_ONCE(dead_writers), CH_ONCE(around_the_dead),
                 CH_ONCE(threads), CH_ONCE(processes))
