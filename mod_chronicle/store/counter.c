/* Adds to counters that all processes of the server share. */
#include "store/counter.h"

#include "base/steady.h"

static ch_counters_t *counters;

const char *const ch_auth_failure_names[CH_AUTH__COUNT] = {
    [CH_AUTH_NO_CREDENTIAL] = "no_credential",
    [CH_AUTH_BAD_TOKEN] = "invalid_token",
    [CH_AUTH_EXPIRED_TOKEN] = "expired_token",
    [CH_AUTH_BAD_LOGIN] = "invalid_credentials",
    [CH_AUTH_REFRESH_REUSE] = "refresh_reuse",
    [CH_AUTH_BAD_CSRF] = "csrf",
};

const char *const ch_security_names[CH_SECURITY__COUNT] = {
    [CH_SECURITY_PATTERN] = "pattern",
    [CH_SECURITY_ORIGIN] = "origin",
};

const char *const ch_job_result_names[CH_JOB__COUNT] = {
    [CH_JOB_COMPLETED] = "completed",
    [CH_JOB_RETRIED] = "retried",
    [CH_JOB_FAILED] = "failed",
    [CH_JOB_RETURNED] = "returned",
};

const char *const ch_upstream_names[CH_UPSTREAM__COUNT] = {
#define X(name, text) [CH_UPSTREAM_##name] = text,
    CH_UPSTREAMS(X)
#undef X
};

const char *const ch_upstream_statuses[CH_UPSTREAM_STATUS__COUNT] = {
    [CH_UPSTREAM_2XX] = "2xx",         [CH_UPSTREAM_3XX] = "3xx",
    [CH_UPSTREAM_4XX] = "4xx",         [CH_UPSTREAM_5XX] = "5xx",
    [CH_UPSTREAM_TIMEOUT] = "timeout", [CH_UPSTREAM_ERROR] = "error",
};

const char *const ch_cache_names[CH_CACHE__COUNT] = {
    [CH_CACHE_NONE] = "none",
    [CH_CACHE_NOTES] = "notes",
    [CH_CACHE_PUBLIC] = "conversations",
};

const apr_time_t ch_counter_bounds[CH_COUNTER_BUCKETS - 1] = {
    500,    1000,   2500,   5000,    10000,   25000,  50000,
    100000, 250000, 500000, 1000000, 2500000, 5000000,
};

const int ch_counter_statuses[CH_COUNTER_CODES] = {
    200, 201, 202, 204, 206, 302, 304, 400, 401, 403, 404, 405,
    409, 412, 413, 415, 416, 422, 429, 500, 502, 503, 504, 0,
};

static void add(apr_uint64_t *counter, apr_uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void observe(ch_histogram_t *histogram, apr_time_t took)
{
    int i = 0;

    while (i < CH_COUNTER_BUCKETS - 1 && took > ch_counter_bounds[i]) {
        i++;
    }
    add(&histogram->bucket[i], 1);
    add(&histogram->sum_usec, (apr_uint64_t)took);
}

void ch_counter_open(void *memory)
{
    counters = memory;
}

size_t ch_counter_size(void)
{
    return sizeof(ch_counters_t);
}

const ch_counters_t *ch_counter_read(void)
{
    return counters;
}

void ch_counter_start(void)
{
    int i;

    if (counters) {
        counters->started = apr_time_now();
        for (i = 0; i < CH_UPSTREAM__COUNT; i++) {
            ch_counter_upstream_mark(i, 1);
        }
    }
}

void ch_counter_begin(void)
{
    if (counters) {
        __atomic_fetch_add(&counters->in_flight, 1, __ATOMIC_RELAXED);
    }
}

void ch_counter_end(int route, int status, apr_time_t took)
{
    int slot = 0;

    if (!counters) {
        return;
    }
    while (slot < CH_COUNTER_CODES - 1
           && ch_counter_statuses[slot] != status) {
        slot++;
    }
    __atomic_fetch_sub(&counters->in_flight, 1, __ATOMIC_RELAXED);
    add(&counters->total, 1);
    if (status >= 500) {
        add(&counters->errors, 1);
    }
    if (route >= 0 && route < CH_COUNTER_ROUTES) {
        add(&counters->route[route].status[slot], 1);
        observe(&counters->route[route].duration, took);
    }
}

apr_int64_t ch_counter_in_flight(void)
{
    apr_int64_t now =
        counters ? __atomic_load_n(&counters->in_flight, __ATOMIC_RELAXED) : 0;

    return now > 0 ? now : 0;
}

void ch_counter_statement(apr_time_t took)
{
    if (counters) {
        observe(&counters->statement, took);
    }
}

void ch_counter_limited(int rate_class)
{
    if (counters) {
        add(&counters->rate_limited[rate_class], 1);
    }
}

void ch_counter_auth_failure(ch_auth_failure_e reason)
{
    if (counters) {
        add(&counters->auth_failures[reason], 1);
    }
}

void ch_counter_security(ch_security_e type)
{
    if (counters) {
        add(&counters->security[type], 1);
    }
}

void ch_counter_job(int kind, ch_job_result_e result)
{
    if (counters && kind >= 0) {
        add(&counters->jobs[kind][result], 1);
    }
}

void ch_counter_queue(apr_int64_t queued, apr_int64_t failed)
{
    if (counters) {
        __atomic_store_n(&counters->jobs_queued, queued, __ATOMIC_RELAXED);
        __atomic_store_n(&counters->jobs_failed, failed, __ATOMIC_RELAXED);
        __atomic_store_n(&counters->jobs_counted, apr_time_now(),
                         __ATOMIC_RELAXED);
    }
}

void ch_counter_cache(ch_cache_e cache, int hit)
{
    if (counters) {
        add(hit ? &counters->cache_hits[cache]
                : &counters->cache_misses[cache], 1);
    }
}

void ch_counter_log_lost(void)
{
    if (counters) {
        add(&counters->logs_lost, 1);
    }
}
/* --- third parties ---------------------------------------------------- */

#define REST_FIRST apr_time_from_sec(2)
#define REST_MAX apr_time_from_sec(60)

ch_upstream_status_e ch_counter_upstream_status(int code)
{
    switch (code / 100) {
    case 2:
        return CH_UPSTREAM_2XX;
    case 3:
        return CH_UPSTREAM_3XX;
    case 4:
        return CH_UPSTREAM_4XX;
    case 5:
        return CH_UPSTREAM_5XX;
    default:
        return CH_UPSTREAM_ERROR;
    }
}

void ch_counter_upstream(ch_upstream_e upstream, ch_upstream_status_e status,
                         apr_time_t took)
{
    if (counters) {
        add(&counters->upstream[upstream].status[status], 1);
        observe(&counters->upstream[upstream].duration, took);
    }
}

void ch_counter_upstream_mark(ch_upstream_e upstream, int up)
{
    ch_upstream_counter_t *counter;

    if (!counters) {
        return;
    }
    counter = &counters->upstream[upstream];
    if (up) {
        __atomic_store_n(&counter->failures, 0, __ATOMIC_RELAXED);
    }
    else {
        __atomic_store_n(&counter->failed, ch_steady_now(), __ATOMIC_RELAXED);
        add(&counter->failures, 1);
    }
}

int ch_counter_upstream_up(ch_upstream_e upstream)
{
    return !counters
           || !__atomic_load_n(&counters->upstream[upstream].failures,
                               __ATOMIC_RELAXED);
}

apr_time_t ch_counter_upstream_rest(ch_upstream_e upstream)
{
    const ch_upstream_counter_t *counter;
    apr_time_t rest = REST_FIRST, left;
    apr_uint64_t failures;

    if (ch_counter_upstream_up(upstream)) {
        return 0;
    }
    counter = &counters->upstream[upstream];
    failures = __atomic_load_n(&counter->failures, __ATOMIC_RELAXED);
    for (; failures > 1 && rest < REST_MAX; failures--) {
        rest *= 2;
    }
    rest = rest < REST_MAX ? rest : REST_MAX;
    left = __atomic_load_n(&counter->failed, __ATOMIC_RELAXED) + rest
           - ch_steady_now();
    return left > 0 ? left : 0;
}
