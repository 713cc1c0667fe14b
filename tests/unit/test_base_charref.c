/* Tests of base/charref: names and numbers as browsers read them. */
#include "ch_check.h"

#include <stdio.h>

#include "base/charref.h"
#include "base/charref_names.h"

static const struct {
    const char *text;
    size_t len; /* taken; 0 = none */
    unsigned first;
    unsigned second;
} rows[] = {
    {"&amp;", 5, '&', 0},
    {"&lt;", 4, '<', 0},
    {"&gt;", 4, '>', 0},
    {"&quot;", 6, '"', 0},
    {"&apos;", 6, '\'', 0},
    {"&nbsp;", 6, 0xA0, 0},
    {"&eacute;", 8, 0xE9, 0},
    {"&Eacute;", 8, 0xC9, 0},
    {"&hellip;", 8, 0x2026, 0},
    {"&check;", 7, 0x2713, 0},
    {"&AElig;", 7, 0xC6, 0},  /* the first row */
    {"&zwnj;", 6, 0x200C, 0}, /* the last row */
    {"&zwj;", 5, 0x200D, 0},
    {"&nGt;", 5, 0x226B, 0x20D2},
    {"&bne;", 5, '=', 0x20E5},
    {"&CounterClockwiseContourIntegral;", 33, 0x2233, 0},
    {"&Afr;", 5, 0x1D504, 0},
    {"&there4;", 8, 0x2234, 0},
    {"&frac12;x", 8, 0xBD, 0},
    /* without a semicolon */
    {"&amp", 4, '&', 0},
    {"&ampx", 4, '&', 0},
    {"&AMPlify", 4, '&', 0},
    {"&notit;", 4, 0xAC, 0},
    {"&notin;", 7, 0x2209, 0},
    {"&notin", 4, 0xAC, 0},
    {"&copy2024", 5, 0xA9, 0},
    {"&frac14", 7, 0xBC, 0},
    {"&gt", 3, '>', 0},
    {"&lt=", 3, '<', 0},
    {"&apos", 0, 0, 0}, /* only with one */
    {"&check", 0, 0, 0},
    {"&hellip", 0, 0, 0},
    /* none */
    {"&", 0, 0, 0},
    {"&;", 0, 0, 0},
    {"& amp;", 0, 0, 0},
    {"&nosuch;", 0, 0, 0},
    {"&Amp;", 0, 0, 0},
    {"&a", 0, 0, 0},
    {"&zzzzzz;", 0, 0, 0},
    {"&AAAAAA;", 0, 0, 0},
    {"&=26;", 0, 0, 0},
    {"&\xC3\xA4;", 0, 0, 0},
    {"&CounterClockwiseContourIntegralx;", 0, 0, 0},
    /* numbers */
    {"&#65;", 5, 'A', 0},
    {"&#65", 4, 'A', 0},
    {"&#65x", 4, 'A', 0},
    {"&#x41;", 6, 'A', 0},
    {"&#X4a;", 6, 'J', 0},
    {"&#x4Ag", 5, 'J', 0},
    {"&#x1F600;", 9, 0x1F600, 0},
    {"&#128512;", 9, 0x1F600, 0},
    {"&#00000000000000065;", 20, 'A', 0},
    {"&#128;", 6, 0x20AC, 0},
    {"&#x9F;", 6, 0x178, 0},
    {"&#x81;", 6, 0x81, 0},
    {"&#xA0;", 6, 0xA0, 0},
    {"&#0;", 4, 0xFFFD, 0},
    {"&#xD800;", 8, 0xFFFD, 0},
    {"&#xDFFF;", 8, 0xFFFD, 0},
    {"&#x10FFFF;", 10, 0x10FFFF, 0},
    {"&#x110000;", 10, 0xFFFD, 0},
    {"&#4294967361;", 13, 0xFFFD, 0}, /* 2^32 + 65 */
    {"&#x10000000000000041;", 21, 0xFFFD, 0},
    {"&#99999999999999999999999999;", 29, 0xFFFD, 0},
    {"&#", 0, 0, 0},
    {"&#;", 0, 0, 0},
    {"&#x", 0, 0, 0},
    {"&#x;", 0, 0, 0},
    {"&#xg;", 0, 0, 0},
    {"&#-1;", 0, 0, 0},
    {"&#a;", 0, 0, 0},
};

START_TEST(reference)
{
    const char *text = rows[_i].text;
    unsigned points[2] = {0, 0};
    size_t len = ch_charref_read(ch_check_copy(text, strlen(text)),
                                 strlen(text), points);

    ck_assert_msg(len == rows[_i].len, "%s: %zu", text, len);
    if (len > 0) {
        ck_assert_uint_eq(points[0], rows[_i].first);
        ck_assert_uint_eq(points[1], rows[_i].second);
    }
}
END_TEST

/* Every row of the table is found, with and, where it may be, without its
 * semicolon, and says what its text says. */
START_TEST(every_name)
{
    const char *row = ch_charref_names;
    int count = 0;

    for (; *row != '\0'; row = strchr(row, ' ') + 1) {
        size_t len = strcspn(row, "=:");
        unsigned want[2] = {0, 0};
        unsigned points[2];
        char text[40];

        ck_assert_uint_le(len, CH_CHARREF_NAME_MAX);
        sscanf(row + len + 1, "%X,%X", &want[0], &want[1]);
        snprintf(text, sizeof(text), "&%.*s;", (int)len, row);
        ck_assert_msg(ch_charref_read(text, len + 2, points) == len + 2, "%s",
                      text);
        ck_assert_mem_eq(points, want, sizeof(want));
        if (row[len] == ':') {
            ck_assert_uint_eq(ch_charref_read(text, len + 1, points), len + 1);
            ck_assert_mem_eq(points, want, sizeof(want));
        }
        count++;
    }
    ck_assert_int_eq(count, 2125);
}
END_TEST

CH_SUITE_MAIN("base/charref", CH_EACH(reference, rows), CH_ONCE(every_name))
