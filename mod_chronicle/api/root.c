/* Section 2 of the contract: health, metrics and the documents of the API,
 * open to everybody and, all but the index, without an envelope. */
#include "api/api.h"

#include <string.h>

#include <apr_strings.h>

#include "api/root.h"
#include "base/member.h"
#include "base/steady.h"
#include "blob/blob.h"
#include "store/counter.h"
#include "store/redis.h"
#include "store/sql_gen.h"
#include "web/openapi.h"
#include "web/reply.h"

#define DOCUMENT_SIZE 262144
#define DOCUMENT_MAX (16u * 1024 * 1024)

/* --- what the answers look like ------------------------------------------ */

static const char *const ok_words[] = { "OK" };
static const char *const alive_words[] = { "ALIVE" };
static const char *const ready_words[] = { "READY", "NOT_READY" };
static const char *const detailed_words[] = { "OK", "DEGRADED", "DOWN" };
static const char *const check_words[] = { "up", "down", "disabled" };
static const char *const ready_check_words[] = { "up", "down" };

#define TABLE(rows_)                                                          \
    {                                                                         \
        .rows = rows_, .count = (int)CH_COUNT(rows_)                          \
    }
#define WORD(name_, words)                                                    \
    {                                                                         \
        .name = name_, .type = CH_T_STR, CH_CHOICES(words)                    \
    }
#define TIMESTAMP                                                             \
    {                                                                         \
        .name = "timestamp", .type = CH_T_TIME                                \
    }

static const ch_field_t health_rows[] = {
    WORD("status", ok_words),
    TIMESTAMP,
    { .name = "version", .type = CH_T_STR },
    { .name = "uptimeSeconds", .type = CH_T_INT },
};

static const ch_fields_t health_out = TABLE(health_rows);

static const ch_field_t live_rows[] = {
    WORD("status", alive_words),
    TIMESTAMP,
};

static const ch_fields_t live_out = TABLE(live_rows);

static const ch_field_t ready_check_rows[] = {
    WORD("database", ready_check_words),
    WORD("migrations", ready_check_words),
};

static const ch_fields_t ready_checks = TABLE(ready_check_rows);

static const ch_field_t ready_rows[] = {
    WORD("status", ready_words),
    TIMESTAMP,
    { .name = "checks", .type = CH_T_NEST, .nested = &ready_checks },
};

static const ch_fields_t ready_out = TABLE(ready_rows);

static const ch_field_t plain_check_rows[] = {
    WORD("status", check_words),
};

static const ch_fields_t plain_check = {
    .name = "Check",
    .rows = plain_check_rows,
    .count = (int)CH_COUNT(plain_check_rows),
};

static const ch_field_t timed_check_rows[] = {
    WORD("status", check_words),
    { .name = "latencyMs",
      .type = CH_T_NUMBER,
      .flags = CH_NULLABLE,
      .doc = "Null unless up" },
};

static const ch_fields_t timed_check = {
    .name = "TimedCheck",
    .rows = timed_check_rows,
    .count = (int)CH_COUNT(timed_check_rows),
};

static const ch_field_t jobs_check_rows[] = {
    WORD("status", check_words),
    { .name = "queued",
      .type = CH_T_INT,
      .flags = CH_NULLABLE,
      .doc = "Null while the database is down" },
    { .name = "failed",
      .type = CH_T_INT,
      .flags = CH_NULLABLE,
      .doc = "Null while the database is down" },
};

static const ch_fields_t jobs_check = TABLE(jobs_check_rows);

#define CHECK(name_, table)                                                   \
    {                                                                         \
        .name = name_, .type = CH_T_NEST, .nested = &(table)                  \
    }

static const ch_field_t checks_rows[] = {
    CHECK("database", timed_check), CHECK("redis", timed_check),
    CHECK("storage", timed_check),  CHECK("smtp", plain_check),
    CHECK("ai", plain_check),       CHECK("notion", plain_check),
    CHECK("airtable", plain_check), CHECK("jobs", jobs_check),
};

static const ch_fields_t checks_out = TABLE(checks_rows);

static const ch_field_t memory_rows[] = {
    { .name = "rssBytes",
      .type = CH_T_INT,
      .doc = "Of the process that answers" },
};

static const ch_fields_t memory_out = TABLE(memory_rows);

static const ch_field_t requests_rows[] = {
    { .name = "total", .type = CH_T_INT },
    { .name = "errors", .type = CH_T_INT, .doc = "Answers of 500 and above" },
    { .name = "inFlight", .type = CH_T_INT },
};

static const ch_fields_t requests_out = TABLE(requests_rows);

static const ch_field_t detailed_rows[] = {
    WORD("status", detailed_words),
    TIMESTAMP,
    { .name = "version", .type = CH_T_STR },
    { .name = "uptimeSeconds", .type = CH_T_INT },
    { .name = "checks", .type = CH_T_NEST, .nested = &checks_out },
    { .name = "memory", .type = CH_T_NEST, .nested = &memory_out },
    { .name = "requests", .type = CH_T_NEST, .nested = &requests_out },
};

static const ch_fields_t detailed_out = TABLE(detailed_rows);

static const ch_field_t endpoint_rows[] = {
    { .name = "method", .type = CH_T_STR },
    { .name = "path", .type = CH_T_STR },
    { .name = "auth", .type = CH_T_STR },
    { .name = "rateClass", .type = CH_T_STR },
    { .name = "summary", .type = CH_T_STR },
};

static const ch_fields_t endpoint_out = {
    .name = "Endpoint",
    .rows = endpoint_rows,
    .count = (int)CH_COUNT(endpoint_rows),
};

static const ch_field_t index_rows[] = {
    { .name = "name", .type = CH_T_STR },
    { .name = "version", .type = CH_T_STR },
    { .name = "apiVersion", .type = CH_T_STR },
    { .name = "docs", .type = CH_T_STR },
    { .name = "openapi", .type = CH_T_STR },
    { .name = "endpoints", .type = CH_T_JSON, .nested = &endpoint_out },
};

static const ch_fields_t index_out = TABLE(index_rows);

/* --- health -------------------------------------------------------------- */

static ch_buf_t *begin_document(ch_req_t *rq, const char *status)
{
    ch_buf_t *buf = ch_buf_make(rq->pool, 1024, 16384);

    ch_buf_putc(buf, '{');
    ch_member_text(buf, "status", status);
    ch_member_time(buf, "timestamp", apr_time_now());
    return buf;
}

static void write_age(ch_buf_t *buf)
{
    const ch_counters_t *counters = ch_counter_read();
    apr_time_t started = counters ? counters->started : 0;

    ch_member_text(buf, "version", CH_VERSION);
    ch_member_int(buf, "uptimeSeconds",
                  started ? apr_time_sec(apr_time_now() - started) : 0);
}

static ch_err_t *show_health(ch_req_t *rq)
{
    ch_buf_t *buf = begin_document(rq, "OK");

    write_age(buf);
    ch_member_close(buf);
    return ch_reply_raw(rq, 200, NULL, buf);
}

static ch_err_t *show_live(ch_req_t *rq)
{
    ch_buf_t *buf = begin_document(rq, "ALIVE");

    ch_member_close(buf);
    return ch_reply_raw(rq, 200, NULL, buf);
}

static int answers(ch_req_t *rq)
{
    ch_rows_t *rows;

    return !sql_health_ping(rq->db, &rows);
}

static const char *up_or_down(int up)
{
    return up ? "up" : "down";
}

/* A database whose schema does not fit refuses every statement, although it
 * is there: what was seen of the schema tells the two apart. */
static ch_err_t *show_ready(ch_req_t *rq)
{
    int answered = answers(rq);
    int schema = ch_db_home_schema(rq->conf->db);
    int fits = schema == CH_SCHEMA_VERSION;
    int ready = answered && fits;
    ch_buf_t *buf = begin_document(rq, ready ? "READY" : "NOT_READY");

    ch_member_open(buf, "checks");
    ch_member_text(buf, "database",
                   up_or_down(answered || (schema >= 0 && !fits)));
    ch_member_text(buf, "migrations", up_or_down(fits));
    ch_member_close(buf);
    ch_member_close(buf);
    return ch_reply_raw(rq, ready ? 200 : 503, NULL, buf);
}

/* A part of the server, as it was found; took is 0 unless it is up. */
typedef struct {
    const char *status;
    apr_time_t took;
} found_t;

static int is_down(const found_t *found)
{
    return strcmp(found->status, "down") == 0;
}

static found_t try_database(ch_req_t *rq)
{
    apr_time_t start = ch_steady_now();
    int up = answers(rq);

    return (found_t){ up_or_down(up), up ? ch_steady_now() - start : 0 };
}

static found_t try_redis(ch_req_t *rq)
{
    apr_time_t took;
    int up;

    if (!rq->conf->redis) {
        return (found_t){ "disabled", 0 };
    }
    up = ch_redis_ping(rq->conf->redis, rq->pool, &took);
    return (found_t){ up_or_down(up), up ? took : 0 };
}

static void write_check(ch_buf_t *buf, const char *name, const char *status)
{
    ch_member_open(buf, name);
    ch_member_text(buf, "status", status);
}

static void write_timed_check(ch_buf_t *buf, const char *name,
                              const found_t *found)
{
    write_check(buf, name, found->status);
    ch_member(buf, "latencyMs");
    if (found->took) {
        ch_buf_printf(buf, "%d.%03d", (int)(found->took / 1000),
                      (int)(found->took % 1000));
    }
    else {
        CH_BUF_LIT(buf, "null");
    }
    ch_member_close(buf);
}

/* There is no runner yet, so the queue is counted but not judged. */
static void write_jobs_check(ch_req_t *rq, ch_buf_t *buf, int up)
{
    ch_rows_t *rows;

    write_check(buf, "jobs", "disabled");
    if (up && !sql_health_jobs(rq->db, &rows)) {
        ch_member_int(buf, "queued", ch_rows_int(rows, 0, "queued"));
        ch_member_int(buf, "failed", ch_rows_int(rows, 0, "failed"));
    }
    else {
        ch_member_json(buf, "queued", "null");
        ch_member_json(buf, "failed", "null");
    }
    ch_member_close(buf);
}

/* To the microsecond, and never 0, which is for what is not up. */
static found_t try_storage(ch_req_t *rq)
{
    apr_time_t took;
    int up;

    if (!rq->conf->blob) {
        return (found_t){ "disabled", 0 };
    }
    up = ch_blob_is_up(rq->conf->blob, rq->pool, &took);
    return (found_t){ up_or_down(up), up ? took + 1 : 0 };
}

/* The parts that are looked at. */
typedef struct {
    found_t database, redis, storage;
} state_t;

/* Nobody waits here for a mail server: the last mails tell. */
static const char *smtp_status(const ch_req_t *rq)
{
    return rq->conf->smtp
               ? up_or_down(ch_counter_upstream_up(CH_UPSTREAM_SMTP))
               : "disabled";
}

static void write_checks(ch_req_t *rq, ch_buf_t *buf, const state_t *state)
{
    static const char *const plain[] = { "ai", "notion", "airtable" };
    size_t i;

    ch_member_open(buf, "checks");
    write_timed_check(buf, "database", &state->database);
    write_timed_check(buf, "redis", &state->redis);
    write_timed_check(buf, "storage", &state->storage);
    write_check(buf, "smtp", smtp_status(rq));
    ch_member_close(buf);
    for (i = 0; i < CH_COUNT(plain); i++) {
        write_check(buf, plain[i], "disabled");
        ch_member_close(buf);
    }
    write_jobs_check(rq, buf, !is_down(&state->database));
    ch_member_close(buf);
}

static void write_requests(ch_buf_t *buf)
{
    const ch_counters_t *counters = ch_counter_read();
    apr_uint64_t total = 0;
    apr_uint64_t errors = 0;

    if (counters) {
        total = __atomic_load_n(&counters->total, __ATOMIC_RELAXED);
        errors = __atomic_load_n(&counters->errors, __ATOMIC_RELAXED);
    }
    ch_member_open(buf, "requests");
    ch_member_int(buf, "total", (apr_int64_t)total);
    ch_member_int(buf, "errors", (apr_int64_t)errors);
    ch_member_int(buf, "inFlight", ch_counter_in_flight());
    ch_member_close(buf);
}

static ch_err_t *show_detailed(ch_req_t *rq)
{
    const state_t state = { try_database(rq), try_redis(rq),
                            try_storage(rq) };
    int down = is_down(&state.database);
    int degraded = is_down(&state.redis) || is_down(&state.storage)
                   || strcmp(smtp_status(rq), "down") == 0;
    ch_buf_t *buf = begin_document(rq, down       ? "DOWN"
                                       : degraded ? "DEGRADED"
                                                  : "OK");

    write_age(buf);
    write_checks(rq, buf, &state);
    ch_member_open(buf, "memory");
    ch_member_int(buf, "rssBytes", ch_metrics_resident(rq->pool));
    ch_member_close(buf);
    write_requests(buf);
    ch_member_close(buf);
    return ch_reply_raw(rq, down ? 503 : 200, NULL, buf);
}

/* --- documents ----------------------------------------------------------- */

/* A document that was written, for the areas that are on. */
typedef struct kept_t kept_t;

struct kept_t {
    kept_t *next;
    char features[CH_FEATURE__COUNT];
    ch_buf_t *text;
};

/* The document is the same for every request to the same areas: written by
 * whoever asks first, and kept as long as the process lives. Two who ask
 * first at once both write it; one of the two is never found again. */
static const ch_buf_t *document(const ch_req_t *rq)
{
    static kept_t *all;
    kept_t *kept = __atomic_load_n(&all, __ATOMIC_ACQUIRE);
    apr_pool_t *pool;

    for (; kept; kept = kept->next) {
        if (memcmp(kept->features, rq->conf->feature, sizeof(kept->features))
            == 0) {
            return kept->text;
        }
    }
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return NULL;
    }
    kept = apr_palloc(pool, sizeof(*kept));
    memcpy(kept->features, rq->conf->feature, sizeof(kept->features));
    kept->text = ch_buf_make(pool, DOCUMENT_SIZE, DOCUMENT_MAX);
    ch_openapi_write(kept->text, rq->router, kept->features);
    kept->next = __atomic_load_n(&all, __ATOMIC_ACQUIRE);
    while (!__atomic_compare_exchange_n(&all, &kept->next, kept, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    }
    return kept->text;
}

static ch_err_t *show_openapi(ch_req_t *rq)
{
    const ch_buf_t *kept = document(rq);
    ch_buf_t *view;

    if (!kept || kept->overflow) {
        return ch_err_cause(rq->pool, CH_E_INTERNAL_ERROR,
                            "openapi: the document could not be written");
    }
    view = apr_pmemdup(rq->pool, kept, sizeof(*kept));
    rq->reply.cache_control = "public, max-age=3600";
    return ch_reply_raw(rq, 200, NULL, view);
}

static ch_err_t *show_index(ch_req_t *rq)
{
    ch_buf_t *buf = ch_reply_begin(rq, 16384);

    ch_buf_putc(buf, '{');
    ch_member_text(buf, "name", "mod_chronicle");
    ch_member_text(buf, "version", CH_VERSION);
    ch_member_text(buf, "apiVersion", CH_API_VERSION);
    ch_member_text(buf, "docs", "/api-docs");
    ch_member_text(buf, "openapi", "/api/v1/openapi.json");
    ch_member(buf, "endpoints");
    ch_openapi_list(buf, rq->router, rq->conf->feature);
    ch_member_close(buf);
    return ch_reply_end(rq, "mod_chronicle");
}

/* --- routes -------------------------------------------------------------- */

static const ch_route_t rows[] = {
    { .method = CH_GET,
      .path = "/health",
      .alias = { "/api/v1/health" },
      .flags = CH_ROOT,
      .ok = 200,
      .out = &health_out,
      .handler = show_health,
      .tag = "Server",
      .summary = "Whether the server answers",
      .doc = "Never touches the database." },
    { .method = CH_GET,
      .path = "/health/detailed",
      .alias = { "/api/v1/health/detailed" },
      .flags = CH_ROOT | CH_OWN_503,
      .ok = 200,
      .out = &detailed_out,
      .handler = show_detailed,
      .tag = "Server",
      .summary = "How each part of the server does",
      .doc = "DOWN (503) if the database is down, DEGRADED (200) if another "
             "part that is switched on is down." },
    { .method = CH_GET,
      .path = "/health/ready",
      .alias = { "/api/v1/health/ready" },
      .flags = CH_ROOT | CH_OWN_503,
      .ok = 200,
      .out = &ready_out,
      .handler = show_ready,
      .tag = "Server",
      .summary = "Whether requests can be sent here",
      .doc = "503 while the database is away or its schema does not fit." },
    { .method = CH_GET,
      .path = "/health/live",
      .alias = { "/api/v1/health/live" },
      .flags = CH_ROOT,
      .ok = 200,
      .out = &live_out,
      .handler = show_live,
      .tag = "Server",
      .summary = "Whether the process lives" },
    { .method = CH_GET,
      .path = "/metrics",
      .alias = { "/api/v1/metrics" },
      .flags = CH_ROOT,
      .ok = 200,
      CH_ROUTE_CODES(CH_E_AUTHENTICATION_REQUIRED, CH_E_INVALID_TOKEN),
      .media = "text/plain",
      .handler = ch_metrics_show,
      .tag = "Server",
      .summary = "Metrics in Prometheus' text format",
      .doc = "If ChronicleMetricsToken is set, it must be sent as a Bearer "
             "token." },
    { .method = CH_GET,
      .path = "/api-docs",
      .alias = { "/api/v1/docs" },
      .flags = CH_ROOT | CH_SUBPATHS,
      .ok = 200,
      CH_ROUTE_CODES(CH_E_ROUTE_NOT_FOUND),
      .media = "text/html",
      .handler = ch_docs_show,
      .tag = "Server",
      .summary = "This documentation as a page" },
    { .method = CH_GET,
      .path = "/api/v1/openapi.json",
      .flags = CH_ROOT,
      .ok = 200,
      .handler = show_openapi,
      .tag = "Server",
      .summary = "This documentation as an OpenAPI 3.1 document" },
    { .method = CH_GET,
      .path = "/api/v1",
      .flags = CH_ROOT | CH_ENVELOPED,
      .ok = 200,
      .out = &index_out,
      .handler = show_index,
      .tag = "Server",
      .summary = "What there is" },
};

const ch_routes_t ch_root_routes = CH_ROUTES(rows);
