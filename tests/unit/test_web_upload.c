/* Tests of web/upload: a file and fields in multipart/form-data, from the body
 * to the struct that a handler reads. */
#include "ch_request.h"

typedef struct {
    const char *name;
    const apr_array_header_t *tags;
    apr_int64_t count;
    int open;
    int kind;
    const char *data;
    const char *more;
} thing_t;

static const char *const kinds[] = { "auto", "fine" };

static const ch_field_t rows[] = {
    { .name = "name", CH_IN(thing_t, name, CH_T_STR), .min = 1, .max = 9,
      .flags = CH_NULLABLE },
    { .name = "tags", CH_IN(thing_t, tags, CH_T_STRS), .max = 3,
      .item_min = 1, .item_max = 5, .flags = CH_UNIQUE },
    { .name = "count", CH_IN(thing_t, count, CH_T_INT), .min = 0, .max = 9,
      .def = "7" },
    { .name = "open", CH_IN(thing_t, open, CH_T_BOOL) },
    { .name = "kind", CH_IN(thing_t, kind, CH_T_ENUM), CH_CHOICES(kinds),
      .def = "\"auto\"" },
    { .name = "data", CH_IN(thing_t, data, CH_T_TEXT), .max = 9,
      .flags = CH_REQUIRED | CH_NOT_UPLOAD },
    { .name = "more", CH_IN(thing_t, more, CH_T_OBJECT), .max = 99 },
};

static const ch_field_t strict_rows[] = {
    { .name = "name", CH_IN(thing_t, name, CH_T_STR), .min = 1, .max = 9,
      .flags = CH_REQUIRED },
    { .name = "tags", CH_IN(thing_t, tags, CH_T_STRS), .min = 2, .max = 3,
      .item_min = 1, .item_max = 5 },
};

static const ch_fields_t fields = CH_FIELDS(thing_t, rows);
static const ch_fields_t strict = CH_FIELDS(thing_t, strict_rows);

static const ch_route_t route = { .method = CH_POST,
                                  .path = "/x",
                                  .body = &fields,
                                  .upload_max =
                                      offsetof(ch_conf_t, import_limit) };
static const ch_route_t strict_route = {
    .method = CH_POST,
    .path = "/y",
    .body = &strict,
    .upload_max = offsetof(ch_conf_t, import_limit)
};
static const ch_route_t plain_route = { .method = CH_POST,
                                        .path = "/z",
                                        .body = &fields };

static ch_req_t *send_body(const ch_route_t *to, const char *type,
                           const char *body)
{
    ch_req_t *rq = ch_request_make(CH_POST, to->path);

    rq->route = to;
    conf->import_limit = 10;
    server.body = body;
    server.body_len = strlen(body);
    rq->body_size = (apr_off_t)server.body_len;
    apr_table_setn(rq->in, "Content-Type", type);
    return rq;
}

/* The codes and fields of an error: "VALIDATION_ERROR DUPLICATE:file". */
static const char *words_of(const ch_err_t *err)
{
    const char *words = err ? ch_code_name(err->code) : "";
    int i;

    for (i = 0; err && err->details && i < err->details->nelts; i++) {
        const ch_detail_t *detail =
            &APR_ARRAY_IDX(err->details, i, ch_detail_t);

        words = apr_pstrcat(pool, words, " ", detail->code, ":",
                            detail->field, NULL);
    }
    return words;
}

static const char *take(ch_req_t *rq)
{
    ch_err_t *err = ch_body_stage(rq);

    return words_of(err ? err : ch_validate_stage(rq));
}

#define TYPE "multipart/form-data; boundary=b"
#define PART(name, text)                                                      \
    "--b\r\nContent-Disposition: form-data; name=" name "\r\n\r\n" text "\r\n"
#define FILE_PART(text)                                                       \
    "--b\r\nContent-Disposition: form-data; name=file; filename=x.json\r\n"  \
    "Content-Type: application/json\r\n\r\n" text "\r\n"
#define END "--b--\r\n"

static const struct {
    const char *body;
    const char *words;
} bodies[] = {
    { FILE_PART("0123456789") END, "" },
    { FILE_PART("") END, "" },
    { PART("file", "1") END, "" },
    { FILE_PART("1") PART("name", "") PART("tags", "") END, "" },
    { FILE_PART("01234567890") END, "PAYLOAD_TOO_LARGE" },
    { "", "VALIDATION_ERROR" },
    { "{}", "VALIDATION_ERROR" },
    { FILE_PART("1"), "VALIDATION_ERROR" },
    { END, "VALIDATION_ERROR MISSING_FIELD:file" },
    { PART("name", "x") END, "VALIDATION_ERROR MISSING_FIELD:file" },
    { FILE_PART("1") FILE_PART("2") END, "VALIDATION_ERROR DUPLICATE:file" },
    { FILE_PART("1") PART("other", "") END,
      "VALIDATION_ERROR UNKNOWN_FIELD:other" },
    { FILE_PART("1") PART("data", "x") PART("more", "{}") END,
      "VALIDATION_ERROR UNKNOWN_FIELD:data UNKNOWN_FIELD:more" },
    { FILE_PART("1") PART("name", "x") PART("name", "y") END,
      "VALIDATION_ERROR DUPLICATE:name" },
    { FILE_PART("1") PART("name", "\xff") END,
      "VALIDATION_ERROR INVALID_FORMAT:name" },
    { FILE_PART("1") PART("name", "0123456789") PART("count", "x")
          PART("open", "1") PART("kind", "bad") END,
      "VALIDATION_ERROR TOO_LONG:name WRONG_TYPE:count WRONG_TYPE:open "
      "INVALID_VALUE:kind" },
    { FILE_PART("1") PART("tags", "a,toolong") END,
      "VALIDATION_ERROR TOO_LONG:tags" },
    { FILE_PART("1") PART("tags", "a,b,c,d,e,f") END,
      "VALIDATION_ERROR TOO_MANY:tags" },
};

START_TEST(bodies_and_faults)
{
    ch_req_t *rq = send_body(&route, TYPE, bodies[_i].body);

    ck_assert_str_eq(take(rq), bodies[_i].words);
    ck_assert_int_eq(rq->upload != NULL && !*bodies[_i].words,
                     !*bodies[_i].words);
}
END_TEST

START_TEST(what_a_handler_reads)
{
    ch_req_t *rq = send_body(&route, TYPE,
                             PART("name", " N\xc3\xa4me ")
                                 FILE_PART("{\"a\":1\r\n}")
                                 PART("tags", "a, b ,,a,") PART("open", "true")
                                 PART("kind", "fine") END);
    const thing_t *thing;
    char data[20];
    size_t len = sizeof(data);

    ck_assert_str_eq(take(rq), "");
    thing = rq->body;
    ck_assert_str_eq(thing->name, "N\xc3\xa4me");
    ck_assert_int_eq(thing->tags->nelts, 2);
    ck_assert_str_eq(APR_ARRAY_IDX(thing->tags, 1, const char *), "b");
    ck_assert_int_eq(thing->count, 7);
    ck_assert_int_eq(thing->open, 1);
    ck_assert_int_eq(thing->kind, 1);
    ck_assert(CH_GIVEN(rq, thing_t, name) && CH_GIVEN(rq, thing_t, tags));
    ck_assert(!CH_GIVEN(rq, thing_t, count) && !CH_GIVEN(rq, thing_t, data));
    ck_assert_ptr_null(rq->json);
    ck_assert_ptr_nonnull(rq->raw_body.data);
    ck_assert_str_eq(rq->upload->filename, "x.json");
    ck_assert_str_eq(rq->upload->media, "application/json");
    ck_assert_int_eq(rq->upload->size, 9);
    ck_assert_int_eq(strlen(rq->upload->sha256), 64);
    ck_assert_int_eq(apr_file_read(rq->upload->file, data, &len),
                     APR_SUCCESS);
    ck_assert_uint_eq(len, 9);
    ck_assert_mem_eq(data, "{\"a\":1\r\n}", 9);
}
END_TEST

START_TEST(fields_beside_the_file)
{
    ck_assert_str_eq(take(send_body(&strict_route, TYPE,
                                    FILE_PART("1") PART("name", "x")
                                        PART("tags", "a,b") END)),
                     "");
    ck_assert_str_eq(take(send_body(&strict_route, TYPE,
                                    FILE_PART("1") PART("tags", "a") END)),
                     "VALIDATION_ERROR TOO_FEW:tags MISSING_FIELD:name");
}
END_TEST

START_TEST(json_as_ever)
{
    ch_req_t *rq =
        send_body(&route, "application/json", "{\"data\":\"x\"}");

    ck_assert_str_eq(take(rq), "");
    ck_assert_ptr_null(rq->upload);
    ck_assert_str_eq(take(send_body(&route, "application/json", "{}")),
                     "VALIDATION_ERROR MISSING_FIELD:data");
    ck_assert_str_eq(
        take(send_body(&route, "application/json",
                       "{\"data\":\"x\",\"file\":\"y\"}")),
        "VALIDATION_ERROR UNKNOWN_FIELD:file");
    ck_assert_str_eq(take(send_body(&route, "text/plain", "x")),
                     "UNSUPPORTED_MEDIA_TYPE");
    ck_assert_str_eq(take(send_body(&route, "multipart/mixed; boundary=b",
                                    FILE_PART("1") END)),
                     "UNSUPPORTED_MEDIA_TYPE");
}
END_TEST

START_TEST(only_where_it_is_said)
{
    ck_assert_str_eq(take(send_body(&plain_route, TYPE, FILE_PART("1") END)),
                     "UNSUPPORTED_MEDIA_TYPE");
}
END_TEST

START_TEST(too_much_text)
{
    ch_buf_t *body = ch_buf_make(pool, 300000, 400000);
    int i;

    ch_buf_puts(body, PART("file", "1"));
    for (i = 0; i < 2; i++) {
        ch_buf_printf(body, PART("name", "%0*d"), 131072 + i, 0);
    }
    ch_buf_puts(body, END);
    ck_assert_str_eq(take(send_body(&route, TYPE, ch_buf_cstr(body))),
                     "PAYLOAD_TOO_LARGE");
}
END_TEST

/* With the length given nothing is read at all. */
START_TEST(far_too_long)
{
    char *body = apr_palloc(pool, 1u << 20);
    ch_req_t *rq;

    memset(body, '-', 1u << 20);
    body[(1u << 20) - 1] = '\0';
    rq = send_body(&route, TYPE, body);
    ck_assert_str_eq(take(rq), "PAYLOAD_TOO_LARGE");
    ck_assert_ptr_null(rq->raw_body.data);
}
END_TEST

static const char *sum_of(const char *type, const char *body)
{
    ch_req_t *rq = send_body(&route, type, body);

    ck_assert_str_eq(words_of(ch_body_stage(rq)), "");
    return rq->upload->sha256;
}

/* A repeat has another boundary and is the same. */
START_TEST(the_hash_is_of_what_was_said)
{
    const char *const others[] = {
        FILE_PART("12") PART("name", "y") END,
        FILE_PART("13") PART("name", "x") END,
        FILE_PART("12x") PART("name", "") END,
        FILE_PART("12") PART("namex", "") END,
        PART("name", "x") FILE_PART("12") END,
        PART("file", "12") PART("name", "x") END,
        FILE_PART("12") END,
    };
    const char *sum = sum_of(TYPE, FILE_PART("12") PART("name", "x") END);
    size_t i;

    ck_assert_str_eq(
        sum, sum_of("multipart/form-data; boundary=\"c d\"",
                    "x\r\n--c d \r\nContent-Disposition: form-data; "
                    "name=\"file\"; filename=\"x.json\"\r\n\r\n12\r\n--c d"
                    "\r\nContent-Disposition: form-data; name=\"name\"\r\n"
                    "\r\nx\r\n--c d--"));
    for (i = 0; i < CH_COUNT(others); i++) {
        ck_assert_str_ne(sum, sum_of(TYPE, others[i]));
    }
}
END_TEST

CH_SUITE_MAIN("web/upload", CH_EACH(bodies_and_faults, bodies),
              CH_ONCE(what_a_handler_reads), CH_ONCE(fields_beside_the_file),
              CH_ONCE(json_as_ever), CH_ONCE(only_where_it_is_said),
              CH_ONCE(too_much_text), CH_ONCE(far_too_long),
              CH_ONCE(the_hash_is_of_what_was_said))
