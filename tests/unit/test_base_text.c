/* Tests of base/text: UTF-8, white space, e-mail addresses, URLs. */
#include "ch_check.h"

#include <stdio.h>

#include "base/text.h"

/* UTF-8 of one code point, by another road than the code's. */
static size_t encode(unsigned point, char out[4])
{
    size_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t i;

    for (i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    out[0] = (char)(lead[n] | point);
    return n;
}

static int is_space_point(unsigned point)
{
    return (point >= 9 && point <= 13) || point == 0x20 || point == 0x85 ||
           point == 0xA0 || point == 0x1680 ||
           (point >= 0x2000 && point <= 0x200A) || point == 0x2028 ||
           point == 0x2029 || point == 0x202F || point == 0x205F ||
           point == 0x3000;
}

/* Every code point there is: valid but for surrogates, one character, white
 * space or not. */
START_TEST(every_code_point)
{
    char *text = ch_check_copy("xxxx", 4);
    unsigned point;

    for (point = 1; point <= 0x10FFFF; point++) {
        size_t n = encode(point, text);
        int surrogate = point >= 0xD800 && point <= 0xDFFF;
        size_t space = is_space_point(point) ? n : 0;

        if (ch_text_valid(text, n) == surrogate ||
            (n > 1 && ch_text_valid(text, n - 1)) ||
            ch_text_count(text, n) != 1 ||
            ch_text_space_at(text, n) != space ||
            ch_text_trim(text, n).len != n - space) {
            ck_abort_msg("U+%04X", point);
        }
    }
}
END_TEST

static const char *const invalid[] = {
    "\x80",
    "\xBF",
    "\xC0\x80",
    "\xC1\xBF",
    "\xC2",
    "\xC2x",
    "\xE0\x9F\xBF",
    "\xE1\x80",
    "\xE1\x80x",
    "\xED\xA0\x80",
    "\xED\xBF\xBF",
    "\xF0\x8F\xBF\xBF",
    "\xF1\x80\x80",
    "\xF1\x80\x80x",
    "\xF4\x90\x80\x80",
    "\xF5\x80\x80\x80",
    "\xF8\x88\x80\x80\x80",
    "\xFE",
    "\xFF",
    "12345678\x80",
    "1234567\xC3\x28",
    "\xC3\xA4\xA4",
};

START_TEST(refuses_broken_utf8)
{
    const char *text = invalid[_i];

    ck_assert(!ch_text_valid(ch_check_copy(text, strlen(text)), strlen(text)));
}
END_TEST

/* A broken byte at any place among blocks of eight. */
START_TEST(finds_a_broken_byte_anywhere)
{
    size_t len;
    size_t at;

    for (len = 1; len < 40; len++) {
        char *text =
            ch_check_copy("0123456789012345678901234567890123456789", len);

        ck_assert(ch_text_valid(text, len));
        for (at = 0; at < len; at++) {
            text[at] = '\xC3';
            ck_assert(!ch_text_valid(text, len));
            text[at] = 'x';
        }
    }
    ck_assert(ch_text_valid("", 0));
    ck_assert(ch_text_valid("a\0b", 3));
}
END_TEST

#define MIXED "a\xC3\xA4\xE2\x82\xAC\xF0\x9D\x84\x9Ez" /* 1 2 3 4 1 bytes */

START_TEST(counts_and_cuts)
{
    static const size_t bytes[] = {0, 1, 3, 6, 10, 11, 11, 11};
    char *text = ch_check_copy(MIXED, 11);
    size_t points;

    ck_assert_uint_eq(ch_text_count(text, 11), 5);
    ck_assert_uint_eq(ch_text_count("", 0), 0);
    for (points = 0; points < CH_COUNT(bytes); points++) {
        ck_assert_uint_eq(ch_text_prefix(text, 11, points), bytes[points]);
    }
    ck_assert_uint_eq(ch_text_prefix(text, 11, SIZE_MAX), 11);
    ck_assert_uint_eq(ch_text_prefix("", 0, 3), 0);
}
END_TEST

static const struct {
    const char *text;
    const char *want;
} trims[] = {
    {"", ""},
    {"a", "a"},
    {" ", ""},
    {" \t\n\v\f\r ", ""},
    {"  a b\t", "a b"},
    {"\xC2\xA0\xE3\x80\x80"
     "a\xE2\x80\xA8\xC2\x85",
     "a"},
    {"\xE2\x80\x8A\xE1\x9A\x80\xE2\x81\x9F", ""},
    {"\xE2\x80\x8B"
     "a\xEF\xBB\xBF",
     "\xE2\x80\x8B"
     "a\xEF\xBB\xBF"},
    {"\xC3\xA0", "\xC3\xA0"},         /* ends with the byte A0 */
    {"\xE4\x80\x80", "\xE4\x80\x80"}, /* U+4000 is a letter */
    {"\xC2\xA0x\xC2\xA0y\xC2\xA0", "x\xC2\xA0y"},
};

START_TEST(trim)
{
    const char *text = trims[_i].text;
    ch_bytes_t out =
        ch_text_trim(ch_check_copy(text, strlen(text)), strlen(text));

    ck_assert_uint_eq(out.len, strlen(trims[_i].want));
    ck_assert_mem_eq(out.data, trims[_i].want, out.len);
}
END_TEST

START_TEST(control)
{
    int c;

    for (c = 0; c < 256; c++) {
        char text[3] = {'a', (char)c, 'b'};
        int is_break = c == '\t' || c == '\n' || c == '\r';
        int is_control = c < 0x20 || c == 0x7F;

        ck_assert_int_eq(ch_text_has_control(text, 3, 0), is_control);
        ck_assert_int_eq(ch_text_has_control(text, 3, 1),
                         is_control && !is_break);
    }
    ck_assert_int_eq(ch_text_has_control("\xC2\x80", 2, 0), 0);
    ck_assert_int_eq(ch_text_has_control("", 0, 0), 0);
}
END_TEST

static const struct {
    const char *text;
    const char *want;
} lowers[] = {
    {"", ""},
    {"ABCxyz019[@", "abcxyz019[@"},
    {"\xC3\x84\xC3\x96", "\xC3\xA4\xC3\xB6"},
    {"\xCE\xA3", "\xCF\x83"},                 /* sigma */
    {"\xC8\xBA", "\xE2\xB1\xA5"},             /* 2 bytes become 3 */
    {"\xE2\x84\xAA", "k"},                    /* Kelvin */
    {"\xF0\x90\x90\x80", "\xF0\x90\x90\xA8"}, /* Deseret */
    {"\xC3\x9F", "\xC3\x9F"},
    {"A\xFF"
     "B\xC3",
     "a\xFF"
     "b\xC3"}, /* broken bytes stay */
};

START_TEST(lower)
{
    const char *text = lowers[_i].text;

    ck_assert_str_eq(
        ch_text_lower(pool, ch_check_copy(text, strlen(text)), strlen(text)),
        lowers[_i].want);
}
END_TEST

START_TEST(lower_of_what_grows_most)
{
    char text[400];
    const char *out;
    size_t i;

    for (i = 0; i < sizeof(text); i += 2) {
        memcpy(text + i, "\xC8\xBA", 2);
    }
    out = ch_text_lower(pool, text, sizeof(text));
    ck_assert_uint_eq(strlen(out), 600);
    /* it all lies in one allocation: the next one comes behind it */
    ck_assert((char *)apr_palloc(pool, 1) > out + 600);
}
END_TEST

START_TEST(ascii_lower)
{
    ck_assert_str_eq(ch_text_ascii_lower(pool, "A\xC3\x84zZ@[`{", 9),
                     "a\xC3\x84zz@[`{");
    ck_assert_str_eq(ch_text_ascii_lower(pool, "", 0), "");
}
END_TEST

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *text;
    int good;
} emails[] = {
    {"a@b.c", 1},
    {"first.last+tag@example.co.uk", 1},
    {"o'neil_{}!#$%&*/=?^`|~-@example.com", 1},
    {"\xC3\xA4@\xC3\xB6.de", 1},
    {"a@b-c.d_e.f", 1},
    {A63 "a@b.c", 1},
    {A63 "aa@b.c", 0},
    {"a@" A63 ".c", 1},
    {"a@" A63 "a.c", 0},
    {"a@" A63 "." A63 "." A63 "." A63 ".c", 0}, /* 259 bytes */
    {"a@b.c"
     "." A63 "." A63 "." A63 "."
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaa",
     1}, /* 254 bytes */
    {"a@b.c"
     "." A63 "." A63 "." A63 "."
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaa",
     0},
    {"", 0},
    {"@", 0},
    {"a", 0},
    {"a@", 0},
    {"@b.c", 0},
    {"a@b", 0},
    {"a@b.", 0},
    {"a@.b", 0},
    {"a@b..c", 0},
    {"a@b.c.", 0},
    {"a@@b.c", 0},
    {"a@b@c.d", 0},
    {"a b@c.d", 0},
    {" a@b.c", 0},
    {"a@b.c\n", 0},
    {"a\t@b.c", 0},
    {"a\x01@b.c", 0},
    {"a\x7F@b.c", 0},
    {"a\xC2\x85@b.c", 0},
    {"a\xC2\x9B@b.c", 0},
    {"a\xC2\xA0@b.c", 0},
    {"a@b\xE3\x80\x80.c", 0},
    {"a\xFF@b.c", 0},
    {"a@b.c\xC3", 0},
    {"a@b,c.d", 0},
    {"a@b.c>", 0},
    {"<a@b.c", 0},
    {"a,b@c.d", 0},
    {"a;b@c.d", 0},
    {"\"a\"@b.c", 0},
};

START_TEST(email)
{
    const char *text = emails[_i].text;
    int good =
        ch_text_is_email(ch_check_copy(text, strlen(text)), strlen(text));

    ck_assert_msg(good == emails[_i].good, "%s", text);
}
END_TEST

static const struct {
    const char *text;
    int good;
} urls[] = {
    {"http://a", 1},
    {"https://example.com", 1},
    {"HTTPS://EXAMPLE.COM/", 1},
    {"https://example.com:8443/a/b?c=d#e", 1},
    {"https://example.com?x", 1},
    {"https://example.com#x", 1},
    {"https://example.com.", 1},
    {"https://example.com:/", 1},
    {"https://example.com:65535", 1},
    {"https://user:pass@example.com/", 1},
    {"https://user@pass@example.com/", 1},
    {"http://127.0.0.1:80/", 1},
    {"http://[::1]/", 1},
    {"http://[2001:db8::1]:8080/x", 1},
    {"http://xn--bcher-kva.example/", 1},
    {"http://b\xC3\xBC"
     "cher.example/\xE2\x82\xAC",
     1},
    {"https://example.com/a%20b", 1},
    {"https://example.com/a@b:c", 1},
    {"", 0},
    {"http", 0},
    {"http://", 0},
    {"https://", 0},
    {"https:///path", 0},
    {"https://?x", 0},
    {"https://:80", 0},
    {"https://user@/", 0},
    {"https://.", 0},
    {"https://a..b", 0},
    {"https://.a", 0},
    {"//example.com", 0},
    {"example.com", 0},
    {"ftp://example.com", 0},
    {"javascript:alert(1)", 0},
    {"http:/example.com", 0},
    {"http:example.com", 0},
    {"http:\\\\example.com", 0},
    {"http://a\\b/", 0},
    {"http://a b/", 0},
    {"http://a/b c", 0},
    {" http://a", 0},
    {"http://a\n", 0},
    {"http://a/\x01", 0},
    {"http://a/\x7F", 0},
    {"http://a/\xC2\xA0", 0},
    {"http://a/\xC2\x80", 0},
    {"http://a/\xFF", 0},
    {"http://a<b/", 0},
    {"http://a:65536", 0},
    {"http://a:100000", 0},
    {"http://a:8a", 0},
    {"http://a:-1", 0},
    {"http://[]/", 0},
    {"http://[::1/", 0},
    {"http://[::1]x/", 0},
    {"http://[::g]/", 0},
    {"http://[", 0},
};

START_TEST(url)
{
    const char *text = urls[_i].text;
    int good = ch_text_is_url(ch_check_copy(text, strlen(text)), strlen(text));

    ck_assert_msg(good == urls[_i].good, "%s", text);
}
END_TEST

START_TEST(url_of_the_longest_size)
{
    char text[2049];

    memset(text, 'x', sizeof(text));
    memcpy(text, "https://a/", 10);
    ck_assert(ch_text_is_url(text, 2048));
    ck_assert(!ch_text_is_url(text, 2049));
    ck_assert(!ch_text_is_url("https://a\0b", 11));
    ck_assert(!ch_text_is_email("a\0b@c.d", 7));
    ck_assert(!ch_text_is_email("ab@c.d\0", 7));
}
END_TEST

static const struct {
    const char *in;
    const char *clean;
    const char *like;
} lines[] = {
    { "", "", "%%" },
    { "plain", "plain", "%plain%" },
    { "50%_\\", "50%_\\", "%50\\%\\_\\\\%" },
    { "\x01\x1F \x7F", "?? ?", "%\x01\x1F \x7F%" },
    { "\xC2\x80\xC2\x9F\xC2\xA0", "????\xC2\xA0",
      "%\xC2\x80\xC2\x9F\xC2\xA0%" },
    { "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80", "%\xF0\x9F\x98\x80%" },
    { "a\xE2\x82", "a??", "%a\xE2\x82%" },
    { "\xFF\xC0\x80z", "???z", "%\xFF\xC0\x80z%" },
};

START_TEST(clean_lines)
{
    size_t len = strlen(lines[_i].in);
    const char *copy = ch_check_copy(lines[_i].in, len);

    ck_assert_str_eq(ch_text_clean(pool, copy, len), lines[_i].clean);
    ck_assert_str_eq(ch_text_like(pool, lines[_i].in), lines[_i].like);
}
END_TEST

START_TEST(clean_anything)
{
    static const char nul[] = "a\0b";
    char bytes[3];
    unsigned i;

    ck_assert_ptr_null(ch_text_like(pool, NULL));
    ck_assert_str_eq(ch_text_clean(pool, nul, 3), "a?b");
    for (i = 0; i < 1u << 16; i++) {
        const char *clean;

        bytes[0] = (char)(i >> 8);
        bytes[1] = (char)i;
        clean = ch_text_clean(pool, bytes, 2);
        ck_assert_uint_eq(strlen(clean), 2);
        ck_assert_int_eq(ch_text_valid(clean, 2), 1);
        ck_assert_int_eq(ch_text_has_control(clean, 2, 0), 0);
    }
}
END_TEST

static const struct {
    const char *text;
    int unspaced;
    int has_case;
} scripts[] = {
    { "", 0, 0 },
    { "plain", 0, 1 },
    { "1 + 2 = 3 !", 0, 0 },
    { "\xD0\xBC\xD0\xB8\xD1\x80", 0, 1 },         /* Cyrillic */
    { "\xD7\xA9\xD7\x9C", 0, 0 },                   /* Hebrew */
    { "\xEC\x95\x88", 0, 0 },                       /* Hangul has blanks */
    { "\xE5\x8C\x97\xE4\xBA\xAC", 1, 0 },          /* Han */
    { "iPhone\xE3\x81\xAE", 1, 1 },                 /* Hiragana */
    { "\xE3\x82\xAB\xEF\xBD\xB6", 1, 0 },          /* Katakana */
    { "\xE0\xB8\x81", 1, 0 },                       /* Thai */
    { "\xE1\x9E\x9F", 1, 0 },                       /* Khmer */
    { "\xE1\x80\x80", 1, 0 },                       /* Myanmar */
    { "\xE0\xB7\xBF", 0, 0 },                       /* U+0DFF */
    { "\xE0\xBC\x80", 0, 0 },                       /* U+0F00 */
    { "\xF0\xA0\x80\x80", 1, 0 },                   /* U+20000 */
    { "\xF0\x9F\x98\x80", 0, 0 },                   /* emoji */
    { "\xE5\x8C", 0, 0 },
    { "\xFF\xE5\x8C\x97", 1, 0 },
};

START_TEST(tells_scripts)
{
    size_t len = strlen(scripts[_i].text);
    const char *copy = ch_check_copy(scripts[_i].text, len);

    ck_assert_int_eq(ch_text_has_unspaced(copy, len), scripts[_i].unspaced);
    ck_assert_int_eq(ch_text_has_case(copy, len), scripts[_i].has_case);
}
END_TEST

static const struct {
    const char *text;
    const char *word;
    int has;
} words[] = {
    { "a bad word", "bad", 1 },
    { "bad", "bad", 1 },
    { "bad!", "bad", 1 },
    { "(bad)", "bad", 1 },
    { "badge", "bad", 0 },
    { "abad", "bad", 0 },
    { "bad_", "bad", 0 },
    { "bad7", "bad", 0 },
    { "badge, bad", "bad", 1 },
    { "babad bad", "bad", 1 },
    { "bada bad", "bad", 1 },
    { "a bad\xC3\xA9", "bad", 0 },          /* U+00E9 behind it */
    { "\xC3\xA9" "bad", "bad", 0 },         /* and before it */
    { "bad\xCC\x81", "bad", 0 },            /* a mark */
    { "\xE2\x80\x9C" "bad\xE2\x80\x9D", "bad", 1 }, /* quotes */
    { "\xF0\x9F\x98\x80" "bad", "bad", 1 }, /* emoji */
    { "not here", "bad", 0 },
    { "", "bad", 0 },
    { "two words here", "two words", 1 },
    { "x.y.z", ".y.", 0 },
};

START_TEST(finds_whole_words)
{
    ck_assert_int_eq(ch_text_has_word(words[_i].text, words[_i].word),
                     words[_i].has);
}
END_TEST

static const struct {
    const char *text, *slug;
} titles[] = {
    { "Hello You", "hello-you" },
    { "  --Hello,  You!? ", "hello-you" },
    { "Cr\u00e8me 25 br\u00fb", "creme-25-b" },
    { "e\u0301\u0301A", "ea" },
    { "\ufb01ne \uff21\uff22\uff11 \u2460", "fine-ab1-1" },
    { "\u4f60\u597d", "none" },
    { "\u00df\u00d8\u0141", "none" },
    { "", "none" },
    { "a\u4f60b", "a-b" },
    { "abcdefghi jk", "abcdefghi" }, /* no dash at the cut */
    { "abcdefghijk", "abcdefghij" },
};

START_TEST(slug)
{
    ck_assert_str_eq(ch_text_slug(pool, titles[_i].text, 10, "none"),
                     titles[_i].slug);
}
END_TEST

CH_SUITE_MAIN("base/text", CH_EACH(slug, titles), CH_EACH(tells_scripts, scripts),
              CH_EACH(finds_whole_words, words),
              CH_ONCE(every_code_point), CH_EACH(refuses_broken_utf8, invalid),
              CH_ONCE(finds_a_broken_byte_anywhere), CH_ONCE(counts_and_cuts),
              CH_EACH(trim, trims), CH_ONCE(control), CH_EACH(lower, lowers),
              CH_ONCE(lower_of_what_grows_most), CH_ONCE(ascii_lower),
              CH_EACH(email, emails), CH_EACH(url, urls),
              CH_ONCE(url_of_the_longest_size), CH_EACH(clean_lines, lines),
              CH_ONCE(clean_anything))
