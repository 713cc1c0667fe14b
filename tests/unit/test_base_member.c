/* Tests of base/member: where commas go. */
#include "ch_check.h"

#include "base/member.h"

START_TEST(commas_stand_between_members)
{
    ch_buf_t *buf = ch_buf_make(pool, 16, 4096);

    ch_member_open(buf, NULL);
    ch_member_text(buf, "a", "x");
    ch_member_int(buf, "b", -7);
    ch_member_open(buf, "c");
    ch_member_json(buf, "d", "[1,2]");
    ch_member_close(buf);
    ch_member_open(buf, "e");
    ch_member_close(buf);
    ch_member_text(buf, "f", NULL);
    ch_member_close(buf);
    ck_assert_str_eq(ch_buf_cstr(buf),
                     "{\"a\":\"x\",\"b\":-7,\"c\":{\"d\":[1,2]},"
                     "\"e\":{},\"f\":null}");
}
END_TEST

START_TEST(elements_have_no_names)
{
    ch_buf_t *buf = ch_buf_make(pool, 16, 4096);

    ch_buf_putc(buf, '[');
    ch_member_int(buf, NULL, 1);
    ch_member_open(buf, NULL);
    ch_member_close(buf);
    ch_member_text(buf, NULL, "[");
    ch_member_text(buf, NULL, "{");
    ch_buf_putc(buf, ']');
    ck_assert_str_eq(ch_buf_cstr(buf), "[1,{},\"[\",\"{\"]");
}
END_TEST

START_TEST(a_value_follows_its_name)
{
    ch_buf_t *buf = ch_buf_make(pool, 16, 4096);

    ch_member_open(buf, NULL);
    ch_member(buf, "a");
    ch_member_int(buf, NULL, 1);
    ch_member_time(buf, "at", 0);
    ch_member_close(buf);
    ck_assert_str_eq(ch_buf_cstr(buf),
                     "{\"a\":1,\"at\":\"1970-01-01T00:00:00.000Z\"}");
}
END_TEST

CH_SUITE_MAIN("base/member", CH_ONCE(commas_stand_between_members),
              CH_ONCE(elements_have_no_names),
              CH_ONCE(a_value_follows_its_name))
