/* Tests of base/jsonw: what is written is JSON and says the same. */
#include "ch_check.h"

#include "base/json.h"
#include "base/jsonw.h"

static ch_buf_t *fresh(void)
{
    return ch_buf_make(pool, 0, 1 << 20);
}

static const struct {
    const char *text;
    const char *want;
} strings[] = {
    {"", "\"\""},
    {"plain", "\"plain\""},
    {"\"\\/", "\"\\\"\\\\/\""},
    {"\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\""},
    {"\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\""},
    {"</script>\xE2\x80\xA8", "\"</script>\xE2\x80\xA8\""},
    {"\xF0\x9D\x84\x9E", "\"\xF0\x9D\x84\x9E\""},
    {"0123456789abcdef", "\"0123456789abcdef\""},
    {"0123456789abcde\"", "\"0123456789abcde\\\"\""},
    {"\"123456789abcdef0", "\"\\\"123456789abcdef0\""},
};

START_TEST(string)
{
    const char *text = strings[_i].text;
    ch_buf_t *buf = fresh();

    ch_jsonw_str(buf, ch_check_copy(text, strlen(text)), strlen(text));
    ck_assert_str_eq(ch_buf_cstr(buf), strings[_i].want);
}
END_TEST

START_TEST(string_with_nul)
{
    ch_buf_t *buf = fresh();

    ch_jsonw_str(buf, "a\0b", 3);
    ck_assert_str_eq(ch_buf_cstr(buf), "\"a\\u0000b\"");
}
END_TEST

/* One byte that needs an escape at every place of texts of every length up to
 * some blocks, read back by the parser. */
START_TEST(string_at_every_place)
{
    size_t len;
    size_t at;

    for (len = 1; len < 70; len++) {
        char *text = ch_check_copy(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
            "abcdefgh",
            len);

        for (at = 0; at < len; at++) {
            char kept = text[at];
            ch_buf_t *buf = ch_buf_make(pool, at, 1000);
            const ch_json_t *json;
            const char *back;
            size_t back_len;

            text[at] = "\"\\\n\x01\x1f"[at % 5];
            ch_jsonw_str(buf, text, len);
            ck_assert_ptr_null(
                ch_json_parse(pool, buf->data, buf->len, 1, &json));
            back = ch_json_string(json, &back_len);
            ck_assert_uint_eq(back_len, len);
            ck_assert_mem_eq(back, text, len);
            text[at] = kept;
        }
    }
}
END_TEST

/* Text that fits is not refused for the escapes that it might have had. */
START_TEST(string_up_to_the_maximum)
{
    ch_buf_t *buf = ch_buf_make(pool, 0, 12);

    ch_jsonw_str(buf, "0123456789", 10);
    ck_assert_int_eq(buf->overflow, 0);
    ck_assert_str_eq(ch_buf_cstr(buf), "\"0123456789\"");
    buf = ch_buf_make(pool, 0, 12);
    ch_jsonw_str(buf, "01234567\n", 9);
    ck_assert_str_eq(ch_buf_cstr(buf), "\"01234567\\n\"");
    buf = ch_buf_make(pool, 0, 12);
    ch_jsonw_str(buf, "01234567\n8", 10);
    ck_assert_int_eq(buf->overflow, 1);
    buf = ch_buf_make(pool, 0, 11);
    ch_jsonw_str(buf, "0123456789", 10);
    ck_assert_int_eq(buf->overflow, 1);
    buf = ch_buf_make(pool, 0, 5);
    ch_jsonw_str(buf, "\x01\x02\x03", 3);
    ck_assert_int_eq(buf->overflow, 1);
}
END_TEST

START_TEST(string_of_megabytes)
{
    size_t len = 3 << 20;
    char *text = malloc(len);
    ch_buf_t *buf = ch_buf_make(pool, 16, len * 6 + 2);

    memset(text, 1, len);
    ch_jsonw_str(buf, text, len);
    ck_assert_int_eq(buf->overflow, 0);
    ck_assert_uint_eq(buf->len, len * 6 + 2);
    free(text);
}
END_TEST

START_TEST(cstr_and_null)
{
    ch_buf_t *buf = fresh();

    ch_jsonw_cstr(buf, NULL);
    ch_jsonw_cstr(buf, "a\"");
    ck_assert_str_eq(ch_buf_cstr(buf), "null\"a\\\"\"");
}
END_TEST

static const struct {
    apr_int64_t value;
    const char *want;
} ints[] = {
    {0, "0"},
    {7, "7"},
    {-1, "-1"},
    {1234567890, "1234567890"},
    {APR_INT64_MAX, "9223372036854775807"},
    {APR_INT64_MIN, "-9223372036854775808"},
};

START_TEST(integer)
{
    ch_buf_t *buf = fresh();

    ch_jsonw_int(buf, ints[_i].value);
    ck_assert_str_eq(ch_buf_cstr(buf), ints[_i].want);
}
END_TEST

START_TEST(boolean_and_time)
{
    ch_buf_t *buf = fresh();

    ch_jsonw_bool(buf, 0);
    ch_jsonw_bool(buf, 8);
    ch_jsonw_time(buf, APR_INT64_C(1769250600123456));
    ck_assert_str_eq(ch_buf_cstr(buf),
                     "falsetrue\"2026-01-24T10:30:00.123Z\"");
}
END_TEST

static const struct {
    const char *text;
    const char *want;
} pg_times[] = {
    {"2026-01-24 10:30:00.123456+00", "\"2026-01-24T10:30:00.123Z\""},
    {"2026-01-24 10:30:00.1234+00", "\"2026-01-24T10:30:00.123Z\""},
    {"2026-01-24 10:30:00.12+00", "\"2026-01-24T10:30:00.120Z\""},
    {"2026-01-24 10:30:00.5+00", "\"2026-01-24T10:30:00.500Z\""},
    {"2026-01-24 10:30:00.000999+00", "\"2026-01-24T10:30:00.000Z\""},
    {"2026-01-24 10:30:00+00", "\"2026-01-24T10:30:00.000Z\""},
    {"infinity", "\"infinity\""},
    {"10000-01-01 00:00:00+00", "\"10000-01-01 00:00:00+00\""},
    {"2026-01-24 10:30:00+05:30", "\"2026-01-24 10:30:00+05:30\""},
    {"", "\"\""},
};

START_TEST(pg_time)
{
    const char *text = pg_times[_i].text;
    ch_buf_t *buf = fresh();

    ch_jsonw_pg_time(buf, ch_check_copy(text, strlen(text)), strlen(text));
    ck_assert_str_eq(ch_buf_cstr(buf), pg_times[_i].want);
}
END_TEST

static const struct {
    const char *text;
    const char *want;
} pg_arrays[] = {
    {"{}", "[]"},
    {"{a}", "[\"a\"]"},
    {"{a,b c,d}", "[\"a\",\"b c\",\"d\"]"},
    {"{a,\"b c\",NULL}", "[\"a\",\"b c\",null]"},
    {"{\"NULL\",null}", "[\"NULL\",\"null\"]"},
    {"{\"\"}", "[\"\"]"},
    {"{\"a\\\"b\\\\c\"}", "[\"a\\\"b\\\\c\"]"},
    {"{\"\\\\\"}", "[\"\\\\\"]"},
    {"{\"{x}\",\"a,b\"}", "[\"{x}\",\"a,b\"]"},
    {"{\"new\nline\"}", "[\"new\\nline\"]"},
    {"{\xC3\xA4}", "[\"\xC3\xA4\"]"},
    {"", "[]"},
    {"{", "[]"},
    {"{\"a", "[\"a\"]"},
    {"{\"a\\", "[\"a\\\\\"]"},
    {"{a,", "[\"a\"]"},
    {"x", "[]"},
};

START_TEST(pg_array)
{
    const char *text = pg_arrays[_i].text;
    ch_buf_t *buf = fresh();

    ch_jsonw_pg_array(buf, ch_check_copy(text, strlen(text)), strlen(text));
    ck_assert_str_eq(ch_buf_cstr(buf), pg_arrays[_i].want);
}
END_TEST

static const struct {
    const char *text;
    const char *want;
} marked_texts[] = {
    {"", "null"},
    {"nothing <b>", "null"},
    {"\x03\x04\x05\x06", "null"},
    {"\x02hit\x03", "\"<mark>hit</mark>\""},
    {"a \x02" "b\x03 c", "\"a <mark>b</mark> c\""},
    {"\x02" "a\x03\x06\x02" "b\x03",
     "\"<mark>a</mark> \xE2\x80\xA6 <mark>b</mark>\""},
    {"\x02<\x03>&\"'", "\"<mark>&lt;</mark>&gt;&amp;&quot;&#39;\""},
    {"\x04i\x05\x02x\x03", "\"&lt;i&gt;<mark>x</mark>\""},
    {"\x02&amp;\x03", "\"<mark>&amp;amp;</mark>\""},
    {"\\\x02\n\x03\x01", "\"\\\\<mark>\\n</mark>\\u0001\""},
    {"\x02\xE5\x8C\x97\x03", "\"<mark>\xE5\x8C\x97</mark>\""},
};

START_TEST(marked)
{
    const char *text = marked_texts[_i].text;
    ch_buf_t *buf = fresh();

    ch_jsonw_marked(buf, ch_check_copy(text, strlen(text)), strlen(text));
    ck_assert_str_eq(ch_buf_cstr(buf), marked_texts[_i].want);
}
END_TEST

CH_SUITE_MAIN("base/jsonw", CH_EACH(marked, marked_texts),
              CH_EACH(string, strings), CH_ONCE(string_with_nul),
              CH_ONCE(string_at_every_place),
              CH_ONCE(string_up_to_the_maximum), CH_ONCE(string_of_megabytes),
              CH_ONCE(cstr_and_null), CH_EACH(integer, ints),
              CH_ONCE(boolean_and_time), CH_EACH(pg_time, pg_times),
              CH_EACH(pg_array, pg_arrays))
