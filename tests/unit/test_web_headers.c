/* Tests of what web/validate reads beside the fields: Idempotency-Key,
 * If-Match, the rules of paging, and what a cursor is bound to. */
#include "ch_request.h"

typedef struct {
    ch_page_in_t page;
    int order;
    const char *folder;
    const apr_array_header_t *tags;
    const char *search;
} list_t;

static const char *const orders[] = { "asc", "desc" };

static const ch_field_t list_rows[] = {
    CH_PAGE_ROWS(list_t, page, "20"),
    { .name = "sortOrder",
      CH_IN(list_t, order, CH_T_ENUM),
      CH_CHOICES(orders),
      .def = "\"desc\"" },
    { .name = "folder",
      CH_IN(list_t, folder, CH_T_UUID),
      .flags = CH_SPECIAL,
      .extra = "none" },
    { .name = "tag",
      CH_IN(list_t, tags, CH_T_STRS),
      .flags = CH_REPEAT,
      .max = 3,
      .item_min = 1,
      .item_max = 4 },
    { .name = "search",
      CH_IN(list_t, search, CH_T_STR),
      .min = 1,
      .max = 100 },
};

static const ch_fields_t list_table = CH_FIELDS(list_t, list_rows);

static const ch_route_t list = { .method = CH_GET,
                                 .path = "/api/v1/things",
                                 .query = &list_table };
static const ch_route_t other = { .method = CH_GET,
                                  .path = "/api/v1/others",
                                  .query = &list_table };
static const ch_route_t versions = { .method = CH_GET,
                                     .path = "/api/v1/things/{id}/versions",
                                     .query = &list_table };
static const ch_route_t idempotent = { .method = CH_POST,
                                       .path = "/api/v1/things",
                                       .flags = CH_IDEMPOTENT };
static const ch_route_t versioned = { .method = CH_POST,
                                      .path = "/api/v1/things",
                                      .flags = CH_VERSIONED };
static const ch_route_t versioned_get = { .method = CH_GET,
                                          .path = "/api/v1/things",
                                          .flags = CH_VERSIONED };
static const ch_route_t bare = { .method = CH_POST, .path = "/api/v1/act" };

static ch_req_t *arrive(const ch_route_t *route, const char *args)
{
    ch_req_t *rq = ch_request_make(route->method, route->path);

    rq->route = route;
    rq->args = args;
    return rq;
}

/* --- Idempotency-Key ------------------------------------------------------
 */

#define FIFTY "12345678901234567890123456789012345678901234567890"
#define KEY255 FIFTY FIFTY FIFTY FIFTY FIFTY "12345"

static const struct {
    const char *header;
    const char *key; /* NULL = refused */
} keys[] = {
    { "a", "a" },
    { "a b~!", "a b~!" },
    { KEY255, KEY255 },
    { KEY255 "6", NULL },
    { "\"a\"", "a" },
    { "\" a \"", " a " },
    { "\"" KEY255 "\"", KEY255 },
    { "\"" KEY255 "6\"", NULL },
    { "", NULL },
    { "\"\"", NULL },
    { "\"a", "\"a" },
    { "a\"", "a\"" },
    { "a\tb", NULL },
    { "a\x7F", NULL },
    { "a\x1F", NULL },
    { "\xC3\xA9", NULL },
    { "a\x80", NULL },
    { "8e03978e-40d5-43e8-bc93-6894a57f9324",
      "8e03978e-40d5-43e8-bc93-6894a57f9324" },
};

START_TEST(idempotency_keys)
{
    ch_req_t *rq = arrive(&idempotent, NULL);
    const char *header = keys[_i].header;
    ch_err_t *err;

    ch_request_header(rq, "Idempotency-Key",
                      ch_check_copy(header, strlen(header) + 1));
    err = ch_validate_stage(rq);
    ck_assert_pstr_eq(rq->idem_key, keys[_i].key);
    ck_assert_str_eq(ch_faults_of(err),
                     keys[_i].key ? "" : "idempotency-key INVALID_FORMAT");
}
END_TEST

START_TEST(no_key_wanted)
{
    ch_req_t *rq = arrive(&bare, NULL);

    ch_request_header(rq, "Idempotency-Key", "\x01");
    ck_assert_ptr_null(ch_validate_stage(rq));
    ck_assert_ptr_null(rq->idem_key);
    rq = arrive(&idempotent, NULL);
    ck_assert_ptr_null(ch_validate_stage(rq));
    ck_assert_ptr_null(rq->idem_key);
}
END_TEST

/* --- If-Match -------------------------------------------------------------
 */

static const struct {
    const char *header;
    const char *versions; /* "*" = any */
} matches[] = {
    { "\"v1\"", "1 " },
    { "\"v2147483647\"", "2147483647 " },
    { "*", "*" },
    { " \t*", "*" },
    { "\"v1\", \"v2\",\"v3\"", "1 2 3 " },
    { "\"v1\" ,\t\"v2\"", "1 2 " },
    { ",,\"v1\",,", "1 " },
    /* what a compressing filter made of our tag */
    { "\"v5-gzip\"", "5 " },
    { "\"v5-gzip\", \"v6\"", "5 6 " },
    { "\"v5-br\"", "5 " },
    { "\"v5-br\",\"v6-gzip\"", "5 6 " },
    { "W/\"v5-br\"", "" },
    /* weak ones match nothing */
    { "W/\"v1\"", "" },
    { "W/\"v1-gzip\"", "" },
    { "W/\"v1\", \"v2\"", "2 " },
    { "w/\"v1\"", "" },
    /* others are somebody else's */
    { "", "" },
    { "\"\"", "" },
    { "\"v\"", "" },
    { "\"v1", "" },
    { "\"v12", "" },
    { "v1\"", "" },
    { "v1", "" },
    { "1", "" },
    { "\"1\"", "" },
    { "\"V1\"", "" },
    { "\"v1x\"", "" },
    { "\"vx1\"", "" },
    { "\"v01\"", "" },
    { "\"v0\"", "" },
    { "\"v1.0\"", "" },
    { "\"v 1\"", "" },
    { "\"v+1\"", "" },
    { "\"v1-bro\"", "" },
    { "\"-br\"", "" },
    { "\"v-br\"", "" },
    { "\"v-gzip\"", "" },
    { "\"v1-gzip-gzip\"", "" },
    { "\"v1\"x", "" },
    { "\"v2147483648\"", "" },
    { "\"v99999999999999999999\"", "" },
    { "\"*\"", "" },
};

static const char *show_versions(const ch_req_t *rq)
{
    const char *text = "";
    int i;

    if (rq->if_match == NULL) {
        return "*";
    }
    ck_assert_ptr_nonnull(rq->if_match);
    for (i = 0; i < rq->if_match->nelts; i++) {
        text = apr_psprintf(pool, "%s%" APR_INT64_T_FMT " ", text,
                            APR_ARRAY_IDX(rq->if_match, i, apr_int64_t));
    }
    return text;
}

START_TEST(if_match)
{
    ch_req_t *rq = arrive(&versioned, NULL);
    const char *header = matches[_i].header;

    ch_request_header(rq, "If-Match",
                      ch_check_copy(header, strlen(header) + 1));
    ck_assert_ptr_null(ch_validate_stage(rq));
    ck_assert_str_eq(show_versions(rq), matches[_i].versions);
}
END_TEST

START_TEST(no_condition)
{
    static const ch_route_t *const deaf[] = { &bare, &versioned_get,
                                              &versioned };
    size_t i;

    for (i = 0; i < CH_COUNT(deaf); i++) {
        ch_req_t *rq = arrive(deaf[i], NULL);

        if (deaf[i] != &versioned) {
            ch_request_header(rq, "If-Match", "\"v1\"");
        }
        ck_assert_ptr_null(ch_validate_stage(rq));
        ck_assert_ptr_null(rq->if_match);
    }
}
END_TEST

/* --- paging ---------------------------------------------------------------
 */

#define CURSOR512                                                             \
    FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY "123456789012"

static const struct {
    const char *args;
    const char *faults;
} pages[] = {
    { "page=1&limit=1", "" },
    { "page=10000&limit=100", "" },
    { "page=0", "page TOO_SMALL" },
    { "page=10001", "page TOO_LARGE" },
    { "limit=0", "limit TOO_SMALL" },
    { "limit=101", "limit TOO_LARGE" },
    { "page=-1&limit=x", "page TOO_SMALL, limit WRONG_TYPE" },
    { "page=1&page=1", "page DUPLICATE" },
    { "cursor=abc&limit=5", "" },
    { "cursor=", "" },
    { "cursor", "" },
    { "cursor=" CURSOR512, "" },
    { "cursor=" CURSOR512 "3", "cursor TOO_LONG" },
    { "cursor=a&cursor=b", "cursor DUPLICATE" },
    { "cursor=&cursor=", "cursor DUPLICATE" },
    /* one way of paging at a time */
    { "cursor=a&page=1", "cursor INVALID_VALUE" },
    { "page=2&cursor=", "cursor INVALID_VALUE" },
    { "cursor=a&page=", "" },
    { "sortOrder=ASC", "sortOrder INVALID_VALUE" },
    { "folder=none", "" },
    { "folder=None", "folder INVALID_FORMAT" },
    { "tag=a&tag=b&tag=a", "" },
    { "tag=a&tag=b&tag=c&tag=d", "tag TOO_MANY" },
    { "tag=&tag=", "" },
    { "tag=abcde&tag=a%01", "tag TOO_LONG, tag INVALID_FORMAT" },
};

START_TEST(paging)
{
    ck_assert_str_eq(
        ch_faults_of(ch_validate_stage(arrive(&list, pages[_i].args))),
        pages[_i].faults);
}
END_TEST

static const list_t *list_of(const char *args)
{
    ch_req_t *rq = arrive(&list, args);

    ck_assert_ptr_null(ch_validate_stage(rq));
    return rq->query;
}

START_TEST(modes_of_paging)
{
    const list_t *in = list_of(NULL);

    ck_assert_int_eq(in->page.page, 1);
    ck_assert_int_eq(in->page.limit, 20);
    ck_assert_ptr_null(in->page.cursor);
    ck_assert_int_eq(in->order, 1);
    ck_assert_ptr_null(in->tags);
    in = list_of("page=&limit=&cursor=");
    ck_assert_int_eq(in->page.page, 1);
    ck_assert_int_eq(in->page.limit, 20);
    ck_assert_str_eq(in->page.cursor, "");
    in = list_of("cursor=%20a+&limit=7&tag=x&tag=y&sortOrder=asc");
    ck_assert_str_eq(in->page.cursor, " a ");
    ck_assert_int_eq(in->page.limit, 7);
    ck_assert_int_eq(in->order, 0);
    ck_assert_int_eq(in->tags->nelts, 2);
}
END_TEST

/* --- what a cursor is bound to --------------------------------------------
 */

static const char *binding(const ch_route_t *route, const char *user,
                           const char *id, const char *args)
{
    static ch_principal_t who;
    ch_req_t *rq = arrive(route, args);

    who.user_id = user;
    rq->who = user ? &who : NULL;
    rq->match.param[0] = id;
    rq->match.param_count = id != NULL;
    ck_assert_ptr_null(ch_validate_stage(rq));
    ck_assert_ptr_nonnull(rq->filter_key);
    return rq->filter_key;
}

static const char *const same[] = {
    "",
    "cursor=",
    "cursor=abc",
    "page=7",
    "limit=7&cursor=x",
    "sortOrder=desc",
    "sortOrder=&folder=&tag=",
    "cursor=a&sortOrder=desc&limit=3",
};

START_TEST(paging_binds_nothing)
{
    ck_assert_str_eq(binding(&list, "u", NULL, same[_i]),
                     binding(&list, "u", NULL, NULL));
}
END_TEST

#define ID1 "0198a000-0000-7000-8000-000000000001"
#define ID2 "0198a000-0000-7000-8000-000000000002"

START_TEST(everything_else_binds)
{
    const char *all[14];
    size_t i, k;

    all[0] = binding(&list, "u", NULL, NULL);
    all[1] = binding(&list, "v", NULL, NULL);
    all[2] = binding(&list, NULL, NULL, NULL);
    all[3] = binding(&versions, "u", ID1, NULL);
    all[4] = binding(&versions, "u", ID2, NULL);
    all[5] = binding(&list, "u", NULL, "sortOrder=asc");
    all[6] = binding(&list, "u", NULL, "folder=none");
    all[7] = binding(&list, "u", NULL, "folder=" ID1);
    all[8] = binding(&list, "u", NULL, "tag=a");
    all[9] = binding(&list, "u", NULL, "tag=a&tag=b");
    all[10] = binding(&list, "u", NULL, "search=a");
    all[11] = binding(&list, "u", NULL, "search=none");
    all[12] = binding(&list, "u", NULL, "tag=ab");
    all[13] = binding(&other, "u", NULL, NULL);
    for (i = 0; i < CH_COUNT(all); i++) {
        for (k = 0; k < i; k++) {
            ck_assert_str_ne(all[i], all[k]);
        }
    }
}
END_TEST

/* The order of the parameters is of no matter. */
START_TEST(order_does_not_bind)
{
    ck_assert_str_eq(
        binding(&list, "u", NULL, "tag=a&search=x&cursor=&sortOrder=asc"),
        binding(&list, "u", NULL, "sortOrder=asc&search=x&tag=a"));
}
END_TEST

CH_SUITE_MAIN("web/validate: headers and paging",
              CH_EACH(idempotency_keys, keys), CH_ONCE(no_key_wanted),
              CH_EACH(if_match, matches), CH_ONCE(no_condition),
              CH_EACH(paging, pages), CH_ONCE(modes_of_paging),
              CH_EACH(paging_binds_nothing, same),
              CH_ONCE(everything_else_binds), CH_ONCE(order_does_not_bind))
