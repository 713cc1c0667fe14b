/* Tests of web/query: each byte is decoded once, and broken ones are told. */
#include "ch_check.h"

#include <apr_strings.h>

#include "base/text.h"
#include "web/query.h"

typedef struct {
    const char *text;
    size_t len;
    int plus_is_space;
    const char *out;
    int broken;
} decode_t;

#define TEXT(literal) .text = literal, .len = sizeof(literal) - 1

static const decode_t decodes[] = {
    { TEXT(""), .out = "" },
    { TEXT("plain"), .out = "plain" },
    { TEXT("a+b"), .plus_is_space = 1, .out = "a b" },
    { TEXT("a+b"), .plus_is_space = 0, .out = "a+b" },
    { TEXT("a%2Bb"), .plus_is_space = 1, .out = "a+b" },
    { TEXT("a%20b"), .plus_is_space = 0, .out = "a b" },
    { TEXT("%41%5a%7A%61"), .out = "AZza" },
    { TEXT("%2f%2F"), .out = "//" },
    { TEXT("%0a%0D%7f%01"), .out = "\n\r\x7F\x01" },
    /* once, not twice */
    { TEXT("%2541"), .out = "%41" },
    { TEXT("%25252f"), .out = "%252f" },
    { TEXT("%252B+"), .plus_is_space = 1, .out = "%2B " },
    /* UTF-8, escaped, raw, and half of each */
    { TEXT("%C3%A9"), .out = "\xC3\xA9" },
    { TEXT("\xC3\xA9"), .out = "\xC3\xA9" },
    { TEXT("\xC3%A9"), .out = "\xC3\xA9" },
    { TEXT("%f0%9f%98%80"), .out = "\xF0\x9F\x98\x80" },
    /* no escape: what follows the percent sign is looked at, too */
    { TEXT("%"), .out = "?", .broken = 1 },
    { TEXT("a%"), .out = "a?", .broken = 1 },
    { TEXT("%zz"), .out = "?zz", .broken = 1 },
    { TEXT("%4g"), .out = "?4g", .broken = 1 },
    { TEXT("%g4"), .out = "?g4", .broken = 1 },
    { TEXT("%-1"), .out = "?-1", .broken = 1 },
    { TEXT("%+1"), .plus_is_space = 1, .out = "? 1", .broken = 1 },
    { TEXT("%u0041"), .out = "?u0041", .broken = 1 },
    { TEXT("%@a"), .out = "?@a", .broken = 1 },
    { TEXT("%a`"), .out = "?a`", .broken = 1 },
    { TEXT("%:0"), .out = "?:0", .broken = 1 },
    { TEXT("%1:"), .out = "?1:", .broken = 1 },
    { TEXT("%1/"), .out = "?1/", .broken = 1 },
    { TEXT("%1G"), .out = "?1G", .broken = 1 },
    { TEXT("%0/"), .out = "?0/", .broken = 1 },
    { TEXT("%%41"), .out = "?A", .broken = 1 },
    { TEXT("%4%41"), .out = "?4A", .broken = 1 },
    /* NUL */
    { TEXT("%00"), .out = "?", .broken = 1 },
    { TEXT("a%00b"), .out = "a?b", .broken = 1 },
    { TEXT("a\0b"), .out = "a?b", .broken = 1 },
    /* not UTF-8: every byte over 0x7F is replaced, so that no half stays */
    { TEXT("%FF"), .out = "?", .broken = 1 },
    { TEXT("\xFF"), .out = "?", .broken = 1 },
    { TEXT("%C3"), .out = "?", .broken = 1 },
    { TEXT("a%C3b"), .out = "a?b", .broken = 1 },
    { TEXT("%C3%A9%FF"), .out = "???", .broken = 1 },
    { TEXT("%C0%AF"), .out = "??", .broken = 1 },
    { TEXT("%ED%A0%80"), .out = "???", .broken = 1 },
    { TEXT("%F5%80%80%80"), .out = "????", .broken = 1 },
};

START_TEST(decodes_once)
{
    const decode_t *row = &decodes[_i];
    size_t len = 99;
    int broken = 0;
    char *out = ch_query_decode(pool, ch_check_copy(row->text, row->len),
                                row->len, row->plus_is_space, &len, &broken);

    ck_assert_str_eq(out, row->out);
    ck_assert_uint_eq(len, strlen(row->out));
    ck_assert_int_eq(broken, row->broken);
}
END_TEST

/* "broken" belongs to the caller: it is set, never cleared. */
START_TEST(broken_stays)
{
    size_t len;
    int broken = 1;

    ch_query_decode(pool, "good", 4, 0, &len, &broken);
    ck_assert_int_eq(broken, 1);
}
END_TEST

/* Each escape of two digits, upper and lower case, gives its byte. */
START_TEST(every_byte)
{
    int byte;

    for (byte = 1; byte < 0x80; byte++) {
        size_t len;
        int broken = 0;
        const char *upper = apr_psprintf(pool, "%%%02X", byte);
        const char *lower = apr_psprintf(pool, "%%%02x", byte);
        char want[2] = { (char)byte, '\0' };

        ck_assert_str_eq(ch_query_decode(pool, upper, 3, 1, &len, &broken),
                         want);
        ck_assert_str_eq(ch_query_decode(pool, lower, 3, 1, &len, &broken),
                         want);
        ck_assert_int_eq(broken, 0);
    }
}
END_TEST

/* "name=value" each in brackets, "!" in front of a broken one. */
static const char *show(const apr_array_header_t *pairs)
{
    const char *text = "";
    int i;

    for (i = 0; i < pairs->nelts; i++) {
        const ch_pair_t *pair = &APR_ARRAY_IDX(pairs, i, ch_pair_t);

        ck_assert_uint_eq(pair->len, strlen(pair->value));
        text = apr_pstrcat(pool, text, "[", pair->broken ? "!" : "",
                           pair->name, "=", pair->value, "]", NULL);
    }
    return text;
}

static const struct {
    const char *args;
    const char *pairs;
} queries[] = {
    { "", "" },
    { "a=1", "[a=1]" },
    { "a=1&b=2", "[a=1][b=2]" },
    { "b=2&a=1&b=3", "[b=2][a=1][b=3]" },
    { "a", "[a=]" },
    { "a=", "[a=]" },
    { "a&b=1", "[a=][b=1]" },
    { "=1", "[=1]" },
    { "=", "[=]" },
    { "a=b=c", "[a=b=c]" },
    { "a==", "[a==]" },
    /* empty pieces are nothing */
    { "&", "" },
    { "&&", "" },
    { "&a=1", "[a=1]" },
    { "a=1&", "[a=1]" },
    { "a=1&&b=2&", "[a=1][b=2]" },
    /* ; is no separator, ? no start */
    { "a=1;b=2", "[a=1;b=2]" },
    { "?a=1", "[?a=1]" },
    /* names are decoded, too; what was escaped separates nothing */
    { "a%3Db=c%26d", "[a=b=c&d]" },
    { "%61=%31", "[a=1]" },
    { "a+b=c+d", "[a b=c d]" },
    { "x%5By%5D=1", "[x[y]=1]" },
    { "%C3%A9=%E2%82%AC", "[\xC3\xA9=\xE2\x82\xAC]" },
    /* a broken piece harms no other */
    { "a=%&b=1", "[!a=?][b=1]" },
    { "%=1&b=1", "[!?=1][b=1]" },
    { "a=%00&b=%FF", "[!a=?][!b=?]" },
    { "a=%4&b=1", "[!a=?4][b=1]" },
    { "a=1%&2=3", "[!a=1?][2=3]" },
};

START_TEST(takes_apart)
{
    const char *args = queries[_i].args;

    ck_assert_str_eq(
        show(ch_query_parse(pool, ch_check_copy(args, strlen(args) + 1))),
        queries[_i].pairs);
}
END_TEST

/* A body is no C string: NUL is a byte of it, and it ends where it ends. */
START_TEST(takes_a_body_apart)
{
    static const char body[] = "a=b\0c&\0&=\0&d";

    ck_assert_str_eq(
        show(ch_query_pairs(pool, ch_check_copy(body, sizeof(body) - 1),
                            sizeof(body) - 1)),
        "[!a=b?c][!?=][!=?][d=]");
    ck_assert_int_eq(ch_query_pairs(pool, ch_check_copy("", 0), 0)->nelts, 0);
}
END_TEST

START_TEST(no_query)
{
    ck_assert_int_eq(ch_query_parse(pool, NULL)->nelts, 0);
}
END_TEST

START_TEST(many_pairs)
{
    char *args = apr_palloc(pool, 3 * 1000);
    const apr_array_header_t *pairs;
    int i;

    for (i = 0; i < 1000; i++) {
        memcpy(args + (size_t)i * 3, "a=&", 3);
    }
    args[3 * 1000 - 1] = '\0';
    pairs = ch_query_parse(pool, args);
    ck_assert_int_eq(pairs->nelts, 1000);
    ck_assert_str_eq(APR_ARRAY_IDX(pairs, 999, ch_pair_t).name, "a");
}
END_TEST

CH_SUITE_MAIN("web/query", CH_EACH(decodes_once, decodes),
              CH_ONCE(broken_stays), CH_ONCE(every_byte),
              CH_EACH(takes_apart, queries),
              CH_ONCE(takes_a_body_apart), CH_ONCE(no_query),
              CH_ONCE(many_pairs))
