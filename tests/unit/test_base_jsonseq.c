/* Tests of base/jsonseq: the same elements however the text is cut, and no
 * more memory than one element needs. */
#include "ch_check.h"

#include <malloc.h>

#include <apr_strings.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/jsonseq.h"

/* What was given: the elements with "|" behind each; "<7>" is one of 7 bytes
 * that was too long. */
typedef struct {
    ch_buf_t *given;
    int count;
    int fail_at; /* -1 = never */
} seen_t;

static ch_err_t *note(void *ctx, int index, const char *text, size_t len)
{
    seen_t *seen = ctx;

    ck_assert_int_eq(index, seen->count);
    if (seen->count++ == seen->fail_at) {
        return ch_err_make(pool, CH_E_CONFLICT, "enough");
    }
    if (text) {
        ch_buf_add(seen->given, text, len);
    }
    else {
        ch_buf_printf(seen->given, "<%d>", (int)len);
    }
    ch_buf_putc(seen->given, '|');
    return NULL;
}

static seen_t make_seen(void)
{
    return (seen_t){ .given = ch_buf_make(pool, 64, 1u << 24),
                     .fail_at = -1 };
}

/* Feeds text in pieces that end at these places; "!" is put behind what was
 * given when it ended in an error. */
static const char *taken(const char *text, size_t len, size_t item_max,
                         const size_t *cuts, size_t count)
{
    seen_t seen = make_seen();
    ch_jsonseq_t *seq = ch_jsonseq_make(pool, "list", item_max, note, &seen);
    ch_err_t *err = NULL;
    size_t at = 0, i;

    for (i = 0; i <= count && !err; i++) {
        size_t end = i < count ? cuts[i] : len;

        err = ch_jsonseq_feed(seq, ch_check_copy(text + at, end - at),
                              end - at);
        at = end;
    }
    if (err) {
        ck_assert_ptr_eq(ch_jsonseq_feed(seq, "[", 1), err);
        ck_assert_ptr_eq(ch_jsonseq_end(seq), err);
    }
    err = ch_jsonseq_end(seq);
    if (err) {
        ck_assert_int_eq(err->code, CH_E_MALFORMED_JSON);
        ch_buf_putc(seen.given, '!');
    }
    return ch_buf_cstr(seen.given);
}

#define BOM "\xef\xbb\xbf"

static const struct {
    const char *text;
    const char *given;
} texts[] = {
    { "[]", "" },
    { " [ ] ", "" },
    { BOM "[1]", "1|" },
    { BOM "\r\n {\"list\":[1]}", "1|" },
    { "[1,2 , 3]", "1|2|3|" },
    { "[ null,true,false , -1.5e3 ]\n", "null|true|false|-1.5e3|" },
    { "[\"a\",\"\",\"]\",\"a\\\"b\",\"\\\\\"]",
      "\"a\"|\"\"|\"]\"|\"a\\\"b\"|\"\\\\\"|" },
    { "[\"\\\\\\\"\",\"\\\"\\\"\\\\\",\"\\\\n\\\\\\\\\"]",
      "\"\\\\\\\"\"|\"\\\"\\\"\\\\\"|\"\\\\n\\\\\\\\\"|" },
    { "[{\"a\":[1,{\"b\":\"}\"}]} ,[[]],{}]",
      "{\"a\":[1,{\"b\":\"}\"}]}|[[]]|{}|" },
    { "{\"list\":[1,{\"list\":[2]}]}", "1|{\"list\":[2]}|" },
    { "{\"a\":[9],\"list\" : [1,2],\"b\":{\"list\":[3]} }", "1|2|" },
    { "{\"a\":\"list\",\"x\":null,\"y\":-1 ,\"list\":[]}", "" },
    { "{\"lis\":[1],\"listt\":[2],\"list\":[3],\"\":[]}", "3|" },
    { "{\"a\\\\\":1,\"\\\"list\":2,\"list\":[3]}", "3|" },
    /* no such key: the object is the element */
    { "{}", "{}|" },
    { " {\"a\":[1], \"b\":\"\\\"\" } ", "{\"a\":[1], \"b\":\"\\\"\" }|" },
    { "{\"lis\\u0074\":[1]}", "{\"lis\\u0074\":[1]}|" },
    /* what is in an element is not looked at */
    { "[tru,{\"a\"},{a:b},[,],\"\1\xff\"]",
      "tru|{\"a\"}|{a:b}|[,]|\"\1\xff\"|" },
    /* broken */
    { "", "!" },
    { " ", "!" },
    { BOM, "!" },
    { "\xef\xbb[1]", "!" },
    { BOM BOM "[1]", "!" },
    { "1", "!" },
    { "\"[]\"", "!" },
    { "null", "!" },
    { "[", "!" },
    { "[1", "!" },
    { "[1,", "1|!" },
    { "[1,]", "1|!" },
    { "[,1]", "!" },
    { "[1 2]", "1|!" },
    { "[1:2]", "1|!" },
    { "[1}", "1|!" },
    { "[\"a\"\"b\"]", "\"a\"|!" },
    { "[{}{}]", "{}|!" },
    { "[{]", "!" },
    { "[1,[}", "1|!" },
    { "[\"a", "!" },
    { "[\"a\\\"]", "!" },
    { "[1]]", "1|!" },
    { "[1],", "1|!" },
    { "[1] x", "1|!" },
    { "{", "!" },
    { "{\"list\"", "!" },
    { "{\"list\":", "!" },
    { "{\"list\":1}", "!" },
    { "{\"list\":{}}", "!" },
    { "{\"list\":[1]", "1|!" },
    { "{\"list\":[1],}", "1|!" },
    { "{\"list\":[1],\"list\":[2]}", "1|!" },
    { "{\"a\":[1],}", "!" },
    { "{,}", "!" },
    { "{a:1}", "!" },
    { "{\"a\" 1}", "!" },
    { "{\"a\":}", "!" },
    { "{\"a\":1 \"b\":2}", "!" },
    { "{\"a\":1]", "!" },
    { "{}{}", "{}|!" },
};

START_TEST(is_taken_apart)
{
    const char *text = texts[_i].text;
    size_t len = strlen(text);
    size_t each[128];
    size_t i, k;

    ck_assert_str_eq(taken(text, len, 100, NULL, 0), texts[_i].given);
    for (i = 0; i <= len; i++) {
        for (k = i; k <= len; k++) {
            const size_t cuts[] = { i, k };

            ck_assert_str_eq(taken(text, len, 100, cuts, 2),
                             texts[_i].given);
        }
        each[i] = i;
    }
    ck_assert_str_eq(taken(text, len, 100, each, len), texts[_i].given);
}
END_TEST

static const struct {
    const char *text;
    const char *given; /* with elements of up to 4 bytes */
} long_ones[] = {
    { "[1234,12345,1]", "1234|<5>|1|" },
    { "[\"ab\",\"abc\",[ ],[  ],[   ]]", "\"ab\"|<5>|[ ]|[  ]|<5>|" },
    { "{\"list\":[12345]}", "<5>|" },
    { "{\"other\":1,\"list\":[1]}", "1|" },
    { "{ }", "{ }|" },
    { "{\"other\":1}", "<11>|" },
};

START_TEST(what_is_too_long_is_passed_over)
{
    const char *text = long_ones[_i].text;
    size_t len = strlen(text);
    size_t i;

    for (i = 0; i <= len; i++) {
        ck_assert_str_eq(taken(text, len, 4, &i, 1), long_ones[_i].given);
    }
}
END_TEST

START_TEST(zero_bytes_are_bytes)
{
    ck_assert_str_eq(taken("[\0]", 3, 9, NULL, 0), "");
    ck_assert_str_eq(taken("\0[]", 3, 9, NULL, 0), "!");
}
END_TEST

static const struct {
    const char *text;
    const char *given;
} keyless[] = {
    { "[1,[2]]", "1|[2]|" },
    { "{}", "{}|" },
    { "{\"\":[1]}", "{\"\":[1]}|" },
    { "{\"list\":[1],\"\":{\"a\":[2]},\"list\":3}",
      "{\"list\":[1],\"\":{\"a\":[2]},\"list\":3}|" },
};

/* However it is cut. */
START_TEST(without_a_key_an_object_is_one_element)
{
    const char *text = keyless[_i].text;
    size_t len = strlen(text), cut;

    for (cut = 0; cut <= len; cut++) {
        seen_t seen = make_seen();
        ch_jsonseq_t *seq = ch_jsonseq_make(pool, NULL, 100, note, &seen);

        ck_assert_ptr_null(ch_jsonseq_feed(seq, ch_check_copy(text, cut),
                                           cut));
        ck_assert_ptr_null(ch_jsonseq_feed(
            seq, ch_check_copy(text + cut, len - cut), len - cut));
        ck_assert_ptr_null(ch_jsonseq_end(seq));
        ck_assert_str_eq(ch_buf_cstr(seen.given), keyless[_i].given);
    }
}
END_TEST

START_TEST(errors_say_where)
{
    seen_t seen = make_seen();
    ch_jsonseq_t *seq = ch_jsonseq_make(pool, "list", 9, note, &seen);

    ck_assert_ptr_null(ch_jsonseq_feed(seq, "[1,\n", 4));
    ck_assert_str_eq(ch_jsonseq_feed(seq, "  2 ;]", 6)->message,
                     "byte 8: \",\" or \"]\" is missing");
    seq = ch_jsonseq_make(pool, "list", 9, note, &seen);
    seen.count = 0;
    ck_assert_ptr_null(ch_jsonseq_feed(seq, "[1,\n", 4));
    ck_assert_str_eq(ch_jsonseq_end(seq)->message,
                     "byte 4: the text ends too early");
}
END_TEST

START_TEST(an_error_of_the_taker_ends_it)
{
    seen_t seen = make_seen();
    ch_jsonseq_t *seq = ch_jsonseq_make(pool, "list", 9, note, &seen);
    ch_err_t *err;

    seen.fail_at = 1;
    err = ch_jsonseq_feed(seq, "[1,2,3,4]", 9);
    ck_assert_int_eq(err->code, CH_E_CONFLICT);
    ck_assert_ptr_eq(ch_jsonseq_feed(seq, "[1,2,3,4]", 9), err);
    ck_assert_ptr_eq(ch_jsonseq_end(seq), err);
    ck_assert_int_eq(seen.count, 2);
}
END_TEST

START_TEST(depth_has_an_end)
{
    char text[1100];

    memset(text, '[', 513);
    memset(text + 513, ']', 513);
    ck_assert_int_eq(strlen(taken(text, 1026, 2000, NULL, 0)), 1025);
    memset(text, '[', 514);
    memset(text + 514, ']', 514);
    ck_assert_str_eq(taken(text, 1028, 2000, NULL, 0), "!");
}
END_TEST

/* Bytes in use: of the pool's blocks and of the heap. */
static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static ch_err_t *count_bytes(void *ctx, int index, const char *text,
                             size_t len)
{
    size_t *sum = ctx;

    ck_assert_ptr_nonnull(text);
    sum[0]++;
    sum[1] += len;
    return NULL;
}

#define ELEMENTS 100000
#define PIECE 4093 /* so that elements lie across the cuts */

START_TEST(memory_stays_flat)
{
    ch_buf_t *text = ch_buf_make(pool, 1u << 23, 1u << 26);
    size_t sum[2] = { 0, 0 };
    size_t want = 0, at, before;
    ch_jsonseq_t *seq;
    int i;

    CH_BUF_LIT(text, "{\"about\":[1,2],\"list\":[");
    for (i = 0; i < ELEMENTS; i++) {
        size_t start;

        ch_buf_puts(text, i ? "," : "");
        start = text->len;
        ch_buf_printf(text, "{\"id\":%d,\"text\":\"%0*d\\\"\"}", i, i % 200,
                      i);
        want += text->len - start;
    }
    CH_BUF_LIT(text, "]}");
    seq = ch_jsonseq_make(pool, "list", 1u << 20, count_bytes, sum);
    before = in_use();
    for (at = 0; at < text->len; at += PIECE) {
        size_t len = text->len - at < PIECE ? text->len - at : PIECE;

        ck_assert_ptr_null(ch_jsonseq_feed(seq, text->data + at, len));
        ck_assert_uint_le(in_use(), before + 16384);
    }
    ck_assert_ptr_null(ch_jsonseq_end(seq));
    ck_assert_uint_eq(sum[0], ELEMENTS);
    ck_assert_uint_eq(sum[1], want);
}
END_TEST

/* A document as elements of one, cut at random. */
START_TEST(random_cuts)
{
    ch_buf_t *text = ch_buf_make(pool, 4096, 1u << 20);
    const char *want;
    unsigned seed = 12345;
    size_t i, k;

    CH_BUF_LIT(text, "[");
    for (i = 0; i < CH_COUNT(texts); i++) {
        if (!strchr(texts[i].given, '!') && texts[i].text[0] != BOM[0]) {
            ch_buf_puts(text, text->len > 1 ? " ,\n" : "");
            ch_buf_puts(text, texts[i].text);
        }
    }
    CH_BUF_LIT(text, "]");
    want = taken(text->data, text->len, 1000, NULL, 0);
    ck_assert_int_gt(strlen(want), 300);
    for (k = 0; k < 300; k++) {
        size_t cuts[40];
        size_t at = 0;

        for (i = 0; i < 40; i++) {
            seed = seed * 1103515245u + 12345u;
            at += (seed >> 16) % 30;
            cuts[i] = at < text->len ? at : text->len;
        }
        ck_assert_str_eq(taken(text->data, text->len, 1000, cuts, 40), want);
    }
}
END_TEST

CH_SUITE_MAIN("base/jsonseq", CH_EACH(is_taken_apart, texts),
              CH_EACH(what_is_too_long_is_passed_over, long_ones),
              CH_ONCE(zero_bytes_are_bytes),
              CH_EACH(without_a_key_an_object_is_one_element, keyless),
              CH_ONCE(errors_say_where),
              CH_ONCE(an_error_of_the_taker_ends_it),
              CH_ONCE(depth_has_an_end), CH_ONCE(memory_stays_flat),
              CH_ONCE(random_cuts))
