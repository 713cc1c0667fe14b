/* Tests of web/item: an object is bound by a table, each fault has its place,
 * and what is written is what was read. */
#include "ch_check.h"

#include <apr_strings.h>

#include "web/item.h"

typedef struct {
    const char *id, *line, *text, *when, *object;
    apr_int64_t number;
    int flag, choice;
    const apr_array_header_t *list;
} item_t;

static const char *const colours[] = { "red", "green" };

static const ch_field_t rows[] = {
    { .name = "id", CH_IN(item_t, id, CH_T_UUID),
      .flags = CH_REQUIRED | CH_CREATE_ONLY },
    { .name = "line", CH_IN(item_t, line, CH_T_STR), .max = 9,
      .flags = CH_NULLABLE },
    { .name = "text", CH_IN(item_t, text, CH_T_BYTES), .max = 9,
      .flags = CH_NULLABLE },
    { .name = "when", CH_IN(item_t, when, CH_T_TIME), .flags = CH_NULLABLE },
    { .name = "object", CH_IN(item_t, object, CH_T_OBJECT), .max = 40 },
    { .name = "number", CH_IN(item_t, number, CH_T_INT), .min = -5,
      .max = 1000000, .def = "7", .flags = CH_REQUIRED },
    { .name = "flag", CH_IN(item_t, flag, CH_T_BOOL), .flags = CH_NULLABLE },
    { .name = "choice", CH_IN(item_t, choice, CH_T_ENUM),
      CH_CHOICES(colours) },
    { .name = "list", CH_IN(item_t, list, CH_T_STRS), .flags = CH_UNIQUE,
      .max = 3, .item_min = 1, .item_max = 5 },
};

static const ch_fields_t table = CH_FIELDS(item_t, rows);

#define ID "0198a000-0000-7000-8000-00000000000f"

static ch_item_t item;

static void bind_to(const ch_fields_t *fields, const char *text,
                    const char *prefix, unsigned skip)
{
    const ch_json_t *json;

    memset(&item, 0, sizeof(item));
    item.fields = fields;
    item.prefix = prefix;
    item.skip = skip;
    ck_assert_ptr_null(ch_json_parse(pool, text, strlen(text), 8, &json));
    ch_item_bind(pool, json, &item);
}

/* "field CODE" of each fault. */
static const char *faults(void)
{
    const char *out = "";
    int i;

    for (i = 0; item.faults && i < item.faults->details->nelts; i++) {
        const ch_detail_t *detail =
            &APR_ARRAY_IDX(item.faults->details, i, ch_detail_t);

        ck_assert_str_ne(detail->message, "");
        out = apr_pstrcat(pool, out, i ? ", " : "", detail->field, " ",
                          detail->code, NULL);
    }
    return out;
}

static const char *written(void)
{
    ch_buf_t *buf = ch_buf_make(pool, 8, 4096);

    ch_item_write(buf, &item);
    ck_assert_int_eq(buf->overflow, 0);
    return ch_buf_cstr(buf);
}

/* --- what is read is written ----------------------------------------------
 */

static const struct {
    const char *in;
    const char *out; /* NULL: the same */
} same[] = {
    { "{}", NULL },
    { "{\"id\":\"" ID "\"}", NULL },
    { "{\"id\":\"0198A000-0000-7000-8000-00000000000F\"}",
      "{\"id\":\"" ID "\"}" },
    { "{\"line\":\"  a b\\t\"}", "{\"line\":\"a b\"}" },
    { "{\"line\":\"\"}", NULL },
    { "{\"line\":null,\"text\":null,\"when\":null,\"flag\":null}", NULL },
    { "{\"text\":\" \\t\\\"\\\\\\n\"}", NULL },
    { "{\"text\":\"\\u20ac\\u007a\"}", "{\"text\":\"€z\"}" },
    { "{\"when\":\"2020-02-03T04:05:06+02:00\"}",
      "{\"when\":\"2020-02-03T02:05:06.000000Z\"}" },
    { "{\"when\":\"1970-01-01T00:00:00.123456789Z\"}",
      "{\"when\":\"1970-01-01T00:00:00.123456Z\"}" },
    { "{\"number\":-5}", NULL },
    { "{\"number\":1000000}", NULL },
    { "{\"flag\":true}", NULL },
    { "{\"flag\":false}", NULL },
    { "{\"choice\":\"red\"}", NULL },
    { "{\"choice\":\"green\"}", NULL },
    { "{\"list\":[]}", NULL },
    { "{\"list\":[\" a \",\"b\\\"\",\"a\"]}", "{\"list\":[\"a\",\"b\\\"\"]}" },
    { "{\"object\":{\"a\":[1,null,\"x\"],\"b\":{}}}", NULL },
    /* in the order of the table */
    { "{\"list\":[\"x\"],\"number\":1,\"line\":\"l\",\"id\":\"" ID "\"}",
      "{\"id\":\"" ID "\",\"line\":\"l\",\"number\":1,\"list\":[\"x\"]}" },
};

START_TEST(stable)
{
    const char *first;

    bind_to(&table, same[_i].in, "", 0);
    ck_assert_str_eq(faults(), "");
    first = written();
    ck_assert_str_eq(first, same[_i].out ? same[_i].out : same[_i].in);
    bind_to(&table, first, "", 0);
    ck_assert_str_eq(faults(), "");
    ck_assert_str_eq(written(), first);
}
END_TEST

START_TEST(values)
{
    const item_t *got;

    bind_to(&table,
            "{\"number\":3,\"choice\":\"green\",\"flag\":true,\"line\":null,"
            "\"list\":[\"a\",\"b\"],\"text\":\" t\"}",
            "", 0);
    got = item.values;
    ck_assert_int_eq(got->number, 3);
    ck_assert_int_eq(got->choice, 1);
    ck_assert_int_eq(got->flag, 1);
    ck_assert_int_eq(got->list->nelts, 2);
    ck_assert_str_eq(got->text, " t");
    ck_assert_ptr_null(got->line);
    /* null was given, what is absent was not */
    ck_assert(ch_item_given(&item, offsetof(item_t, line)));
    ck_assert(ch_item_given(&item, offsetof(item_t, number)));
    ck_assert(!ch_item_given(&item, offsetof(item_t, when)));
    ck_assert(!ch_item_given(&item, sizeof(item_t)));
    ck_assert_uint_eq(item.nulls, 2);
}
END_TEST

/* A struct of the caller's is filled; no default is set. */
START_TEST(into_a_struct)
{
    item_t mine = { .number = 99, .line = "old" };
    const ch_json_t *json;

    memset(&item, 0, sizeof(item));
    item.fields = &table;
    item.prefix = "";
    item.values = &mine;
    ck_assert_ptr_null(ch_json_parse(pool, "{\"line\":\"new\"}", 14, 8,
                                     &json));
    ch_item_bind(pool, json, &item);
    ck_assert_ptr_eq(item.values, &mine);
    ck_assert_str_eq(mine.line, "new");
    ck_assert_int_eq(mine.number, 99);
    bind_to(&table, "{}", "", 0);
    ck_assert_int_eq(((const item_t *)item.values)->number, 0);
}
END_TEST

/* --- faults ---------------------------------------------------------------
 */

static const struct {
    const char *in;
    const char *prefix;
    unsigned skip;
    const char *faults;
} wrong[] = {
    { "{\"number\":\"1\",\"x\":1,\"id\":null}", "", 0,
      "number WRONG_TYPE, x UNKNOWN_FIELD, id WRONG_TYPE" },
    { "{\"number\":\"1\",\"x\":1,\"id\":null}", "notes[3].", 0,
      "notes[3].number WRONG_TYPE, notes[3].x UNKNOWN_FIELD, "
      "notes[3].id WRONG_TYPE" },
    { "{\"list\":[\"\",\"abcdef\",1]}", "a.", 0,
      "a.list[0] TOO_SHORT, a.list[1] TOO_LONG, a.list[2] WRONG_TYPE" },
    { "{\"list\":null,\"object\":[]}", "a.", 0,
      "a.list WRONG_TYPE, a.object WRONG_TYPE" },
    { "{\"id\":\"" ID "\",\"number\":1}", "", CH_CREATE_ONLY,
      "id UNKNOWN_FIELD" },
    { "{\"\":1,\"ID\":\"" ID "\"}", "", 0,
      " UNKNOWN_FIELD, ID UNKNOWN_FIELD" },
};

START_TEST(faulty)
{
    bind_to(&table, wrong[_i].in, wrong[_i].prefix, wrong[_i].skip);
    ck_assert_str_eq(faults(), wrong[_i].faults);
    ck_assert_int_eq(item.faults->code, CH_E_VALIDATION_ERROR);
}
END_TEST

START_TEST(without_a_table)
{
    bind_to(NULL, "{\"a\":1,\"b\":null}", "p.", 0);
    ck_assert_str_eq(faults(), "p.a UNKNOWN_FIELD, p.b UNKNOWN_FIELD");
    ch_item_require(pool, &item, "field");
    ck_assert_str_eq(faults(), "p.a UNKNOWN_FIELD, p.b UNKNOWN_FIELD");
    bind_to(NULL, "{}", "", 0);
    ck_assert_str_eq(faults(), "");
}
END_TEST

START_TEST(what_is_required)
{
    bind_to(&table, "{\"x\":1}", "i.", 0);
    ch_item_require(pool, &item, "field");
    ck_assert_str_eq(faults(), "i.x UNKNOWN_FIELD, i.id MISSING_FIELD, "
                               "i.number MISSING_FIELD");
    ck_assert_str_eq(
        APR_ARRAY_IDX(item.faults->details, 1, ch_detail_t).message,
        "missing field");
    /* it was there, though it was wrong */
    bind_to(&table, "{\"number\":null,\"id\":\"" ID "\"}", "", 0);
    ch_item_require(pool, &item, "field");
    ck_assert_str_eq(faults(), "number WRONG_TYPE");
    bind_to(&table, "{\"number\":1}", "", CH_CREATE_ONLY);
    ch_item_require(pool, &item, "field");
    ck_assert_str_eq(faults(), "");
}
END_TEST

CH_SUITE_MAIN("web/item", CH_EACH(stable, same), CH_ONCE(values),
              CH_ONCE(into_a_struct), CH_EACH(faulty, wrong),
              CH_ONCE(without_a_table), CH_ONCE(what_is_required))
