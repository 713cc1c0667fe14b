/* Tests of base/clock: times to text and back. */
#include "ch_check.h"

#include <stdio.h>

#include "base/clock.h"

#define DAY (APR_INT64_C(86400) * APR_USEC_PER_SEC)
#define DAYS 2932897 /* from 1970-01-01 to 9999-12-31 */

static const struct {
    apr_time_t when;
    const char *text;
} formats[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {999, "1970-01-01T00:00:00.000Z"},
    {1999, "1970-01-01T00:00:00.001Z"},
    {APR_INT64_C(951782400000000), "2000-02-29T00:00:00.000Z"},
    {APR_INT64_C(1769250600123999), "2026-01-24T10:30:00.123Z"},
    {APR_INT64_C(4107542399999999), "2100-02-28T23:59:59.999Z"},
    {APR_INT64_C(4107542400000000), "2100-03-01T00:00:00.000Z"},
    {APR_INT64_C(253402300799999999), "9999-12-31T23:59:59.999Z"},
    {APR_INT64_C(253402300800000000), "9999-12-31T23:59:59.999Z"},
    {APR_INT64_MAX, "9999-12-31T23:59:59.999Z"},
    {-1, "1970-01-01T00:00:00.000Z"},
    {APR_INT64_MIN, "1970-01-01T00:00:00.000Z"},
};

START_TEST(format)
{
    ck_assert_str_eq(ch_clock_text(pool, formats[_i].when), formats[_i].text);
}
END_TEST

/* Against APR's own calendar, at times that stray over the day. */
START_TEST(every_day_there_and_back)
{
    char text[CH_TS_LEN + 1];
    char *exact = ch_check_copy(formats[0].text, CH_TS_LEN);
    apr_int64_t day;

    for (day = 0; day < DAYS; day++) {
        apr_time_t when = day * DAY + day * 28657 % 86400 * APR_USEC_PER_SEC +
                          day % 1000 * 1000;
        apr_time_t back = -1;

        ch_clock_format(when, text);
        memcpy(exact, text, CH_TS_LEN);
        /* an assertion that holds costs a write to a pipe */
        if (!ch_clock_parse(exact, CH_TS_LEN, &back) || back != when) {
            ck_abort_msg("%s", text);
        }
    }
}
END_TEST

START_TEST(agrees_with_apr)
{
    char text[CH_TS_LEN + 1];
    char want[64];
    apr_int64_t day;

    for (day = 0; day < DAYS; day += 17) {
        apr_time_t when = day * DAY + day * 28657 % 86400 * APR_USEC_PER_SEC +
                          day % 1000 * 1000;
        apr_time_exp_t e;

        apr_time_exp_gmt(&e, when);
        snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                 e.tm_year + 1900, e.tm_mon + 1, e.tm_mday, e.tm_hour,
                 e.tm_min, e.tm_sec, e.tm_usec / 1000);
        ch_clock_format(when, text);
        if (strcmp(text, want) != 0) {
            ck_abort_msg("%s instead of %s", text, want);
        }
    }
}
END_TEST

static const struct {
    const char *text;
    const char *want; /* NULL = none */
    int micros;       /* of the last millisecond */
} parses[] = {
    {"2026-01-24T10:30:00Z", "2026-01-24T10:30:00.000Z", 0},
    {"2026-01-24t10:30:00z", "2026-01-24T10:30:00.000Z", 0},
    {"2026-01-24T10:30:00.123456789+01:00", "2026-01-24T09:30:00.123Z", 456},
    {"2026-01-24T10:30:00.1Z", "2026-01-24T10:30:00.100Z", 0},
    {"2026-01-24T10:30:00.000000999Z", "2026-01-24T10:30:00.000Z", 0},
    {"2026-01-24T10:30:00.9999999Z", "2026-01-24T10:30:00.999Z", 999},
    {"2026-01-24T00:10:00+00:11", "2026-01-23T23:59:00.000Z", 0},
    {"2026-12-31T23:59:59-00:01", "2027-01-01T00:00:59.000Z", 0},
    {"2026-01-24T10:30:00-00:00", "2026-01-24T10:30:00.000Z", 0},
    {"2026-01-24T10:30:00+23:59", "2026-01-23T10:31:00.000Z", 0},
    {"2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z", 0},
    {"2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z", 0},
    {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z", 0},
    {"9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999Z", 999},
    {"1990-12-31T23:59:60Z", "1991-01-01T00:00:00.000Z", 0},
    {"1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00.000Z", 0},
    {"1990-12-31T23:59:60.5Z", "1991-01-01T00:00:00.500Z", 0},
    {"1990-12-31T23:59:60-08:00", NULL, 0},
    {"1990-12-31T23:58:60Z", NULL, 0},
    {"1990-12-31T22:59:60Z", NULL, 0},
    {"1990-12-31T23:59:61Z", NULL, 0},
    {"9999-12-31T23:59:60Z", NULL, 0},
    {"1970-01-01T00:00:00+00:01", NULL, 0},
    {"1970-01-01T00:59:60+01:00", NULL, 0},
    {"9999-12-31T23:59:59-00:01", NULL, 0},
    {"1969-12-31T23:59:59Z", NULL, 0},
    {"0000-01-01T00:00:00Z", NULL, 0},
    {"10000-01-01T00:00:00Z", NULL, 0},
    {"2023-02-29T00:00:00Z", NULL, 0},
    {"2100-02-29T00:00:00Z", NULL, 0},
    {"2026-04-31T00:00:00Z", NULL, 0},
    {"2026-00-10T00:00:00Z", NULL, 0},
    {"2026-13-10T00:00:00Z", NULL, 0},
    {"2026-01-00T00:00:00Z", NULL, 0},
    {"2026-01-32T00:00:00Z", NULL, 0},
    {"2026-01-24T24:00:00Z", NULL, 0},
    {"2026-01-24T10:60:00Z", NULL, 0},
    {"2026-01-24T10:30:00", NULL, 0},
    {"2026-01-24T10:30Z", NULL, 0},
    {"2026-01-24 10:30:00Z", NULL, 0},
    {"2026-01-24T10:30:00.Z", NULL, 0},
    {"2026-01-24T10:30:00,5Z", NULL, 0},
    {"2026-01-24T10:30:00.1234567890Z", NULL, 0},
    {"2026-01-24T10:30:00.123", NULL, 0},
    {"2026-01-24T10:30:00+01", NULL, 0},
    {"2026-01-24T10:30:00+0100", NULL, 0},
    {"2026-01-24T10:30:00+01.00", NULL, 0},
    {"2026-01-24T10:30:00+24:00", NULL, 0},
    {"2026-01-24T10:30:00+01:60", NULL, 0},
    {"2026-01-24T10:30:00ZZ", NULL, 0},
    {"2026-01-24T10:30:00Z ", NULL, 0},
    {" 2026-01-24T10:30:00Z", NULL, 0},
    {"2026-1-24T10:30:00.0Z", NULL, 0},
    {"2026/01/24T10:30:00Z", NULL, 0},
    {"2026-01-24T10-30-00Z", NULL, 0},
    {"+026-01-24T10:30:00Z", NULL, 0},
    {"2026-01-24T1 :30:00Z", NULL, 0},
    {"2026-01-24T-1:30:00Z", NULL, 0},
    {"2026-01-24T10:30:00\xE2\x88\x92"
     "01:00",
     NULL, 0},
    {"2026-01-24", NULL, 0},
    {"1769250600", NULL, 0},
    {"Z", NULL, 0},
    {"", NULL, 0},
};

START_TEST(parse)
{
    const char *text = parses[_i].text;
    apr_time_t when = -7;
    int good =
        ch_clock_parse(ch_check_copy(text, strlen(text)), strlen(text), &when);

    if (parses[_i].want == NULL) {
        ck_assert_msg(!good, "%s", text);
        return;
    }
    ck_assert_msg(good, "%s", text);
    ck_assert_str_eq(ch_clock_text(pool, when), parses[_i].want);
    ck_assert_int_eq(when % 1000, parses[_i].micros);
}
END_TEST

CH_SUITE_MAIN("base/clock", CH_EACH(format, formats),
              CH_ONCE(every_day_there_and_back), CH_ONCE(agrees_with_apr),
              CH_EACH(parse, parses))
