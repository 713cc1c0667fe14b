/* Tests of web/reply: envelopes, rows as JSON, conditional requests, faults,
 * errors, and the headers of all of them. */
#include "ch_request.h"
#include "ch_rows.h"

#include <apr_file_io.h>

#include "base/clock.h"
#include "web/reply.h"

/* --- what is written ------------------------------------------------------
 */

static const ch_field_t part_rows[] = {
    { .name = "id", .type = CH_T_UUID, .column = "part_id" },
    { .name = "n", .type = CH_T_INT, .column = "part_n" },
};

static const ch_fields_t part = { .rows = part_rows, .count = 2 };

static const ch_field_t out_rows[] = {
    { .name = "id", .type = CH_T_UUID },
    { .name = "fullName", .type = CH_T_STR, .column = "full_name" },
    { .name = "version", .type = CH_T_INT },
};

static const ch_fields_t out = { .rows = out_rows, .count = 3 };

static ch_route_t route;

static ch_req_t *arrive(ch_method_e method, unsigned flags)
{
    ch_req_t *rq = ch_request_make(method, "/api/v1/things/7");

    memset(&route, 0, sizeof(route));
    route.method = method == CH_HEAD ? CH_GET : method;
    route.path = "/api/v1/things/{id}";
    route.flags = flags;
    route.ok = 200;
    route.out = &out;
    rq->route = &route;
    return rq;
}

/* The body without the time that it ends with, which must be the present. */
static const char *body_of(const ch_req_t *rq)
{
    static const char label[] = ",\"timestamp\":\"";
    const char *body = ch_buf_cstr(rq->reply.body);
    const char *at = body + strlen(body) - CH_TS_LEN - 2;
    apr_time_t when;
    const ch_json_t *json;

    ck_assert_ptr_null(ch_json_parse(pool, body, strlen(body), 9, &json));
    ck_assert_int_eq(strncmp(at - strlen(label), label, strlen(label)), 0);
    ck_assert(ch_clock_parse(at, CH_TS_LEN, &when));
    ck_assert_int_le(when, apr_time_now());
    ck_assert_int_ge(when, apr_time_now() - apr_time_from_sec(10));
    return apr_pstrmemdup(pool, body, (size_t)(at - body) - strlen(label));
}

static const ch_rows_t row7 = { .names = { "id", "full_name", "version" },
                                .count = 1,
                                .cells = (const char *const[]){
                                    "0198a000-0000-7000-8000-000000000007",
                                    "A \"B\"", "5" } };

#define DATA7                                                                 \
    "{\"id\":\"0198a000-0000-7000-8000-000000000007\","                       \
    "\"fullName\":\"A \\\"B\\\"\",\"version\":5}"

START_TEST(envelopes)
{
    ch_req_t *rq = arrive(CH_POST, 0);

    route.ok = 202;
    ck_assert_ptr_null(ch_reply_null(rq, "all \"good\"\n"));
    ck_assert_int_eq(rq->reply.status, 202);
    ck_assert_str_eq(body_of(rq), "{\"success\":true,\"data\":null,"
                                  "\"message\":\"all \\\"good\\\"\\n\"");

    rq = arrive(CH_POST, 0);
    ck_assert_ptr_null(ch_reply_row(rq, &row7, "m"));
    ck_assert_int_eq(rq->reply.status, 200);
    ck_assert_str_eq(body_of(rq),
                     "{\"success\":true,\"data\":" DATA7 ",\"message\":\"m\"");
    ck_assert_ptr_null(rq->reply.cache_control);
    ck_assert_str_eq(ch_answer_header(rq, "ETag"), "");

    /* a handler that knows better keeps its status */
    rq = arrive(CH_POST, 0);
    rq->reply.status = 201;
    CH_BUF_LIT(ch_reply_begin(rq, 0), "[1]");
    ck_assert_ptr_null(ch_reply_end(rq, "m"));
    ck_assert_int_eq(rq->reply.status, 201);
    ck_assert_str_eq(body_of(rq),
                     "{\"success\":true,\"data\":[1],\"message\":\"m\"");
}
END_TEST

START_TEST(an_answer_of_another_table)
{
    const ch_rows_t rows = { .names = { "part_n", "part_id" },
                             .count = 1,
                             .cells = (const char *const[]){ "-3", NULL } };
    ch_req_t *rq = arrive(CH_POST, 0);

    ck_assert_ptr_null(ch_reply_row_as(rq, &part, &rows, "m"));
    ck_assert_str_eq(body_of(rq), "{\"success\":true,\"data\":"
                                  "{\"id\":null,\"n\":-3},\"message\":\"m\"");
}
END_TEST

START_TEST(created)
{
    ch_req_t *rq = arrive(CH_POST, CH_VERSIONED);

    route.ok = 201;
    ck_assert_ptr_null(ch_reply_created(rq, &row7, "/api/v1/things/", "made"));
    ck_assert_int_eq(rq->reply.status, 201);
    ck_assert_str_eq(ch_answer_header(rq, "Location"),
                     "/api/v1/things/0198a000-0000-7000-8000-000000000007");
    ck_assert_str_eq(ch_answer_header(rq, "ETag"), "\"v5\"");
    ck_assert_str_eq(body_of(rq), "{\"success\":true,\"data\":" DATA7
                                  ",\"message\":\"made\"");
}
END_TEST

/* --- one column by its type -----------------------------------------------
 */

static const struct {
    ch_type_e type;
    const char *cell;
    const char *json;
} cells[] = {
    { CH_T_STR, "a\"b\\c\n\x01", "\"a\\\"b\\\\c\\n\\u0001\"" },
    { CH_T_STR, "", "\"\"" },
    { CH_T_STR, "</script>\xC3\xA9", "\"</script>\xC3\xA9\"" },
    { CH_T_STR, NULL, "null" },
    { CH_T_TEXT, "\t", "\"\\t\"" },
    { CH_T_EMAIL, "a@b.c", "\"a@b.c\"" },
    { CH_T_URL, "http://a/\"", "\"http://a/\\\"\"" },
    { CH_T_COLOR, "#aabbcc", "\"#aabbcc\"" },
    { CH_T_ENUM, "red", "\"red\"" },
    { CH_T_IP, "2001:db8::1", "\"2001:db8::1\"" },
    { CH_T_UUID, "0198a000-0000-7000-8000-000000000007",
      "\"0198a000-0000-7000-8000-000000000007\"" },
    { CH_T_INT, "-9223372036854775808", "-9223372036854775808" },
    { CH_T_NUMBER, "12.50", "12.50" },
    { CH_T_JSON, "{\"a\": [1, null]}", "{\"a\": [1, null]}" },
    { CH_T_OBJECT, "{}", "{}" },
    { CH_T_BOOL, "t", "true" },
    { CH_T_BOOL, "f", "false" },
    { CH_T_BOOL, NULL, "null" },
    { CH_T_TIME, "2026-01-24 10:30:00.123956+00",
      "\"2026-01-24T10:30:00.123Z\"" },
    { CH_T_TIME, "2026-01-24 10:30:00+00", "\"2026-01-24T10:30:00.000Z\"" },
    { CH_T_STRS, "{}", "[]" },
    { CH_T_STRS, "{a,\"b \\\"c\\\"\",NULL}", "[\"a\",\"b \\\"c\\\"\",null]" },
};

START_TEST(types)
{
    const ch_field_t field = { .name = "f", .type = cells[_i].type };
    const ch_fields_t fields = { .rows = &field, .count = 1 };
    const ch_rows_t rows = { .names = { "f" },
                             .count = 1,
                             .cells = &cells[_i].cell };
    ch_buf_t *buf = ch_buf_make(pool, 16, 4096);

    ch_reply_write_row(buf, &fields, &rows, 0);
    ck_assert_str_eq(ch_buf_cstr(buf),
                     apr_pstrcat(pool, "{\"f\":", cells[_i].json, "}", NULL));
}
END_TEST

/* Columns are found wherever they stand; nested tables take theirs from the
 * same row. */
static const ch_field_t nest_rows[] = {
    { .name = "a", .type = CH_T_INT },
    { .name = "part",
      .type = CH_T_NEST,
      .nested = &part,
      .column = "part_id" },
    { .name = "maybe", .type = CH_T_STR, .flags = CH_MAY_LACK },
    { .name = "b", .type = CH_T_INT },
    { .name = "gone", .type = CH_T_INT },
};

static const ch_fields_t nest = { .rows = nest_rows, .count = 5 };

static const struct {
    ch_rows_t rows;
    const char *json;
} objects[] = {
    { { .names = { "a", "part_id", "part_n", "maybe", "b" },
        .count = 1,
        .cells = (const char *const[]){ "1", "x", "2", "m", "3" } },
      "{\"a\":1,\"part\":{\"id\":\"x\",\"n\":2},\"maybe\":\"m\",\"b\":3,"
      "\"gone\":null}" },
    { { .names = { "b", "maybe", "part_n", "other", "part_id", "a" },
        .count = 1,
        .cells = (const char *const[]){ "3", "m", "2", "o", "x", "1" } },
      "{\"a\":1,\"part\":{\"id\":\"x\",\"n\":2},\"maybe\":\"m\",\"b\":3,"
      "\"gone\":null}" },
    /* a part that is not there is null; what may lack is left out */
    { { .names = { "a", "part_id", "part_n", "maybe", "b", "gone" },
        .count = 1,
        .cells = (const char *const[]){ "1", NULL, NULL, NULL, "3", "4" } },
      "{\"a\":1,\"part\":null,\"b\":3,\"gone\":4}" },
    { { .names = { "b", "a" },
        .count = 1,
        .cells = (const char *const[]){ "3", NULL } },
      "{\"a\":null,\"part\":null,\"b\":3,\"gone\":null}" },
};

START_TEST(nested)
{
    ch_buf_t *buf = ch_buf_make(pool, 16, 4096);

    ch_reply_write_row(buf, &nest, &objects[_i].rows, 0);
    ck_assert_str_eq(ch_buf_cstr(buf), objects[_i].json);
}
END_TEST

/* --- conditional requests -------------------------------------------------
 */

static const struct {
    const char *header;
    int hit;
} tags[] = {
    { "\"v5\"", 1 },
    { "*", 1 },
    { " * ", 1 },
    { "W/\"v5\"", 1 },
    { "\"v5-gzip\"", 1 },
    { "W/\"v5-gzip\"", 1 },
    { "\"v5-br\"", 1 },
    { "\"v4-br\", W/\"v5-br\"", 1 },
    { "\"v4\", \"v5\"", 1 },
    { "\"v4\",\"v5\",\"v6\"", 1 },
    { "\t\"v4\" ,\t W/\"v5\"", 1 },
    { ",,\"v5\"", 1 },
    { "\"\", \"v5\"", 1 },
    { "", 0 },
    { ",", 0 },
    { "\"", 0 },
    { "\"v5", 0 },
    { "\"v", 0 },
    { "v5", 0 },
    { "\"v4\"", 0 },
    { "\"v55\"", 0 },
    { "\"v5x\"", 0 },
    { "\"v\"", 0 },
    { "\"5\"", 0 },
    { "\"V5\"", 0 },
    { "\"\"", 0 },
    { "\"xv5\"", 0 },
    { "\"v5-gzi\"", 0 },
    { "\"v5-gzip", 0 },
    { "\"v5-bro\"", 0 },
    { "\"v5-br-gzip\"", 0 },
    { "W/", 0 },
    { "w/\"v5\"", 0 },
    { "\"*\"", 0 },
    /* a comma inside of a tag is a part of it */
    { "\"a,*\"", 0 },
    { "\"a,\"", 0 },
    { "\",\", \"v5\"", 1 },
    { "\"a,b\",W/\"v5\"", 1 },
};

START_TEST(if_none_match)
{
    static const ch_method_e methods[] = { CH_GET, CH_HEAD };
    size_t i;

    for (i = 0; i < CH_COUNT(methods); i++) {
        ch_req_t *rq = arrive(methods[i], CH_VERSIONED);
        const char *header = tags[_i].header;

        apr_table_setn(rq->in, "If-None-Match",
                       ch_check_copy(header, strlen(header) + 1));
        ck_assert_ptr_null(ch_reply_row(rq, &row7, "m"));
        ck_assert_int_eq(rq->reply.status, tags[_i].hit ? 304 : 200);
        ck_assert_int_eq(rq->reply.body == NULL, tags[_i].hit);
        ck_assert_str_eq(ch_answer_header(rq, "ETag"), "\"v5\"");
        ck_assert_str_eq(rq->reply.cache_control, "private, no-cache");
    }
}
END_TEST

/* Where the header has no say. */
START_TEST(unconditional)
{
    static const struct {
        ch_method_e method;
        unsigned flags;
        const char *etag;
        const char *cache_control;
    } cases[] = {
        { CH_GET, 0, "", NULL },
        { CH_GET, CH_VERSIONED | CH_NO_304, "\"v5\"", "private, no-cache" },
        { CH_PUT, CH_VERSIONED, "\"v5\"", NULL },
        { CH_POST, CH_VERSIONED, "\"v5\"", NULL },
        { CH_DELETE, CH_VERSIONED, "\"v5\"", NULL },
    };
    size_t i;

    for (i = 0; i < CH_COUNT(cases); i++) {
        ch_req_t *rq = arrive(cases[i].method, cases[i].flags);

        ch_request_header(rq, "If-None-Match", "*");
        ck_assert_ptr_null(ch_reply_row(rq, &row7, "m"));
        ck_assert_int_eq(rq->reply.status, 200);
        ck_assert_str_eq(ch_answer_header(rq, "ETag"), cases[i].etag);
        ck_assert_pstr_eq(rq->reply.cache_control, cases[i].cache_control);
    }
}
END_TEST

/* A versioned route whose row has none (a hard delete): no tag. */
START_TEST(no_version)
{
    const ch_rows_t rows = { .names = { "id" },
                             .count = 1,
                             .cells = (const char *const[]){ "x" } };
    ch_req_t *rq = arrive(CH_DELETE, CH_VERSIONED);

    ck_assert_ptr_null(ch_reply_row(rq, &rows, "m"));
    ck_assert_str_eq(ch_answer_header(rq, "ETag"), "");
}
END_TEST

/* --- faults that a statement found ----------------------------------------
 */

static const struct {
    const char *fault;
    const char *code;
    const char *details;
    const char *message;
} row_faults[] = {
    { NULL, "", "", NULL },
    { "FOLDER_NAME_TAKEN", "FOLDER_NAME_TAKEN", "", NULL },
    { "NOT_DELETED", "NOT_DELETED", "", NULL },
    { "PRECONDITION_FAILED:12", "PRECONDITION_FAILED", "if-match CONFLICT",
      "current version is v12" },
    { "NO_SUCH_CODE", "INTERNAL_ERROR", "", NULL },
    { "", "INTERNAL_ERROR", "", NULL },
};

START_TEST(faults)
{
    const ch_rows_t rows = { .names = { "fault" },
                             .count = 1,
                             .cells = &row_faults[_i].fault };
    ch_req_t *rq = arrive(CH_PUT, 0);
    ch_err_t *err = ch_reply_fault(rq, &rows, CH_E_NOTE_NOT_FOUND);

    ck_assert_str_eq(ch_code_of(err), row_faults[_i].code);
    ck_assert_str_eq(ch_faults_of(err), row_faults[_i].details);
    if (row_faults[_i].message) {
        ck_assert_str_eq(APR_ARRAY_IDX(err->details, 0, ch_detail_t).message,
                         row_faults[_i].message);
    }
}
END_TEST

START_TEST(no_row)
{
    const ch_rows_t none = { .names = { "fault" }, .count = 0 };
    ch_req_t *rq = arrive(CH_PUT, 0);

    ck_assert_str_eq(
        ch_code_of(ch_reply_fault(rq, &none, CH_E_NOTE_NOT_FOUND)),
        "NOTE_NOT_FOUND");
    ck_assert_ptr_null(ch_reply_fault(rq, &row7, CH_E_NOTE_NOT_FOUND));
}
END_TEST

/* --- errors ---------------------------------------------------------------
 */

START_TEST(an_error)
{
    ch_req_t *rq = arrive(CH_POST, 0);
    ch_err_t *err = NULL;

    rq->reply.status = 200;
    rq->reply.cache_control = "public";
    rq->reply.content_type = "text/html";
    rq->reply.file = "/x";
    apr_table_set(rq->out, "ETag", "\"v1\"");
    apr_table_set(rq->out, "Location", "/x");
    apr_table_set(rq->out, "RateLimit-Limit", "5");
    ch_err_fault(pool, &err, CH_D_WRONG_TYPE, NULL, "the \"body\"");
    ch_err_fault(pool, &err, CH_D_UNKNOWN_FIELD, "a\"b", "unknown");
    ch_reply_error(rq, err);
    ck_assert_str_eq(
        body_of(rq),
        "{\"success\":false,\"error\":{\"code\":\"VALIDATION_ERROR\","
        "\"message\":\"Invalid input data\",\"details\":["
        "{\"field\":null,\"message\":\"the \\\"body\\\"\","
        "\"code\":\"WRONG_TYPE\"},"
        "{\"field\":\"a\\\"b\",\"message\":\"unknown\","
        "\"code\":\"UNKNOWN_FIELD\"}]},\"requestId\":\"rq-1\"");
    ck_assert_int_eq(rq->reply.status, 400);
    ck_assert_int_eq(rq->reply.code, CH_E_VALIDATION_ERROR);
    ck_assert_ptr_null(rq->reply.cache_control);
    ck_assert_ptr_null(rq->reply.content_type);
    ck_assert_ptr_null(rq->reply.file);
    ck_assert_str_eq(ch_answer_header(rq, "ETag"), "");
    ck_assert_str_eq(ch_answer_header(rq, "Location"), "");
    ck_assert_str_eq(ch_answer_header(rq, "RateLimit-Limit"), "5");
    ck_assert_str_eq(ch_answer_header(rq, "WWW-Authenticate"), "");
    ck_assert_str_eq(ch_answer_header(rq, "Retry-After"), "");
    ck_assert_int_eq(server.logs, 0);
}
END_TEST

#define BEARER "Bearer realm=\"chronicle\""

static const struct {
    ch_code_e code;
    int wait;
    int status;
    const char *challenge;
    const char *retry_after;
} errors[] = {
    { CH_E_AUTHENTICATION_REQUIRED, 0, 401, BEARER, "" },
    { CH_E_INVALID_CREDENTIALS, 0, 401, BEARER, "" },
    { CH_E_INVALID_TOKEN, 0, 401, BEARER ", error=\"invalid_token\"", "" },
    { CH_E_TOKEN_EXPIRED, 0, 401, BEARER ", error=\"invalid_token\"", "" },
    { CH_E_FORBIDDEN, 0, 403, "", "" },
    { CH_E_NOTE_NOT_FOUND, 0, 404, "", "" },
    { CH_E_IDEMPOTENCY_IN_PROGRESS, 1, 409, "", "1" },
    { CH_E_PRECONDITION_FAILED, 0, 412, "", "" },
    { CH_E_RATE_LIMIT_EXCEEDED, 812, 429, "", "812" },
    { CH_E_INTERNAL_ERROR, 0, 500, "", "" },
    { CH_E_DATABASE_ERROR, 0, 503, "", "5" },
    { CH_E_SERVICE_UNAVAILABLE, 2, 503, "", "2" },
};

START_TEST(headers_of_errors)
{
    ch_req_t *rq = arrive(CH_GET, 0);
    ch_err_t *err = ch_err_make(pool, errors[_i].code, NULL);

    err->retry_after = errors[_i].wait;
    ch_reply_error(rq, err);
    ck_assert_int_eq(rq->reply.status, errors[_i].status);
    ck_assert_str_eq(ch_answer_header(rq, "WWW-Authenticate"),
                     errors[_i].challenge);
    ck_assert_str_eq(ch_answer_header(rq, "Retry-After"),
                     errors[_i].retry_after);
}
END_TEST

/* The cause is for the log and for nobody else. */
START_TEST(causes)
{
    static const struct {
        ch_code_e code;
        char level;
    } cases[] = { { CH_E_INTERNAL_ERROR, 'e' },
                  { CH_E_DATABASE_ERROR, 'e' },
                  { CH_E_CONFLICT, 'i' } };
    size_t i;

    for (i = 0; i < CH_COUNT(cases); i++) {
        ch_req_t *rq = arrive(CH_GET, 0);

        ch_reply_error(rq, ch_err_cause(pool, cases[i].code, "SELECT %d", 1));
        ck_assert_int_eq(server.logs, 1);
        ck_assert_int_eq(server.level, cases[i].level);
        ck_assert_int_eq(server.number, 1001);
        ck_assert_str_eq(server.log, "SELECT 1");
        ck_assert_ptr_null(strstr(body_of(rq), "SELECT"));
    }
}
END_TEST

/* --- what is not enveloped; headers ---------------------------------------
 */

START_TEST(raw)
{
    ch_req_t *rq = arrive(CH_GET, CH_ROOT);
    ch_buf_t *buf = ch_buf_make(pool, 1, 1);

    ck_assert_ptr_null(ch_reply_raw(rq, 503, "text/plain", buf));
    ck_assert_int_eq(rq->reply.status, 503);
    ck_assert_str_eq(rq->reply.content_type, "text/plain");
    ck_assert_ptr_eq(rq->reply.body, buf);
}
END_TEST

START_TEST(files)
{
    const char *dir = getenv("CH_TEST_SRCDIR");
    ch_req_t *rq = arrive(CH_GET, CH_ROOT);

    ck_assert_ptr_nonnull(dir);
    ck_assert_ptr_null(ch_reply_file(rq, dir, "LICENSE"));
    ck_assert_int_eq(rq->reply.status, 200);
    ck_assert_int_gt(rq->reply.file_size, 0);
    ck_assert_str_eq(rq->reply.cache_control, "public, max-age=3600");
    rq = arrive(CH_GET, CH_ROOT);
    ck_assert_str_eq(ch_code_of(ch_reply_file(rq, dir, "no-such-file")),
                     "ROUTE_NOT_FOUND");
    /* a directory is no file */
    ck_assert_str_eq(ch_code_of(ch_reply_file(rq, dir, "tests")),
                     "ROUTE_NOT_FOUND");
    ck_assert_ptr_null(rq->reply.file);
}
END_TEST

static const struct {
    const char *name;
    const char *value;
} fixed[] = {
    { "X-Request-Id", "rq-1" },
    { "X-Api-Version", "v1" },
    { "X-Content-Type-Options", "nosniff" },
    { "X-Frame-Options", "DENY" },
    { "X-XSS-Protection", "0" },
    { "Referrer-Policy", "no-referrer" },
    { "Content-Security-Policy",
      "default-src 'none'; frame-ancestors 'none'" },
    { "Cross-Origin-Opener-Policy", "same-origin" },
    { "Cross-Origin-Resource-Policy", "same-site" },
    { "Permissions-Policy", "interest-cohort=()" },
    { "Cache-Control", "no-store" },
    { "Strict-Transport-Security", "" },
};

START_TEST(headers)
{
    ch_req_t *rq = arrive(CH_GET, 0);

    ch_reply_headers(rq);
    ck_assert_str_eq(ch_answer_header(rq, fixed[_i].name), fixed[_i].value);
    ck_assert_str_eq(rq->reply.content_type,
                     "application/json; charset=utf-8");
}
END_TEST

START_TEST(headers_of_its_own)
{
    ch_req_t *rq = arrive(CH_GET, 0);
    const char *timing;
    int tenths;

    rq->tls = 1;
    rq->start = apr_time_now() - 1234567;
    rq->reply.csp = "default-src 'self'";
    rq->reply.cache_control = "private, no-cache";
    rq->reply.content_type = "text/html";
    ch_reply_headers(rq);
    ck_assert_str_eq(ch_answer_header(rq, "Strict-Transport-Security"),
                     "max-age=31536000; includeSubDomains");
    ck_assert_str_eq(ch_answer_header(rq, "Content-Security-Policy"),
                     "default-src 'self'");
    ck_assert_str_eq(ch_answer_header(rq, "Cache-Control"),
                     "private, no-cache");
    ck_assert_str_eq(rq->reply.content_type, "text/html");
    timing = ch_answer_header(rq, "Server-Timing");
    ck_assert_int_eq(strncmp(timing, "app;dur=1", 9), 0);
    ck_assert_int_eq(sscanf(timing, "app;dur=%*d.%1d", &tenths), 1);
}
END_TEST

CH_SUITE_MAIN("web/reply", CH_ONCE(envelopes),
              CH_ONCE(an_answer_of_another_table), CH_ONCE(created),
              CH_EACH(types, cells), CH_EACH(nested, objects),
              CH_EACH(if_none_match, tags), CH_ONCE(unconditional),
              CH_ONCE(no_version), CH_EACH(faults, row_faults),
              CH_ONCE(no_row), CH_ONCE(an_error),
              CH_EACH(headers_of_errors, errors), CH_ONCE(causes),
              CH_ONCE(raw), CH_ONCE(files), CH_EACH(headers, fixed),
              CH_ONCE(headers_of_its_own))
