/* Tests of base/buf: growing, and the maximum. */
#include "ch_check.h"

#include "base/buf.h"

START_TEST(grows_and_keeps_its_bytes)
{
    ch_buf_t *buf = ch_buf_make(pool, 1, 1 << 20);
    int i;

    for (i = 0; i < 100000; i++) {
        ch_buf_putc(buf, (char)('a' + i % 26));
    }
    ck_assert_uint_eq(buf->len, 100000);
    ck_assert_int_eq(buf->overflow, 0);
    for (i = 0; i < 100000; i++) {
        ck_assert_int_eq(buf->data[i], 'a' + i % 26);
    }
}
END_TEST

START_TEST(fills_to_the_maximum_exactly)
{
    ch_buf_t *buf = ch_buf_make(pool, 0, 10);

    ch_buf_add(buf, "12345", 5);
    CH_BUF_LIT(buf, "67890");
    ck_assert_int_eq(buf->overflow, 0);
    ck_assert_str_eq(ch_buf_cstr(buf), "1234567890");
    ch_buf_add(buf, "", 0);
    ck_assert_int_eq(buf->overflow, 0);
    ch_buf_putc(buf, 'x');
    ck_assert_int_eq(buf->overflow, 1);
    ck_assert_str_eq(ch_buf_cstr(buf), "1234567890");
}
END_TEST

START_TEST(overflow_stays)
{
    ch_buf_t *buf = ch_buf_make(pool, 4, 8);

    ch_buf_puts(buf, "123456789");
    ck_assert_int_eq(buf->overflow, 1);
    ch_buf_puts(buf, "1");
    ck_assert_uint_eq(buf->len, 0);
    ck_assert_ptr_null(ch_buf_room(buf, 1));
    ck_assert_ptr_null(ch_buf_room(buf, 0));
}
END_TEST

START_TEST(room_of_any_size)
{
    ch_buf_t *buf = ch_buf_make(pool, 16, SIZE_MAX / 2);

    ck_assert_ptr_nonnull(ch_buf_room(buf, 1000));
    ck_assert_uint_ge(buf->size, 1000);
    ck_assert_ptr_null(ch_buf_room(buf, SIZE_MAX));
    ck_assert_int_eq(buf->overflow, 1);
}
END_TEST

START_TEST(size_is_cut_to_the_maximum)
{
    ch_buf_t *buf = ch_buf_make(pool, 100, 10);

    ck_assert_uint_eq(buf->size, 10);
    ck_assert_str_eq(ch_buf_cstr(buf), "");
}
END_TEST

/* The byte behind `size` that a C string needs belongs to the buffer. */
START_TEST(has_a_byte_for_the_nul)
{
    ch_buf_t *buf = ch_buf_make(pool, 8, 8);

    ck_assert((char *)apr_palloc(pool, 1) > buf->data + 8);
    ch_buf_puts(buf, "12345678");
    ck_assert_str_eq(ch_buf_cstr(buf), "12345678");
}
END_TEST

START_TEST(printf_fits_and_grows)
{
    ch_buf_t *buf = ch_buf_make(pool, 4, 4096);
    int i;

    ch_buf_printf(buf, "%s", "");
    ck_assert_uint_eq(buf->len, 0);
    ch_buf_printf(buf, "%d%s", 12, "34"); /* exactly its size */
    ck_assert_uint_eq(buf->size, 4);
    for (i = 0; i < 20; i++) {
        ch_buf_printf(buf, "-%05d", i);
    }
    ck_assert_uint_eq(buf->len, 4 + 20 * 6);
    ck_assert_int_eq(strncmp(ch_buf_cstr(buf), "1234-00000-00001", 16), 0);
    ck_assert_str_eq(ch_buf_cstr(buf) + buf->len - 6, "-00019");
}
END_TEST

START_TEST(printf_past_the_maximum)
{
    ch_buf_t *buf = ch_buf_make(pool, 4, 6);

    ch_buf_printf(buf, "%s", "1234567");
    ck_assert_int_eq(buf->overflow, 1);
    ck_assert_uint_eq(buf->len, 0);
}
END_TEST

CH_SUITE_MAIN("base/buf", CH_ONCE(grows_and_keeps_its_bytes),
              CH_ONCE(fills_to_the_maximum_exactly), CH_ONCE(overflow_stays),
              CH_ONCE(room_of_any_size), CH_ONCE(size_is_cut_to_the_maximum),
              CH_ONCE(has_a_byte_for_the_nul), CH_ONCE(printf_fits_and_grows),
              CH_ONCE(printf_past_the_maximum))
