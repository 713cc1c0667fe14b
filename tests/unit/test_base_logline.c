/* Tests of base/logline: whatever goes in, one whole JSON object comes out. */
#include "ch_check.h"

#include <apr_strings.h>

#include "base/json.h"
#include "base/logline.h"

static ch_logline_t line;

static const ch_json_t *parsed(void)
{
    const ch_json_t *json = NULL;

    ck_assert_uint_eq(strlen(line.data), line.len);
    ck_assert_uint_lt(line.len, CH_LOGLINE_MAX);
    ck_assert_ptr_null(strchr(line.data, '\n'));
    ck_assert_ptr_null(ch_json_parse(pool, line.data, line.len, 1, &json));
    return json;
}

static const char *value_of(const char *name)
{
    const ch_json_t *value = ch_json_get(parsed(), name);
    size_t len;

    ck_assert_ptr_nonnull(value);
    return ch_json_string(value, &len);
}

START_TEST(members_stand_in_order)
{
    ch_logline_begin(&line, 0, "http");
    ch_logline_int(&line, "n", -42);
    ch_logline_text(&line, "a", "b", 10);
    ch_logline_text(&line, "c", NULL, 10);
    ch_logline_end(&line);
    ck_assert_str_eq(line.data,
                     "{\"time\":\"1970-01-01T00:00:00.000Z\",\"stream\":"
                     "\"http\",\"n\":-42,\"a\":\"b\",\"c\":null}");
}
END_TEST

static const struct {
    const char *text, *written;
} numbers[] = {
    { "0", "0" },     { "12.345", "12.345" }, { "7", "7" },
    { NULL, "null" }, { "", "null" },         { "-", "null" },
    { "1.", "null" }, { ".5", "null" },       { "1e5", "null" },
    { "01", "null" }, { "1.2.3", "null" },    { "0.001", "0.001" },
};

START_TEST(numbers_are_numbers)
{
    ch_logline_begin(&line, 0, "x");
    ch_logline_number(&line, "n", numbers[_i].text);
    ch_logline_end(&line);
    parsed();
    ck_assert_str_eq(strstr(line.data, "\"n\":") + 4,
                     apr_pstrcat(pool, numbers[_i].written, "}", NULL));
}
END_TEST

static const struct {
    const char *text, *written;
} texts[] = {
    { "", "\"\"" },
    { "plain", "\"plain\"" },
    { "\"quoted\" \\ back", "\"\\\"quoted\\\" \\\\ back\"" },
    { "a\r\nb\tc\x1b[0m\x7f",
      "\"a\\u000d\\u000ab\\u0009c\\u001b[0m\\u007f\"" },
    { "gr\xC3\xBC\xC3\x9F", "\"gr\xC3\xBC\xC3\x9F\"" },
    { "\xF0\x9F\x98\x80", "\"\xF0\x9F\x98\x80\"" },
    { "\xC2\x85\xC2\x9B\xC2\xA0", "\"\\u0085\\u009b\xC2\xA0\"" },
    { "\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA",
      "\"\\u2028\\u2029\xE2\x80\xAA\"" },
    { "\xFF\xC3", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"" },
    { "\xC0\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"" },
    { "\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" },
    { "\xE2\x82", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"" },
    { "\xF0\x9F\x98(", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD(\"" },
};

START_TEST(text_is_made_safe)
{
    const char *text =
        ch_check_copy(texts[_i].text, strlen(texts[_i].text) + 1);

    ch_logline_begin(&line, 0, "x");
    ch_logline_text(&line, "t", text, 1000);
    ch_logline_end(&line);
    parsed();
    ck_assert_str_eq(strstr(line.data, "\"t\":") + 4,
                     apr_pstrcat(pool, texts[_i].written, "}", NULL));
}
END_TEST

static const struct {
    const char *text;
    size_t max;
    const char *cut;
} cuts[] = {
    { "abcdef", 6, "abcdef" },
    { "abcdefg", 6, "abc\xE2\x80\xA6" },
    { "abcdefg", 0, "\xE2\x80\xA6" },
    { "ab\n", 6, "ab\xE2\x80\xA6" },    /* the escape has six bytes */
    { "\"\"\"x", 6, "\"\xE2\x80\xA6" }, /* never between \ and " */
    { "a\xC3\xBC\xC3\xBCz", 5, "a\xE2\x80\xA6" },
};

START_TEST(long_text_is_cut_between_characters)
{
    ch_logline_begin(&line, 0, "x");
    ch_logline_text(&line, "t", cuts[_i].text, cuts[_i].max);
    ch_logline_text(&line, "after", "it", 10);
    ch_logline_end(&line);
    ck_assert_str_eq(value_of("t"), cuts[_i].cut);
    ck_assert_str_eq(value_of("after"), "it");
}
END_TEST

/* Every length around the end of the line, with one byte and six per
 * character. */
START_TEST(a_line_never_grows_too_long)
{
    char text[CH_LOGLINE_MAX + 50];
    size_t len;

    for (len = CH_LOGLINE_MAX / 6 - 60; len < sizeof(text) - 1; len++) {
        memset(text, _i ? '\n' : 'x', len);
        text[len] = '\0';
        ch_logline_begin(&line, 0, "x");
        ch_logline_text(&line, "t", text, sizeof(text) * 6);
        ch_logline_int(&line, "n", 1234567);
        ch_logline_text(&line, "z", NULL, 1);
        ch_logline_end(&line);
        if (_i == 0 || len > CH_LOGLINE_MAX / 6 - 5) {
            ck_assert_int_eq(*value_of("t"), *text);
        }
        if (_i) {
            len += 7;
        }
    }
    ck_assert_uint_gt(line.len, CH_LOGLINE_MAX - 30);
}
END_TEST

static const char *const kinds[] = { "short", "long" };

CH_SUITE_MAIN("base/logline", CH_ONCE(members_stand_in_order),
              CH_EACH(numbers_are_numbers, numbers),
              CH_EACH(text_is_made_safe, texts),
              CH_EACH(long_text_is_cut_between_characters, cuts),
              CH_EACH(a_line_never_grows_too_long, kinds))
