/* Shows a section of our own in mod_status' page, where that is loaded. */
#include <apr_strings.h>

#include <httpd.h>
#include <http_config.h>
#include <http_protocol.h>
#include <apr_optional_hooks.h>
#include <mod_status.h>

#include "httpd/server.h"
#include "realtime/engineio.h"
#include "realtime/wire.h"
#include "store/counter.h"
#include "store/redis.h"

/* What the rows are made from. */
typedef struct {
    apr_pool_t *pool;
    const ch_counters_t *counters;
    const ch_conf_t *conf; /* of this host, else of the first with the API */
} view_t;

/* --- values ----------------------------------------------------------- */

static const char *number(const view_t *view, apr_uint64_t value)
{
    return apr_psprintf(view->pool, "%" APR_UINT64_T_FMT, value);
}

static apr_uint64_t load(const apr_uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static const char *sum(const view_t *view, const apr_uint64_t *counters,
                       int count)
{
    apr_uint64_t total = 0;
    int i;

    for (i = 0; i < count; i++) {
        total += load(&counters[i]);
    }
    return number(view, total);
}

static const char *version(const view_t *view)
{
    return CH_VERSION;
}

static const char *uptime(const view_t *view)
{
    apr_time_t up = apr_time_now() - view->counters->started;

    return number(view, up > 0 ? (apr_uint64_t)apr_time_sec(up) : 0);
}

static const char *requests(const view_t *view)
{
    return number(view, load(&view->counters->total));
}

static const char *errors(const view_t *view)
{
    return number(view, load(&view->counters->errors));
}

static const char *in_flight(const view_t *view)
{
    return number(view, (apr_uint64_t)ch_counter_in_flight());
}

static const char *statements(const view_t *view)
{
    return sum(view, view->counters->statement.bucket, CH_COUNTER_BUCKETS);
}

static const char *statement_mean(const view_t *view)
{
    apr_uint64_t total = 0;
    int i;

    for (i = 0; i < CH_COUNTER_BUCKETS; i++) {
        total += load(&view->counters->statement.bucket[i]);
    }
    return number(
        view, total ? load(&view->counters->statement.sum_usec) / total : 0);
}

static const char *pool_busy(const view_t *view)
{
    int busy = 0, max = 0;

    if (view->conf->db) {
        ch_db_home_state(view->conf->db, &busy, &max);
    }
    return number(view, (apr_uint64_t)busy);
}

static const char *pool_max(const view_t *view)
{
    int busy = 0, max = 0;

    if (view->conf->db) {
        ch_db_home_state(view->conf->db, &busy, &max);
    }
    return number(view, (apr_uint64_t)max);
}

static const char *redis(const view_t *view)
{
    if (!view->conf->redis) {
        return "off";
    }
    return ch_redis_is_up(view->conf->redis) ? "up" : "down";
}

static const char *smtp(const view_t *view)
{
    if (!view->conf->smtp) {
        return "off";
    }
    return ch_counter_upstream_up(CH_UPSTREAM_SMTP) ? "up" : "down";
}

static const char *polling(const view_t *view)
{
    apr_int64_t counts[CH_WIRE_COUNTS];

    ch_wire_counts(counts);
    return number(view, (apr_uint64_t)counts[CH_EIO_POLLING]);
}

static const char *websockets(const view_t *view)
{
    apr_int64_t counts[CH_WIRE_COUNTS];

    ch_wire_counts(counts);
    return number(view, (apr_uint64_t)counts[CH_EIO_WEBSOCKET]);
}

static const char *limited(const view_t *view)
{
    return sum(view, view->counters->rate_limited, CH_COUNTER_KINDS);
}

static const char *auth_failures(const view_t *view)
{
    return sum(view, view->counters->auth_failures, CH_COUNTER_KINDS);
}

static const char *security_events(const view_t *view)
{
    return sum(view, view->counters->security, CH_COUNTER_KINDS);
}

static const char *cache_hits(const view_t *view)
{
    return sum(view, view->counters->cache_hits, CH_COUNTER_KINDS);
}

static const char *cache_misses(const view_t *view)
{
    return sum(view, view->counters->cache_misses, CH_COUNTER_KINDS);
}

static const char *jobs_queued(const view_t *view)
{
    apr_int64_t queued =
        __atomic_load_n(&view->counters->jobs_queued, __ATOMIC_RELAXED);

    return number(view, queued > 0 ? (apr_uint64_t)queued : 0);
}

static const char *jobs_failed(const view_t *view)
{
    apr_int64_t failed =
        __atomic_load_n(&view->counters->jobs_failed, __ATOMIC_RELAXED);

    return number(view, failed > 0 ? (apr_uint64_t)failed : 0);
}

static const char *logs_lost(const view_t *view)
{
    return number(view, load(&view->counters->logs_lost));
}

/* --- the section ------------------------------------------------------ */

/* label: for people; key: for ?auto, which adds "Chronicle" in front. */
static const struct {
    const char *label, *key;
    const char *(*value)(const view_t *view);
} rows[] = {
    { "Version", "Version", version },
    { "Uptime (s)", "Uptime", uptime },
    { "Requests", "Requests", requests },
    { "Answers of 500 and above", "Errors", errors },
    { "Requests in flight", "InFlight", in_flight },
    { "Statements", "Statements", statements },
    { "Mean time of a statement (microseconds)", "StatementMeanUs",
      statement_mean },
    { "Database connections in use, this child", "DbBusy", pool_busy },
    { "Database connections at most, this child", "DbMax", pool_max },
    { "Redis", "Redis", redis },
    { "Mail server", "Smtp", smtp },
    { "Socket.IO clients that poll", "SocketsPolling", polling },
    { "Socket.IO clients with a websocket", "SocketsWebsocket", websockets },
    { "Refused by a rate limit", "RateLimited", limited },
    { "Callers not accepted", "AuthFailures", auth_failures },
    { "Security events", "SecurityEvents", security_events },
    { "Answers from a cache", "CacheHits", cache_hits },
    { "Answers that a cache did not have", "CacheMisses", cache_misses },
    { "Jobs that wait, as last counted", "JobsQueued", jobs_queued },
    { "Jobs that failed, as last counted", "JobsFailed", jobs_failed },
    { "Log lines lost", "LogLinesLost", logs_lost },
};

static void write_html(request_rec *r, const view_t *view, int tables)
{
    size_t i;

    ap_rputs("<hr />\n<h2>mod_chronicle</h2>\n", r);
    ap_rputs(tables ? "<table border=\"0\">\n" : "<dl>\n", r);
    for (i = 0; i < CH_COUNT(rows); i++) {
        ap_rprintf(r,
                   tables ? "<tr><td>%s</td><td>%s</td></tr>\n"
                          : "<dt>%s: %s</dt>\n",
                   ap_escape_html(r->pool, rows[i].label),
                   ap_escape_html(r->pool, rows[i].value(view)));
    }
    ap_rputs(tables ? "</table>\n" : "</dl>\n", r);
}

static void write_short(request_rec *r, const view_t *view)
{
    size_t i;

    for (i = 0; i < CH_COUNT(rows); i++) {
        ap_rprintf(r, "Chronicle%s: %s\n", rows[i].key, rows[i].value(view));
    }
}

static const ch_conf_t *find_conf(request_rec *r)
{
    server_rec *server = r->server;

    if (!ch_config_of(r->server)->conf.enabled) {
        server = ch_server_main;
    }
    while (server && !ch_config_of(server)->conf.enabled) {
        server = server->next;
    }
    return server ? &ch_config_of(server)->conf : NULL;
}

/* Nothing is shown where the API is on nowhere. */
static int show(request_rec *r, int flags)
{
    const view_t view = {
        .pool = r->pool,
        .counters = ch_counter_read(),
        .conf = find_conf(r),
    };

    if (!view.counters || !view.conf) {
        return DECLINED;
    }
    if (flags & AP_STATUS_SHORT) {
        write_short(r, &view);
    }
    else {
        write_html(r, &view, !(flags & AP_STATUS_NOTABLE));
    }
    return OK;
}

void ch_status_register(void)
{
    APR_OPTIONAL_HOOK(ap, status_hook, show, NULL, NULL, APR_HOOK_MIDDLE);
}
