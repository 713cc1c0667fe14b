/* Writes the OpenAPI document from the route rows. */
#include "web/openapi.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "base/jsonw.h"
#include "base/text.h"
#include "web/openapi_answer.h"

static const ch_route_t *route_at(const ch_openapi_t *doc, int index)
{
    return APR_ARRAY_IDX(doc->routes, index, const ch_route_t *);
}

static const char *template_of(const ch_openapi_t *doc, int index)
{
    return ch_route_template(doc->pool, route_at(doc, index));
}

/* The rows of the areas that are on: of const ch_route_t *. */
static apr_array_header_t *
shown_routes(apr_pool_t *pool, const ch_router_t *router, const char *features)
{
    int count = ch_router_count(router);
    apr_array_header_t *shown =
        apr_array_make(pool, count, sizeof(const ch_route_t *));
    int i;

    for (i = 0; i < count; i++) {
        const ch_route_t *route = ch_router_row(router, i);

        if (features[route->feature]) {
            APR_ARRAY_PUSH(shown, const ch_route_t *) = route;
        }
    }
    return shown;
}

/* --- names --------------------------------------------------------------- */

/* "/api/v1/notes/{id}/pin" becomes "NotesByIdPin". What all paths begin with
 * says nothing. */
static void write_path_name(ch_buf_t *buf, const char *path)
{
    int start = 1;

    if (strncmp(path, "/api/" CH_API_VERSION, 7) == 0
        && (path[7] == '/' || !path[7])) {
        path += 7;
    }
    if (!*path) {
        CH_BUF_LIT(buf, "Index");
    }
    for (; *path; path++) {
        if (*path == '{') {
            CH_BUF_LIT(buf, "By");
            start = 1;
        }
        else if (!apr_isalnum(*path)) {
            start = 1;
        }
        else {
            ch_buf_putc(buf, (char)(start ? apr_toupper(*path) : *path));
            start = 0;
        }
    }
}

static void write_operation_id(ch_openapi_t *doc, const ch_operation_t *op)
{
    ch_buf_t *name = ch_buf_make(doc->pool, 64, 1024);

    ch_buf_puts(name,
                ch_text_ascii_lower(doc->pool, ch_method_names[op->method],
                                    strlen(ch_method_names[op->method])));
    write_path_name(name, op->path);
    ch_member_text(doc->buf, "operationId", ch_buf_cstr(name));
}

/* --- tags ---------------------------------------------------------------- */

/* Shortens prefix to the segments that path begins with, too. */
static const char *common_prefix(apr_pool_t *pool, const char *prefix,
                                 const char *path)
{
    size_t end = 0;
    size_t i;

    for (i = 0; prefix[i] && prefix[i] == path[i]; i++) {
        if (prefix[i] == '/') {
            end = i;
        }
    }
    if ((!prefix[i] || prefix[i] == '/') && (!path[i] || path[i] == '/')) {
        end = i;
    }
    return apr_pstrmemdup(pool, prefix, end);
}

static void write_tag(ch_openapi_t *doc, int first)
{
    const char *tag = route_at(doc, first)->tag;
    const char *prefix = template_of(doc, first);
    int i;

    for (i = first + 1; i < doc->routes->nelts; i++) {
        if (strcmp(route_at(doc, i)->tag, tag) == 0) {
            prefix = common_prefix(doc->pool, prefix, template_of(doc, i));
        }
    }
    ch_member(doc->buf, NULL);
    ch_buf_putc(doc->buf, '{');
    ch_member_text(doc->buf, "name", tag);
    ch_member_text(doc->buf, "description",
                   *prefix ? apr_psprintf(doc->pool, "Below `%s`", prefix)
                           : "About the server itself");
    ch_buf_putc(doc->buf, '}');
}

static void write_tags(ch_openapi_t *doc)
{
    int row, before;

    ch_member(doc->buf, "tags");
    ch_buf_putc(doc->buf, '[');
    for (row = 0; row < doc->routes->nelts; row++) {
        const char *tag = route_at(doc, row)->tag;

        for (before = 0; before < row; before++) {
            if (strcmp(route_at(doc, before)->tag, tag) == 0) {
                break;
            }
        }
        if (before == row) {
            write_tag(doc, row);
        }
    }
    ch_buf_putc(doc->buf, ']');
}

/* --- parameters ---------------------------------------------------------- */

static const char *param_schema(char kind)
{
    switch (kind) {
    case 'u':
        return "{\"type\":\"string\",\"format\":\"uuid\"}";
    case 'i':
        return "{\"type\":\"integer\",\"minimum\":1,"
               "\"maximum\":2147483647}";
    default:
        return "{\"type\":\"string\",\"minLength\":1}";
    }
}

static void write_path_params(ch_openapi_t *doc, const ch_route_t *route)
{
    const char *name;
    char kind;
    int i;

    for (i = 0; i < CH_PARAMS_MAX; i++) {
        name = ch_route_param(doc->pool, route, i, &kind);
        if (!name) {
            return;
        }
        ch_member(doc->buf, NULL);
        ch_buf_putc(doc->buf, '{');
        ch_member_text(doc->buf, "name", name);
        ch_member_text(doc->buf, "in", "path");
        ch_member_json(doc->buf, "required", "true");
        ch_member_json(doc->buf, "schema", param_schema(kind));
        ch_buf_putc(doc->buf, '}');
    }
}

static void write_query_param(ch_openapi_t *doc, const ch_field_t *field)
{
    const char *text = ch_schema_doc(doc->pool, field);

    ch_member(doc->buf, NULL);
    ch_buf_putc(doc->buf, '{');
    ch_member_text(doc->buf, "name", field->name);
    ch_member_text(doc->buf, "in", "query");
    if (field->flags & CH_REQUIRED) {
        ch_member_json(doc->buf, "required", "true");
    }
    if (*text) {
        ch_member_text(doc->buf, "description", text);
    }
    if (field->flags & CH_REPEAT) {
        ch_member_text(doc->buf, "style", "form");
        ch_member_json(doc->buf, "explode", "true");
    }
    if (field->flags & CH_KEEP_EMPTY) {
        ch_member_json(doc->buf, "allowEmptyValue", "true");
    }
    ch_member(doc->buf, "schema");
    ch_schema_query(doc->buf, field);
    ch_buf_putc(doc->buf, '}');
}

static const char idempotency_key[] =
    "{\"name\":\"Idempotency-Key\",\"in\":\"header\","
    "\"description\":\"Makes a repeat safe: for 24 hours the same key with "
    "the same body gets the stored answer\",\"schema\":{\"type\":\"string\","
    "\"minLength\":1,\"maxLength\":257}}";

static const char if_match[] =
    "{\"name\":\"If-Match\",\"in\":\"header\","
    "\"description\":\"Do it only if this is still the version: the ETag of "
    "an earlier answer, a list of them, or *\","
    "\"schema\":{\"type\":\"string\"}}";

static const char if_none_match[] =
    "{\"name\":\"If-None-Match\",\"in\":\"header\","
    "\"description\":\"Answer 304 if this is still the version\","
    "\"schema\":{\"type\":\"string\"}}";

static void write_params(ch_openapi_t *doc, const ch_operation_t *op)
{
    const ch_fields_t *query = op->route->query;
    int i;

    ch_member(doc->buf, "parameters");
    ch_buf_putc(doc->buf, '[');
    write_path_params(doc, op->route);
    for (i = 0; query && i < query->count; i++) {
        write_query_param(doc, &query->rows[i]);
    }
    if (op->route->flags & CH_IDEMPOTENT) {
        ch_member_json(doc->buf, NULL, idempotency_key);
    }
    if (ch_operation_takes_if_match(op)) {
        ch_member_json(doc->buf, NULL, if_match);
    }
    if (ch_operation_takes_if_none_match(op)) {
        ch_member_json(doc->buf, NULL, if_none_match);
    }
    ch_buf_putc(doc->buf, ']');
}

/* --- operations ---------------------------------------------------------- */

/* A row of PUT or PATCH changes what is given and leaves the rest. */
static int is_update(const ch_route_t *route)
{
    return route->method == CH_PUT || route->method == CH_PATCH;
}

static void write_media(ch_openapi_t *doc, const ch_route_t *route,
                        const char *media)
{
    ch_member(doc->buf, media);
    CH_BUF_LIT(doc->buf, "{\"schema\":");
    ch_schema_body(doc->buf, doc->components, route->body, is_update(route));
    ch_buf_putc(doc->buf, '}');
}

/* Elements of a list stand in one part, with commas between them. */
static void write_upload(ch_openapi_t *doc, const ch_fields_t *body)
{
    int i;

    ch_member(doc->buf, "multipart/form-data");
    CH_BUF_LIT(doc->buf, "{\"schema\":");
    ch_schema_upload(doc->buf, doc->components, body);
    ch_member(doc->buf, "encoding");
    ch_buf_putc(doc->buf, '{');
    for (i = 0; i < body->count; i++) {
        if (body->rows[i].type == CH_T_STRS
            && ch_field_in_upload(&body->rows[i])) {
            ch_member_json(doc->buf, body->rows[i].name,
                           "{\"style\":\"form\",\"explode\":false}");
        }
    }
    CH_BUF_LIT(doc->buf, "}}");
}

static void write_body(ch_openapi_t *doc, const ch_route_t *route)
{
    const ch_fields_t *body = route->body;
    int required = 0;
    int i;

    if (!body) {
        return;
    }
    for (i = 0; i < body->count; i++) {
        required |= (body->rows[i].flags & CH_REQUIRED) && !is_update(route);
    }
    ch_member(doc->buf, "requestBody");
    ch_buf_putc(doc->buf, '{');
    ch_member_json(doc->buf, "required", required ? "true" : "false");
    ch_member(doc->buf, "content");
    ch_buf_putc(doc->buf, '{');
    write_media(doc, route, "application/json");
    if (route->flags & CH_FORM) {
        write_media(doc, route, CH_FORM_MEDIA);
    }
    if (route->upload_max) {
        write_upload(doc, body);
    }
    CH_BUF_LIT(doc->buf, "}}");
}

static void write_security(ch_openapi_t *doc, const ch_operation_t *op)
{
    ch_member(doc->buf, "security");
    ch_buf_putc(doc->buf, '[');
    if (op->route->auth != CH_PUBLIC) {
        ch_member_json(doc->buf, NULL, "{\"bearer\":[]}");
        ch_member_json(doc->buf, NULL,
                       ch_operation_writes(op) ? "{\"session\":[],\"csrf\":[]}"
                                               : "{\"session\":[]}");
    }
    if (op->route->auth == CH_OPTIONAL) {
        ch_member_json(doc->buf, NULL, "{}");
    }
    ch_buf_putc(doc->buf, ']');
}

/* The row's own text, then what its columns say. */
static const char *description_of(apr_pool_t *pool, const ch_operation_t *op)
{
    const ch_route_t *route = op->route;
    const char *text = route->doc ? route->doc : "";
    const char *gap = *text ? "\n\n" : "";

    if (route->auth >= CH_MANAGER) {
        text = apr_psprintf(pool, "%s%sFor the role `%s`%s.", text, gap,
                            ch_auth_names[route->auth],
                            route->auth == CH_MANAGER ? " or `admin`" : "");
        gap = "\n\n";
    }
    if (route->rate != CH_RATE_NONE) {
        text = apr_psprintf(pool, "%s%sCounts in the rate class `%s`.", text,
                            gap, ch_rate_names[route->rate]);
        gap = "\n\n";
    }
    if (op->method == CH_PATCH && route->method == CH_PUT) {
        text = apr_psprintf(pool, "%s%sThe same as PUT.", text, gap);
    }
    return text;
}

static void write_operation(ch_openapi_t *doc, const ch_route_t *route,
                            ch_method_e method, const char *path)
{
    const ch_operation_t op = {
        .route = route,
        .method = method,
        .path = path,
    };
    const char *text = description_of(doc->pool, &op);

    ch_member(doc->buf, ch_text_ascii_lower(doc->pool, ch_method_names[method],
                                            strlen(ch_method_names[method])));
    ch_buf_putc(doc->buf, '{');
    write_operation_id(doc, &op);
    ch_member(doc->buf, "tags");
    ch_buf_putc(doc->buf, '[');
    ch_jsonw_cstr(doc->buf, route->tag);
    ch_buf_putc(doc->buf, ']');
    ch_member_text(doc->buf, "summary", route->summary);
    if (*text) {
        ch_member_text(doc->buf, "description", text);
    }
    write_security(doc, &op);
    write_params(doc, &op);
    write_body(doc, route);
    ch_answer_write(doc, &op);
    ch_buf_putc(doc->buf, '}');
}

/* All rows of one path, the first of which is `first`. */
static void write_path(ch_openapi_t *doc, int first, const char *path)
{
    int i;

    ch_member(doc->buf, path);
    ch_buf_putc(doc->buf, '{');
    for (i = first; i < doc->routes->nelts; i++) {
        const ch_route_t *route = route_at(doc, i);

        if (strcmp(template_of(doc, i), path) != 0) {
            continue;
        }
        write_operation(doc, route, route->method, path);
        if (route->method == CH_PUT) {
            write_operation(doc, route, CH_PATCH, path);
        }
    }
    ch_buf_putc(doc->buf, '}');
}

static void write_paths(ch_openapi_t *doc)
{
    int row, before;

    ch_member(doc->buf, "paths");
    ch_buf_putc(doc->buf, '{');
    for (row = 0; row < doc->routes->nelts; row++) {
        const char *path = template_of(doc, row);

        for (before = 0; before < row; before++) {
            if (strcmp(template_of(doc, before), path) == 0) {
                break;
            }
        }
        if (before == row) {
            write_path(doc, row, path);
        }
    }
    ch_buf_putc(doc->buf, '}');
}

/* --- the document -------------------------------------------------------- */

static void write_info(ch_buf_t *buf)
{
    ch_member_text(buf, "openapi", "3.1.0");
    ch_member(buf, "info");
    ch_buf_putc(buf, '{');
    ch_member_text(buf, "title", "mod_chronicle");
    ch_member_text(buf, "version", CH_VERSION);
    ch_member_text(
        buf, "description",
        "A JSON API over PostgreSQL, served by Apache httpd.\n\n"
        "`/api/<rest>` means the same as `/api/v1/<rest>` and answers with a "
        "`Deprecation` header. `PUT` is a partial update, and `PATCH` the "
        "same as `PUT`. `HEAD` and `OPTIONS` work everywhere. A path that is "
        "not here (a server may have areas of the API switched off) answers "
        "404 ROUTE_NOT_FOUND, another method 405 METHOD_NOT_ALLOWED.\n\n"
        "Socket.IO clients connect at `/socket.io/`, unless that is switched "
        "off; docs/socketio.md lists the events.");
    ch_member_json(buf, "license",
                   "{\"name\":\"Apache License 2.0\","
                   "\"identifier\":\"Apache-2.0\"}");
    ch_buf_putc(buf, '}');
    ch_member_json(buf, "servers", "[{\"url\":\"/\"}]");
}

static const char security_schemes[] =
    "{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\","
    "\"bearerFormat\":\"JWT\",\"description\":\"The accessToken of a "
    "login\"},"
    "\"session\":{\"type\":\"apiKey\",\"in\":\"cookie\","
    "\"name\":\"chronicle_session\",\"description\":\"The cookie of a login "
    "with session:true\"},"
    "\"csrf\":{\"type\":\"apiKey\",\"in\":\"header\","
    "\"name\":\"X-CSRF-Token\",\"description\":\"The value of the cookie "
    "chronicle_csrf; asked for beside the session cookie\"}}";

void ch_openapi_write(ch_buf_t *buf, const ch_router_t *router,
                      const char *features)
{
    ch_openapi_t doc = {
        .buf = buf,
        .pool = buf->pool,
        .routes = shown_routes(buf->pool, router, features),
        .components = ch_components_make(buf->pool),
        .errors = apr_array_make(buf->pool, 64, sizeof(ch_refusal_t)),
    };

    ch_buf_putc(buf, '{');
    write_info(buf);
    write_tags(&doc);
    write_paths(&doc);
    ch_member(buf, "components");
    ch_buf_putc(buf, '{');
    ch_member_json(buf, "securitySchemes", security_schemes);
    ch_answer_components(&doc);
    ch_member(buf, "schemas");
    ch_buf_putc(buf, '{');
    ch_schema_components(buf, doc.components);
    ch_answer_schemas(&doc);
    CH_BUF_LIT(buf, "}}}");
}

/* --- the list ------------------------------------------------------------ */

static void write_endpoint(ch_buf_t *buf, const ch_route_t *route,
                           ch_method_e method)
{
    ch_member(buf, NULL);
    ch_buf_putc(buf, '{');
    ch_member_text(buf, "method", ch_method_names[method]);
    ch_member_text(buf, "path", ch_route_template(buf->pool, route));
    ch_member_text(buf, "auth", ch_auth_names[route->auth]);
    ch_member_text(buf, "rateClass", ch_rate_names[route->rate]);
    ch_member_text(buf, "summary", route->summary);
    ch_buf_putc(buf, '}');
}

void ch_openapi_list(ch_buf_t *buf, const ch_router_t *router,
                     const char *features)
{
    const apr_array_header_t *shown =
        shown_routes(buf->pool, router, features);
    int i;

    ch_buf_putc(buf, '[');
    for (i = 0; i < shown->nelts; i++) {
        const ch_route_t *route = APR_ARRAY_IDX(shown, i, const ch_route_t *);

        write_endpoint(buf, route, route->method);
        if (route->method == CH_PUT) {
            write_endpoint(buf, route, CH_PATCH);
        }
    }
    ch_buf_putc(buf, ']');
}
