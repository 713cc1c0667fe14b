/* Writes the answers of an operation: its success, its 304, its errors. */
#include "web/openapi_answer.h"

#include <string.h>

#include <apr_strings.h>

#include "base/err.h"
#include "base/jsonw.h"

#define JSON_TYPE "application/json"

/* Headers that answers refer to. */
typedef struct {
    const char *name;
    const char *schema;
    const char *doc;
} header_t;

static const header_t headers[] = {
    { "X-Request-Id",
      "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9._-]{1,128}$\"}",
      "Names this request in the logs; the request's own value if it was "
      "well-formed" },
    { "ETag", "{\"type\":\"string\"}",
      "The version of the object, such as `\"v3\"`, for If-Match and "
      "If-None-Match" },
    { "Location", "{\"type\":\"string\"}", "Path of the new object" },
    { "Idempotent-Replayed", "{\"const\":\"true\"}",
      "This is the stored answer of an earlier request with the same key" },
    { "RateLimit-Limit", "{\"type\":\"integer\",\"minimum\":1}",
      "Requests of the window. On endpoints with a rate class" },
    { "RateLimit-Remaining", "{\"type\":\"integer\",\"minimum\":0}",
      "Requests left in the window. On endpoints with a rate class" },
    { "RateLimit-Reset", "{\"type\":\"integer\",\"minimum\":1}",
      "Seconds to the end of the window. On endpoints with a rate class" },
    { "Retry-After", "{\"type\":\"integer\",\"minimum\":1}",
      "Seconds to wait before trying again" },
    { "WWW-Authenticate", "{\"type\":\"string\"}", "Bearer, with the reason" },
};

int ch_operation_writes(const ch_operation_t *op)
{
    return op->method != CH_GET;
}

/* What is only being made has no version yet that could be named. */
int ch_operation_takes_if_match(const ch_operation_t *op)
{
    return (op->route->flags & CH_VERSIONED) && ch_operation_writes(op)
           && op->route->ok != 201;
}

int ch_operation_takes_if_none_match(const ch_operation_t *op)
{
    return (op->route->flags & CH_VERSIONED) && !ch_operation_writes(op)
           && !(op->route->flags & CH_NO_304);
}

/* --- headers ------------------------------------------------------------- */

static void write_header(ch_buf_t *buf, const char *name)
{
    ch_member(buf, name);
    ch_buf_printf(buf, "{\"$ref\":\"#/components/headers/%s\"}", name);
}

static void write_rate_headers(ch_buf_t *buf)
{
    write_header(buf, "RateLimit-Limit");
    write_header(buf, "RateLimit-Remaining");
    write_header(buf, "RateLimit-Reset");
}

static void write_success_headers(ch_openapi_t *doc, const ch_operation_t *op)
{
    const ch_route_t *route = op->route;

    ch_member(doc->buf, "headers");
    ch_buf_putc(doc->buf, '{');
    write_header(doc->buf, "X-Request-Id");
    if (route->flags & CH_VERSIONED) {
        write_header(doc->buf, "ETag");
    }
    if (route->ok == 201) {
        write_header(doc->buf, "Location");
    }
    if (route->flags & CH_IDEMPOTENT) {
        write_header(doc->buf, "Idempotent-Replayed");
    }
    if (route->rate != CH_RATE_NONE) {
        write_rate_headers(doc->buf);
    }
    ch_buf_putc(doc->buf, '}');
}

/* --- success ------------------------------------------------------------- */

static void write_data(ch_openapi_t *doc, const ch_route_t *route)
{
    ch_buf_t *buf = doc->buf;

    if (route->flags & CH_NULL_DATA) {
        CH_BUF_LIT(buf, "{\"type\":\"null\"}");
    }
    else if (!route->out) {
        CH_BUF_LIT(buf, "{}");
    }
    else if (route->flags & CH_LIST) {
        CH_BUF_LIT(buf, "{\"type\":\"object\",\"additionalProperties\":false,"
                        "\"required\":[\"items\",\"pagination\"],"
                        "\"properties\":{\"items\":{\"type\":\"array\","
                        "\"items\":");
        ch_schema_answer(buf, doc->components, route->out);
        CH_BUF_LIT(buf, "},\"pagination\":"
                        "{\"$ref\":\"#/components/schemas/Pagination\"}}}");
    }
    else {
        ch_schema_answer(buf, doc->components, route->out);
    }
}

static void write_envelope(ch_openapi_t *doc, const ch_route_t *route)
{
    ch_buf_t *buf = doc->buf;

    CH_BUF_LIT(buf, "{\"type\":\"object\",\"additionalProperties\":false,"
                    "\"required\":[\"success\",\"data\",\"message\","
                    "\"timestamp\"],\"properties\":{"
                    "\"success\":{\"const\":true},\"data\":");
    write_data(doc, route);
    CH_BUF_LIT(buf, ",\"message\":{\"type\":\"string\"},\"timestamp\":"
                    "{\"$ref\":\"#/components/schemas/Timestamp\"}}}");
}

static void write_raw(ch_openapi_t *doc, const ch_route_t *route)
{
    if (route->media) {
        CH_BUF_LIT(doc->buf, "{\"type\":\"string\"");
        if (route->flags & CH_FILE) {
            CH_BUF_LIT(doc->buf, ",\"format\":\"binary\"");
        }
        ch_buf_putc(doc->buf, '}');
    }
    else if (route->out) {
        ch_schema_answer(doc->buf, doc->components, route->out);
    }
    else {
        CH_BUF_LIT(doc->buf, "{\"type\":\"object\"}");
    }
}

static int is_raw(const ch_route_t *route)
{
    return (route->flags & (CH_ROOT | CH_ENVELOPED)) == CH_ROOT
           || (route->flags & CH_FILE);
}

static void write_media(ch_openapi_t *doc, const ch_route_t *route,
                        const char *media)
{
    ch_member(doc->buf, media);
    CH_BUF_LIT(doc->buf, "{\"schema\":");
    if (is_raw(route)) {
        write_raw(doc, route);
    }
    else {
        write_envelope(doc, route);
    }
    ch_buf_putc(doc->buf, '}');
}

static void write_content(ch_openapi_t *doc, const ch_route_t *route)
{
    const char *media = route->media ? route->media : JSON_TYPE;
    size_t len = strcspn(media, " ");

    ch_member(doc->buf, "content");
    ch_buf_putc(doc->buf, '{');
    write_media(doc, route, apr_pstrmemdup(doc->pool, media, len));
    if (media[len]) {
        write_media(doc, route, media + len + 1);
    }
    ch_buf_putc(doc->buf, '}');
}

static const char *success_text(int status)
{
    switch (status) {
    case 201:
        return "Created";
    case 202:
        return "Accepted: a job will do it";
    default:
        return "Success";
    }
}

static void write_success(ch_openapi_t *doc, const ch_operation_t *op)
{
    ch_member(doc->buf, apr_itoa(doc->pool, op->route->ok));
    ch_buf_putc(doc->buf, '{');
    ch_member_text(doc->buf, "description", success_text(op->route->ok));
    write_success_headers(doc, op);
    write_content(doc, op->route);
    ch_buf_putc(doc->buf, '}');
}

/* It goes on in the background. */
static void write_later(ch_openapi_t *doc, const ch_operation_t *op)
{
    ch_route_t route = *op->route;
    ch_operation_t later = *op;

    route.out = route.later;
    later.route = &route;
    ch_member(doc->buf, "202");
    CH_BUF_LIT(doc->buf, "{\"description\":\"It goes on in the "
                         "background\"");
    write_success_headers(doc, &later);
    write_content(doc, &route);
    ch_buf_putc(doc->buf, '}');
}

/* What was asked for was there already. */
static void write_again(ch_openapi_t *doc, const ch_operation_t *op)
{
    ch_member(doc->buf, "200");
    CH_BUF_LIT(doc->buf, "{\"description\":\"It was there already\"");
    write_success_headers(doc, op);
    write_content(doc, op->route);
    ch_buf_putc(doc->buf, '}');
}

/* A part of a file. */
static void write_partial(ch_openapi_t *doc, const ch_operation_t *op)
{
    ch_member(doc->buf, "206");
    CH_BUF_LIT(doc->buf, "{\"description\":\"The range that was asked "
                         "for\"");
    write_success_headers(doc, op);
    write_content(doc, op->route);
    ch_buf_putc(doc->buf, '}');
}

/* --- errors -------------------------------------------------------------- */

/* Who may call decides what stands between a caller and the handler. */
static void note_access(char *has, const ch_operation_t *op)
{
    const ch_route_t *route = op->route;

    has[CH_E_SECURITY_VIOLATION] = 1;
    if (route->auth == CH_PUBLIC) {
        return;
    }
    has[CH_E_INVALID_TOKEN] = 1;
    has[CH_E_TOKEN_EXPIRED] = 1;
    if (ch_operation_writes(op)) {
        has[CH_E_CSRF_FAILED] = 1;
    }
    if (route->auth >= CH_USER) {
        has[CH_E_AUTHENTICATION_REQUIRED] = 1;
        has[CH_E_EMAIL_NOT_VERIFIED] =
            (char)ch_route_needs_verified(route);
    }
    if (route->auth >= CH_MANAGER) {
        has[CH_E_FORBIDDEN] = 1;
    }
}

static void note_form(char *has, const ch_operation_t *op)
{
    if (!(op->route->flags & CH_ROOT)) {
        has[CH_E_VALIDATION_ERROR] = 1;
    }
    if (ch_operation_writes(op)) {
        has[CH_E_MALFORMED_JSON] = 1;
        has[CH_E_PAYLOAD_TOO_LARGE] = 1;
        has[CH_E_UNSUPPORTED_MEDIA_TYPE] = 1;
    }
    if (op->route->flags & CH_IDEMPOTENT) {
        has[CH_E_IDEMPOTENCY_IN_PROGRESS] = 1;
        has[CH_E_IDEMPOTENCY_MISMATCH] = 1;
    }
    if (ch_operation_takes_if_match(op)) {
        has[CH_E_PRECONDITION_FAILED] = 1;
    }
}

/* The codes of the steps before a handler that apply to this row, the row's
 * own, and what can happen to any. */
static void note_codes(char *has, const ch_operation_t *op)
{
    const ch_route_t *route = op->route;
    int i;

    note_access(has, op);
    note_form(has, op);
    if (route->rate != CH_RATE_NONE) {
        has[CH_E_RATE_LIMIT_EXCEEDED] = 1;
    }
    if (!(route->flags & CH_ROOT)) {
        has[CH_E_DATABASE_ERROR] = 1;
    }
    has[CH_E_INTERNAL_ERROR] = 1;
    for (i = 0; i < route->code_count; i++) {
        has[route->codes[i]] = 1;
    }
}

static const char *refusal_name(apr_pool_t *pool, const ch_refusal_t *refusal)
{
    const char *name = "";
    int code;

    for (code = 1; code < CH_E__COUNT; code++) {
        if (refusal->has[code]) {
            name = apr_pstrcat(pool, name, *name ? "." : "",
                               ch_code_name((ch_code_e)code), NULL);
        }
    }
    return name;
}

/* Notes the refusal among the document's, once, and says its name. */
static const char *note_refusal(ch_openapi_t *doc, ch_refusal_t *refusal)
{
    int i;

    for (i = 0; i < doc->errors->nelts; i++) {
        const ch_refusal_t *known =
            &APR_ARRAY_IDX(doc->errors, i, ch_refusal_t);

        if (memcmp(known->has, refusal->has, sizeof(known->has)) == 0) {
            return known->name;
        }
    }
    refusal->name = refusal_name(doc->pool, refusal);
    APR_ARRAY_PUSH(doc->errors, ch_refusal_t) = *refusal;
    return refusal->name;
}

/* All codes of `status` among `has`, as one answer. */
static void write_refusal(ch_openapi_t *doc, const char *has, int status)
{
    ch_refusal_t refusal = { .status = status };
    int code;

    for (code = 1; code < CH_E__COUNT; code++) {
        if (has[code] && ch_code_status((ch_code_e)code) == status) {
            refusal.has[code] = 1;
        }
    }
    ch_member(doc->buf, apr_itoa(doc->pool, status));
    ch_buf_printf(doc->buf, "{\"$ref\":\"#/components/responses/%s\"}",
                  note_refusal(doc, &refusal));
}

static void write_refusals(ch_openapi_t *doc, const ch_operation_t *op)
{
    char has[CH_E__COUNT] = { 0 };
    int status = 0;
    int code;

    note_codes(has, op);
    /* the codes are listed by status */
    for (code = 1; code < CH_E__COUNT; code++) {
        if (has[code] && ch_code_status((ch_code_e)code) != status) {
            status = ch_code_status((ch_code_e)code);
            write_refusal(doc, has, status);
        }
    }
}

static int gives_parts(const ch_route_t *route)
{
    int i;

    for (i = 0; i < route->code_count; i++) {
        if (route->codes[i] == CH_E_RANGE_NOT_SATISFIABLE) {
            return (route->flags & CH_FILE) != 0;
        }
    }
    return 0;
}

void ch_answer_write(ch_openapi_t *doc, const ch_operation_t *op)
{
    ch_member(doc->buf, "responses");
    ch_buf_putc(doc->buf, '{');
    write_success(doc, op);
    if (op->route->flags & CH_AGAIN) {
        write_again(doc, op);
    }
    if (op->route->later) {
        write_later(doc, op);
    }
    if (gives_parts(op->route)) {
        write_partial(doc, op);
    }
    if (ch_operation_takes_if_none_match(op)) {
        CH_BUF_LIT(doc->buf, ",\"304\":{\"description\":\"Not changed\","
                             "\"headers\":{");
        write_header(doc->buf, "X-Request-Id");
        write_header(doc->buf, "ETag");
        CH_BUF_LIT(doc->buf, "}}");
    }
    write_refusals(doc, op);
    if (op->route->flags & CH_OWN_503) {
        ch_member(doc->buf, "503");
        CH_BUF_LIT(doc->buf, "{\"description\":\"Not all is well; the same "
                             "document says what\"");
        write_content(doc, op->route);
        ch_buf_putc(doc->buf, '}');
    }
    ch_buf_putc(doc->buf, '}');
}

/* --- components ---------------------------------------------------------- */

static void write_refusal_schema(ch_openapi_t *doc,
                                 const ch_refusal_t *refusal)
{
    ch_buf_t *buf = doc->buf;
    int code;

    CH_BUF_LIT(buf, "{\"allOf\":[{\"$ref\":\"#/components/schemas/Error\"},"
                    "{\"type\":\"object\",\"properties\":{\"error\":"
                    "{\"type\":\"object\",\"properties\":{\"code\":"
                    "{\"type\":\"string\",\"enum\":[");
    for (code = 1; code < CH_E__COUNT; code++) {
        if (refusal->has[code]) {
            ch_member_text(buf, NULL, ch_code_name((ch_code_e)code));
        }
    }
    CH_BUF_LIT(buf, "]}}}}}]}");
}

static const char *refusal_text(apr_pool_t *pool, const ch_refusal_t *refusal)
{
    const char *text = "";
    int code;

    for (code = 1; code < CH_E__COUNT; code++) {
        if (refusal->has[code]) {
            text = apr_pstrcat(pool, text, *text ? "; " : "",
                               ch_code_name((ch_code_e)code), ": ",
                               ch_code_text((ch_code_e)code), NULL);
        }
    }
    return text;
}

static void write_refusal_component(ch_openapi_t *doc,
                                    const ch_refusal_t *refusal)
{
    ch_buf_t *buf = doc->buf;

    ch_member(buf, refusal->name);
    ch_buf_putc(buf, '{');
    ch_member_text(buf, "description", refusal_text(doc->pool, refusal));
    ch_member(buf, "headers");
    ch_buf_putc(buf, '{');
    write_header(buf, "X-Request-Id");
    if (refusal->status == 401) {
        write_header(buf, "WWW-Authenticate");
    }
    if (refusal->status == 429 || refusal->status == 503
        || refusal->has[CH_E_IDEMPOTENCY_IN_PROGRESS]) {
        write_header(buf, "Retry-After");
    }
    if (!refusal->has[CH_E_SECURITY_VIOLATION]) {
        write_rate_headers(buf);
    }
    ch_buf_putc(buf, '}');
    ch_member(buf, "content");
    CH_BUF_LIT(buf, "{\"" JSON_TYPE "\":{\"schema\":");
    write_refusal_schema(doc, refusal);
    CH_BUF_LIT(buf, "}}}");
}

void ch_answer_components(ch_openapi_t *doc)
{
    size_t h;
    int i;

    ch_member(doc->buf, "responses");
    ch_buf_putc(doc->buf, '{');
    for (i = 0; i < doc->errors->nelts; i++) {
        write_refusal_component(doc,
                                &APR_ARRAY_IDX(doc->errors, i, ch_refusal_t));
    }
    ch_buf_putc(doc->buf, '}');
    ch_member(doc->buf, "headers");
    ch_buf_putc(doc->buf, '{');
    for (h = 0; h < CH_COUNT(headers); h++) {
        ch_member(doc->buf, headers[h].name);
        ch_buf_putc(doc->buf, '{');
        ch_member_text(doc->buf, "description", headers[h].doc);
        ch_member_json(doc->buf, "schema", headers[h].schema);
        ch_buf_putc(doc->buf, '}');
    }
    ch_buf_putc(doc->buf, '}');
}

void ch_answer_schemas(ch_openapi_t *doc)
{
    ch_member_json(doc->buf, "Timestamp",
                   "{\"type\":\"string\",\"format\":\"date-time\","
                   "\"pattern\":\"^\\\\d{4}-\\\\d{2}-\\\\d{2}T\\\\d{2}:"
                   "\\\\d{2}:\\\\d{2}\\\\.\\\\d{3}Z$\","
                   "\"description\":\"UTC, with milliseconds\","
                   "\"examples\":[\"2026-01-24T10:30:00.000Z\"]}");
    ch_member_json(doc->buf, "Pagination",
                   "{\"type\":\"object\",\"additionalProperties\":false,"
                   "\"description\":\"With a cursor, page, total and "
                   "totalPages are null\","
                   "\"required\":[\"page\",\"limit\",\"total\","
                   "\"totalPages\",\"hasNext\",\"hasPrev\",\"nextCursor\"],"
                   "\"properties\":{"
                   "\"page\":{\"type\":[\"integer\",\"null\"]},"
                   "\"limit\":{\"type\":\"integer\"},"
                   "\"total\":{\"type\":[\"integer\",\"null\"]},"
                   "\"totalPages\":{\"type\":[\"integer\",\"null\"]},"
                   "\"hasNext\":{\"type\":\"boolean\"},"
                   "\"hasPrev\":{\"type\":\"boolean\"},"
                   "\"nextCursor\":{\"type\":[\"string\",\"null\"],"
                   "\"description\":\"Opaque; there exactly when hasNext "
                   "is true\"}}}");
    ch_member_json(doc->buf, "Error",
                   "{\"type\":\"object\","
                   "\"required\":[\"success\",\"error\",\"requestId\","
                   "\"timestamp\"],\"additionalProperties\":false,"
                   "\"properties\":{\"success\":{\"const\":false},"
                   "\"error\":{\"type\":\"object\","
                   "\"additionalProperties\":false,"
                   "\"required\":[\"code\",\"message\",\"details\"],"
                   "\"properties\":{\"code\":{\"type\":\"string\"},"
                   "\"message\":{\"type\":\"string\"},"
                   "\"details\":{\"type\":\"array\",\"maxItems\":100,"
                   "\"items\":{"
                   "\"$ref\":\"#/components/schemas/ErrorDetail\"}}}},"
                   "\"requestId\":{\"type\":\"string\"},\"timestamp\":"
                   "{\"$ref\":\"#/components/schemas/Timestamp\"}}}");
    ch_member_json(doc->buf, "ErrorDetail",
                   "{\"type\":\"object\",\"additionalProperties\":false,"
                   "\"required\":[\"field\",\"message\",\"code\"],"
                   "\"properties\":{\"field\":{\"type\":[\"string\","
                   "\"null\"],\"description\":\"Dotted path, parameter or "
                   "header that is at fault\"},"
                   "\"message\":{\"type\":\"string\"},"
                   "\"code\":{\"type\":\"string\"}}}");
}
