/* Tests of web/bind: what each type takes, what it makes of it, and which
 * fault it finds. */
#include "ch_check.h"

#include <apr_strings.h>

#include "web/bind.h"

/* The member that a row is bound to, whatever its type. */
typedef union {
    const char *text;
    const apr_array_header_t *list;
    apr_int64_t number;
    int choice;
} member_t;

static int is_ab(const char *text, size_t len)
{
    return len == strspn(text, "ab");
}

static const char *const colours[] = { "red", "green", "greenish" };

#define AT .name = "f", .offset = 0
#define BOUNDS(low, high) .min = low, .max = high

static const ch_field_t str = { AT, .type = CH_T_STR, BOUNDS(1, 5) };
static const ch_field_t maybe = { AT, .type = CH_T_STR, BOUNDS(0, 5) };
static const ch_field_t ab = { AT, .type = CH_T_STR, BOUNDS(1, 5),
                               .valid = is_ab, .pattern = "^[ab]+$" };
static const ch_field_t text = { AT, .type = CH_T_TEXT, BOUNDS(1, 5) };
static const ch_field_t bytes = { AT, .type = CH_T_BYTES, BOUNDS(1, 5) };
static const ch_field_t secret = { AT, .type = CH_T_SECRET, BOUNDS(2, 5) };
static const ch_field_t email = { AT, .type = CH_T_EMAIL };
static const ch_field_t url = { AT, .type = CH_T_URL };
static const ch_field_t color = { AT, .type = CH_T_COLOR };
static const ch_field_t uuid = { AT, .type = CH_T_UUID };
static const ch_field_t special = { AT, .type = CH_T_UUID, .flags = CH_SPECIAL,
                                    .extra = "none" };
static const ch_field_t when = { AT, .type = CH_T_TIME };
static const ch_field_t day = { AT, .type = CH_T_DATE };
static const ch_field_t choice = { AT, .type = CH_T_ENUM,
                                   CH_CHOICES(colours) };
static const ch_field_t number = { AT, .type = CH_T_INT, BOUNDS(-5, 100) };
static const ch_field_t any_number = { AT, .type = CH_T_INT,
                                       BOUNDS(APR_INT64_MIN, APR_INT64_MAX) };
static const ch_field_t flag = { AT, .type = CH_T_BOOL };
static const ch_field_t list = { AT, .type = CH_T_STRS, BOUNDS(1, 3),
                                 .item_min = 1, .item_max = 4 };
static const ch_field_t set = {
    AT,           .type = CH_T_STRS, .flags = CH_UNIQUE,
    BOUNDS(0, 4), .item_min = 1,     .item_max = 4
};
static const ch_field_t object = { AT, .type = CH_T_OBJECT, .max = 20 };

/* --- one value in, one line out -------------------------------------------
 */

static member_t member;
static ch_err_t *faults;

static ch_bind_t begin(const ch_field_t *row)
{
    ch_bind_t bind = { .pool = pool,
                       .faults = &faults,
                       .row = row,
                       .path = row->name,
                       .base = (char *)&member };

    memset(&member, 0, sizeof(member));
    faults = NULL;
    return bind;
}

static const char *show_list(void)
{
    const char *out = "[";
    int i;

    for (i = 0; member.list && i < member.list->nelts; i++) {
        out = apr_pstrcat(pool, out, i ? "|" : "",
                          APR_ARRAY_IDX(member.list, i, const char *), NULL);
    }
    return apr_pstrcat(pool, out, "]", NULL);
}

/* The value, or "!" and "field CODE" of each fault. */
static const char *show(const ch_field_t *row)
{
    const char *out = "!";
    int i;

    for (i = 0; faults && i < faults->details->nelts; i++) {
        const ch_detail_t *detail =
            &APR_ARRAY_IDX(faults->details, i, ch_detail_t);

        ck_assert_str_ne(detail->message, "");
        out = apr_pstrcat(pool, out, i ? ", " : "", detail->field, " ",
                          detail->code, NULL);
    }
    if (faults) {
        ck_assert_int_eq(faults->code, CH_E_VALIDATION_ERROR);
        return out;
    }
    switch (row->type) {
    case CH_T_STRS:
        return show_list();
    case CH_T_INT:
        return apr_psprintf(pool, "%" APR_INT64_T_FMT, member.number);
    case CH_T_ENUM:
    case CH_T_BOOL:
        return apr_psprintf(pool, "%d", member.choice);
    default:
        return member.text ? member.text : "NULL";
    }
}

/* --- from JSON ------------------------------------------------------------
 */

#define UUID_LOWER "0198a000-0000-7000-8000-00000000000f"
#define UUID_UPPER "0198A000-0000-7000-8000-00000000000F"

static const struct {
    const ch_field_t *row;
    const char *json;
    const char *out;
} values[] = {
    { &str, "\"abc\"", "abc" },
    { &str, "\" \\t\\n\\u00a0a b\\u3000\\r\\n\"", "a b" },
    { &str, "\"\"", "!f TOO_SHORT" },
    { &str, "\"   \"", "!f TOO_SHORT" },
    { &str, "\"  abcde  \"", "abcde" },
    { &str, "\"abcdef\"", "!f TOO_LONG" },
    /* code points, not bytes */
    { &str, "\"\\u00e9\\u20ac\\ud83d\\ude00xy\"", "é€😀xy" },
    { &str, "\"\\u00e9\\u20ac\\ud83d\\ude00xyz\"", "!f TOO_LONG" },
    { &str, "\"a\\tb\"", "!f INVALID_FORMAT" },
    { &str, "\"a\\u0001\"", "!f INVALID_FORMAT" },
    { &str, "\"a\\u001f\"", "!f INVALID_FORMAT" },
    { &str, "\"a\\u007f\"", "!f INVALID_FORMAT" },
    { &str, "\"a\\u0080b\"",
      "a\xC2\x80"
      "b" },
    /* the length is looked at first */
    { &str, "\"abcdef\\u0001\"", "!f TOO_LONG" },
    { &str, "1", "!f WRONG_TYPE" },
    { &str, "true", "!f WRONG_TYPE" },
    { &str, "[\"a\"]", "!f WRONG_TYPE" },
    { &str, "{}", "!f WRONG_TYPE" },
    { &maybe, "\"\"", "" },
    { &maybe, "\" \"", "" },
    { &ab, "\" abba \"", "abba" },
    { &ab, "\"abc\"", "!f INVALID_FORMAT" },
    { &ab, "\"aaaaac\"", "!f TOO_LONG" },
    { &text, "\"  a \"", "  a " },
    { &text, "\"\\t\\r\\na\"", "\t\r\na" },
    { &text, "\"\"", "!f TOO_SHORT" },
    { &text, "\" \"", " " },
    { &text, "\"\\u00e9\\u20ac\\ud83d\\ude00xy\"", "é€😀xy" },
    { &text, "\"abcdef\"", "!f TOO_LONG" },
    { &text, "\"a\\u000bb\"", "!f INVALID_FORMAT" },
    { &text, "\"a\\u007fb\"", "!f INVALID_FORMAT" },
    { &text, "\"a\\u0085b\"",
      "a\xC2\x85"
      "b" },
    { &text, "null", "!f WRONG_TYPE" },
    { &bytes, "\" abc \"", " abc " },
    { &bytes, "\"\\u20acab\"", "€ab" },
    { &bytes, "\"\\u20acabc\"", "!f TOO_LONG" },
    { &bytes, "\"\"", "!f TOO_SHORT" },
    { &bytes, "\"a\\n\\tb\"", "a\n\tb" },
    { &bytes, "\"a\\u0008b\"", "!f INVALID_FORMAT" },
    { &secret, "\" a \"", " a " },
    { &secret, "\"\\u0001\\t\\u007f\"", "\x01\t\x7F" },
    { &secret, "\"a\"", "!f TOO_SHORT" },
    { &secret, "\"\\u00e9\"", "é" },
    { &secret, "\"\\u20ac\\u20ac\"", "!f TOO_LONG" },
    { &secret, "12345", "!f WRONG_TYPE" },
    { &email, "\" Ann.B@Example.COM \"", "ann.b@example.com" },
    { &email, "\"\\u00c4@\\u00d6.de\"", "ä@ö.de" },
    { &email, "\"\"", "!f INVALID_FORMAT" },
    { &email, "\"ann\"", "!f INVALID_FORMAT" },
    { &email, "\"a@b\"", "!f INVALID_FORMAT" },
    { &email, "\"a@@b.c\"", "!f INVALID_FORMAT" },
    { &email, "\"a b@c.d\"", "!f INVALID_FORMAT" },
    { &email, "[]", "!f WRONG_TYPE" },
    { &url, "\" https://a.b/c?d#e \"", "https://a.b/c?d#e" },
    { &url, "\"HTTP://A\"", "HTTP://A" },
    { &url, "\"ftp://a.b\"", "!f INVALID_FORMAT" },
    { &url, "\"/a\"", "!f INVALID_FORMAT" },
    { &url, "\"javascript:x\"", "!f INVALID_FORMAT" },
    { &url, "\"\"", "!f INVALID_FORMAT" },
    { &color, "\"#aBc019\"", "#aBc019" },
    { &color, "\"#abc\"", "!f INVALID_FORMAT" },
    { &color, "\"#abc01g\"", "!f INVALID_FORMAT" },
    { &color, "\"#abc0190\"", "!f INVALID_FORMAT" },
    { &color, "\"aabc019\"", "!f INVALID_FORMAT" },
    { &color, "\" #abc019\"", "!f INVALID_FORMAT" },
    { &color, "\"\"", "!f INVALID_FORMAT" },
    { &uuid, "\"" UUID_UPPER "\"", UUID_LOWER },
    { &uuid, "\"00000000-0000-0000-0000-000000000000\"",
      "00000000-0000-0000-0000-000000000000" },
    { &uuid, "\"" UUID_LOWER "0\"", "!f INVALID_FORMAT" },
    { &uuid, "\"{" UUID_LOWER "}\"", "!f INVALID_FORMAT" },
    { &uuid, "\"none\"", "!f INVALID_FORMAT" },
    { &uuid, "\"\"", "!f INVALID_FORMAT" },
    { &special, "\"none\"", "none" },
    { &special, "\"None\"", "!f INVALID_FORMAT" },
    { &special, "\"non\"", "!f INVALID_FORMAT" },
    { &special, "\"nonee\"", "!f INVALID_FORMAT" },
    { &special, "\"" UUID_UPPER "\"", UUID_LOWER },
    { &when, "\"2026-01-24T10:30:00+01:00\"", "2026-01-24T09:30:00.000000Z" },
    { &when, "\"2026-01-24t10:30:00.123456789z\"",
      "2026-01-24T10:30:00.123456Z" },
    { &when, "\"1970-01-01T00:00:00Z\"", "1970-01-01T00:00:00.000000Z" },
    { &when, "\"9999-12-31T23:59:59.999999Z\"",
      "9999-12-31T23:59:59.999999Z" },
    { &when, "\"2026-01-24T10:30:00\"", "!f INVALID_FORMAT" },
    { &when, "\"2026-02-30T10:30:00Z\"", "!f INVALID_FORMAT" },
    { &when, "\"2026-01-24\"", "!f INVALID_FORMAT" },
    { &when, "1769250600", "!f WRONG_TYPE" },
    { &day, "\"2028-02-29\"", "2028-02-29" },
    { &day, "\"2026-02-29\"", "!f INVALID_FORMAT" },
    { &day, "\"2026-2-2\"", "!f INVALID_FORMAT" },
    { &day, "\"2026-02-02Z\"", "!f INVALID_FORMAT" },
    { &day, "20260202", "!f WRONG_TYPE" },
    { &choice, "\"red\"", "0" },
    { &choice, "\"greenish\"", "2" },
    { &choice, "\"Green\"", "!f INVALID_VALUE" },
    { &choice, "\"gree\"", "!f INVALID_VALUE" },
    { &choice, "\"\"", "!f INVALID_VALUE" },
    { &choice, "\"green \"", "!f INVALID_VALUE" },
    { &choice, "0", "!f WRONG_TYPE" },
    { &number, "-5", "-5" },
    { &number, "100", "100" },
    { &number, "-6", "!f TOO_SMALL" },
    { &number, "101", "!f TOO_LARGE" },
    { &number, "1.0", "!f WRONG_TYPE" },
    { &number, "1e1", "!f WRONG_TYPE" },
    { &number, "\"1\"", "!f WRONG_TYPE" },
    { &number, "true", "!f WRONG_TYPE" },
    { &number, "9223372036854775808", "!f TOO_LARGE" },
    { &number, "-9223372036854775809", "!f TOO_SMALL" },
    { &number, "99999999999999999999999999", "!f TOO_LARGE" },
    { &number, "-99999999999999999999999999", "!f TOO_SMALL" },
    { &any_number, "9223372036854775807", "9223372036854775807" },
    { &any_number, "-9223372036854775808", "-9223372036854775808" },
    { &flag, "true", "1" },
    { &flag, "false", "0" },
    { &flag, "1", "!f WRONG_TYPE" },
    { &flag, "\"true\"", "!f WRONG_TYPE" },
    { &list, "[\"a\",\" b \",\"a\"]", "[a|b|a]" },
    { &list, "[]", "!f TOO_FEW" },
    { &list, "[\"a\",\"b\",\"c\",\"d\"]", "!f TOO_MANY" },
    { &list, "[\"\",\"abcde\",\"a\\u0001\"]",
      "!f[0] TOO_SHORT, f[1] TOO_LONG, f[2] INVALID_FORMAT" },
    { &list, "[\"a\",1,null]", "!f[1] WRONG_TYPE, f[2] WRONG_TYPE" },
    { &list, "\"a\"", "!f WRONG_TYPE" },
    { &list, "{}", "!f WRONG_TYPE" },
    { &set, "[]", "[]" },
    { &set, "[\"b\",\"a\",\"b\",\" a \"]", "[b|a]" },
    { &set, "[\"a\",\"A\"]", "[a|A]" },
    { &object, "{}", "{}" },
    { &object, "{ \"b\" : 1,\n\"a\": [1, {}] }", "{\"b\":1,\"a\":[1,{}]}" },
    { &object, "{\"a\":\"12345678901234\"}", "!f TOO_LONG" },
    { &object, "{\"a\":\"123456789012\"}", "{\"a\":\"123456789012\"}" },
    { &object, "[]", "!f WRONG_TYPE" },
    { &object, "\"{}\"", "!f WRONG_TYPE" },
};

/* A value that was parsed, as an array's only element. */
static const ch_json_t *parse(const char *json)
{
    const char *whole = apr_pstrcat(pool, "[", json, "]", NULL);
    const ch_json_t *array;

    ck_assert_ptr_null(ch_json_parse(pool, whole, strlen(whole), 32, &array));
    return ch_json_at(array, 0);
}

START_TEST(json_values)
{
    ch_bind_t bind = begin(values[_i].row);

    ch_bind_json(&bind, parse(values[_i].json));
    ck_assert_str_eq(show(values[_i].row), values[_i].out);
}
END_TEST

/* --- from a query ---------------------------------------------------------
 */

static const struct {
    const ch_field_t *row;
    const char *text;
    const char *out;
} parameters[] = {
    { &str, " abc\t", "abc" },
    { &str, "abcdef", "!f TOO_LONG" },
    { &str, "a\nb", "!f INVALID_FORMAT" },
    { &secret, " a ", " a " },
    { &email, "A@B.C", "a@b.c" },
    { &uuid, UUID_UPPER, UUID_LOWER },
    { &special, "none", "none" },
    { &special, "trash", "!f INVALID_FORMAT" },
    { &when, "2026-01-24T10:30:00Z", "2026-01-24T10:30:00.000000Z" },
    { &day, "1970-01-01", "1970-01-01" },
    { &day, "1969-12-31", "!f INVALID_FORMAT" },
    { &choice, "green", "1" },
    { &choice, "1", "!f INVALID_VALUE" },
    { &number, "100", "100" },
    { &number, "-5", "-5" },
    { &number, "0", "0" },
    { &number, "101", "!f TOO_LARGE" },
    { &number, "-6", "!f TOO_SMALL" },
    { &number, "", "!f WRONG_TYPE" },
    { &number, "-", "!f WRONG_TYPE" },
    { &number, "+1", "!f WRONG_TYPE" },
    { &number, " 1", "!f WRONG_TYPE" },
    { &number, "1 ", "!f WRONG_TYPE" },
    { &number, "1.0", "!f WRONG_TYPE" },
    { &number, "1e1", "!f WRONG_TYPE" },
    { &number, "0x10", "!f WRONG_TYPE" },
    { &number, "--1", "!f WRONG_TYPE" },
    { &number, "one", "!f WRONG_TYPE" },
    { &any_number, "9223372036854775807", "9223372036854775807" },
    { &any_number, "-9223372036854775807", "-9223372036854775807" },
    { &flag, "true", "1" },
    { &flag, "false", "0" },
    { &flag, "True", "!f WRONG_TYPE" },
    { &flag, "1", "!f WRONG_TYPE" },
    { &flag, "yes", "!f WRONG_TYPE" },
    { &flag, "", "!f WRONG_TYPE" },
};

START_TEST(query_values)
{
    size_t len = strlen(parameters[_i].text);
    ch_bind_t bind = begin(parameters[_i].row);

    ch_bind_query(&bind, ch_check_copy(parameters[_i].text, len + 1), len);
    ck_assert_str_eq(show(parameters[_i].row), parameters[_i].out);
}
END_TEST

/* Numbers that do not fit into 64 bits are too large, and do not come
 * round. */
START_TEST(numbers_beyond_64_bits)
{
    static const char *const big[] = {
        "9223372036854775808",
        "9223372036854775817",
        "18446744073709551617",
        "92233720368547758071",
        "99999999999999999999999999999999999999999",
    };
    size_t i;

    for (i = 0; i < CH_COUNT(big); i++) {
        const char *minus = apr_pstrcat(pool, "-", big[i], NULL);
        ch_bind_t bind = begin(&number);

        ch_bind_query(&bind, big[i], strlen(big[i]));
        ck_assert_str_eq(show(&number), "!f TOO_LARGE");
        bind = begin(&number);
        ch_bind_query(&bind, minus, strlen(minus));
        ck_assert_str_eq(show(&number), "!f TOO_SMALL");
        minus = apr_pstrcat(pool, big[i], "x", NULL);
        bind = begin(&number);
        ch_bind_query(&bind, minus, strlen(minus));
        ck_assert_str_eq(show(&number), "!f WRONG_TYPE");
    }
}
END_TEST

START_TEST(a_query_collects)
{
    static const char *const given[] = { "a", " b ", "a" };
    ch_bind_t bind = begin(&list);
    size_t i;

    for (i = 0; i < CH_COUNT(given); i++) {
        ch_bind_query(&bind, given[i], strlen(given[i]));
    }
    ck_assert_str_eq(show(&list), "[a|b|a]");
    ch_bind_query(&bind, "d", 1);
    ck_assert_str_eq(show(&list), "!f TOO_MANY");
}
END_TEST

START_TEST(a_query_collects_each_once)
{
    static const char *const given[] = { "b", "a", "b", "b ", "a", "b" };
    ch_bind_t bind = begin(&set);
    size_t i;

    for (i = 0; i < CH_COUNT(given); i++) {
        ch_bind_query(&bind, given[i], strlen(given[i]));
    }
    ck_assert_str_eq(show(&set), "[b|a]");
}
END_TEST

/* --- null, long ones, numbers ---------------------------------------------
 */

static const ch_field_t *const all[] = {
    &str,  &text, &bytes,  &secret, &email, &url,  &color,
    &uuid, &when, &choice, &number, &flag,  &list, &object,
};

/* Null overwrites whatever a default had put there. */
START_TEST(null_is_nothing)
{
    static const member_t empty;
    ch_bind_t bind = begin(all[_i]);

    memset(&member, 0x55, sizeof(member));
    ch_bind_null(&bind);
    ck_assert_ptr_null(faults);
    if (all[_i]->type == CH_T_ENUM || all[_i]->type == CH_T_BOOL) {
        ck_assert_int_eq(member.choice, 0);
    }
    else {
        ck_assert_mem_eq(&member, &empty, sizeof(member));
    }
}
END_TEST

/* The longest that fit, and one byte more. */
START_TEST(longest)
{
    char *local = apr_psprintf(pool, "%064d", 1);
    char *domain = apr_psprintf(pool, "%063d.%063d.%061d", 1, 2, 3);
    char *mail = apr_pstrcat(pool, local, "@", domain, NULL);
    char *link = apr_psprintf(pool, "http://a/%02039d", 1);
    ch_bind_t bind = begin(&email);

    ck_assert_uint_eq(strlen(mail), 254);
    ch_bind_query(&bind, mail, 254);
    ck_assert_str_eq(show(&email), mail);
    mail = apr_pstrcat(pool, mail, "0", NULL);
    ch_bind_query(&bind, mail, 255);
    ck_assert_str_eq(show(&email), "!f TOO_LONG");

    bind = begin(&url);
    ck_assert_uint_eq(strlen(link), 2048);
    ch_bind_query(&bind, link, 2048);
    ck_assert_str_eq(show(&url), link);
    link = apr_pstrcat(pool, link, "0", NULL);
    ch_bind_query(&bind, link, 2049);
    ck_assert_str_eq(show(&url), "!f TOO_LONG");
}
END_TEST

/* What was bound belongs to the pool: nothing of the input is kept. */
START_TEST(input_is_copied)
{
    static const ch_field_t *const rows[] = { &str, &text, &bytes, &secret,
                                              &color };
    size_t i;

    for (i = 0; i < CH_COUNT(rows); i++) {
        ch_bind_t bind = begin(rows[i]);
        char given[] = "#abc012";
        size_t len = rows[i] == &color ? 7 : 5;

        ch_bind_query(&bind, given, len);
        memset(given, 'x', len);
        ck_assert_int_eq(strncmp(show(rows[i]), "#abc012", len), 0);
        ck_assert_uint_eq(strlen(member.text), len);
    }
}
END_TEST

/* A default that was there before does not survive a fault. */
START_TEST(a_fault_leaves_nothing)
{
    ch_bind_t bind = begin(&str);

    member.text = "old";
    ch_bind_query(&bind, "abcdef", 6);
    ck_assert_ptr_nonnull(faults);
    ck_assert_ptr_null(member.text);
}
END_TEST

START_TEST(messages_tell_the_bounds)
{
    ch_bind_t bind = begin(&str);

    ch_bind_query(&bind, "abcdef", 6);
    ck_assert_str_eq(APR_ARRAY_IDX(faults->details, 0, ch_detail_t).message,
                     "must have 1 to 5 characters");
    bind = begin(&number);
    ch_bind_query(&bind, "101", 3);
    ck_assert_str_eq(APR_ARRAY_IDX(faults->details, 0, ch_detail_t).message,
                     "must be between -5 and 100");
    bind = begin(&choice);
    ch_bind_query(&bind, "x", 1);
    ck_assert_str_eq(APR_ARRAY_IDX(faults->details, 0, ch_detail_t).message,
                     "must be one of: red, green, greenish");
}
END_TEST

/* --- defaults -------------------------------------------------------------
 */

typedef struct {
    const char *text;
    apr_int64_t number;
    int choice;
    int flag;
    const apr_array_header_t *list;
    const char *object;
    const char *none;
    const char *without;
} defaults_t;

static const ch_field_t default_rows[] = {
    { .name = "text",
      CH_IN(defaults_t, text, CH_T_STR),
      .max = 9,
      .def = "\"two words\"" },
    { .name = "number",
      CH_IN(defaults_t, number, CH_T_INT),
      .min = -9,
      .max = 9,
      .def = "-7" },
    { .name = "choice",
      CH_IN(defaults_t, choice, CH_T_ENUM),
      CH_CHOICES(colours),
      .def = "\"green\"" },
    { .name = "flag", CH_IN(defaults_t, flag, CH_T_BOOL), .def = "true" },
    { .name = "list", CH_IN(defaults_t, list, CH_T_STRS), .def = "[]" },
    { .name = "object", CH_IN(defaults_t, object, CH_T_OBJECT), .def = "{}" },
    { .name = "none", CH_IN(defaults_t, none, CH_T_STR), .def = "null" },
    { .name = "without", CH_IN(defaults_t, without, CH_T_STR) },
};

START_TEST(defaults)
{
    const ch_fields_t fields = CH_FIELDS(defaults_t, default_rows);
    defaults_t out = { .without = "untouched" };
    ch_bind_t bind = { .pool = pool, .faults = &faults, .base = (char *)&out };

    faults = NULL;
    ch_bind_defaults(&bind, &fields);
    ck_assert_ptr_null(faults);
    ck_assert_str_eq(out.text, "two words");
    ck_assert_int_eq(out.number, -7);
    ck_assert_int_eq(out.choice, 1);
    ck_assert_int_eq(out.flag, 1);
    ck_assert_ptr_nonnull(out.list);
    ck_assert_int_eq(out.list->nelts, 0);
    ck_assert_str_eq(out.object, "{}");
    ck_assert_ptr_null(out.none);
    ck_assert_str_eq(out.without, "untouched");
}
END_TEST

CH_SUITE_MAIN("web/bind", CH_EACH(json_values, values),
              CH_EACH(query_values, parameters),
              CH_ONCE(numbers_beyond_64_bits), CH_ONCE(a_query_collects),
              CH_ONCE(a_query_collects_each_once),
              CH_EACH(null_is_nothing, all), CH_ONCE(longest),
              CH_ONCE(input_is_copied), CH_ONCE(a_fault_leaves_nothing),
              CH_ONCE(messages_tell_the_bounds), CH_ONCE(defaults))
