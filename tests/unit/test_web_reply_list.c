/* Tests of web/reply: lists, the arithmetic of pages, and cursors that lead
 * to the row behind the last one. */
#include "ch_request.h"
#include "ch_rows.h"

#include "base/json.h"
#include "web/reply.h"

static const ch_field_t out_rows[] = {
    { .name = "id", .type = CH_T_UUID },
    { .name = "title", .type = CH_T_STR },
};

static const ch_fields_t out = { .rows = out_rows, .count = 2 };

static const ch_route_t route = { .method = CH_GET,
                                  .path = "/api/v1/things",
                                  .flags = CH_LIST,
                                  .ok = 200,
                                  .out = &out };

static ch_req_t *arrive(void)
{
    ch_req_t *rq = ch_request_make(CH_GET, route.path);

    memset(conf->cursor_key, 7, sizeof(conf->cursor_key));
    rq->route = &route;
    rq->filter_key = "things of u";
    return rq;
}

/* `count` rows "1", "2", … of total; none is one row without an id, as a
 * statement for pages gives it. */
static const ch_rows_t *make_rows(int count, const char *total)
{
    ch_rows_t *rows = apr_pcalloc(pool, sizeof(*rows));
    const char **cells =
        apr_pcalloc(pool, sizeof(*cells) * 4 * (size_t)(count + 1));
    int i;

    for (i = 0; i < count || i == 0; i++) {
        cells[4 * i] = total;
        cells[4 * i + 1] = count ? apr_itoa(pool, i + 1) : NULL;
        cells[4 * i + 2] = count ? apr_psprintf(pool, "t%d", i + 1) : NULL;
        cells[4 * i + 3] = cells[4 * i + 2];
    }
    rows->names[0] = "total";
    rows->names[1] = "id";
    rows->names[2] = "title";
    rows->names[3] = "sort_title";
    rows->count = i;
    rows->cells = cells;
    return rows;
}

static const ch_json_t *member(const ch_json_t *object, const char *name)
{
    const ch_json_t *value = ch_json_get(object, name);

    ck_assert_ptr_nonnull(value);
    return value;
}

/* The data of the answer. */
static const ch_json_t *data_of(const ch_req_t *rq)
{
    const char *body = ch_buf_cstr(rq->reply.body);
    const ch_json_t *json;

    ck_assert_int_eq(rq->reply.status, 200);
    ck_assert_ptr_null(ch_json_parse(pool, body, strlen(body), 9, &json));
    return member(json, "data");
}

static const char *next_of(const ch_req_t *rq)
{
    const ch_json_t *next =
        member(member(data_of(rq), "pagination"), "nextCursor");
    size_t len;

    return ch_json_type(next) == CH_JSON_NULL ? NULL
                                              : ch_json_string(next, &len);
}

/* The pagination with "C" in the place of a cursor. */
static const char *show(const ch_req_t *rq)
{
    const char *text = ch_json_dump(pool, member(data_of(rq), "pagination"));
    const char *next = next_of(rq);
    const char *at;

    if (!next) {
        return text;
    }
    at = strstr(text, next);
    ck_assert_ptr_nonnull(at);
    return apr_pstrcat(pool, apr_pstrmemdup(pool, text, (size_t)(at - text)),
                       "C", at + strlen(next), NULL);
}

static const char *items_of(const ch_req_t *rq)
{
    return ch_json_dump(pool, member(data_of(rq), "items"));
}

static ch_list_t by_title(const ch_rows_t *rows)
{
    const ch_list_t list = { .rows = rows, .sort_column = "sort_title" };

    return list;
}

/* --- pages by number ------------------------------------------------------
 */

#define NEXT "\"hasNext\":true"
#define NO_NEXT "\"hasNext\":false"
#define PREV "\"hasPrev\":true"
#define NO_PREV "\"hasPrev\":false"

static const struct {
    ch_page_in_t page;
    int rows;
    const char *total;
    const char *shown;
} pages[] = {
    { { 1, 20, NULL },
      0,
      "0",
      "{\"page\":1,\"limit\":20,\"total\":0,\"totalPages\":0," NO_NEXT
      "," NO_PREV ",\"nextCursor\":null}" },
    { { 1, 20, NULL },
      1,
      "1",
      "{\"page\":1,\"limit\":20,\"total\":1,\"totalPages\":1," NO_NEXT
      "," NO_PREV ",\"nextCursor\":null}" },
    { { 1, 2, NULL },
      2,
      "2",
      "{\"page\":1,\"limit\":2,\"total\":2,\"totalPages\":1," NO_NEXT
      "," NO_PREV ",\"nextCursor\":null}" },
    { { 1, 2, NULL },
      2,
      "3",
      "{\"page\":1,\"limit\":2,\"total\":3,\"totalPages\":2," NEXT "," NO_PREV
      ",\"nextCursor\":\"C\"}" },
    { { 2, 2, NULL },
      1,
      "3",
      "{\"page\":2,\"limit\":2,\"total\":3,\"totalPages\":2," NO_NEXT "," PREV
      ",\"nextCursor\":null}" },
    { { 2, 2, NULL },
      2,
      "5",
      "{\"page\":2,\"limit\":2,\"total\":5,\"totalPages\":3," NEXT "," PREV
      ",\"nextCursor\":\"C\"}" },
    /* past the end */
    { { 3, 2, NULL },
      0,
      "3",
      "{\"page\":3,\"limit\":2,\"total\":3,\"totalPages\":2," NO_NEXT "," PREV
      ",\"nextCursor\":null}" },
    { { 10000, 100, NULL },
      0,
      "0",
      "{\"page\":10000,\"limit\":100,\"total\":0,\"totalPages\":0," NO_NEXT
      "," PREV ",\"nextCursor\":null}" },
    { { 1, 1, NULL },
      1,
      "3000000000",
      "{\"page\":1,\"limit\":1,\"total\":3000000000,\"totalPages\":3000000000," NEXT
      "," NO_PREV ",\"nextCursor\":\"C\"}" },
    /* a total without rows leads nowhere */
    { { 1, 2, NULL },
      0,
      "9",
      "{\"page\":1,\"limit\":2,\"total\":9,\"totalPages\":5," NO_NEXT
      "," NO_PREV ",\"nextCursor\":null}" },
    /* by cursor: one row more than the limit was asked for */
    { { 1, 2, "" },
      0,
      NULL,
      "{\"page\":null,\"limit\":2,\"total\":null,\"totalPages\":null," NO_NEXT
      "," NO_PREV ",\"nextCursor\":null}" },
    { { 1, 2, "" },
      2,
      NULL,
      "{\"page\":null,\"limit\":2,\"total\":null,\"totalPages\":null," NO_NEXT
      "," NO_PREV ",\"nextCursor\":null}" },
    { { 1, 2, "" },
      3,
      NULL,
      "{\"page\":null,\"limit\":2,\"total\":null,\"totalPages\":null," NEXT
      "," NO_PREV ",\"nextCursor\":\"C\"}" },
    { { 1, 2, "x" },
      3,
      NULL,
      "{\"page\":null,\"limit\":2,\"total\":null,\"totalPages\":null," NEXT
      "," PREV ",\"nextCursor\":\"C\"}" },
    { { 1, 2, "x" },
      1,
      NULL,
      "{\"page\":null,\"limit\":2,\"total\":null,\"totalPages\":null," NO_NEXT
      "," PREV ",\"nextCursor\":null}" },
};

START_TEST(pagination)
{
    ch_req_t *rq = arrive();
    const ch_list_t list =
        by_title(make_rows(pages[_i].rows, pages[_i].total));

    ck_assert_ptr_null(ch_reply_list(rq, &pages[_i].page, &list, "m"));
    ck_assert_str_eq(show(rq), pages[_i].shown);
    ck_assert_str_eq(ch_answer_header(rq, "ETag"), "");
    ck_assert_ptr_null(rq->reply.cache_control);
}
END_TEST

START_TEST(items)
{
    const ch_page_in_t by_number = { 1, 2, NULL };
    const ch_page_in_t by_cursor = { 1, 2, "" };
    ch_list_t list = by_title(make_rows(2, "9"));
    ch_req_t *rq = arrive();

    ck_assert_ptr_null(ch_reply_list(rq, &by_number, &list, "m"));
    ck_assert_str_eq(items_of(rq), "[{\"id\":\"1\",\"title\":\"t1\"},"
                                   "{\"id\":\"2\",\"title\":\"t2\"}]");
    /* the row too many is not shown */
    list = by_title(make_rows(3, NULL));
    rq = arrive();
    ck_assert_ptr_null(ch_reply_list(rq, &by_cursor, &list, "m"));
    ck_assert_str_eq(items_of(rq), "[{\"id\":\"1\",\"title\":\"t1\"},"
                                   "{\"id\":\"2\",\"title\":\"t2\"}]");
    list = by_title(make_rows(0, "0"));
    rq = arrive();
    ck_assert_ptr_null(ch_reply_list(rq, &by_number, &list, "m"));
    ck_assert_str_eq(items_of(rq), "[]");
}
END_TEST

/* A statement by cursor gives no row at all at the end. */
START_TEST(no_row_at_all)
{
    const ch_page_in_t page = { 1, 2, "x" };
    const ch_rows_t none = { .names = { "id", "title" } };
    const ch_list_t list = { .rows = &none };
    ch_req_t *rq = arrive();

    ck_assert_ptr_null(ch_reply_list(rq, &page, &list, "m"));
    ck_assert_str_eq(items_of(rq), "[]");
    ck_assert_ptr_null(next_of(rq));
}
END_TEST

/* --- what the statement is asked for --------------------------------------
 */

static const struct {
    ch_page_in_t page;
    int fetch, offset, total;
} asked[] = {
    { { 1, 20, NULL }, 20, 0, 1 },
    { { 2, 20, NULL }, 20, 20, 1 },
    { { 10000, 100, NULL }, 100, 999900, 1 },
    { { 1, 20, "" }, 21, 0, 0 },
    { { 7, 1, "x" }, 2, 0, 0 },
};

START_TEST(asks)
{
    const ch_page_in_t *page = &asked[_i].page;

    ck_assert_int_eq(ch_page_fetch(page), asked[_i].fetch);
    ck_assert_int_eq(ch_page_offset(page), asked[_i].offset);
    ck_assert_int_eq(ch_page_wants_total(page), asked[_i].total);
}
END_TEST

/* --- cursors --------------------------------------------------------------
 */

/* The cursor of a list whose last row shown is `count`. */
static const char *cursor_of(const ch_list_t *list, int limit)
{
    const ch_page_in_t page = { 1, limit, "" };
    ch_req_t *rq = arrive();

    ck_assert_ptr_null(ch_reply_list(rq, &page, list, "m"));
    return next_of(rq);
}

static ch_err_t *open_cursor(ch_req_t *rq, const char *cursor,
                             const char *values[2], int *after)
{
    const ch_page_in_t page = { 1, 2, cursor };

    values[0] = values[1] = "untouched";
    *after = -1;
    return ch_page_open_cursor(rq, &page, values, after);
}

START_TEST(leads_behind_the_last_row)
{
    const ch_list_t list = by_title(make_rows(4, NULL));
    const char *values[2];
    int after;

    ck_assert_ptr_null(
        open_cursor(arrive(), cursor_of(&list, 3), values, &after));
    ck_assert_int_eq(after, 1);
    ck_assert_str_eq(values[0], "t3");
    ck_assert_str_eq(values[1], "3");
}
END_TEST

START_TEST(other_columns)
{
    ch_list_t list = { .rows = make_rows(2, NULL), .id_column = "title" };
    const char *values[2];
    int after;

    ck_assert_ptr_null(
        open_cursor(arrive(), cursor_of(&list, 1), values, &after));
    ck_assert_ptr_null(values[0]);
    ck_assert_str_eq(values[1], "t1");
    /* a sort value that is NULL stays so */
    list.id_column = NULL;
    list.sort_column = "total";
    ck_assert_ptr_null(
        open_cursor(arrive(), cursor_of(&list, 1), values, &after));
    ck_assert_ptr_null(values[0]);
    ck_assert_str_eq(values[1], "1");
}
END_TEST

/* A title too long for a cursor is left out. */
START_TEST(a_long_sort_value)
{
    char *title = apr_palloc(pool, 501);
    const ch_rows_t rows = { .names = { "id", "title" },
                             .count = 2,
                             .cells = (const char *const[]){ "1", title, "2",
                                                             title } };
    const ch_list_t list = { .rows = &rows, .sort_column = "title" };
    const char *values[2];
    const char *cursor;
    int after;

    memset(title, 'x', 500);
    title[500] = '\0';
    cursor = cursor_of(&list, 1);
    ck_assert_ptr_nonnull(cursor);
    ck_assert_ptr_null(open_cursor(arrive(), cursor, values, &after));
    ck_assert_int_eq(after, 1);
    ck_assert_ptr_null(values[0]);
    ck_assert_str_eq(values[1], "1");
}
END_TEST

START_TEST(the_first_page)
{
    const char *values[2];
    int after;

    ck_assert_ptr_null(open_cursor(arrive(), NULL, values, &after));
    ck_assert_int_eq(after, 0);
    ck_assert_ptr_null(open_cursor(arrive(), "", values, &after));
    ck_assert_int_eq(after, 0);
}
END_TEST

START_TEST(foreign_cursors)
{
    const ch_list_t list = by_title(make_rows(3, NULL));
    const char *good = cursor_of(&list, 2);
    const char *values[2];
    ch_req_t *rq;
    int after;

    /* of another list, of another server, of nobody */
    rq = arrive();
    rq->filter_key = "things of v";
    ck_assert_str_eq(ch_faults_of(open_cursor(rq, good, values, &after)),
                     "cursor INVALID_VALUE");
    rq = arrive();
    conf->cursor_key[31] ^= 1;
    ck_assert_str_eq(ch_faults_of(open_cursor(rq, good, values, &after)),
                     "cursor INVALID_VALUE");
    ck_assert_str_eq(
        ch_faults_of(open_cursor(arrive(), "abc", values, &after)),
        "cursor INVALID_VALUE");
    ck_assert_str_eq(
        ch_faults_of(open_cursor(arrive(), apr_pstrcat(pool, good, "A", NULL),
                                 values, &after)),
        "cursor INVALID_VALUE");
    ck_assert_ptr_null(open_cursor(arrive(), good, values, &after));
}
END_TEST

/* Page mode gives a cursor, too, and it is the same one. */
START_TEST(from_pages_to_cursors)
{
    const ch_list_t by_page = by_title(make_rows(2, "5"));
    const ch_list_t by_cursor = by_title(make_rows(3, NULL));
    const ch_page_in_t page = { 1, 2, NULL };
    ch_req_t *rq = arrive();

    ck_assert_ptr_null(ch_reply_list(rq, &page, &by_page, "m"));
    ck_assert_str_eq(next_of(rq), cursor_of(&by_cursor, 2));
}
END_TEST

/* A list without cursors says so by null, and still that there is more. */
START_TEST(by_number_alone)
{
    ch_list_t list = by_title(make_rows(2, "3"));
    const ch_page_in_t page = { 1, 2, NULL };
    ch_req_t *rq = arrive();

    list.no_cursor = 1;
    ck_assert_ptr_null(ch_reply_list(rq, &page, &list, "m"));
    ck_assert_str_eq(show(rq),
                     "{\"page\":1,\"limit\":2,\"total\":3,"
                     "\"totalPages\":2," NEXT "," NO_PREV
                     ",\"nextCursor\":null}");
}
END_TEST

CH_SUITE_MAIN("web/reply: lists", CH_ONCE(by_number_alone),
              CH_EACH(pagination, pages), CH_ONCE(items),
              CH_ONCE(no_row_at_all), CH_EACH(asks, asked),
              CH_ONCE(leads_behind_the_last_row), CH_ONCE(other_columns),
              CH_ONCE(a_long_sort_value), CH_ONCE(the_first_page),
              CH_ONCE(foreign_cursors), CH_ONCE(from_pages_to_cursors))
