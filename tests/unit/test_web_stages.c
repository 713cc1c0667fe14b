/* Tests of web/stages: is there such a route, is the budget spent, what a
 * body must be. */
#include "ch_request.h"

#include "store/counter.h"
#include "store/limit.h"

typedef struct {
    const char *name;
} thing_t;

static const ch_field_t required_rows[] = {
    { .name = "name",
      CH_IN(thing_t, name, CH_T_STR),
      .flags = CH_REQUIRED,
      .min = 1,
      .max = 9 },
};

static const ch_field_t optional_rows[] = {
    { .name = "name", CH_IN(thing_t, name, CH_T_STR), .max = 9 },
};

static const ch_fields_t required = CH_FIELDS(thing_t, required_rows);
static const ch_fields_t optional = CH_FIELDS(thing_t, optional_rows);

static const ch_route_t rows[] = {
    { .method = CH_GET,
      .path = "/api/v1/things/{id}",
      .alias = { "/api/v1/stuff/{id}" },
      .rate = CH_RATE_API,
      .summary = "one" },
    { .method = CH_PUT,
      .path = "/api/v1/things/{id}",
      .rate = CH_RATE_API,
      .body = &required,
      .summary = "change" },
    { .method = CH_POST,
      .path = "/api/v1/things",
      .rate = CH_RATE_API,
      .body = &required,
      .summary = "make" },
    { .method = CH_POST,
      .path = "/api/v1/things/{id}/versions/{n:int}",
      .rate = CH_RATE_API,
      .body = &optional,
      .summary = "version" },
    { .method = CH_POST, .path = "/api/v1/act", .summary = "act" },
    { .method = CH_DELETE, .path = "/api/v1/act", .summary = "undo" },
    { .method = CH_GET,
      .path = "/health",
      .alias = { "/api/v1/health" },
      .flags = CH_ROOT,
      .summary = "health" },
    { .method = CH_POST,
      .path = "/api/v1/form",
      .flags = CH_FORM,
      .body = &required,
      .summary = "form" },
};

static const ch_routes_t table = CH_ROUTES(rows);

/* A request whose path has been looked up, as the server does it. */
static ch_req_t *arrive(ch_method_e method, const char *path)
{
    static const ch_routes_t *const tables[] = { &table };
    ch_req_t *rq = ch_request_make(method, path);
    const char *why;

    rq->router = ch_router_make(pool, tables, 1, &why);
    ch_router_match(rq->router, pool, path, method, conf->feature, &rq->match);
    return rq;
}

/* --- route ----------------------------------------------------------------
 */

static const struct {
    ch_method_e method;
    const char *path;
    const char *code;
    const char *canonical;
    const char *allow;
    int deprecated;
} matches[] = {
    { CH_GET, "/api/v1/things/7", "", "/api/v1/things/7", "", 0 },
    { CH_HEAD, "/api/v1/things/7", "", "/api/v1/things/7", "", 0 },
    { CH_PATCH, "/api/v1/things/7/", "", "/api/v1/things/7", "", 0 },
    { CH_GET, "/api/things/7", "", "/api/v1/things/7", "", 1 },
    { CH_GET, "/api/v1/stuff/7", "", "/api/v1/things/7", "", 1 },
    { CH_GET, "/api/stuff/7", "", "/api/v1/things/7", "", 1 },
    { CH_GET, "/health", "", "/health", "", 0 },
    { CH_GET, "/api/v1/health", "", "/health", "", 0 },
    { CH_POST, "/api/v1/things/a%2Fb/versions/c%20d", "",
      "/api/v1/things/a%2fb/versions/c%20d", "", 0 },
    { CH_GET, "/api/v1/nothing", "ROUTE_NOT_FOUND", NULL, "", 0 },
    { CH_OPTIONS, "/api/v1/nothing", "ROUTE_NOT_FOUND", NULL, "", 0 },
    { CH_METHOD_OTHER, "/api/v1/nothing", "ROUTE_NOT_FOUND", NULL, "", 0 },
    { CH_POST, "/api/v1/things/7", "METHOD_NOT_ALLOWED", "/api/v1/things/7",
      "GET, PUT, PATCH, HEAD, OPTIONS", 0 },
    { CH_METHOD_OTHER, "/api/v1/act", "METHOD_NOT_ALLOWED", "/api/v1/act",
      "POST, DELETE, OPTIONS", 0 },
    { CH_GET, "/api/v1/things", "METHOD_NOT_ALLOWED", "/api/v1/things",
      "POST, OPTIONS", 0 },
    { CH_POST, "/api/v1/stuff/7", "METHOD_NOT_ALLOWED", "/api/v1/things/7",
      "GET, HEAD, OPTIONS", 1 },
    { CH_DELETE, "/api/things/7", "METHOD_NOT_ALLOWED", "/api/v1/things/7",
      "GET, PUT, PATCH, HEAD, OPTIONS", 1 },
};

START_TEST(matching)
{
    ch_req_t *rq = arrive(matches[_i].method, matches[_i].path);
    const char *link =
        matches[_i].deprecated ? apr_psprintf(
            pool, "<%s>; rel=\"successor-version\"", matches[_i].canonical)
                               : "";
    ch_err_t *err = ch_match_stage(rq);

    ck_assert_str_eq(ch_code_of(err), matches[_i].code);
    ck_assert_int_eq(rq->route != NULL, err == NULL);
    ck_assert_int_eq(rq->done, 0);
    ck_assert_str_eq(ch_answer_header(rq, "Allow"), matches[_i].allow);
    ck_assert_str_eq(ch_answer_header(rq, "Deprecation"),
                     matches[_i].deprecated ? "true" : "");
    ck_assert_str_eq(ch_answer_header(rq, "Link"), link);
    if (matches[_i].canonical) {
        ck_assert_int_eq(strcasecmp(rq->canonical, matches[_i].canonical), 0);
    }
}
END_TEST

START_TEST(options_are_answered)
{
    ch_req_t *rq = arrive(CH_OPTIONS, "/api/v1/things/7");

    ck_assert_ptr_null(ch_match_stage(rq));
    ck_assert_int_eq(rq->done, 1);
    ck_assert_int_eq(rq->reply.status, 204);
    ck_assert_ptr_null(rq->reply.body);
    ck_assert_str_eq(ch_answer_header(rq, "Allow"),
                     "GET, PUT, PATCH, HEAD, OPTIONS");
}
END_TEST

/* --- limits ---------------------------------------------------------------
 */

/* Fresh counters in memory that lives as long as the test. */
static void open_counters(void)
{
    static const unsigned char seed[16] = "a secret of 16 b";

    ch_limit_open(apr_pcalloc(pool, ch_limit_size()), seed);
    ch_counter_open(apr_pcalloc(pool, ch_counter_size()));
}

/* One request of a class by whoever; the fields of interest may be set
 * before it is counted. */
typedef struct {
    int host;
    ch_rate_e rate;
    const char *ip;
    const char *user;
} caller_t;

static ch_req_t *counted(const caller_t *caller, ch_err_t **err)
{
    static ch_principal_t who;
    ch_route_t *route = apr_pcalloc(pool, sizeof(*route));
    ch_req_t *rq = ch_request_make(CH_GET, "/api/v1/x");

    route->rate = caller->rate;
    rq->route = route;
    conf->id = caller->host;
    rq->client_ip = caller->ip;
    if (caller->user) {
        who.user_id = caller->user;
        rq->who = &who;
    }
    *err = ch_limit_stage(rq);
    if (!*err) {
        *err = ch_user_limit_stage(rq);
    }
    return rq;
}

static const char *remaining(const caller_t *caller)
{
    ch_err_t *err;

    return ch_answer_header(counted(caller, &err), "RateLimit-Remaining");
}

START_TEST(headers_of_a_limit)
{
    const caller_t caller = { .rate = CH_RATE_AUTH, .ip = "192.0.2.1" };
    ch_err_t *err;
    int i;

    open_counters();
    for (i = 1; i <= 7; i++) {
        ch_req_t *rq = counted(&caller, &err);
        apr_int64_t reset =
            apr_atoi64(ch_answer_header(rq, "RateLimit-Reset"));
        int left = i > 5 ? 0 : 5 - i;

        ck_assert_str_eq(ch_answer_header(rq, "RateLimit-Limit"), "5");
        ck_assert_str_eq(ch_answer_header(rq, "RateLimit-Remaining"),
                         apr_itoa(pool, left));
        ck_assert_int_ge(reset, 890);
        ck_assert_int_le(reset, 900);
        ck_assert_str_eq(ch_code_of(err), i > 5 ? "RATE_LIMIT_EXCEEDED" : "");
        if (err) {
            ck_assert_int_eq(err->retry_after, reset);
        }
    }
    ck_assert_uint_eq(ch_counter_read()->rate_limited[CH_RATE_AUTH], 2);
}
END_TEST

#define API CH_RATE_API
#define AUTH CH_RATE_AUTH
#define AI CH_RATE_AI

/* Whether two requests share a budget. */
static const struct {
    caller_t first, second;
    int same;
} keys[] = {
    { { 1, API, "192.0.2.1", NULL }, { 1, API, "192.0.2.1", NULL }, 1 },
    { { 1, API, "192.0.2.1", NULL }, { 1, API, "192.0.2.2", NULL }, 0 },
    { { 1, API, "192.0.2.1", NULL }, { 1, API, "192.0.2.11", NULL }, 0 },
    /* a user has a budget of his own, wherever he is */
    { { 1, API, "192.0.2.1", "u" }, { 1, API, "192.0.2.2", "u" }, 1 },
    { { 1, API, "192.0.2.1", "u" }, { 1, API, "192.0.2.1", "v" }, 0 },
    { { 1, API, "192.0.2.1", "u" }, { 1, API, "192.0.2.1", NULL }, 0 },
    /* and no address can be mistaken for a user */
    { { 1, API, "1", NULL }, { 1, API, "192.0.2.1", "1" }, 0 },
    /* classes by address do not ask who it is */
    { { 1, AUTH, "192.0.2.1", "u" }, { 1, AUTH, "192.0.2.1", "v" }, 1 },
    { { 1, AUTH, "192.0.2.1", "u" }, { 1, AUTH, "192.0.2.1", NULL }, 1 },
    { { 1, AUTH, "192.0.2.1", "u" }, { 1, AUTH, "192.0.2.2", "u" }, 0 },
    { { 1, CH_RATE_FORMS, "192.0.2.1", "u" },
      { 1, CH_RATE_FORMS, "192.0.2.1", "v" },
      1 },
    { { 1, CH_RATE_PROVISION, "192.0.2.1", "u" },
      { 1, CH_RATE_PROVISION, "192.0.2.1", "v" },
      1 },
    { { 1, CH_RATE_PROVGEN, "192.0.2.1", "u" },
      { 1, CH_RATE_PROVGEN, "192.0.2.1", "v" },
      1 },
    { { 1, CH_RATE_WEBHOOK, "192.0.2.1", "u" },
      { 1, CH_RATE_WEBHOOK, "192.0.2.1", "v" },
      1 },
    { { 1, CH_RATE_SEARCH, "192.0.2.1", "u" },
      { 1, CH_RATE_SEARCH, "192.0.2.1", "v" },
      0 },
    { { 1, CH_RATE_UPLOAD, "192.0.2.1", "u" },
      { 1, CH_RATE_UPLOAD, "192.0.2.2", "u" },
      1 },
    /* classes by user */
    { { 1, AI, "192.0.2.1", "u" }, { 1, AI, "192.0.2.2", "u" }, 1 },
    { { 1, AI, "192.0.2.1", "u" }, { 1, AI, "192.0.2.1", "v" }, 0 },
    { { 1, CH_RATE_CHAT, "192.0.2.1", "u" },
      { 1, CH_RATE_CHAT, "192.0.2.2", "u" },
      1 },
    /* classes and hosts are apart */
    { { 1, API, "192.0.2.1", NULL }, { 1, AUTH, "192.0.2.1", NULL }, 0 },
    { { 1, AI, "192.0.2.1", "u" }, { 1, CH_RATE_CHAT, "192.0.2.1", "u" }, 0 },
    { { 1, API, "192.0.2.1", NULL }, { 2, API, "192.0.2.1", NULL }, 0 },
    { { 1, API, "192.0.2.1", "u" }, { 2, API, "192.0.2.1", "u" }, 0 },
    { { 1, API, "192.0.2.1", NULL }, { 11, API, "192.0.2.1", NULL }, 0 },
    /* of IPv6 the /64, in whatever way it is written */
    { { 1, API, "2001:db8:1:2::1", NULL },
      { 1, API, "2001:db8:1:2::2", NULL },
      1 },
    { { 1, API, "2001:db8:1:2::1", NULL },
      { 1, API, "2001:DB8:1:2:ffff:ffff:ffff:ffff", NULL },
      1 },
    { { 1, API, "2001:db8:1:2::1", NULL },
      { 1, API, "2001:0db8:0001:0002:0:0:0:1", NULL },
      1 },
    { { 1, API, "2001:db8:1:2::1", NULL },
      { 1, API, "2001:db8:1:3::1", NULL },
      0 },
    { { 1, API, "2001:db8:1:2::1", NULL },
      { 1, API, "2001:db8:2:2::1", NULL },
      0 },
    { { 1, API, "::1", NULL }, { 1, API, "::2", NULL }, 1 },
    /* an IPv4 address inside of IPv6 is one address */
    { { 1, API, "::ffff:192.0.2.1", NULL },
      { 1, API, "::ffff:192.0.2.2", NULL },
      0 },
    { { 1, API, "::ffff:192.0.2.1", NULL },
      { 1, API, "::ffff:192.0.2.1", NULL },
      1 },
    { { 1, API, "::ffff:192.0.2.1", NULL }, { 1, API, "::1", NULL }, 0 },
};

START_TEST(who_shares_a_budget)
{
    const char *first;
    const char *second;

    open_counters();
    first = remaining(&keys[_i].first);
    second = remaining(&keys[_i].second);
    ck_assert_str_ne(first, "");
    ck_assert_str_ne(second, "");
    if (keys[_i].same) {
        ck_assert_int_eq(apr_atoi64(second), apr_atoi64(first) - 1);
    }
    else {
        ck_assert_int_eq(apr_atoi64(second),
                         conf->rate[keys[_i].second.rate].limit - 1);
    }
}
END_TEST

/* Nobody is counted: no class, a class that is off, a user's class without
 * a user. */
START_TEST(not_counted)
{
    static const caller_t callers[] = {
        { .rate = CH_RATE_NONE, .ip = "192.0.2.1", .user = "u" },
        { .rate = CH_RATE_NONE, .ip = "192.0.2.1" },
        { .rate = CH_RATE_AI, .ip = "192.0.2.1" },
        { .rate = CH_RATE_CHAT, .ip = "192.0.2.1" },
    };
    size_t i;

    open_counters();
    for (i = 0; i < CH_COUNT(callers); i++) {
        ck_assert_str_eq(remaining(&callers[i]), "");
    }
}
END_TEST

START_TEST(a_class_that_is_off)
{
    ch_route_t route = { .rate = CH_RATE_API };
    ch_req_t *rq = ch_request_make(CH_GET, "/api/v1/x");

    open_counters();
    conf->rate[CH_RATE_API].limit = 0;
    rq->route = &route;
    ck_assert_ptr_null(ch_limit_stage(rq));
    ck_assert(apr_is_empty_table(rq->out));
}
END_TEST

/* --- bodies ---------------------------------------------------------------
 */

#define UNREAD (-1)

static const struct {
    const char *type; /* NULL = none */
    int good;
} types[] = {
    { "application/json", 1 },
    { "APPLICATION/JSON", 1 },
    { "application/json; charset=utf-8", 1 },
    { "application/json;charset=UTF-8", 1 },
    { "Application/Json ;\t Charset=\"Utf-8\"", 1 },
    { "application/json ", 1 },
    { NULL, 0 },
    { "", 0 },
    { "text/plain", 0 },
    { "text/json", 0 },
    { "application/jsonp", 0 },
    { "application/json+x", 0 },
    { "application/problem+json", 0 },
    { "application/json, text/plain", 0 },
    { "application/json; charset=iso-8859-1", 0 },
    { "application/json; charset=utf-16", 0 },
    { "application/json; charset=\"utf-8", 0 },
    { "application/json; charset=", 0 },
    { "application/json; charset=utf-8x", 0 },
    { "application/x-www-form-urlencoded", 0 },
    { "multipart/form-data; boundary=x", 0 },
};

static ch_req_t *send_body(const ch_route_t *route, const char *type,
                           const char *body)
{
    ch_req_t *rq = ch_request_make(route->method, route->path);

    rq->route = route;
    if (type) {
        ch_request_header(rq, "Content-Type", type);
    }
    server.body_len = strlen(body);
    server.body = ch_check_copy(body, server.body_len);
    rq->body_size = (apr_off_t)server.body_len;
    return rq;
}

#define POST_REQUIRED (&rows[2])
#define PUT_REQUIRED (&rows[1])
#define POST_OPTIONAL (&rows[3])
#define POST_NONE (&rows[4])
#define DELETE_NONE (&rows[5])
#define GET_ONE (&rows[0])
#define POST_FORM (&rows[7])

START_TEST(content_types)
{
    ch_req_t *rq = send_body(POST_REQUIRED, types[_i].type, "{}");
    ch_err_t *err = ch_body_stage(rq);

    ck_assert_str_eq(ch_code_of(err),
                     types[_i].good ? "" : "UNSUPPORTED_MEDIA_TYPE");
    ck_assert_int_eq(rq->json != NULL, types[_i].good);
    /* a type that cannot be right is refused before a byte is read */
    ck_assert_int_eq(server.reads, types[_i].good || !types[_i].type);
}
END_TEST

#define JSON "application/json"

static const struct {
    const ch_route_t *route;
    const char *type;
    const char *body;
    int size; /* of Content-Length; UNREAD = chunked */
    const char *code;
} bodies[] = {
    { POST_REQUIRED, JSON, "{\"name\":\"a\"}", 12, "" },
    { POST_REQUIRED, JSON, "{\"name\":\"a\"}", UNREAD, "" },
    { POST_REQUIRED, JSON, "[]", 2, "" },
    { POST_REQUIRED, JSON, "{\"name\":", 8, "MALFORMED_JSON" },
    { POST_REQUIRED, JSON, " ", 1, "MALFORMED_JSON" },
    { POST_REQUIRED, JSON, "\xEF\xBB\xBF{}", 5, "MALFORMED_JSON" },
    { POST_REQUIRED, JSON, "{\"a\":1,\"a\":1}", 13, "MALFORMED_JSON" },
    /* an empty body, said so or only found */
    { POST_REQUIRED, NULL, "", 0, "MALFORMED_JSON" },
    { POST_REQUIRED, JSON, "", 0, "MALFORMED_JSON" },
    { POST_REQUIRED, JSON, "", UNREAD, "MALFORMED_JSON" },
    { POST_REQUIRED, NULL, "", UNREAD, "MALFORMED_JSON" },
    { PUT_REQUIRED, NULL, "", 0, "" },
    { PUT_REQUIRED, NULL, "", UNREAD, "" },
    { POST_OPTIONAL, NULL, "", 0, "" },
    { POST_OPTIONAL, "text/plain", "", 0, "" },
    { POST_NONE, NULL, "", 0, "" },
    { POST_NONE, NULL, "", UNREAD, "" },
    { DELETE_NONE, NULL, "", 0, "" },
    { DELETE_NONE, JSON, "{}", 2, "" },
    { DELETE_NONE, NULL, "{}", 2, "UNSUPPORTED_MEDIA_TYPE" },
    { DELETE_NONE, "text/plain", "{}", UNREAD, "UNSUPPORTED_MEDIA_TYPE" },
    { POST_NONE, JSON, "{", 1, "MALFORMED_JSON" },
    /* that of a GET is nobody's business */
    { GET_ONE, "text/plain", "{", 1, "" },
    { GET_ONE, NULL, "{", UNREAD, "" },
    /* sizes */
    { POST_REQUIRED, JSON, "", CH_BODY_MAX + 1, "PAYLOAD_TOO_LARGE" },
    { POST_REQUIRED, "text/plain", "", CH_BODY_MAX + 1,
      "UNSUPPORTED_MEDIA_TYPE" },
    { POST_NONE, JSON, "", CH_BODY_MAX + 1, "PAYLOAD_TOO_LARGE" },
    { GET_ONE, JSON, "", CH_BODY_MAX + 1, "" },
};

START_TEST(body_rules)
{
    ch_req_t *rq =
        send_body(bodies[_i].route, bodies[_i].type, bodies[_i].body);

    rq->body_size = bodies[_i].size;
    ck_assert_str_eq(ch_code_of(ch_body_stage(rq)), bodies[_i].code);
    ck_assert_ptr_nonnull(*bodies[_i].code ? "" : rq->raw_body.data);
    if (bodies[_i].route == GET_ONE || bodies[_i].size > CH_BODY_MAX
        || !bodies[_i].size) {
        ck_assert_int_eq(server.reads, 0);
    }
}
END_TEST

#define FORM "application/x-www-form-urlencoded"

static const struct {
    const char *type;
    const char *body;
    const char *code;
    int form;
} form_bodies[] = {
    { FORM, "name=a", "", 1 },
    { "Application/X-WWW-Form-Urlencoded ;charset=\"UTF-8\"", "%", "", 1 },
    { JSON, "{}", "", 0 },
    { JSON, "name=a", "MALFORMED_JSON", 0 },
    { FORM, "", "MALFORMED_JSON", 1 },
    { FORM "; charset=latin1", "a", "UNSUPPORTED_MEDIA_TYPE", 0 },
    { FORM "s", "a", "UNSUPPORTED_MEDIA_TYPE", 0 },
    { NULL, "name=a", "UNSUPPORTED_MEDIA_TYPE", 0 },
};

START_TEST(forms_where_a_route_takes_them)
{
    ch_req_t *rq =
        send_body(POST_FORM, form_bodies[_i].type, form_bodies[_i].body);

    ck_assert_str_eq(ch_code_of(ch_body_stage(rq)), form_bodies[_i].code);
    ck_assert_int_eq(rq->form, form_bodies[_i].form);
    ck_assert(!rq->form || !rq->json);
}
END_TEST

/* Exactly the maximum is read, one byte more is not. */
START_TEST(the_largest_body)
{
    char *body = malloc(CH_BODY_MAX + 1);
    ch_req_t *rq = send_body(POST_REQUIRED, JSON, "");

    ck_assert_ptr_nonnull(body);
    memset(body, ' ', CH_BODY_MAX + 1);
    memcpy(body, "{}", 2);
    server.body = body;
    server.body_len = CH_BODY_MAX;
    rq->body_size = CH_BODY_MAX;
    ck_assert_ptr_null(ch_body_stage(rq));
    ck_assert_uint_eq(rq->raw_body.len, CH_BODY_MAX);
    server.body_len = CH_BODY_MAX + 1;
    rq->body_size = -1;
    ck_assert_str_eq(ch_code_of(ch_body_stage(rq)), "PAYLOAD_TOO_LARGE");
    free(body);
}
END_TEST

START_TEST(what_reading_says_is_passed_on)
{
    ch_req_t *rq = send_body(POST_REQUIRED, JSON, "{}");

    server.refusal = CH_E_VALIDATION_ERROR;
    ck_assert_str_eq(ch_code_of(ch_body_stage(rq)), "VALIDATION_ERROR");
    ck_assert_ptr_null(rq->json);
}
END_TEST

/* The top object is level 1: 32 are taken. */
START_TEST(depth)
{
    char body[2 * 33 + 6];
    size_t levels;

    for (levels = 32; levels <= 33; levels++) {
        ch_req_t *rq;

        memset(body, '[', levels);
        memset(body + levels, ']', levels);
        body[2 * levels] = '\0';
        rq = send_body(POST_REQUIRED, JSON, body);
        ck_assert_str_eq(ch_code_of(ch_body_stage(rq)),
                         levels > 32 ? "MALFORMED_JSON" : "");
    }
}
END_TEST

CH_SUITE_MAIN("web/stages", CH_EACH(matching, matches),
              CH_ONCE(options_are_answered), CH_ONCE(headers_of_a_limit),
              CH_EACH(who_shares_a_budget, keys), CH_ONCE(not_counted),
              CH_ONCE(a_class_that_is_off), CH_EACH(content_types, types),
              CH_EACH(body_rules, bodies),
              CH_EACH(forms_where_a_route_takes_them, form_bodies),
              CH_ONCE(the_largest_body),
              CH_ONCE(what_reading_says_is_passed_on), CH_ONCE(depth))
