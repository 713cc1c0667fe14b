/* Tests of base/json: what is taken, what is refused, what comes out. */
#include "ch_check.h"

#include <math.h>

#include "base/json.h"

static ch_err_t *parse(const char *text, size_t len, const ch_json_t **out)
{
    return ch_json_parse(pool, ch_check_copy(text, len), len,
                         CH_JSON_DEPTH_MAX, out);
}

static const ch_json_t *good(const char *text)
{
    const ch_json_t *json = NULL;
    ch_err_t *err = parse(text, strlen(text), &json);

    ck_assert_msg(err == NULL && json != NULL, "%s: %s", text,
                  err == NULL ? "" : err->message);
    return json;
}

/* Text and its dump. */
static const struct {
    const char *text;
    const char *dump; /* NULL = the text itself */
} values[] = {
    {"{}", NULL},
    {"[]", NULL},
    {"null", NULL},
    {"true", NULL},
    {" false\r\n\t ", "false"},
    {"\"\"", NULL},
    {"0", NULL},
    {"-1", NULL},
    {"9223372036854775807", NULL},
    {"-9223372036854775808", NULL},
    {"9223372036854775808", "9.223372036854776e+18"},
    {"-9223372036854775809", "-9.223372036854776e+18"},
    {"[12345678901234567890,1,-99999999999999999999]",
     "[1.2345678901234567e+19,1,-1e+20]"},
    {"-0", "-0.0"},
    {"1.0", NULL},
    {"1e2", "100.0"},
    {"1E-2", "0.01"},
    {"0.1", NULL},
    {"-0.0", NULL},
    {"1.7976931348623157e308", "1.7976931348623157e+308"},
    {"5e-324", "4.94065645841247e-324"},
    {"1e-400", "0.0"},
    {"123456789012345678", NULL},
    {"{\"b\":1,\"a\":[true,null,{\"c\":\"d\"}],\"0\":0.5}", NULL},
    {"{\"\":\"\"}", NULL},
    {"{\"a\":{\"a\":{\"a\":1}}}", NULL},
    {"\"\\u00e4\\uD834\\uDD1E\\/\\u007f\"",
     "\"\xC3\xA4\xF0\x9D\x84\x9E/\x7F\""},
    {"\"\\ufdd0\\uffff\"", "\"\xEF\xB7\x90\xEF\xBF\xBF\""},
    {"\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\"", NULL},
    {"\"12345678901234567890 {[\\\"{[\"", NULL},
    {"{\"12345678901234567890\":1}", NULL},
    {"\"\\\"12345678901234567890\"", NULL},
};

START_TEST(value)
{
    const char *want = values[_i].dump;

    ck_assert_str_eq(ch_json_dump(pool, good(values[_i].text)),
                     want == NULL ? values[_i].text : want);
}
END_TEST

static const char *const broken[] = {
    "",
    " ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\"a",
    "\"\\",
    "\"\\\"",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{\"a\" 1}",
    "{\"a\":1 \"b\":2}",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1",
    "[1}",
    "{\"a\":1]",
    "nul",
    "Null",
    "TRUE",
    "tru",
    "NaN",
    "Infinity",
    "-Infinity",
    "-",
    "+1",
    "01",
    "-01",
    "1.",
    ".5",
    "1.e1",
    "1e",
    "1e+",
    "0x10",
    "1_000",
    "--1",
    "1-1",
    "00",
    "-00",
    "012345678901234567890123",
    "12345678901234567890.",
    "12345678901234567890e",
    "1 1",
    "{}{}",
    "{} x",
    "[]]",
    "1,",
    "\"\t\"",
    "\"\n\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12G4\"",
    "\"\\U0041\"",
    "\"a\" \"b\"",
    "/* c */ 1",
    "1 // c",
    "\xEF\xBB\xBF{}",
    "\xFE\xFF",
    "{}\xEF\xBB\xBF",
    "\xC2\xA0{}",
    "\f1",
    "\v1",
    /* lone surrogates */
    "\"\\uD800\"",
    "\"\\uDC00\"",
    "\"\\uD800\\uD800\"",
    "\"\\uD800x\"",
    "\"\\uDBFF\\u0041\"",
    "\"\\uDFFF\\uD800\"",
    "{\"\\uD800\":1}",
    /* UTF-8 */
    "\"\x80\"",
    "\"\xC3\"",
    "\"\xC3(\"",
    "\"\xC0\xAF\"",
    "\"\xE0\x80\x80\"",
    "\"\xED\xA0\x80\"",
    "\"\xF5\x80\x80\x80\"",
    "\"\xF4\x90\x80\x80\"",
    "\"\xF0\x80\x80\x80\"",
    "\"\xFF\"",
    "{\"\xE4\":1}",
    "\xE4",
    /* U+0000 */
    "\"\\u0000\"",
    "\"a\\u0000b\"",
    "{\"\\u0000\":1}",
    "{\"a\\u0000b\":1}",
    /* the same key twice, also when written in another way */
    "{\"a\":1,\"a\":1}",
    "{\"a\":1,\"b\":2,\"a\":3}",
    "{\"a\":1,\"\\u0061\":2}",
    "[{\"x\":{\"a\":1,\"a\":2}}]",
    "{\"\":1,\"\":2}",
    /* beyond a double */
    "1e309",
    "-1e309",
    "1e999999999999999999999",
    "[1.8e308]",
};

START_TEST(refused)
{
    const char *text = broken[_i];
    const ch_json_t *json;
    ch_err_t *err = parse(text, strlen(text), &json);

    ck_assert_msg(err != NULL, "%s", text);
    ck_assert_int_eq(err->code, CH_E_MALFORMED_JSON);
    ck_assert_ptr_null(err->details);
    ck_assert_ptr_null(json);
    ck_assert_ptr_nonnull(strstr(err->message, "line "));
}
END_TEST

START_TEST(raw_nul)
{
    static const struct {
        const char *text;
        size_t len;
    } rows[] = {{"\0", 1},   {"1\0", 2},  {"\"\0\"", 3},   {"{\"a\0\":1}", 8},
                {"{}\0", 3}, {"\0{}", 3}, {"[1,\0 2]", 7}, {"\"a\\\0\"", 5}};
    const ch_json_t *json;
    size_t i;

    for (i = 0; i < CH_COUNT(rows); i++) {
        ck_assert_msg(parse(rows[i].text, rows[i].len, &json) != NULL, "%zu",
                      i);
    }
}
END_TEST

/* `depth` times [ or {"a": around 1. */
static const char *nested(int depth, int object)
{
    const char *open = object ? "{\"a\":" : "[";
    size_t n = strlen(open);
    char *text = apr_palloc(pool, (size_t)depth * (n + 1) + 2);
    char *to = text;
    int i;

    for (i = 0; i < depth; i++) {
        memcpy(to, open, n);
        to += n;
    }
    *to++ = '1';
    for (i = 0; i < depth; i++) {
        *to++ = object ? '}' : ']';
    }
    *to = '\0';
    return text;
}

START_TEST(levels)
{
    const ch_json_t *json;
    const char *text;

    good(nested(CH_JSON_DEPTH_MAX, _i));
    text = nested(CH_JSON_DEPTH_MAX + 1, _i);
    ck_assert_ptr_nonnull(parse(text, strlen(text), &json));
    text = nested(1000000, _i);
    ck_assert_ptr_nonnull(parse(text, strlen(text), &json));
    /* brackets side by side and in strings are no levels */
    good("[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],"
         "[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]");
    good("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"");
}
END_TEST

START_TEST(levels_are_the_callers)
{
    const ch_json_t *json;

    ck_assert_ptr_null(ch_json_parse(pool, "1", 1, 0, &json));
    ck_assert_ptr_nonnull(ch_json_parse(pool, "[]", 2, 0, &json));
    ck_assert_ptr_null(ch_json_parse(pool, "[]", 2, 1, &json));
}
END_TEST

static const struct {
    const char *text;
    ch_json_e type;
} types[] = {
    {"null", CH_JSON_NULL},
    {"true", CH_JSON_BOOL},
    {"false", CH_JSON_BOOL},
    {"1", CH_JSON_INT},
    {"-9", CH_JSON_INT},
    {"9223372036854775807", CH_JSON_INT},
    {"-9223372036854775808", CH_JSON_INT},
    {"9223372036854775808", CH_JSON_REAL},
    {"-9223372036854775809", CH_JSON_REAL},
    {"10000000000000000000", CH_JSON_REAL},
    {"1.0", CH_JSON_REAL},
    {"1e2", CH_JSON_REAL},
    {"-0", CH_JSON_REAL},
    {"0", CH_JSON_INT},
    {"\"1\"", CH_JSON_STRING},
    {"[1]", CH_JSON_ARRAY},
    {"{\"a\":1}", CH_JSON_OBJECT},
};

START_TEST(type)
{
    ck_assert_int_eq(ch_json_type(good(types[_i].text)), types[_i].type);
}
END_TEST

START_TEST(numbers)
{
    ck_assert_int_eq(ch_json_int(good("-42")), -42);
    ck_assert_int_eq(ch_json_int(good("9223372036854775807")), APR_INT64_MAX);
    ck_assert_int_eq(ch_json_int(good("-9223372036854775808")), APR_INT64_MIN);
    ck_assert_double_eq(ch_json_number(good("-42")), -42.0);
    ck_assert_double_eq(ch_json_number(good("18446744073709551616")),
                        18446744073709551616.0);
    ck_assert_double_eq(ch_json_number(good("0.1")), 0.1);
    ck_assert(signbit(ch_json_number(good("-0"))));
    ck_assert_int_eq(ch_json_bool(good("true")), 1);
    ck_assert_int_eq(ch_json_bool(good("false")), 0);
}
END_TEST

START_TEST(walks_in_document_order)
{
    const ch_json_t *json = good("{\"z\":1,\"a\":2,\"m\":[3,4],\"0\":5}");
    static const char *const keys[] = {"z", "a", "m", "0"};
    const ch_json_t *item;
    const char *key;
    void *iter = NULL;
    size_t i = 0;

    ck_assert_uint_eq(ch_json_size(json), 4);
    while (ch_json_next(json, &iter, &key, &item)) {
        ck_assert_uint_lt(i, 4);
        ck_assert_str_eq(key, keys[i++]);
    }
    ck_assert_uint_eq(i, 4);
    ck_assert_int_eq(ch_json_int(ch_json_get(json, "a")), 2);
    ck_assert_ptr_null(ch_json_get(json, "b"));
    json = ch_json_get(json, "m");
    ck_assert_uint_eq(ch_json_size(json), 2);
    ck_assert_int_eq(ch_json_int(ch_json_at(json, 1)), 4);
    ck_assert_ptr_null(ch_json_at(json, 2));
    iter = NULL;
    ck_assert_int_eq(ch_json_next(good("{}"), &iter, &key, &item), 0);
}
END_TEST

START_TEST(string_has_its_length)
{
    size_t len;
    const char *text = ch_json_string(good("\"\xC3\xA4\\n\""), &len);

    ck_assert_uint_eq(len, 3);
    ck_assert_str_eq(text, "\xC3\xA4\n");
    ck_assert_str_eq(ch_json_string(good("\"x\""), NULL), "x");
}
END_TEST

START_TEST(fault_has_a_place_and_no_body)
{
    static const struct {
        const char *text;
        const char *want;
    } rows[] = {
        {"{\"a\": hunter2}", "line 1, column "},
        {"{\"a\":1,\n \"a\":2}", "line 2, column "},
        {"\xEF\xBB\xBF{}", "line 1, column 1: "},
    };
    const ch_json_t *json;
    size_t i;

    for (i = 0; i < CH_COUNT(rows); i++) {
        ch_err_t *err = parse(rows[i].text, strlen(rows[i].text), &json);

        ck_assert_ptr_nonnull(err);
        ck_assert_int_eq(
            strncmp(err->message, rows[i].want, strlen(rows[i].want)), 0);
        ck_assert_ptr_null(strstr(err->message, "hunter"));
    }
}
END_TEST

START_TEST(place_of_the_level_too_many)
{
    const ch_json_t *json;
    ch_err_t *err = ch_json_parse(pool, "[\n [[", 5, 2, &json);

    ck_assert_str_eq(err->message, "line 2, column 3: too many levels");
}
END_TEST

/* Many rewritten literals, and a place in the text behind them. */
START_TEST(many_large_integers)
{
    static const char one[] = "18446744073709551616,";
    size_t n = sizeof(one) - 1;
    size_t count = 10000;
    char *text = apr_palloc(pool, count * n + 2);
    const ch_json_t *json;
    size_t i;

    text[0] = '[';
    for (i = 0; i < count; i++) {
        memcpy(text + 1 + i * n, one, n);
    }
    text[count * n] = ']';
    ck_assert_ptr_null(parse(text, count * n + 1, &json));
    ck_assert_uint_eq(ch_json_size(json), count);
    for (i = 0; i < count; i++) {
        if (ch_json_number(ch_json_at(json, i)) != 18446744073709551616.0) {
            ck_abort_msg("number %zu", i);
        }
    }
}
END_TEST

static const struct {
    const char *text;
    const char *want;
} halves[] = {
    { "\"\\ud83d\"", "\xEF\xBF\xBD" },
    { "\"\\uDE00\"", "\xEF\xBF\xBD" },
    { "\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80" },
    { "\"\\uDbFf\\uDfFf\"", "\xF4\x8F\xBF\xBF" },
    { "\"\\ud83d\\ud83d\\ude00\"", "\xEF\xBF\xBD\xF0\x9F\x98\x80" },
    { "\"\\ude00\\ud83dx\"", "\xEF\xBF\xBD\xEF\xBF\xBDx" },
    { "\"\\\\ud83d\"", "\\ud83d" },
    { "\"\\\\\\ud83d\\\\ude00\"", "\\\xEF\xBF\xBD\\ude00" },
    { "\"\\ud83d\\u0041\\ud7ff\"", "\xEF\xBF\xBD" "A\xED\x9F\xBF" },
    { "\"\\ud83\"", NULL },
    { "\"\\ud83", NULL },
    { "\"\\ud83d", NULL },
    { "\"\\ud83d\\", NULL },
    { "\"\\ud83d\\ude0", NULL },
    { "\"\\ud8zd\"", NULL },
    { "\"\\udg00\"", NULL },
};

START_TEST(half_a_pair)
{
    const char *text = halves[_i].text;
    size_t len = strlen(text);
    const ch_json_t *json = ch_json_parse_mended(
        pool, ch_check_copy(text, len), len, 4);

    ck_assert_int_eq(json != NULL, halves[_i].want != NULL);
    if (json) {
        ck_assert_str_eq(ch_json_string(json, NULL), halves[_i].want);
    }
}
END_TEST

/* Ten megabytes that would take a gigabyte. */
START_TEST(many_values)
{
    const char *const of[] = { "{},", "[],", "7,", "\"\"," };
    size_t size = 10u << 20;
    char *text = apr_palloc(pool, size + 8);
    size_t len = strlen(of[_i]);
    size_t at = 1;
    const ch_json_t *json;
    ch_err_t *err;

    for (text[0] = '['; at < size; at += len) {
        memcpy(text + at, of[_i], len);
    }
    text[at - 1] = ']';
    err = parse(text, at, &json);
    ck_assert_ptr_nonnull(err);
    ck_assert_ptr_nonnull(strstr(err->message, "too many values"));
    ck_assert_ptr_null(ch_json_parse_mended(pool, text, at, 2));
    at = 1 + 500000 * len; /* so many are taken */
    text[at - 1] = ']';
    ck_assert_ptr_null(parse(text, at, &json));
}
END_TEST

CH_SUITE_MAIN("base/json", CH_EACH(value, values), CH_EACH(refused, broken),
              CH_ONCE(raw_nul), {.test = levels, .times = 2},
              CH_ONCE(levels_are_the_callers), CH_EACH(type, types),
              CH_ONCE(numbers), CH_ONCE(walks_in_document_order),
              CH_ONCE(string_has_its_length),
              CH_ONCE(fault_has_a_place_and_no_body),
              CH_ONCE(place_of_the_level_too_many),
              CH_ONCE(many_large_integers), CH_EACH(half_a_pair, halves),
              { .test = many_values, .times = 4 })
