/* Tests of web/validate: every fault of a request is found, in order, and what
 * is good reaches the typed structs. */
#include "ch_request.h"

typedef struct {
    const char *id;
    const char *name;
    const char *note;
    apr_int64_t count;
    int colour;
    int on;
    const apr_array_header_t *tags;
    const char *extra;
    apr_int64_t version;
} body_t;

static const char *const colours[] = { "red", "green", "blue" };

static const ch_field_t body_rows[] = {
    { .name = "id", CH_IN(body_t, id, CH_T_UUID), .flags = CH_CREATE_ONLY },
    { .name = "name",
      CH_IN(body_t, name, CH_T_STR),
      .flags = CH_REQUIRED,
      .min = 1,
      .max = 5 },
    { .name = "note",
      CH_IN(body_t, note, CH_T_TEXT),
      .flags = CH_NULLABLE,
      .max = 5 },
    { .name = "count",
      CH_IN(body_t, count, CH_T_INT),
      .flags = CH_NULLABLE,
      .max = 10,
      .def = "3" },
    { .name = "colour",
      CH_IN(body_t, colour, CH_T_ENUM),
      .flags = CH_NULLABLE,
      CH_CHOICES(colours),
      .def = "\"green\"" },
    { .name = "on", CH_IN(body_t, on, CH_T_BOOL), .def = "true" },
    { .name = "tags",
      CH_IN(body_t, tags, CH_T_STRS),
      .flags = CH_UNIQUE | CH_REQUIRED,
      .max = 3,
      .item_min = 1,
      .item_max = 4,
      .def = "[]" },
    { .name = "extra",
      CH_IN(body_t, extra, CH_T_OBJECT),
      .flags = CH_NULLABLE,
      .max = 30 },
    { .name = "version",
      CH_IN(body_t, version, CH_T_INT),
      .flags = CH_UPDATE_ONLY,
      .min = 1,
      .max = 9 },
};

static const ch_fields_t body_table = CH_FIELDS(body_t, body_rows);

typedef struct {
    const char *word;
    int on;
} query_t;

static const ch_field_t query_rows[] = {
    { .name = "word",
      CH_IN(query_t, word, CH_T_STR),
      .flags = CH_REQUIRED,
      .min = 1,
      .max = 5 },
    { .name = "on", CH_IN(query_t, on, CH_T_BOOL) },
};

static const ch_fields_t query_table = CH_FIELDS(query_t, query_rows);

static const ch_route_t post = { .method = CH_POST,
                                 .path = "/api/v1/things",
                                 .flags = CH_IDEMPOTENT,
                                 .body = &body_table };
static const ch_route_t put = { .method = CH_PUT,
                                .path = "/api/v1/things/{id}",
                                .flags = CH_VERSIONED,
                                .body = &body_table };
static const ch_route_t full = { .method = CH_POST,
                                 .path =
                                     "/api/v1/things/{id}/{n:int}/{word:str}",
                                 .flags = CH_IDEMPOTENT,
                                 .query = &query_table,
                                 .body = &body_table };
static const ch_route_t get = { .method = CH_GET,
                                .path = "/api/v1/things",
                                .query = &query_table };
static const ch_route_t bare = { .method = CH_POST, .path = "/api/v1/act" };
static const ch_route_t root = { .method = CH_GET,
                                 .path = "/health",
                                 .flags = CH_ROOT };

#define ID "0198a000-0000-7000-8000-00000000000f"

/* A request that has come as far as validation. json NULL is an empty body. */
static ch_req_t *arrive(const ch_route_t *route, const char *args,
                        const char *json)
{
    ch_req_t *rq = ch_request_make(route->method, route->path);

    rq->route = route;
    rq->args = args;
    if (json) {
        ck_assert_ptr_null(
            ch_json_parse(pool, json, strlen(json), 32, &rq->json));
    }
    return rq;
}

static void set_params(ch_req_t *rq, const char *a, const char *b,
                       const char *c)
{
    rq->match.param[0] = a;
    rq->match.param[1] = b;
    rq->match.param[2] = c;
    rq->match.param_count = !!a + !!b + !!c;
}

/* --- bodies ---------------------------------------------------------------
 */

static const struct {
    const ch_route_t *route;
    const char *json;
    const char *faults;
} bodies[] = {
    { &post, "{\"name\":\"a\",\"tags\":[]}", "" },
    { &post, "{}", "name MISSING_FIELD, tags MISSING_FIELD" },
    { &post, NULL, "name MISSING_FIELD, tags MISSING_FIELD" },
    { &put, "{}", "" },
    { &put, NULL, "" },
    /* the top level */
    { &post, "[]", "- WRONG_TYPE" },
    { &post, "null", "- WRONG_TYPE" },
    { &post, "\"name\"", "- WRONG_TYPE" },
    { &put, "1", "- WRONG_TYPE" },
    { &bare, "[]", "- WRONG_TYPE" },
    /* no body is defined */
    { &bare, NULL, "" },
    { &bare, "{}", "" },
    { &bare, "{\"a\":1}", "a UNKNOWN_FIELD" },
    /* document order, and what is missing last */
    { &post, "{\"on\":1,\"x\":2,\"count\":11,\"id\":\"x\"}",
      "on WRONG_TYPE, x UNKNOWN_FIELD, count TOO_LARGE, id INVALID_FORMAT, "
      "name MISSING_FIELD, tags MISSING_FIELD" },
    { &post, "{\"name\":\"\",\"tags\":[\"\",1,\"12345\"]}",
      "name TOO_SHORT, tags[0] TOO_SHORT, tags[1] WRONG_TYPE, "
      "tags[2] TOO_LONG" },
    { &post,
      "{\"tags\":[\"a\",\"b\",\"c\",\"d\"],\"name\":\"abcdef\","
      "\"colour\":\"pink\"}",
      "tags TOO_MANY, name TOO_LONG, colour INVALID_VALUE" },
    /* a fault is not a missing field */
    { &post, "{\"name\":null,\"tags\":null}",
      "name WRONG_TYPE, tags WRONG_TYPE" },
    { &post, "{\"name\":7,\"tags\":[]}", "name WRONG_TYPE" },
    /* null where it may stand and where not */
    { &put, "{\"note\":null,\"count\":null,\"colour\":null,\"extra\":null}",
      "" },
    { &put, "{\"name\":null}", "name WRONG_TYPE" },
    { &put, "{\"on\":null}", "on WRONG_TYPE" },
    { &put, "{\"version\":null}", "version WRONG_TYPE" },
    { &put, "{\"tags\":null}", "tags WRONG_TYPE" },
    { &put, "{\"nothing\":null}", "nothing UNKNOWN_FIELD" },
    /* fields of one method alone */
    { &post, "{\"id\":\"" ID "\",\"name\":\"a\",\"tags\":[]}", "" },
    { &post, "{\"version\":1,\"name\":\"a\",\"tags\":[]}",
      "version UNKNOWN_FIELD" },
    { &put, "{\"version\":1}", "" },
    { &put, "{\"id\":\"" ID "\"}", "id UNKNOWN_FIELD" },
    /* names are exact */
    { &put, "{\"Name\":\"a\",\"name \":\"a\",\"\":1}",
      "Name UNKNOWN_FIELD, name  UNKNOWN_FIELD,  UNKNOWN_FIELD" },
};

START_TEST(faults_of_bodies)
{
    ch_req_t *rq = arrive(bodies[_i].route, NULL, bodies[_i].json);
    ch_err_t *err;

    if (bodies[_i].route == &put) {
        set_params(rq, ID, NULL, NULL);
    }
    err = ch_validate_stage(rq);
    ck_assert_str_eq(ch_faults_of(err), bodies[_i].faults);
    ck_assert_str_eq(ch_code_of(err),
                     *bodies[_i].faults ? "VALIDATION_ERROR" : "");
}
END_TEST

static const struct {
    const ch_route_t *route;
    const char *form;
    const char *faults;
} forms[] = {
    { &post, "name=a&tags=b", "" },
    { &post, "tags=b&name=%C3%A9&count=10&on=false&colour=red", "" },
    { &post, "&&", "name MISSING_FIELD, tags MISSING_FIELD" },
    { &put, "", "" },
    { &put, "note=&count=", "" },
    { &bare, "", "" },
    { &bare, "a=1", "a UNKNOWN_FIELD" },
    { &post, "x=1&on=1&name=abcdef&count=11&colour=pink&id=x",
      "x UNKNOWN_FIELD, on WRONG_TYPE, name TOO_LONG, count TOO_LARGE, "
      "colour INVALID_VALUE, id INVALID_FORMAT, tags MISSING_FIELD" },
    /* what is empty was not given; what is broken was, and so was a first */
    { &post, "name=&tags=b", "name MISSING_FIELD" },
    { &post, "name=%4&tags=b", "name INVALID_FORMAT" },
    { &post, "name=%FF&tags=%00", "name INVALID_FORMAT, tags INVALID_FORMAT" },
    { &post, "name=a&name=&name=b&tags=b", "name DUPLICATE" },
    /* fields of one method alone */
    { &post, "name=a&tags=b&version=1", "version UNKNOWN_FIELD" },
    { &put, "version=1&id=" ID, "id UNKNOWN_FIELD" },
    { &put, "Name=a&=1", "Name UNKNOWN_FIELD,  UNKNOWN_FIELD" },
};

static ch_req_t *arrive_form(const ch_route_t *route, const char *form)
{
    ch_req_t *rq = arrive(route, NULL, NULL);

    if (route == &put) {
        set_params(rq, ID, NULL, NULL);
    }
    rq->form = 1;
    rq->raw_body.len = strlen(form);
    rq->raw_body.data = ch_check_copy(form, rq->raw_body.len);
    return rq;
}

START_TEST(faults_of_forms)
{
    ch_req_t *rq = arrive_form(forms[_i].route, forms[_i].form);

    ck_assert_str_eq(ch_faults_of(ch_validate_stage(rq)), forms[_i].faults);
}
END_TEST

START_TEST(values_of_forms)
{
    ch_req_t *rq = arrive_form(&post, "tags=x+y&name=%20a+&count=7");
    const body_t *in;

    ck_assert_ptr_null(ch_validate_stage(rq));
    in = rq->body;
    ck_assert_str_eq(in->name, "a");
    ck_assert_int_eq(in->count, 7);
    ck_assert_int_eq(in->colour, 1); /* a default */
    ck_assert_str_eq(APR_ARRAY_IDX(in->tags, 0, const char *), "x y");
    ck_assert(CH_GIVEN(rq, body_t, count) && !CH_GIVEN(rq, body_t, note));
}
END_TEST

START_TEST(a_form_of_too_many_pairs)
{
    char form[CH_PAIRS_MAX + 1];

    memset(form, '&', sizeof(form));
    form[CH_PAIRS_MAX] = '\0';
    ck_assert_str_eq(ch_faults_of(ch_validate_stage(arrive_form(&bare, form))),
                     "- TOO_MANY");
    form[CH_PAIRS_MAX - 1] = '\0';
    ck_assert_ptr_null(ch_validate_stage(arrive_form(&bare, form)));
}
END_TEST

/* --- values ---------------------------------------------------------------
 */

START_TEST(a_create_gets_defaults)
{
    ch_req_t *rq = arrive(&post, NULL, "{\"name\":\" a \",\"tags\":[\"x\"]}");
    const body_t *in;

    ck_assert_ptr_null(ch_validate_stage(rq));
    in = rq->body;
    ck_assert_str_eq(in->name, "a");
    ck_assert_int_eq(in->count, 3);
    ck_assert_int_eq(in->colour, 1);
    ck_assert_int_eq(in->on, 1);
    ck_assert_int_eq(in->tags->nelts, 1);
    ck_assert_ptr_null(in->note);
    ck_assert_ptr_null(in->extra);
    /* a default was not given */
    ck_assert(CH_GIVEN(rq, body_t, name));
    ck_assert(CH_GIVEN(rq, body_t, tags));
    ck_assert(!CH_GIVEN(rq, body_t, count));
    ck_assert(!CH_GIVEN(rq, body_t, on));
    ck_assert_ptr_null(CH_OPT(rq, body_t, count));
}
END_TEST

START_TEST(an_update_gets_none)
{
    ch_req_t *rq = arrive(&put, NULL, "{\"count\":7}");
    const body_t *in;

    set_params(rq, ID, NULL, NULL);
    ck_assert_ptr_null(ch_validate_stage(rq));
    in = rq->body;
    ck_assert_int_eq(in->count, 7);
    ck_assert_int_eq(*CH_OPT(rq, body_t, count), 7);
    ck_assert_int_eq(in->colour, 0);
    ck_assert_int_eq(in->on, 0);
    ck_assert_ptr_null(in->tags);
    ck_assert(!CH_GIVEN(rq, body_t, on));
    ck_assert_ptr_null(CH_OPT(rq, body_t, on));
}
END_TEST

START_TEST(null_is_given)
{
    ch_req_t *rq = arrive(&post, NULL,
                          "{\"name\":\"a\",\"tags\":[],\"note\":null,"
                          "\"count\":null,\"colour\":null}");
    const body_t *in;

    ck_assert_ptr_null(ch_validate_stage(rq));
    in = rq->body;
    /* null replaces the default */
    ck_assert_int_eq(in->count, 0);
    ck_assert_int_eq(in->colour, 0);
    ck_assert(CH_GIVEN(rq, body_t, count));
    ck_assert(ch_req_is_null(rq, offsetof(body_t, count)));
    ck_assert(ch_req_is_null(rq, offsetof(body_t, note)));
    ck_assert(!ch_req_is_null(rq, offsetof(body_t, name)));
    ck_assert(!ch_req_is_null(rq, offsetof(body_t, extra)));
    ck_assert_ptr_null(CH_OPT(rq, body_t, count));
    ck_assert_ptr_nonnull(CH_OPT(rq, body_t, name));
}
END_TEST

/* Each row has its own bit, the last of them, too. */
START_TEST(a_bit_for_each_row)
{
    static const char *const one[] = {
        NULL,          "\"name\":\"a\"",     "\"note\":\"a\"",
        "\"count\":1", "\"colour\":\"red\"", "\"on\":true",
        "\"tags\":[]", "\"extra\":{}",       "\"version\":1",
    };
    size_t i;

    for (i = 1; i < CH_COUNT(one); i++) {
        ch_req_t *rq =
            arrive(&put, NULL, apr_pstrcat(pool, "{", one[i], "}", NULL));

        set_params(rq, ID, NULL, NULL);
        ck_assert_ptr_null(ch_validate_stage(rq));
        ck_assert_uint_eq(rq->given, UINT64_C(1) << i);
        ck_assert(ch_req_given(rq, body_rows[i].offset));
    }
}
END_TEST

START_TEST(an_offset_of_no_row)
{
    ch_req_t *rq = arrive(&post, NULL, "{\"name\":\"a\",\"tags\":[]}");

    ck_assert_ptr_null(ch_validate_stage(rq));
    ck_assert_int_eq(ch_field_at(&body_table, sizeof(body_t)), -1);
    ck_assert(!ch_req_given(rq, sizeof(body_t)));
    ck_assert_int_eq(ch_field_at(&body_table, offsetof(body_t, version)), 8);
}
END_TEST

/* --- order ----------------------------------------------------------------
 */

START_TEST(path_query_header_body_missing)
{
    ch_req_t *rq =
        arrive(&full, "on=1&page=2&on=true", "{\"count\":-1,\"y\":1}");

    set_params(rq, "x", "0", "");
    ch_request_header(rq, "Idempotency-Key", "\t");
    ck_assert_str_eq(ch_faults_of(ch_validate_stage(rq)),
                     "id INVALID_FORMAT, n INVALID_FORMAT, on WRONG_TYPE, "
                     "page UNKNOWN_FIELD, on DUPLICATE, "
                     "idempotency-key INVALID_FORMAT, count TOO_SMALL, "
                     "y UNKNOWN_FIELD, word MISSING_FIELD, "
                     "name MISSING_FIELD, tags MISSING_FIELD");
}
END_TEST

START_TEST(at_most_a_hundred)
{
    const char *json = "{\"a0\":1";
    const ch_err_t *err;
    int i;

    for (i = 1; i < 150; i++) {
        json = apr_psprintf(pool, "%s,\"a%d\":1", json, i);
    }
    err = ch_validate_stage(
        arrive(&post, NULL, apr_pstrcat(pool, json, "}", NULL)));
    ck_assert_int_eq(err->details->nelts, CH_DETAILS_MAX);
    ck_assert_str_eq(APR_ARRAY_IDX(err->details, 99, ch_detail_t).field,
                     "a99");
}
END_TEST

/* --- path parameters ------------------------------------------------------
 */

static const struct {
    const char *id;
    const char *n;
    const char *word;
    const char *faults;
} params[] = {
    { ID, "1", "a", "" },
    { ID, "2147483647", "%", "" },
    { "0198A000-0000-1000-8000-00000000000F", "1", "a", "" },
    { "00000000-0000-0000-0000-000000000000", "1", "a", "" },
    { "", "1", "a", "id INVALID_FORMAT" },
    { "1", "1", "a", "id INVALID_FORMAT" },
    { ID "0", "1", "a", "id INVALID_FORMAT" },
    { "0198a00000007000800000000000000f", "1", "a", "id INVALID_FORMAT" },
    { ID, "0", "a", "n INVALID_FORMAT" },
    { ID, "-1", "a", "n INVALID_FORMAT" },
    { ID, "", "a", "n INVALID_FORMAT" },
    { ID, "x", "a", "n INVALID_FORMAT" },
    { ID, "1.0", "a", "n INVALID_FORMAT" },
    { ID, " 1", "a", "n INVALID_FORMAT" },
    { ID, "2147483648", "a", "n INVALID_FORMAT" },
    { ID, "99999999999999999999", "a", "n INVALID_FORMAT" },
    { "x", "x", "a", "id INVALID_FORMAT, n INVALID_FORMAT" },
};

START_TEST(parameters)
{
    ch_req_t *rq = arrive(&full, "word=a", "{\"name\":\"a\",\"tags\":[]}");
    const char *id = params[_i].id;

    set_params(rq, ch_check_copy(id, strlen(id) + 1), params[_i].n,
               params[_i].word);
    ck_assert_str_eq(ch_faults_of(ch_validate_stage(rq)), params[_i].faults);
}
END_TEST

START_TEST(ids_become_lower_case)
{
    ch_req_t *rq = arrive(&put, NULL, NULL);

    set_params(rq, "0198A000-0000-7000-8000-00000000000F", NULL, NULL);
    ck_assert_ptr_null(ch_validate_stage(rq));
    ck_assert_str_eq(rq->match.param[0], ID);
}
END_TEST

/* --- queries --------------------------------------------------------------
 */

static const struct {
    const ch_route_t *route;
    const char *args;
    const char *faults;
} queries[] = {
    { &get, "word=a", "" },
    { &get, "word=a&on=true", "" },
    { &get, NULL, "word MISSING_FIELD" },
    { &get, "", "word MISSING_FIELD" },
    /* an empty value counts as absent */
    { &get, "word=&on=", "word MISSING_FIELD" },
    { &get, "word=&word=a&on=&on=true", "" },
    { &get, "word=a&word=b", "word DUPLICATE" },
    { &get, "word=abcdef&word=b", "word TOO_LONG, word DUPLICATE" },
    { &get, "word=a&on=TRUE", "on WRONG_TYPE" },
    { &get, "word=a&x=1&y", "x UNKNOWN_FIELD, y UNKNOWN_FIELD" },
    { &get, "word=a&Word=b", "Word UNKNOWN_FIELD" },
    { &get, "word=a&=b", " UNKNOWN_FIELD" },
    { &get, "w%6Frd=%61", "" },
    { &get, "word=%20a%20", "" },
    { &get, "word=%20", "word TOO_SHORT" },
    { &get, "word=a&on=%zz", "on INVALID_FORMAT" },
    { &get, "word=%zz", "word INVALID_FORMAT" },
    { &get, "word=%zz&word=%zz", "word INVALID_FORMAT, word DUPLICATE" },
    { &get, "word=a&on=%FF", "on INVALID_FORMAT" },
    { &get, "word=a&on=true%00", "on INVALID_FORMAT" },
    { &get, "word=a%01", "word INVALID_FORMAT" },
    { &get, "x=%zz&word=a", "x UNKNOWN_FIELD" },
    { &get, "word=%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC", "" },
    /* a route that defines none */
    { &bare, "x=1", "x UNKNOWN_FIELD" },
    { &bare, "", "" },
    /* section 2 is lenient */
    { &root, "x=1&x=%zz", "" },
};

START_TEST(faults_of_queries)
{
    ch_req_t *rq = arrive(queries[_i].route, queries[_i].args, NULL);

    ck_assert_str_eq(ch_faults_of(ch_validate_stage(rq)), queries[_i].faults);
}
END_TEST

START_TEST(values_of_queries)
{
    ch_req_t *rq = arrive(&get, "on=true&word=+a+", NULL);
    const query_t *in;

    ck_assert_ptr_null(ch_validate_stage(rq));
    in = rq->query;
    ck_assert_str_eq(in->word, "a");
    ck_assert_int_eq(in->on, 1);
    ck_assert_uint_eq(rq->query_given, 3);
}
END_TEST

/* A GET has no body, whatever was sent. */
START_TEST(the_body_of_a_get)
{
    ch_req_t *rq = arrive(&get, "word=a", "{\"x\":1}");

    ck_assert_ptr_null(ch_validate_stage(rq));
    ck_assert_ptr_null(rq->body);
}
END_TEST

/* --- checks of a table's own ----------------------------------------------
 */

static void check_together(ch_req_t *rq, void *fields, ch_err_t **faults)
{
    const body_t *in = fields;

    ck_assert_ptr_eq(fields, rq->body);
    if (in->name && strcmp(in->name, "bad") == 0) {
        ch_err_fault(rq->pool, faults, CH_D_CONFLICT, "name", "never");
    }
}

START_TEST(a_table_checks_itself)
{
    ch_fields_t table = body_table;
    ch_route_t route = post;
    ch_req_t *rq;

    table.check = check_together;
    route.body = &table;
    rq = arrive(&route, NULL, "{\"name\":\"bad\",\"x\":1}");
    ck_assert_str_eq(ch_faults_of(ch_validate_stage(rq)),
                     "x UNKNOWN_FIELD, name CONFLICT, tags MISSING_FIELD");
    rq = arrive(&route, NULL, "{\"name\":\"good\",\"tags\":[]}");
    ck_assert_ptr_null(ch_validate_stage(rq));
}
END_TEST

CH_SUITE_MAIN("web/validate", CH_EACH(faults_of_bodies, bodies),
              CH_EACH(faults_of_forms, forms), CH_ONCE(values_of_forms),
              CH_ONCE(a_form_of_too_many_pairs),
              CH_ONCE(a_create_gets_defaults), CH_ONCE(an_update_gets_none),
              CH_ONCE(null_is_given), CH_ONCE(a_bit_for_each_row),
              CH_ONCE(an_offset_of_no_row),
              CH_ONCE(path_query_header_body_missing),
              CH_ONCE(at_most_a_hundred), CH_EACH(parameters, params),
              CH_ONCE(ids_become_lower_case),
              CH_EACH(faults_of_queries, queries), CH_ONCE(values_of_queries),
              CH_ONCE(the_body_of_a_get), CH_ONCE(a_table_checks_itself))
