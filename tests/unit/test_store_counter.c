/* Tests of store/counter: what is counted once is there once, whoever
 * counts. */
#include "ch_check.h"

#include <apr_thread_proc.h>

#include "store/counter.h"

static void open_counters(void)
{
    ch_counter_open(apr_pcalloc(pool, ch_counter_size()));
}

/* Before the memory is there nothing is counted and nothing breaks. */
START_TEST(before_open)
{
    ch_counter_begin();
    ch_counter_end(0, 200, 1);
    ch_counter_statement(1);
    ch_counter_limited(1);
    ch_counter_auth_failure(CH_AUTH_BAD_TOKEN);
    ch_counter_security(CH_SECURITY_ORIGIN);
    ch_counter_upstream(CH_UPSTREAM_SMTP, CH_UPSTREAM_2XX, 1);
    ch_counter_upstream_mark(CH_UPSTREAM_SMTP, 0);
    ck_assert_int_eq(ch_counter_upstream_rest(CH_UPSTREAM_SMTP), 0);
    ck_assert_int_eq(ch_counter_upstream_up(CH_UPSTREAM_SMTP), 1);
    ch_counter_start();
    ck_assert_int_eq(ch_counter_in_flight(), 0);
    ck_assert_ptr_null(ch_counter_read());
}
END_TEST

START_TEST(a_request)
{
    const ch_counters_t *all;

    open_counters();
    all = ch_counter_read();
    ch_counter_begin();
    ck_assert_int_eq(ch_counter_in_flight(), 1);
    ch_counter_end(3, 201, 1500);
    ck_assert_int_eq(ch_counter_in_flight(), 0);
    ck_assert_uint_eq(all->total, 1);
    ck_assert_uint_eq(all->errors, 0);
    ck_assert_int_eq(ch_counter_statuses[1], 201);
    ck_assert_uint_eq(all->route[3].status[1], 1);
    ck_assert_uint_eq(all->route[3].duration.sum_usec, 1500);
    ck_assert_uint_eq(all->route[3].duration.bucket[2], 1);
    ck_assert_uint_eq(all->route[2].status[1], 0);
    ck_assert_uint_eq(all->statement.sum_usec, 0);
}
END_TEST

/* Each status has its slot, an unknown one the last. */
START_TEST(statuses)
{
    const ch_counters_t *all;
    int i;

    open_counters();
    all = ch_counter_read();
    for (i = 0; i < CH_COUNTER_CODES - 1; i++) {
        ch_counter_end(0, ch_counter_statuses[i], 0);
        ck_assert_uint_eq(all->route[0].status[i], 1);
    }
    ch_counter_end(0, 418, 0);
    ch_counter_end(0, 0, 0);
    ck_assert_uint_eq(all->route[0].status[CH_COUNTER_CODES - 1], 2);
    /* 500, 502, 503, 504 */
    ck_assert_uint_eq(all->errors, 4);
    ck_assert_uint_eq(all->total, CH_COUNTER_CODES + 1);
}
END_TEST

START_TEST(routes_out_of_range)
{
    const ch_counters_t *all;

    open_counters();
    all = ch_counter_read();
    ch_counter_end(-1, 200, 1);
    ch_counter_end(CH_COUNTER_ROUTES, 200, 1);
    ck_assert_uint_eq(all->total, 2);
    ch_counter_end(CH_COUNTER_ROUTES - 1, 200, 1);
    ck_assert_uint_eq(all->route[CH_COUNTER_ROUTES - 1].status[0], 1);
    ck_assert_uint_eq(all->statement.bucket[0], 0);
}
END_TEST

/* An upper bound belongs to its bucket. */
START_TEST(buckets)
{
    const ch_counters_t *all;
    int i;

    open_counters();
    all = ch_counter_read();
    for (i = 0; i < CH_COUNTER_BUCKETS - 1; i++) {
        ch_counter_statement(ch_counter_bounds[i]);
        ck_assert_uint_eq(all->statement.bucket[i], i ? 2 : 1);
        ch_counter_statement(ch_counter_bounds[i] + 1);
        ck_assert_uint_eq(all->statement.bucket[i + 1], 1);
        ck_assert(!i || ch_counter_bounds[i] > ch_counter_bounds[i - 1]);
    }
}
END_TEST

START_TEST(kinds)
{
    const ch_counters_t *all;

    open_counters();
    all = ch_counter_read();
    ch_counter_limited(2);
    ch_counter_limited(2);
    ch_counter_auth_failure(CH_AUTH_BAD_CSRF);
    ch_counter_security(CH_SECURITY_ORIGIN);
    ck_assert_uint_eq(all->rate_limited[2], 2);
    ck_assert_uint_eq(all->auth_failures[CH_AUTH_BAD_CSRF], 1);
    ck_assert_uint_eq(all->security[CH_SECURITY_ORIGIN], 1);
    ck_assert_uint_eq(all->security[CH_SECURITY_PATTERN], 0);
    ck_assert_str_eq(ch_auth_failure_names[CH_AUTH_BAD_CSRF], "csrf");
    ck_assert_str_eq(ch_security_names[CH_SECURITY_ORIGIN], "origin");
}
END_TEST

START_TEST(jobs_and_caches)
{
    const ch_counters_t *all;

    ch_counter_job(0, CH_JOB_COMPLETED); /* before open: nothing happens */
    ch_counter_queue(1, 1);
    ch_counter_cache(CH_CACHE_NOTES, 1);
    open_counters();
    all = ch_counter_read();
    ch_counter_job(-1, CH_JOB_COMPLETED);
    ck_assert_uint_eq(all->jobs[0][CH_JOB_COMPLETED], 0);
    ch_counter_job(0, CH_JOB_COMPLETED);
    ch_counter_job(CH_COUNTER_KINDS - 1, CH_JOB_RETURNED);
    ch_counter_job(CH_COUNTER_KINDS - 1, CH_JOB_RETURNED);
    ck_assert_uint_eq(all->jobs[0][CH_JOB_COMPLETED], 1);
    ck_assert_uint_eq(all->jobs[0][CH_JOB_RETURNED], 0);
    ck_assert_uint_eq(all->jobs[CH_COUNTER_KINDS - 1][CH_JOB_RETURNED], 2);
    ch_counter_queue(7, 3);
    ch_counter_queue(5, 4);
    ck_assert_int_eq(all->jobs_queued, 5);
    ck_assert_int_eq(all->jobs_failed, 4);
    ck_assert_int_ge(all->jobs_counted,
                     apr_time_now() - apr_time_from_sec(10));
    ch_counter_cache(CH_CACHE_NOTES, 1);
    ch_counter_cache(CH_CACHE_NOTES, 0);
    ch_counter_cache(CH_CACHE_NOTES, 0);
    ck_assert_uint_eq(all->cache_hits[CH_CACHE_NOTES], 1);
    ck_assert_uint_eq(all->cache_misses[CH_CACHE_NOTES], 2);
    ck_assert_uint_eq(all->cache_hits[CH_CACHE_NONE], 0);
}
END_TEST

START_TEST(upstreams)
{
    const ch_upstream_counter_t *smtp;

    open_counters();
    smtp = &ch_counter_read()->upstream[CH_UPSTREAM_SMTP];
    ck_assert_int_eq(ch_counter_upstream_status(250), CH_UPSTREAM_2XX);
    ck_assert_int_eq(ch_counter_upstream_status(302), CH_UPSTREAM_3XX);
    ck_assert_int_eq(ch_counter_upstream_status(451), CH_UPSTREAM_4XX);
    ck_assert_int_eq(ch_counter_upstream_status(599), CH_UPSTREAM_5XX);
    ck_assert_int_eq(ch_counter_upstream_status(0), CH_UPSTREAM_ERROR);
    ck_assert_int_eq(ch_counter_upstream_status(100), CH_UPSTREAM_ERROR);
    ck_assert_int_eq(ch_counter_upstream_status(-1), CH_UPSTREAM_ERROR);
    ch_counter_upstream(CH_UPSTREAM_SMTP, CH_UPSTREAM_TIMEOUT, 1500);
    ck_assert_uint_eq(smtp->status[CH_UPSTREAM_TIMEOUT], 1);
    ck_assert_uint_eq(smtp->status[CH_UPSTREAM_2XX], 0);
    ck_assert_uint_eq(smtp->duration.sum_usec, 1500);
    ck_assert_str_eq(ch_upstream_names[CH_UPSTREAM_SMTP], "smtp");
    ck_assert_str_eq(ch_upstream_statuses[CH_UPSTREAM_TIMEOUT], "timeout");
}
END_TEST

/* Each failure in a row doubles the rest, up to a minute; one success, or a
 * start of the server, ends it. */
START_TEST(rests_after_failures)
{
    static const int seconds[] = { 2, 4, 8, 16, 32, 60, 60 };
    apr_time_t rest;
    size_t i;

    open_counters();
    ck_assert_int_eq(ch_counter_upstream_up(CH_UPSTREAM_SMTP), 1);
    ck_assert_int_eq(ch_counter_upstream_rest(CH_UPSTREAM_SMTP), 0);
    for (i = 0; i < CH_COUNT(seconds); i++) {
        ch_counter_upstream_mark(CH_UPSTREAM_SMTP, 0);
        rest = ch_counter_upstream_rest(CH_UPSTREAM_SMTP);
        ck_assert_int_le(rest, apr_time_from_sec(seconds[i]));
        ck_assert_int_gt(rest, apr_time_from_sec(seconds[i] - 1));
        ck_assert_int_eq(ch_counter_upstream_up(CH_UPSTREAM_SMTP), 0);
    }
    ch_counter_upstream_mark(CH_UPSTREAM_SMTP, 1);
    ck_assert_int_eq(ch_counter_upstream_rest(CH_UPSTREAM_SMTP), 0);
    ck_assert_int_eq(ch_counter_upstream_up(CH_UPSTREAM_SMTP), 1);
    ch_counter_upstream_mark(CH_UPSTREAM_SMTP, 0);
    ch_counter_start();
    ck_assert_int_eq(ch_counter_upstream_up(CH_UPSTREAM_SMTP), 1);
}
END_TEST

/* A child that died in the middle of a request is never shown as less than
 * none. */
START_TEST(never_below_zero)
{
    open_counters();
    ch_counter_end(0, 200, 0);
    ck_assert_int_eq(ch_counter_in_flight(), 0);
}
END_TEST

START_TEST(starts_the_clock)
{
    open_counters();
    ch_counter_start();
    ck_assert_int_ge(ch_counter_read()->started,
                     apr_time_now() - apr_time_from_sec(10));
    ck_assert_int_le(ch_counter_read()->started, apr_time_now());
}
END_TEST

#define THREADS 8
#define EACH 20000

static void *APR_THREAD_FUNC count_much(apr_thread_t *thread, void *data)
{
    int i;

    for (i = 0; i < EACH; i++) {
        ch_counter_begin();
        ch_counter_limited(1);
        ch_counter_end(5, 500, 7);
    }
    return NULL;
}

START_TEST(by_eight_threads)
{
    const ch_counters_t *all;
    apr_thread_t *threads[THREADS];
    apr_status_t status;
    int i;

    open_counters();
    all = ch_counter_read();
    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, count_much, NULL, pool), 0);
    }
    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&status, threads[i]);
    }
    ck_assert_uint_eq(all->total, THREADS * EACH);
    ck_assert_uint_eq(all->errors, THREADS * EACH);
    ck_assert_uint_eq(all->rate_limited[1], THREADS * EACH);
    ck_assert_uint_eq(all->route[5].duration.bucket[0], THREADS * EACH);
    ck_assert_uint_eq(all->route[5].duration.sum_usec, 7 * THREADS * EACH);
    ck_assert_int_eq(ch_counter_in_flight(), 0);
}
END_TEST

CH_SUITE_MAIN("store/counter", CH_ONCE(before_open), CH_ONCE(a_request),
              CH_ONCE(statuses), CH_ONCE(routes_out_of_range),
              CH_ONCE(buckets), CH_ONCE(kinds), CH_ONCE(jobs_and_caches),
              CH_ONCE(upstreams), CH_ONCE(rests_after_failures),
              CH_ONCE(never_below_zero), CH_ONCE(starts_the_clock),
              CH_ONCE(by_eight_threads))
