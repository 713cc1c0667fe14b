/* Tests of base/trace: what a traceparent may be, and what we send on. */
#include "ch_check.h"

#include "base/trace.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static const struct {
    const char *text;
    unsigned char flags;
} good[] = {
    { "00-" ID "-" SPAN "-01", 1 },
    { "00-" ID "-" SPAN "-00", 0 },
    { "00-" ID "-" SPAN "-ff", 255 },
    { "01-" ID "-" SPAN "-01", 1 },
    { "cc-" ID "-" SPAN "-03-what-comes-later", 3 },
    { "fe-" ID "-" SPAN "-01-", 1 },
};

START_TEST(reads_valid_ones)
{
    char *text = ch_check_copy(good[_i].text, strlen(good[_i].text) + 1);
    ch_trace_t trace;

    ck_assert_int_eq(ch_trace_parse(text, &trace), 1);
    ck_assert_str_eq(trace.trace_id, ID);
    ck_assert_str_eq(trace.parent_id, SPAN);
    ck_assert_uint_eq(trace.flags, good[_i].flags);
}
END_TEST

static const char *const bad[] = {
    "",
    "00",
    "00-" ID "-" SPAN,
    "00-" ID "-" SPAN "-",
    "00-" ID "-" SPAN "-0",
    "00-" ID "-" SPAN "-0g",
    "00-" ID "-" SPAN "-01-",
    "00-" ID "-" SPAN "-01 ",
    "00-" ID "-" SPAN "-01, 00-" ID "-" SPAN "-01",
    "01-" ID "-" SPAN "-01x",
    "01-" ID "-" SPAN "-01, 01-" ID "-" SPAN "-01",
    "ff-" ID "-" SPAN "-01",
    "0x-" ID "-" SPAN "-01",
    "0-" ID "-" SPAN "-01x",
    "00-00000000000000000000000000000000-" SPAN "-01",
    "00-" ID "-0000000000000000-01",
    "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
    "00-" ID "-00F067AA0BA902B7-01",
    "00-" ID "-" SPAN "-0A",
    "0A-" ID "-" SPAN "-01",
    "00_" ID "-" SPAN "-01",
    "00-" ID "_" SPAN "-01",
    "00-" ID "-" SPAN "_01",
    "00-4bf92f3577b34da6a3ce929d0e0e473-" SPAN "-011",
    " 00-" ID "-" SPAN "-01",
};

START_TEST(ignores_others)
{
    char *text = ch_check_copy(bad[_i], strlen(bad[_i]) + 1);
    ch_trace_t trace = { .trace_id = "kept" };

    ck_assert_int_eq(ch_trace_parse(text, &trace), 0);
    ck_assert_str_eq(trace.trace_id, "kept");
}
END_TEST

START_TEST(ignores_none)
{
    ch_trace_t trace;

    ck_assert_int_eq(ch_trace_parse(NULL, &trace), 0);
}
END_TEST

/* What is made must be what others accept. */
START_TEST(makes_valid_ones)
{
    ch_trace_t trace, read;
    char *text = ch_check_copy("00-" ID "-" SPAN "-00", 56);

    ch_trace_make(&trace);
    ck_assert_uint_eq(strlen(trace.trace_id), CH_TRACE_ID_LEN);
    ck_assert_str_eq(trace.parent_id, "");
    ck_assert_uint_eq(trace.flags, 0);
    memcpy(text + 3, trace.trace_id, CH_TRACE_ID_LEN);
    ck_assert_int_eq(ch_trace_parse(text, &read), 1);
    ck_assert_str_eq(read.trace_id, trace.trace_id);
}
END_TEST

static int by_text(const void *a, const void *b)
{
    return memcmp(a, b, CH_TRACE_ID_LEN + 1);
}

START_TEST(no_two_are_alike)
{
    enum { COUNT = 20000 };
    char(*ids)[CH_TRACE_ID_LEN + 1] = (char(*)[CH_TRACE_ID_LEN + 1])
        ch_check_copy(apr_pcalloc(pool, COUNT * sizeof(*ids)),
                      COUNT * sizeof(*ids));
    ch_trace_t trace;
    int i;

    for (i = 0; i < COUNT; i++) {
        ch_trace_make(&trace);
        memcpy(ids[i], trace.trace_id, sizeof(ids[i]));
    }
    qsort(ids, COUNT, sizeof(*ids), by_text);
    for (i = 1; i < COUNT; i++) {
        ck_assert_str_ne(ids[i - 1], ids[i]);
    }
}
END_TEST

START_TEST(a_child_keeps_the_trace_and_has_its_own_span)
{
    ch_trace_t trace, first, second;

    ck_assert_int_eq(ch_trace_parse("cc-" ID "-" SPAN "-ff-later", &trace), 1);
    ck_assert_int_eq(ch_trace_parse(ch_trace_child(pool, &trace), &first), 1);
    ck_assert_int_eq(ch_trace_parse(ch_trace_child(pool, &trace), &second), 1);
    ck_assert_str_eq(first.trace_id, ID);
    ck_assert_str_eq(second.trace_id, ID);
    ck_assert_str_ne(first.parent_id, SPAN);
    ck_assert_str_ne(first.parent_id, second.parent_id);
    /* version 00 knows no flag but the first */
    ck_assert_uint_eq(first.flags, 1);
    ck_assert_int_eq(strncmp(ch_trace_child(pool, &trace), "00-", 3), 0);
}
END_TEST

CH_SUITE_MAIN("base/trace", CH_EACH(reads_valid_ones, good),
              CH_EACH(ignores_others, bad), CH_ONCE(ignores_none),
              CH_ONCE(makes_valid_ones), CH_ONCE(no_two_are_alike),
              CH_ONCE(a_child_keeps_the_trace_and_has_its_own_span))
