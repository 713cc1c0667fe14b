/* Tests of web/cors: which origins may read answers, and which may write. */
#include "ch_request.h"

#include "store/counter.h"

#define FRIEND "https://app.example"
#define OWN "http://api.example"
#define STRANGER "https://evil.example"

static const ch_route_t plain = { .path = "/api/v1/x" };
static const ch_route_t exempt = { .path = "/api/v1/x",
                                   .flags = CH_NO_ORIGIN };

static ch_req_t *arrive(ch_method_e method, const char *origin)
{
    ch_req_t *rq = ch_request_make(method, "/api/v1/x");
    apr_array_header_t *origins = apr_array_make(pool, 2, sizeof(char *));

    APR_ARRAY_PUSH(origins, const char *) = "http://localhost:3000";
    APR_ARRAY_PUSH(origins, const char *) = FRIEND;
    conf->origins = origins;
    ch_counter_open(apr_pcalloc(pool, ch_counter_size()));
    rq->match.route = method == CH_OPTIONS ? NULL : &plain;
    if (origin) {
        ch_request_header(rq, "Origin", origin);
    }
    return rq;
}

/* No header that a browser could take for a permission. */
static void ck_silent(const ch_req_t *rq)
{
    static const char *const names[] = {
        "Access-Control-Allow-Origin",   "Access-Control-Allow-Credentials",
        "Access-Control-Expose-Headers", "Access-Control-Allow-Methods",
        "Access-Control-Allow-Headers",  "Access-Control-Max-Age",
    };
    size_t i;

    for (i = 0; i < CH_COUNT(names); i++) {
        ck_assert_str_eq(ch_answer_header(rq, names[i]), "");
    }
}

/* --- who is a friend ------------------------------------------------------
 */

static const struct {
    const char *origin;
    int tls;
    const char *host;
    int allowed;
} origins[] = {
    { FRIEND, 0, "api.example", 1 },
    { "http://localhost:3000", 0, "api.example", 1 },
    /* exactly as configured */
    { "http://localhost", 0, "api.example", 0 },
    { "http://localhost:30001", 0, "api.example", 0 },
    { "https://localhost:3000", 0, "api.example", 0 },
    { FRIEND "/", 0, "api.example", 0 },
    { FRIEND ":443", 0, "api.example", 0 },
    { FRIEND ".evil.example", 0, "api.example", 0 },
    { "https://sub.app.example", 0, "api.example", 0 },
    { "http://app.example", 0, "api.example", 0 },
    /* the server's own, by scheme, host and port */
    { OWN, 0, "api.example", 1 },
    { "https://api.example", 1, "api.example", 1 },
    { "https://api.example", 0, "api.example", 0 },
    { OWN, 1, "api.example", 0 },
    { OWN, 0, "API.Example", 1 },
    { "http://api.example:8080", 0, "api.example:8080", 1 },
    { "http://api.example:8080", 0, "api.example", 0 },
    { OWN, 0, "api.example:8080", 0 },
    { "http://[::1]:8080", 0, "[::1]:8080", 1 },
    { "http://api.example.evil", 0, "api.example", 0 },
    { "ftp://api.example", 0, "api.example", 0 },
    { "api.example", 0, "api.example", 0 },
    { "null", 0, "api.example", 0 },
    { "*", 0, "api.example", 0 },
    { "", 0, "api.example", 0 },
    { STRANGER, 0, "api.example", 0 },
};

START_TEST(friends)
{
    ch_req_t *rq = arrive(CH_GET, origins[_i].origin);

    rq->tls = origins[_i].tls;
    rq->host = origins[_i].host;
    ck_assert_ptr_null(ch_cors_stage(rq));
    ck_assert_str_eq(ch_answer_header(rq, "Access-Control-Allow-Origin"),
                     origins[_i].allowed ? origins[_i].origin : "");
    ck_assert_int_eq(server.events, !origins[_i].allowed);
    ck_assert_str_eq(ch_answer_header(rq, "Vary"), "Origin");
}
END_TEST

START_TEST(no_list)
{
    ch_req_t *rq = arrive(CH_GET, FRIEND);

    conf->origins = NULL;
    ck_assert_ptr_null(ch_cors_stage(rq));
    ck_silent(rq);
}
END_TEST

/* --- what a friend is told ------------------------------------------------
 */

#define EXPOSED                                                               \
    "ETag, Location, X-Request-Id, Retry-After, RateLimit-Limit, "            \
    "RateLimit-Remaining, RateLimit-Reset, Idempotent-Replayed, "             \
    "Deprecation, Link"
#define METHODS "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
#define HEADERS                                                               \
    "Authorization, Content-Type, Idempotency-Key, If-Match, "                \
    "If-None-Match, Range, X-CSRF-Token, X-Request-Id, traceparent"

static const ch_method_e methods[] = { CH_GET,     CH_HEAD,        CH_POST,
                                       CH_PUT,     CH_PATCH,       CH_DELETE,
                                       CH_OPTIONS, CH_METHOD_OTHER };

START_TEST(a_friend_reads_and_writes)
{
    ch_req_t *rq = arrive(methods[_i], FRIEND);

    ck_assert_ptr_null(ch_cors_stage(rq));
    ck_assert_str_eq(ch_answer_header(rq, "Access-Control-Allow-Origin"),
                     FRIEND);
    ck_assert_str_eq(ch_answer_header(rq, "Access-Control-Allow-Credentials"),
                     "true");
    ck_assert_str_eq(ch_answer_header(rq, "Access-Control-Expose-Headers"),
                     EXPOSED);
    /* not a preflight: it does not ask for a method */
    ck_assert_str_eq(ch_answer_header(rq, "Access-Control-Allow-Methods"), "");
    ck_assert_str_eq(ch_answer_header(rq, "Access-Control-Max-Age"), "");
}
END_TEST

START_TEST(a_preflight)
{
    ch_req_t *rq = arrive(CH_OPTIONS, FRIEND);

    ch_request_header(rq, "Access-Control-Request-Method", "PUT");
    ck_assert_ptr_null(ch_cors_stage(rq));
    ck_assert_str_eq(ch_answer_header(rq, "Access-Control-Allow-Methods"),
                     METHODS);
    ck_assert_str_eq(ch_answer_header(rq, "Access-Control-Allow-Headers"),
                     HEADERS);
    ck_assert_str_eq(ch_answer_header(rq, "Access-Control-Max-Age"), "600");
    ck_assert_str_eq(ch_answer_header(rq, "Access-Control-Allow-Origin"),
                     FRIEND);
}
END_TEST

/* Only an OPTIONS can be one. */
START_TEST(no_preflight)
{
    ch_req_t *rq = arrive(CH_GET, FRIEND);

    ch_request_header(rq, "Access-Control-Request-Method", "PUT");
    ck_assert_ptr_null(ch_cors_stage(rq));
    ck_assert_str_eq(ch_answer_header(rq, "Access-Control-Allow-Methods"), "");
}
END_TEST

/* --- strangers ------------------------------------------------------------
 */

START_TEST(a_stranger_only_reads)
{
    ch_method_e method = methods[_i];
    int safe = method == CH_GET || method == CH_HEAD || method == CH_OPTIONS;
    ch_req_t *rq = arrive(method, STRANGER);

    ck_assert_str_eq(ch_code_of(ch_cors_stage(rq)),
                     safe ? "" : "SECURITY_VIOLATION");
    ck_silent(rq);
    ck_assert_str_eq(ch_answer_header(rq, "Vary"), "Origin");
    ck_assert_int_eq(server.events, 1);
    ck_assert_str_eq(server.type, "origin");
    ck_assert_str_eq(server.pattern, STRANGER);
    ck_assert_int_eq(server.logs, 1);
    ck_assert_uint_eq(ch_counter_read()->security[CH_SECURITY_ORIGIN], 1);
}
END_TEST

START_TEST(a_strangers_preflight)
{
    ch_req_t *rq = arrive(CH_OPTIONS, STRANGER);

    ch_request_header(rq, "Access-Control-Request-Method", "GET");
    ck_assert_str_eq(ch_code_of(ch_cors_stage(rq)), "SECURITY_VIOLATION");
    ck_silent(rq);
}
END_TEST

START_TEST(routes_that_do_not_ask)
{
    ch_req_t *rq = arrive(CH_POST, STRANGER);

    rq->match.route = &exempt;
    ck_assert_ptr_null(ch_cors_stage(rq));
    ck_silent(rq);
    ck_assert_int_eq(server.events, 0);
}
END_TEST

START_TEST(no_origin)
{
    ch_req_t *rq = arrive(methods[_i], NULL);

    ck_assert_ptr_null(ch_cors_stage(rq));
    ck_assert(apr_is_empty_table(rq->out));
    ck_assert_int_eq(server.events, 0);
}
END_TEST

/* Somebody else's Vary stays. */
START_TEST(vary_is_merged)
{
    ch_req_t *rq = arrive(CH_GET, FRIEND);

    apr_table_set(rq->out, "Vary", "Accept-Encoding");
    ck_assert_ptr_null(ch_cors_stage(rq));
    ck_assert_str_eq(ch_answer_header(rq, "Vary"), "Accept-Encoding, Origin");
}
END_TEST

CH_SUITE_MAIN("web/cors", CH_EACH(friends, origins), CH_ONCE(no_list),
              CH_EACH(a_friend_reads_and_writes, methods),
              CH_ONCE(a_preflight), CH_ONCE(no_preflight),
              CH_EACH(a_stranger_only_reads, methods),
              CH_ONCE(a_strangers_preflight), CH_ONCE(routes_that_do_not_ask),
              CH_EACH(no_origin, methods), CH_ONCE(vary_is_merged))
