/* Tests of base/uuid: version 7, its order, and text forms. */
#include "ch_check.h"

#include "base/uuid.h"

START_TEST(make_is_version_7_of_now)
{
    apr_time_t before = apr_time_now();
    const char *text = ch_uuid_make(pool);
    apr_time_t after = apr_time_now();
    unsigned char bytes[16];
    apr_int64_t millis = 0;
    char lower[CH_UUID_LEN + 1];
    int i;

    ck_assert_uint_eq(strlen(text), CH_UUID_LEN);
    ck_assert(ch_uuid_parse(text, CH_UUID_LEN, lower));
    ck_assert_str_eq(text, lower);
    ck_assert(ch_uuid_bytes(text, bytes));
    ck_assert_int_eq(bytes[6] >> 4, 7);
    ck_assert_int_eq(bytes[8] >> 6, 2);
    for (i = 0; i < 6; i++) {
        millis = millis << 8 | bytes[i];
    }
    ck_assert_int_ge(millis, before / 1000);
    ck_assert_int_le(millis, after / 1000);
}
END_TEST

START_TEST(later_ones_sort_after)
{
    const char *last = ch_uuid_make(pool);
    int i;

    /* enough to use up the counter within a millisecond, if it can be */
    for (i = 0; i < 200000; i++) {
        const char *next = ch_uuid_make(pool);

        if (strcmp(last, next) >= 0) {
            ck_abort_msg("%s, then %s", last, next);
        }
        last = next;
    }
}
END_TEST

START_TEST(random_part_differs)
{
    const char *a = ch_uuid_make(pool);
    const char *b = ch_uuid_make(pool);

    ck_assert_str_ne(a + 24, b + 24);
    ck_assert_str_ne(a + 24, "000000000000");
}
END_TEST

static const struct {
    const char *text;
    const char *want; /* NULL = none */
} rows[] = {
    {"0198a000-0000-7000-8000-000000000001",
     "0198a000-0000-7000-8000-000000000001"},
    {"0198A000-ABCD-4EF0-8000-00000000000F",
     "0198a000-abcd-4ef0-8000-00000000000f"},
    {"00000000-0000-0000-0000-000000000000",
     "00000000-0000-0000-0000-000000000000"},
    {"ffffffff-ffff-ffff-ffff-ffffffffffff",
     "ffffffff-ffff-ffff-ffff-ffffffffffff"},
    {"", NULL},
    {"0198a000-0000-7000-8000-00000000000", NULL},
    {"0198a000-0000-7000-8000-0000000000011", NULL},
    {"0198a00000007000800000000000000000001", NULL},
    {"0198a000000070008000000000000001", NULL},
    {"{198a000-0000-7000-8000-00000000000}", NULL},
    {"0198a000-0000-7000-8000-00000000000g", NULL},
    {"0198a000-0000-7000-8000-00000000000 ", NULL},
    {"0198a000_0000-7000-8000-000000000001", NULL},
    {"0198a0000-000-7000-8000-000000000001", NULL},
    {"0198a000-0000-7000-80000-00000000001", NULL},
    {"-198a000-0000-7000-8000-000000000001", NULL},
    {"0198a000-0000-7000-8000-0000000000\xC3\xA4", NULL},
};

START_TEST(parse)
{
    const char *text = rows[_i].text;
    char out[CH_UUID_LEN + 1] = "untouched";
    unsigned char bytes[16];
    int good =
        ch_uuid_parse(ch_check_copy(text, strlen(text)), strlen(text), out);

    ck_assert_int_eq(ch_uuid_parse(text, strlen(text), NULL), good);
    ck_assert_int_eq(ch_uuid_bytes(text, bytes), good);
    if (rows[_i].want == NULL) {
        ck_assert_int_eq(good, 0);
        ck_assert_str_eq(out, "untouched");
        return;
    }
    ck_assert_int_eq(good, 1);
    ck_assert_str_eq(out, rows[_i].want);
    ch_uuid_text(bytes, out);
    ck_assert_str_eq(out, rows[_i].want);
}
END_TEST

START_TEST(parse_may_write_over_its_input)
{
    char text[CH_UUID_LEN + 1] = "0198A000-ABCD-4EF0-8000-00000000000F";

    ck_assert(ch_uuid_parse(text, CH_UUID_LEN, text));
    ck_assert_str_eq(text, "0198a000-abcd-4ef0-8000-00000000000f");
}
END_TEST

START_TEST(bytes_in_order)
{
    unsigned char bytes[16];
    int i;

    ck_assert(ch_uuid_bytes("00010203-0405-0607-0809-0A0b0c0D0e0f", bytes));
    for (i = 0; i < 16; i++) {
        ck_assert_int_eq(bytes[i], i);
    }
}
END_TEST

CH_SUITE_MAIN("base/uuid", CH_ONCE(make_is_version_7_of_now),
              CH_ONCE(later_ones_sort_after), CH_ONCE(random_part_differs),
              CH_EACH(parse, rows), CH_ONCE(parse_may_write_over_its_input),
              CH_ONCE(bytes_in_order))
