/* Tests of web/openapi: the document that a few made-up rows give. */
#include "ch_check.h"

#include <apr_strings.h>

#include "base/json.h"
#include "conf.h"
#include "web/openapi.h"

typedef struct {
    const char *text;
    const char *id;
    apr_int64_t number;
    int choice;
    const apr_array_header_t *list;
} thing_t;

static const char *const colours[] = { "red", "blue" };

static const ch_field_t in_rows[] = {
    { .name = "id", CH_IN(thing_t, id, CH_T_UUID), .flags = CH_CREATE_ONLY },
    { .name = "name",
      CH_IN(thing_t, text, CH_T_STR),
      .min = 1,
      .max = 9,
      .flags = CH_REQUIRED,
      .def = "\"x\"" },
    { .name = "version",
      CH_IN(thing_t, number, CH_T_INT),
      .min = 0,
      .max = 5,
      .flags = CH_UPDATE_ONLY },
    { .name = "colour",
      CH_IN(thing_t, choice, CH_T_ENUM),
      CH_CHOICES(colours),
      .flags = CH_NULLABLE },
};

static const ch_fields_t in_table = { .name = "Input",
                                      .rows = in_rows,
                                      .count = (int)CH_COUNT(in_rows),
                                      .size = sizeof(thing_t) };

static const ch_field_t upload_rows[] = {
    { .name = "name",
      CH_IN(thing_t, text, CH_T_STR),
      .min = 1,
      .max = 9,
      .flags = CH_REQUIRED | CH_NULLABLE },
    { .name = "list", CH_IN(thing_t, list, CH_T_STRS), .max = 3 },
    { .name = "data",
      CH_IN(thing_t, id, CH_T_OBJECT),
      .flags = CH_REQUIRED },
    { .name = "id",
      CH_IN(thing_t, id, CH_T_UUID),
      .flags = CH_REQUIRED | CH_NOT_UPLOAD },
};

static const ch_fields_t upload_table = { .name = "Upload",
                                          .rows = upload_rows,
                                          .count = (int)CH_COUNT(upload_rows),
                                          .size = sizeof(thing_t) };

static const ch_field_t query_rows[] = {
    { .name = "folder",
      CH_IN(thing_t, id, CH_T_UUID),
      .flags = CH_SPECIAL,
      .extra = "none" },
    { .name = "tag",
      CH_IN(thing_t, list, CH_T_STRS),
      .flags = CH_REPEAT,
      .max = 10,
      .item_min = 1,
      .item_max = 50 },
};

static const ch_fields_t query_table = CH_FIELDS(thing_t, query_rows);

static const ch_field_t part_rows[] = {
    { .name = "id", .type = CH_T_UUID },
};

static const ch_fields_t part_table = { .name = "Part",
                                        .rows = part_rows,
                                        .count = (int)CH_COUNT(part_rows) };

static const ch_field_t out_rows[] = {
    { .name = "id", .type = CH_T_UUID },
    { .name = "part",
      .type = CH_T_NEST,
      .nested = &part_table,
      .flags = CH_NULLABLE },
    { .name = "parts", .type = CH_T_JSON, .nested = &part_table },
    { .name = "at", .type = CH_T_TIME, .flags = CH_NULLABLE },
};

static const ch_fields_t out_table = { .name = "Thing",
                                       .rows = out_rows,
                                       .count = (int)CH_COUNT(out_rows) };

static const ch_route_t rows[] = {
    { .method = CH_GET,
      .path = "/health",
      .alias = { "/api/v1/health" },
      .flags = CH_ROOT | CH_OWN_503,
      .ok = 200,
      .out = &part_table,
      .tag = "Server",
      .summary = "Health" },
    { .method = CH_GET,
      .path = "/api/v1/things",
      .auth = CH_OPTIONAL,
      .rate = CH_RATE_API,
      .flags = CH_LIST,
      .ok = 200,
      .query = &query_table,
      .out = &out_table,
      .tag = "Things",
      .summary = "List" },
    { .method = CH_POST,
      .path = "/api/v1/things",
      .auth = CH_USER,
      .rate = CH_RATE_API,
      .feature = CH_FEATURE_NOTES,
      .flags = CH_IDEMPOTENT | CH_VERSIONED | CH_FORM,
      .ok = 201,
      .body = &in_table,
      .out = &out_table,
      CH_ROUTE_CODES(CH_E_CONFLICT),
      .tag = "Things",
      .summary = "Make" },
    { .method = CH_GET,
      .path = "/api/v1/things/{id}/{n:int}/{word:str}",
      .auth = CH_ADMIN,
      .rate = CH_RATE_API,
      .flags = CH_VERSIONED,
      .ok = 200,
      .out = &out_table,
      .tag = "Things",
      .summary = "One" },
    { .method = CH_PUT,
      .path = "/api/v1/things/{id}/{n:int}/{word:str}",
      .auth = CH_USER,
      .rate = CH_RATE_API,
      .flags = CH_VERSIONED,
      .ok = 200,
      .body = &in_table,
      .out = &out_table,
      .tag = "Things",
      .summary = "Change" },
    { .method = CH_DELETE,
      .path = "/api/v1/things/{id}/{n:int}/{word:str}",
      .auth = CH_USER,
      .flags = CH_NULL_DATA,
      .ok = 200,
      .tag = "Things",
      .summary = "Delete" },
    { .method = CH_POST,
      .path = "/api/v1/things/taken",
      .auth = CH_USER,
      .feature = CH_FEATURE_NOTES,
      .ok = 201,
      .body = &upload_table,
      .upload_max = offsetof(ch_conf_t, import_limit),
      .out = &out_table,
      .tag = "Things",
      .summary = "Take" },
};

static const ch_routes_t table = CH_ROUTES(rows);

static const ch_router_t *make_router(void)
{
    const ch_routes_t *const tables[] = { &table };
    const char *why = NULL;
    const ch_router_t *router = ch_router_make(pool, tables, 1, &why);

    ck_assert_ptr_nonnull(router);
    return router;
}

/* All areas are on. */
static char features[CH_FEATURE__COUNT];

static const ch_json_t *document(void)
{
    ch_buf_t *buf = ch_buf_make(pool, 65536, 1 << 22);
    const ch_json_t *doc = NULL;

    memset(features, 1, sizeof(features));
    ch_openapi_write(buf, make_router(), features);
    ck_assert_int_eq(buf->overflow, 0);
    ck_assert_ptr_null(
        ch_json_parse(pool, ch_buf_cstr(buf), buf->len, 64, &doc));
    return doc;
}

/* The compact text at "a b c" (names, or indices of arrays) of the document;
 * "-" when it is not there. */
static const char *at(const ch_json_t *node, const char *path)
{
    char *copy = apr_pstrdup(pool, path);
    char *last;
    char *name = apr_strtok(copy, " ", &last);

    for (; name && node; name = apr_strtok(NULL, " ", &last)) {
        node = ch_json_type(node) == CH_JSON_ARRAY
                   ? ch_json_at(node, (size_t)apr_atoi64(name))
                   : ch_json_get(node, name);
    }
    return node ? ch_json_dump(pool, node) : "-";
}

#define THING "/api/v1/things/{id}/{n}/{word}"
#define SCHEMA "content application/json schema"

static const struct {
    const char *path;
    const char *text;
} facts[] = {
    { "openapi", "\"3.1.0\"" },
    { "info version", "\"" CH_VERSION "\"" },
    { "servers 0 url", "\"/\"" },
    { "paths /api/v1/health", "-" },
    { "tags 1", "{\"name\":\"Things\","
                "\"description\":\"Below `/api/v1/things`\"}" },
    /* files */
    { "paths /api/v1/things/taken post requestBody " SCHEMA,
      "{\"$ref\":\"#/components/schemas/Upload\"}" },
    { "paths /api/v1/things/taken post requestBody content "
      "multipart/form-data",
      "{\"schema\":{\"type\":\"object\",\"additionalProperties\":false,"
      "\"required\":[\"file\",\"name\"],\"properties\":{"
      "\"file\":{\"type\":\"string\",\"format\":\"binary\"},"
      "\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":9},"
      "\"list\":{\"type\":\"array\",\"maxItems\":3,"
      "\"items\":{\"type\":\"string\"}}}},"
      "\"encoding\":{\"list\":{\"style\":\"form\","
      "\"explode\":false}}}" },
    { "paths /api/v1/things post requestBody content multipart/form-data",
      "-" },
    { "components schemas Upload required", "[\"name\",\"data\",\"id\"]" },
    /* who may call */
    { "paths /health get security", "[]" },
    { "paths /api/v1/things get security",
      "[{\"bearer\":[]},{\"session\":[]},{}]" },
    { "paths /api/v1/things post security",
      "[{\"bearer\":[]},{\"session\":[],\"csrf\":[]}]" },
    /* names */
    { "paths " THING " get operationId", "\"getThingsByIdByNByWord\"" },
    { "paths " THING " patch operationId", "\"patchThingsByIdByNByWord\"" },
    /* parameters */
    { "paths " THING " get parameters 0 schema format", "\"uuid\"" },
    { "paths " THING " get parameters 1 schema type", "\"integer\"" },
    { "paths " THING " get parameters 2 schema type", "\"string\"" },
    { "paths " THING " get parameters 3 name", "\"If-None-Match\"" },
    { "paths " THING " put parameters 3 name", "\"If-Match\"" },
    { "paths " THING " delete parameters 3", "-" },
    { "paths /api/v1/things post parameters 0 name", "\"Idempotency-Key\"" },
    { "paths /api/v1/things post parameters 1", "-" },
    { "paths /api/v1/things get parameters 0 schema",
      "{\"anyOf\":[{\"type\":\"string\",\"format\":\"uuid\"},"
      "{\"const\":\"none\"}]}" },
    { "paths /api/v1/things get parameters 1 explode", "true" },
    /* bodies: the same table is another schema for an update */
    { "paths /api/v1/things post requestBody required", "true" },
    { "paths /api/v1/things post requestBody " SCHEMA " $ref",
      "\"#/components/schemas/Input\"" },
    { "paths /api/v1/things post requestBody content "
      "application/x-www-form-urlencoded schema $ref",
      "\"#/components/schemas/Input\"" },
    { "paths " THING " put requestBody content "
      "application/x-www-form-urlencoded",
      "-" },
    { "paths " THING " put requestBody required", "false" },
    { "paths " THING " patch requestBody " SCHEMA " $ref",
      "\"#/components/schemas/InputUpdate\"" },
    { "paths " THING " delete requestBody", "-" },
    { "components schemas Input required", "[\"name\"]" },
    { "components schemas Input additionalProperties", "false" },
    { "components schemas Input properties version", "-" },
    { "components schemas Input properties name",
      "{\"type\":\"string\",\"minLength\":1,\"maxLength\":9,"
      "\"default\":\"x\"}" },
    { "components schemas Input properties colour",
      "{\"type\":[\"string\",\"null\"],\"enum\":[\"red\",\"blue\",null]}" },
    { "components schemas InputUpdate required", "-" },
    { "components schemas InputUpdate properties id", "-" },
    { "components schemas InputUpdate properties name default", "-" },
    { "components schemas InputUpdate properties version",
      "{\"type\":\"integer\",\"minimum\":0,\"maximum\":5}" },
    /* answers */
    { "paths /health get responses 200 " SCHEMA " $ref",
      "\"#/components/schemas/Part\"" },
    { "paths /health get responses 503 " SCHEMA " $ref",
      "\"#/components/schemas/Part\"" },
    { "paths /api/v1/things get responses 200 " SCHEMA
      " properties data properties items items $ref",
      "\"#/components/schemas/Thing\"" },
    { "paths /api/v1/things get responses 200 " SCHEMA
      " properties data properties pagination $ref",
      "\"#/components/schemas/Pagination\"" },
    { "paths " THING " delete responses 200 " SCHEMA " properties data",
      "{\"type\":\"null\"}" },
    { "paths /api/v1/things post responses 201 headers Location $ref",
      "\"#/components/headers/Location\"" },
    { "paths " THING " get responses 304 description", "\"Not changed\"" },
    { "paths " THING " put responses 304", "-" },
    { "components schemas Thing required",
      "[\"id\",\"part\",\"parts\",\"at\"]" },
    { "components schemas Thing properties part",
      "{\"anyOf\":[{\"$ref\":\"#/components/schemas/Part\"},"
      "{\"type\":\"null\"}]}" },
    { "components schemas Thing properties parts",
      "{\"type\":\"array\",\"items\":"
      "{\"$ref\":\"#/components/schemas/Part\"}}" },
    { "components schemas Thing properties at type", "[\"string\",\"null\"]" },
    /* errors: the row's own and those of the steps before it */
    { "paths /health get responses 400", "-" },
    { "paths /api/v1/things get responses 401 $ref",
      "\"#/components/responses/INVALID_TOKEN.TOKEN_EXPIRED\"" },
    { "paths /api/v1/things get responses 404", "-" },
    { "paths /api/v1/things post responses 404", "-" },
    { "paths /api/v1/things post responses 409 $ref",
      "\"#/components/responses/CONFLICT.IDEMPOTENCY_IN_PROGRESS\"" },
    { "paths /api/v1/things post responses 422 $ref",
      "\"#/components/responses/IDEMPOTENCY_MISMATCH\"" },
    { "paths " THING " get responses 403 $ref",
      "\"#/components/responses/"
      "FORBIDDEN.SECURITY_VIOLATION.EMAIL_NOT_VERIFIED\"" },
    { "paths " THING " put responses 412 $ref",
      "\"#/components/responses/PRECONDITION_FAILED\"" },
    { "paths " THING " put responses 415 $ref",
      "\"#/components/responses/UNSUPPORTED_MEDIA_TYPE\"" },
    { "paths " THING " get responses 415", "-" },
    { "paths " THING " delete responses 429", "-" },
    { "components responses CONFLICT.IDEMPOTENCY_IN_PROGRESS " SCHEMA
      " allOf 1 properties error properties code enum",
      "[\"CONFLICT\",\"IDEMPOTENCY_IN_PROGRESS\"]" },
};

START_TEST(says)
{
    ck_assert_str_eq(at(document(), facts[_i].path), facts[_i].text);
}
END_TEST

START_TEST(lists_put_rows_twice)
{
    ch_buf_t *buf = ch_buf_make(pool, 64, 1 << 20);
    const ch_json_t *list = NULL;

    memset(features, 1, sizeof(features));
    ch_openapi_list(buf, make_router(), features);
    ck_assert_ptr_null(
        ch_json_parse(pool, ch_buf_cstr(buf), buf->len, 8, &list));
    ck_assert_uint_eq(ch_json_size(list), CH_COUNT(rows) + 1);
    ck_assert_str_eq(at(list, "2"),
                     "{\"method\":\"POST\",\"path\":\"/api/v1/things\","
                     "\"auth\":\"user\",\"rateClass\":\"api\","
                     "\"summary\":\"Make\"}");
    ck_assert_str_eq(at(list, "5 method"), "\"PATCH\"");
    ck_assert_str_eq(at(list, "5 path"), "\"" THING "\"");
}
END_TEST

START_TEST(what_is_off_is_left_out)
{
    ch_buf_t *buf = ch_buf_make(pool, 65536, 1 << 22);
    const ch_json_t *doc = NULL;

    memset(features, 1, sizeof(features));
    features[CH_FEATURE_NOTES] = 0;
    ch_openapi_write(buf, make_router(), features);
    ck_assert_ptr_null(
        ch_json_parse(pool, ch_buf_cstr(buf), buf->len, 64, &doc));
    ck_assert_str_eq(at(doc, "paths /api/v1/things post"), "-");
    ck_assert_str_ne(at(doc, "paths /api/v1/things get"), "-");
    buf->len = 0;
    ch_openapi_list(buf, make_router(), features);
    ck_assert_ptr_null(strstr(ch_buf_cstr(buf), "POST"));
}
END_TEST

START_TEST(too_small_a_buffer_overflows)
{
    ch_buf_t *buf = ch_buf_make(pool, 64, 1000);

    memset(features, 1, sizeof(features));
    ch_openapi_write(buf, make_router(), features);
    ck_assert_int_eq(buf->overflow, 1);
}
END_TEST

CH_SUITE_MAIN("web/openapi", CH_EACH(says, facts),
              CH_ONCE(lists_put_rows_twice), CH_ONCE(what_is_off_is_left_out),
              CH_ONCE(too_small_a_buffer_overflows))
