/* Answers /metrics from the counters that all processes share. */
#include "api/api.h"
#include "api/root.h"

#include <strings.h>
#include <string.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "base/seal.h"
#include "realtime/engineio.h"
#include "realtime/wire.h"
#include "store/apilog.h"
#include "store/counter.h"
#include "store/redis.h"
#include "web/promtext.h"
#include "web/reply.h"

#define METRICS_SIZE 65536
#define METRICS_MAX (16u * 1024 * 1024)

apr_int64_t ch_metrics_resident(apr_pool_t *pool)
{
    apr_int64_t pages = 0;
    apr_file_t *file;
    char text[128];
    apr_size_t len = sizeof(text) - 1;
    const char *second;

    if (apr_file_open(&file, "/proc/self/statm", APR_FOPEN_READ,
                      APR_FPROT_OS_DEFAULT, pool)
        != APR_SUCCESS) {
        return 0;
    }
    if (apr_file_read(file, text, &len) == APR_SUCCESS) {
        text[len] = '\0';
        second = strchr(text, ' ');
        pages = second ? apr_atoi64(second) : 0;
    }
    apr_file_close(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static apr_uint64_t load(const apr_uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* --- one metric each ----------------------------------------------------- */

static void write_single(ch_buf_t *buf, const char *name, const char *help,
                         apr_int64_t value)
{
    const ch_prom_series_t series = { .name = name };

    ch_prom_family(buf, name, "gauge", help);
    ch_prom_sample(buf, &series, value);
}

/* A counter with one label, whose values are `names`. */
static void write_kinds(ch_buf_t *buf, const char *name,
                        const char *label_name, const char *const *names,
                        const apr_uint64_t *counters, int count)
{
    ch_prom_label_t label = { .name = label_name };
    const ch_prom_series_t series = { .name = name,
                                      .labels = &label,
                                      .count = 1 };
    int i;

    for (i = 0; i < count; i++) {
        label.value = names[i];
        ch_prom_sample(buf, &series, (apr_int64_t)load(&counters[i]));
    }
}

static void write_histogram(ch_buf_t *buf, const ch_prom_series_t *series,
                            const ch_histogram_t *histogram)
{
    apr_uint64_t buckets[CH_COUNTER_BUCKETS];
    const ch_prom_histogram_t shown = {
        .bounds = ch_counter_bounds,
        .buckets = buckets,
        .bound_count = CH_COUNTER_BUCKETS - 1,
        .sum_usec = load(&histogram->sum_usec),
    };
    apr_uint64_t total = 0;
    int i;

    for (i = 0; i < CH_COUNTER_BUCKETS; i++) {
        buckets[i] = load(&histogram->bucket[i]);
        total += buckets[i];
    }
    if (total) {
        ch_prom_durations(buf, series, &shown);
    }
}

/* --- HTTP ---------------------------------------------------------------- */

/* The slots that are shown: one per row, and the last of what led nowhere. */
static int next_slot(const ch_router_t *router, int slot)
{
    return slot + 1 < ch_router_count(router) || slot == CH_COUNTER_ROUTES - 1
               ? slot + 1
               : CH_COUNTER_ROUTES - 1;
}

static void label_slot(ch_req_t *rq, int slot, ch_prom_label_t *labels)
{
    const ch_route_t *route;

    labels[0].value = "other";
    labels[1].value = "none";
    if (slot < ch_router_count(rq->router)) {
        route = ch_router_row(rq->router, slot);
        labels[0].value = ch_method_names[route->method];
        labels[1].value = ch_route_template(rq->pool, route);
    }
}

static void write_requests(ch_req_t *rq, ch_buf_t *buf,
                           const ch_counters_t *counters)
{
    ch_prom_label_t labels[] = { { .name = "method" },
                                 { .name = "route" },
                                 { .name = "status" } };
    const ch_prom_series_t series = { .name = "chronicle_http_requests_total",
                                      .labels = labels,
                                      .count = (int)CH_COUNT(labels) };
    int row, slot;

    ch_prom_family(buf, series.name, "counter", "Requests answered");
    for (row = 0; row < CH_COUNTER_ROUTES; row = next_slot(rq->router, row)) {
        label_slot(rq, row, labels);
        for (slot = 0; slot < CH_COUNTER_CODES; slot++) {
            apr_uint64_t n = load(&counters->route[row].status[slot]);
            int status = ch_counter_statuses[slot];

            if (n) {
                labels[2].value =
                    status ? apr_itoa(rq->pool, status) : "other";
                ch_prom_sample(buf, &series, (apr_int64_t)n);
            }
        }
    }
}

static void write_durations(ch_req_t *rq, ch_buf_t *buf,
                            const ch_counters_t *counters)
{
    ch_prom_label_t labels[] = { { .name = "method" }, { .name = "route" } };
    const ch_prom_series_t series = {
        .name = "chronicle_http_request_duration_seconds",
        .labels = labels,
        .count = (int)CH_COUNT(labels)
    };
    int row;

    ch_prom_family(buf, series.name, "histogram",
                   "Time from the request's arrival to its answer");
    for (row = 0; row < CH_COUNTER_ROUTES; row = next_slot(rq->router, row)) {
        label_slot(rq, row, labels);
        write_histogram(buf, &series, &counters->route[row].duration);
    }
}

static void write_lost(ch_buf_t *buf, const ch_counters_t *counters)
{
    const ch_prom_series_t series = {
        .name = "chronicle_log_lines_lost_total"
    };

    ch_prom_family(buf, series.name, "counter",
                   "Lines that a file or program of ChronicleLog did not "
                   "take");
    ch_prom_sample(buf, &series,
                   counters ? (apr_int64_t)load(&counters->logs_lost) : 0);
}

static void write_refusals(ch_buf_t *buf, const ch_counters_t *counters)
{
    ch_prom_family(buf, "chronicle_rate_limited_total", "counter",
                   "Requests refused by a rate limit");
    /* the first class is "none" */
    write_kinds(buf, "chronicle_rate_limited_total", "class",
                ch_rate_names + 1, counters->rate_limited + 1,
                CH_RATE__COUNT - 1);
    ch_prom_family(buf, "chronicle_auth_failures_total", "counter",
                   "Requests whose caller was not accepted");
    write_kinds(buf, "chronicle_auth_failures_total", "reason",
                ch_auth_failure_names, counters->auth_failures,
                CH_AUTH__COUNT);
    ch_prom_family(buf, "chronicle_security_events_total", "counter",
                   "Suspicious requests and foreign origins");
    write_kinds(buf, "chronicle_security_events_total", "type",
                ch_security_names, counters->security, CH_SECURITY__COUNT);
}

/* --- database ------------------------------------------------------------ */

static void write_pool(ch_req_t *rq, ch_buf_t *buf)
{
    ch_prom_label_t label = { .name = "state", .value = "busy" };
    const ch_prom_series_t series = { .name = "chronicle_db_pool_connections",
                                      .labels = &label,
                                      .count = 1 };
    int busy, max;

    ch_db_home_state(rq->conf->db, &busy, &max);
    ch_prom_family(buf, series.name, "gauge",
                   "Places for database connections of the process that "
                   "answers");
    ch_prom_sample(buf, &series, busy);
    label.value = "free";
    ch_prom_sample(buf, &series, max - busy);
}

static void write_database(ch_req_t *rq, ch_buf_t *buf,
                           const ch_counters_t *counters)
{
    const ch_prom_series_t series = {
        .name = "chronicle_db_query_duration_seconds"
    };

    if (rq->conf->db) {
        write_pool(rq, buf);
    }
    ch_prom_family(buf, series.name, "histogram",
                   "Time of a statement, waiting for a connection included");
    write_histogram(buf, &series, &counters->statement);
}

/* --- caches and jobs ----------------------------------------------------- */

static void write_caches(ch_buf_t *buf, const ch_counters_t *counters)
{
    /* the first is "none" */
    ch_prom_family(buf, "chronicle_cache_hits_total", "counter",
                   "Answers from a cache");
    write_kinds(buf, "chronicle_cache_hits_total", "cache",
                ch_cache_names + 1, counters->cache_hits + 1,
                CH_CACHE__COUNT - 1);
    ch_prom_family(buf, "chronicle_cache_misses_total", "counter",
                   "Answers that a cache did not have");
    write_kinds(buf, "chronicle_cache_misses_total", "cache",
                ch_cache_names + 1, counters->cache_misses + 1,
                CH_CACHE__COUNT - 1);
}

static void write_jobs(ch_buf_t *buf, const ch_counters_t *counters)
{
    ch_prom_label_t labels[] = { { .name = "type" }, { .name = "result" } };
    const ch_prom_series_t series = { .name = "chronicle_jobs_total",
                                      .labels = labels,
                                      .count = (int)CH_COUNT(labels) };
    int kind, result;

    ch_prom_family(buf, series.name, "counter",
                   "Runs of jobs in this server, by how they ended");
    for (kind = 0; kind < ch_job_kind_count; kind++) {
        labels[0].value = ch_job_kinds[kind].type;
        for (result = 0; result < CH_JOB__COUNT; result++) {
            labels[1].value = ch_job_result_names[result];
            ch_prom_sample(
                buf, &series,
                (apr_int64_t)load(&counters->jobs[kind][result]));
        }
    }
    write_single(buf, "chronicle_jobs_queued",
                 "Jobs that wait, as last counted",
                 __atomic_load_n(&counters->jobs_queued, __ATOMIC_RELAXED));
}

/* --- API log ------------------------------------------------------------- */

static void write_api_log(ch_buf_t *buf)
{
    apr_uint64_t dropped[CH_APILOG__COUNT];
    int i;

    for (i = 0; i < CH_APILOG__COUNT; i++) {
        dropped[i] = ch_apilog_dropped((ch_apilog_drop_e)i);
    }
    ch_prom_family(buf, "chronicle_api_logs_dropped_total", "counter",
                   "Requests that the API log does not hold");
    write_kinds(buf, "chronicle_api_logs_dropped_total", "reason",
                ch_apilog_drop_names, dropped, CH_APILOG__COUNT);
}

/* No sample where there is no Redis: an alert on 0 stays quiet. */
static void write_redis(ch_req_t *rq, ch_buf_t *buf)
{
    const ch_prom_series_t series = { .name = "chronicle_redis_up" };

    ch_prom_family(buf, series.name, "gauge",
                   "1 if Redis was there when last it was used");
    if (rq->conf->redis) {
        ch_prom_sample(buf, &series, ch_redis_is_up(rq->conf->redis));
    }
}

/* --- open sockets -------------------------------------------------------- */

static void write_sockets(ch_buf_t *buf)
{
    static const char *const names[CH_WIRE_COUNTS] = {
        [CH_EIO_POLLING] = "polling",
        [CH_EIO_WEBSOCKET] = "websocket",
    };
    ch_prom_label_t label = { .name = "transport" };
    const ch_prom_series_t series = { .name = "chronicle_socketio_connections",
                                      .labels = &label,
                                      .count = 1 };
    apr_int64_t counts[CH_WIRE_COUNTS];
    int i;

    ch_wire_counts(counts);
    ch_prom_family(buf, series.name, "gauge",
                   "Sessions of Socket.IO clients of this server");
    for (i = 0; i < CH_WIRE_COUNTS; i++) {
        label.value = names[i];
        ch_prom_sample(buf, &series, counts[i]);
    }
}

/* --- third parties ------------------------------------------------------- */

static void write_upstream_requests(ch_buf_t *buf,
                                    const ch_counters_t *counters)
{
    ch_prom_label_t labels[] = { { .name = "provider" },
                                 { .name = "status" } };
    const ch_prom_series_t series = {
        .name = "chronicle_upstream_requests_total",
        .labels = labels,
        .count = (int)CH_COUNT(labels)
    };
    int i, status;

    ch_prom_family(buf, series.name, "counter", "Requests to third parties");
    for (i = 0; i < CH_UPSTREAM__COUNT; i++) {
        labels[0].value = ch_upstream_names[i];
        for (status = 0; status < CH_UPSTREAM_STATUS__COUNT; status++) {
            labels[1].value = ch_upstream_statuses[status];
            ch_prom_sample(
                buf, &series,
                (apr_int64_t)load(&counters->upstream[i].status[status]));
        }
    }
}

static void write_upstream_durations(ch_buf_t *buf,
                                     const ch_counters_t *counters)
{
    ch_prom_label_t label = { .name = "provider" };
    const ch_prom_series_t series = {
        .name = "chronicle_upstream_duration_seconds",
        .labels = &label,
        .count = 1
    };
    int i;

    ch_prom_family(buf, series.name, "histogram",
                   "Time until a third party had answered");
    for (i = 0; i < CH_UPSTREAM__COUNT; i++) {
        label.value = ch_upstream_names[i];
        write_histogram(buf, &series, &counters->upstream[i].duration);
    }
}

/* --- parts that are not there yet ---------------------------------------- */

/* Families whose samples come with the parts that count them. They are named
 * already, so that dashboards and alerts can be. */
static void write_empty(ch_buf_t *buf)
{
    static const struct {
        const char *name, *type, *help;
    } families[] = {
        { "chronicle_ai_tokens_total", "counter", "AI tokens used" },
    };
    size_t i;

    for (i = 0; i < CH_COUNT(families); i++) {
        ch_prom_family(buf, families[i].name, families[i].type,
                       families[i].help);
    }
}

/* --- the answer ---------------------------------------------------------- */

/* Without a token in the configuration everybody may read. */
static ch_err_t *check_token(ch_req_t *rq)
{
    const char *wanted = rq->conf->metrics_token;
    const char *given = ch_req_header(rq, "Authorization");

    if (!wanted) {
        return NULL;
    }
    if (!given || strncasecmp(given, "Bearer ", 7) != 0) {
        return ch_err_make(rq->pool, CH_E_AUTHENTICATION_REQUIRED, NULL);
    }
    given += 7 + strspn(given + 7, " ");
    if (!ch_seal_equal(given, strlen(given), wanted, strlen(wanted))) {
        return ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    return NULL;
}

ch_err_t *ch_metrics_show(ch_req_t *rq)
{
    const ch_counters_t *counters = ch_counter_read();
    ch_buf_t *buf = ch_buf_make(rq->pool, METRICS_SIZE, METRICS_MAX);
    ch_err_t *err = check_token(rq);

    if (err) {
        return err;
    }
    write_single(buf, "chronicle_up", "1 while the module answers", 1);
    if (counters) {
        write_requests(rq, buf, counters);
        write_durations(rq, buf, counters);
        write_refusals(buf, counters);
        write_database(rq, buf, counters);
        write_caches(buf, counters);
        write_jobs(buf, counters);
        write_redis(rq, buf);
        write_upstream_requests(buf, counters);
        write_upstream_durations(buf, counters);
    }
    write_api_log(buf);
    write_sockets(buf);
    write_single(buf, "chronicle_http_in_flight",
                 "Requests that are being answered", ch_counter_in_flight());
    write_lost(buf, counters);
    write_single(buf, "chronicle_process_resident_bytes",
                 "Memory of the process that answers",
                 ch_metrics_resident(rq->pool));
    write_empty(buf);
    return ch_reply_raw(rq, 200, CH_PROM_MEDIA, buf);
}
