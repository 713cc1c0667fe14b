/* Tests of jobs/runner on a real PostgreSQL: which job is taken and by whom,
 * how it ends, and the jobs that make themselves. */
#include "ch_runner.h"

#include <apr_thread_proc.h>

/* --- taking ---------------------------------------------------------------
 */

START_TEST(the_oldest_first)
{
    prepare();
    add_text("a", "2", -20);
    add_text("b", "3", -10);
    add_text("b", "1", -30);
    add_text("a", "4", -5);
    add_text("a", "5", 100);
    add_text("c", "6", -99);
    add_text("unknown", "7", -99);
    work();
    ck_assert_str_eq(order, "1234");
    ck_assert_str_eq(
        ch_sql("SELECT string_agg(payload->>'t', ' ' ORDER BY 1) FROM jobs"
               " WHERE status = 'queued' AND attempts = 0"),
        "5 6 7");
    ck_assert_int_eq(told.errors + told.warnings + told.others, 0);
    settings.enabled = 0; /* "b" is not ready any more */
    add_text("b", "8", -1);
    add_text("a", "9", -1);
    work();
    ck_assert_str_eq(order, "12349");
}
END_TEST

START_TEST(a_good_end)
{
    const char *id;

    prepare();
    id = add("type, last_error", "'a', 'of an earlier try'");
    work();
    ck_assert_str_eq(state(id), COMPLETED("1"));
    ck_assert_int_eq(runs, 1);
    ck_assert_uint_eq(counted(CH_JOB_COMPLETED), 1);
    work();
    ck_assert_int_eq(runs, 1);
}
END_TEST

START_TEST(not_while_stopping)
{
    const char *id;

    prepare();
    id = add("type", "'a'");
    stop = 1;
    work();
    ck_assert_str_eq(state(id), QUEUED("0"));
    ck_assert_int_eq(runs, 0);
    ck_assert_int_eq(database.asked, 0);
}
END_TEST

/* What somebody else looks at is not waited for. */
START_TEST(locked_rows)
{
    const char *first, *second, *dead;
    PGconn *pg;

    prepare();
    first = add("type, run_at", "'a', now() - interval '2 s'");
    second = add("type, run_at", "'a', now() - interval '1 s'");
    dead = add("type, status, attempts, locked_by, locked_until",
               "'a', 'running', 1, 'dead', now() - interval '1 s'");
    pg = ch_pg_connect(database.name);
    PQclear(PQexec(pg, apr_psprintf(pool,
                                    "BEGIN; SELECT * FROM jobs WHERE id IN "
                                    "('%s', '%s') FOR UPDATE",
                                    first, dead)));
    work();
    ck_assert_str_eq(state(first), QUEUED("0"));
    ck_assert_str_eq(state(second), COMPLETED("1"));
    ck_assert_str_eq(state(dead), "running 1 dead t f");
    PQclear(PQexec(pg, "COMMIT")); /* PQfinish alone does not wait for it */
    PQfinish(pg);
    pass(5);
    work();
    ck_assert_str_eq(state(first), COMPLETED("1"));
    ck_assert_str_eq(state(dead), COMPLETED("2"));
}
END_TEST

#define MANY 200
#define RUNNERS 4

static int ran[MANY];

static ch_err_t *note_number(ch_job_t *job)
{
    const char *text = ch_job_text(job, "n");

    ck_assert_ptr_nonnull(text);
    ck_assert_int_eq(job->attempts, 1);
    __atomic_fetch_add(&ran[number(text)], 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void *APR_THREAD_FUNC work_in_thread(apr_thread_t *thread, void *data)
{
    apr_pool_t *p = apr_thread_pool_get(thread);
    ch_runner_t *own = ch_runner_make(
        p, &settings, apr_psprintf(p, "w%d", *(int *)data), &io);

    ch_runner_work(own, p);
    return NULL;
}

static void work_in_threads(void)
{
    static int numbers[RUNNERS] = { 1, 2, 3, 4 };
    apr_thread_t *threads[RUNNERS];
    apr_status_t status;
    size_t i;

    for (i = 0; i < RUNNERS; i++) {
        ck_assert_int_eq(apr_thread_create(&threads[i], NULL, work_in_thread,
                                           &numbers[i], pool),
                         0);
    }
    for (i = 0; i < RUNNERS; i++) {
        apr_thread_join(&status, threads[i]);
    }
    ck_assert_int_eq(database.opened, database.closed);
}

/* Each of many jobs runs once, whoever takes it. */
START_TEST(many_runners)
{
    int i;

    prepare();
    act = note_number;
    ch_sql(apr_psprintf(pool,
                        "INSERT INTO jobs (type, payload) SELECT "
                        "CASE n %% 2 WHEN 0 THEN 'a' ELSE 'b' END, "
                        "jsonb_build_object('n', n::text) "
                        "FROM generate_series(0, %d) n",
                        MANY - 1));
    work_in_threads();
    for (i = 0; i < MANY; i++) {
        ck_assert_int_eq(ran[i], 1);
    }
    ck_assert_str_eq(
        ch_sql("SELECT count(*) FROM jobs WHERE status = 'completed'"
               " AND attempts = 1"),
        apr_itoa(pool, MANY));
    ck_assert_int_eq(told.errors + told.warnings + told.others, 0);
}
END_TEST

/* --- failures -------------------------------------------------------------
 */

static const char *complaint;

static ch_err_t *complain(ch_job_t *job)
{
    return ch_err_cause(job->pool, CH_E_INTERNAL_ERROR, "%s", complaint);
}

static ch_err_t *give_up(ch_job_t *job)
{
    job->for_good = 1;
    return ch_err_make(job->pool, CH_E_NOTE_NOT_FOUND, NULL);
}

START_TEST(again_and_again)
{
    static const int waits[] = { 10, 30, 90, 270 };
    const char *id;
    size_t i;

    prepare();
    act = complain;
    complaint = "no mail today";
    id = add("type", "'a'");
    for (i = 0; i < CH_COUNT(waits); i++) {
        int wait;

        work();
        ck_assert_str_eq(
            state(id),
            apr_psprintf(pool, "queued %d f f no mail today", (int)i + 1));
        wait = number(see(id, "extract(epoch FROM run_at - now())::int"));
        ck_assert_int_ge(wait, waits[i] - 3);
        ck_assert_int_le(wait, waits[i]);
        ck_assert_int_eq(told.warnings, (int)i + 1);
        ck_assert_ptr_nonnull(strstr(told.text, "no mail today"));
        ck_assert_ptr_nonnull(strstr(told.text, "of 5)"));
        work(); /* not yet */
        ck_assert_int_eq(runs, (int)i + 1);
        ch_sql("UPDATE jobs SET run_at = now()");
    }
    ck_assert_int_eq(told.errors, 0);
    work();
    ck_assert_str_eq(state(id), "failed 5 f t no mail today");
    ck_assert_int_eq(told.errors, 1);
    ck_assert_uint_eq(counted(CH_JOB_RETRIED), 4);
    ck_assert_uint_eq(counted(CH_JOB_FAILED), 1);
    work();
    ck_assert_int_eq(runs, 5);
}
END_TEST

START_TEST(for_good)
{
    const char *id;

    prepare();
    act = give_up;
    id = add("type", "'a'");
    work();
    /* no cause: the message */
    ck_assert_str_eq(state(id),
                     apr_pstrcat(pool, "failed 1 f t ",
                                 ch_code_text(CH_E_NOTE_NOT_FOUND), NULL));
    ck_assert_int_eq(told.errors, 1);
    ck_assert_uint_eq(counted(CH_JOB_FAILED), 1);
}
END_TEST

START_TEST(one_try)
{
    const char *id;

    prepare();
    act = complain;
    complaint = "x";
    id = add("type, max_attempts", "'a', 1");
    work();
    ck_assert_str_eq(state(id), "failed 1 f t x");
}
END_TEST

/* What goes wrong may be said in any language, at any length, or garbled. */
START_TEST(what_it_says)
{
    char *text;
    const char *id;
    size_t i;

    prepare();
    act = complain;
    text = apr_pcalloc(pool, 700);
    text[0] = 'x'; /* 500 is now in the middle of a character */
    for (i = 1; i < 600; i += 2) {
        memcpy(text + i, "\xC3\xA9", 2);
    }
    complaint = text;
    id = add("type", "'a'");
    work();
    ck_assert_str_eq(see(id, "status"), "queued");
    ck_assert_str_eq(see(id, "right(last_error, 2)"), "\xC3\xA9?");
    complaint = "bad \xFF\xC3 bytes '; DROP TABLE jobs";
    ch_sql("UPDATE jobs SET run_at = now()");
    work();
    ck_assert_str_eq(see(id, "last_error"), "bad ?? bytes '; DROP TABLE jobs");
}
END_TEST

static const char *const bad_payloads[] = { "[1]", "\"x\"", "null", "7",
                                            "true" };

START_TEST(no_object)
{
    const char *id;

    prepare();
    id = ch_sql(apr_psprintf(pool,
                             "INSERT INTO jobs (type, payload) VALUES "
                             "('a', '%s') RETURNING id",
                             bad_payloads[_i]));
    work();
    ck_assert_str_eq(state(id), "failed 1 f t the payload is no object");
    ck_assert_int_eq(runs, 0);
}
END_TEST

START_TEST(too_deep)
{
    const char *id;

    prepare();
    id = ch_sql("INSERT INTO jobs (type, payload) VALUES ('a', "
                "(repeat('{\"a\":', 40) || '1' || repeat('}', 40))::jsonb) "
                "RETURNING id");
    work();
    ck_assert_str_eq(see(id, "status"), "failed");
    ck_assert_int_eq(runs, 0);
}
END_TEST

static ch_err_t *look_at_payload(ch_job_t *job)
{
    ck_assert_str_eq(job->type, "a");
    ck_assert_int_eq(job->attempts, 3);
    ck_assert_int_eq(job->max_attempts, 4);
    ck_assert_ptr_eq(job->conf, &settings);
    ck_assert_str_eq(ch_job_text(job, "text"), "é \"q\"");
    ck_assert_ptr_null(ch_job_text(job, "none"));
    ck_assert_ptr_null(ch_job_text(job, "number"));
    return NULL;
}

START_TEST(what_a_handler_gets)
{
    const char *id;

    prepare();
    act = look_at_payload;
    id = ch_sql("INSERT INTO jobs (type, payload, attempts, max_attempts) "
                "VALUES ('a', '{\"text\": \"é \\\"q\\\"\", \"number\": 7}', "
                "2, 4) RETURNING id");
    work();
    ck_assert_str_eq(state(id), COMPLETED("3"));
}
END_TEST

/* --- periodic jobs --------------------------------------------------------
 */

static const ch_job_kind_t periodic_kinds[] = {
    { .type = "a", .run = run, .every = 100000000 },
    { .type = "b", .run = run, .every = 1 },
    { .type = "c", .run = run },
    { .type = "d", .run = run, .ready = never, .every = 100000000 },
};

static const ch_runner_io_t periodic = {
    .kinds = periodic_kinds,
    .kind_count = (int)CH_COUNT(periodic_kinds),
    .stopping = is_stopping,
    .log = take_note,
};

static void *APR_THREAD_FUNC make_in_thread(apr_thread_t *thread, void *data)
{
    apr_pool_t *p = apr_thread_pool_get(thread);

    ch_runner_work(ch_runner_make(p, &settings, data, &periodic), p);
    return NULL;
}

START_TEST(made_once)
{
    apr_thread_t *threads[RUNNERS];
    apr_status_t status;
    size_t i;

    prepare();
    for (i = 0; i < RUNNERS; i++) {
        ck_assert_int_eq(apr_thread_create(&threads[i], NULL, make_in_thread,
                                           apr_itoa(pool, (int)i), pool),
                         0);
    }
    for (i = 0; i < RUNNERS; i++) {
        apr_thread_join(&status, threads[i]);
    }
    ck_assert_str_eq(ch_sql("SELECT string_agg(type || ' ' || status, ', ' "
                            "ORDER BY type) FROM jobs WHERE type <> 'b'"),
                     "a completed, d queued");
    ck_assert_str_eq(ch_sql("SELECT count(*) <= 2 FROM jobs WHERE type = 'b'"),
                     "t");
    /* the next period has its own */
    ch_sql("DELETE FROM jobs WHERE type = 'b'");
    runner = ch_runner_make(pool, &settings, "w", &periodic);
    for (i = 1; i <= 3; i++) {
        usleep(1100 * 1000);
        pass(5);
        work();
        ck_assert_str_eq(ch_sql("SELECT count(*) FROM jobs WHERE type = 'b' "
                                "AND status = 'completed'"),
                         apr_itoa(pool, (int)i));
    }
    ck_assert_str_eq(ch_sql("SELECT attempts FROM jobs WHERE type = 'a'"),
                     "1");
}
END_TEST

START_TEST(the_queue_is_counted)
{
    const ch_counters_t *all;

    prepare();
    all = ch_counter_read();
    add("type", "'unknown'");
    add("type", "'unknown'");
    add("type, status", "'unknown', 'failed'");
    add("type, status", "'unknown', 'completed'");
    work();
    ck_assert_int_eq(all->jobs_queued, 2);
    ck_assert_int_eq(all->jobs_failed, 1);
    ck_assert_int_gt(all->jobs_counted, 0);
}
END_TEST

CH_POSTGRES_MAIN("jobs/runner", CH_ONCE(the_oldest_first), CH_ONCE(a_good_end),
                 CH_ONCE(not_while_stopping), CH_ONCE(locked_rows),
                 CH_ONCE(many_runners), CH_ONCE(again_and_again),
                 CH_ONCE(for_good), CH_ONCE(one_try), CH_ONCE(what_it_says),
                 CH_EACH(no_object, bad_payloads), CH_ONCE(too_deep),
                 CH_ONCE(what_a_handler_gets), CH_ONCE(made_once),
                 CH_ONCE(the_queue_is_counted))
