/* Tests of base/page: cursors come back whole, damaged ones not at all. */
#include "ch_check.h"

#include <apr_strings.h>

#include "base/page.h"

#define BINDING "GET /notes|u1"

static unsigned char key[32];

static void set_key(void)
{
    int i;

    for (i = 0; i < 32; i++) {
        key[i] = (unsigned char)i;
    }
}

static const char *const values[] = {"2026-01-24 10:30:00+00", NULL, ""};

/* Computed with another HMAC from the layout in page.c. */
#define CURSOR "6bGAroIoCDXIrVeVAQ4EKgAXMjAyNi0wMS0yNCAxMDozMDowMCswMAAAAAE"

START_TEST(known_cursor)
{
    set_key();
    ck_assert_str_eq(ch_page_seal(pool, key, BINDING, values, 3), CURSOR);
}
END_TEST

START_TEST(there_and_back)
{
    const char *back[3] = {"x", "x", "x"};

    set_key();
    ck_assert(ch_page_open(pool, key, BINDING, CURSOR, back, 3));
    ck_assert_str_eq(back[0], values[0]);
    ck_assert_ptr_null(back[1]);
    ck_assert_str_eq(back[2], "");
}
END_TEST

START_TEST(bound_to_key_binding_and_count)
{
    const char *back[4];

    set_key();
    ck_assert(!ch_page_open(pool, key, "GET /notes|u2", CURSOR, back, 3));
    ck_assert(!ch_page_open(pool, key, "", CURSOR, back, 3));
    ck_assert(!ch_page_open(pool, key, BINDING, CURSOR, back, 2));
    ck_assert(!ch_page_open(pool, key, BINDING, CURSOR, back, 4));
    key[31] ^= 1;
    ck_assert(!ch_page_open(pool, key, BINDING, CURSOR, back, 3));
}
END_TEST

/* Every character changed, every length cut. */
START_TEST(damage)
{
    const char *back[3];
    size_t len = strlen(CURSOR);
    size_t i;

    set_key();
    for (i = 0; i < len; i++) {
        char *text = apr_pstrmemdup(pool, CURSOR, len);

        text[i] = text[i] == 'A' ? 'B' : 'A';
        ck_assert(!ch_page_open(pool, key, BINDING, text, back, 3));
        text[i] = '\0';
        ck_assert(!ch_page_open(pool, key, BINDING, text, back, 3));
    }
}
END_TEST

static const char *const garbage[] = {
    "",
    "A",
    "====",
    "null",
    "undefined",
    "%00",
    "..",
    "\xFF\xFF\xFF\xFF",
    CURSOR "A",
    CURSOR "=",
    CURSOR "AAAA",
    " " CURSOR,
    "AAAAAAAAAAAAAAAAAAAAAA",
};

START_TEST(refuses_garbage)
{
    const char *back[3];

    set_key();
    ck_assert(!ch_page_open(
        pool, key, BINDING,
        ch_check_copy(garbage[_i], strlen(garbage[_i]) + 1), back, 3));
}
END_TEST

START_TEST(no_values)
{
    const char *text;

    set_key();
    text = ch_page_seal(pool, key, BINDING, NULL, 0);
    ck_assert_ptr_nonnull(text);
    ck_assert(ch_page_open(pool, key, BINDING, text, NULL, 0));
}
END_TEST

/* Up to the longest that fits, everything comes back; beyond, NULL. */
START_TEST(every_length)
{
    char text[600];
    size_t longest = 0;
    size_t len;

    set_key();
    memset(text, 'x', sizeof(text));
    for (len = 0; len < sizeof(text) - 1; len++) {
        const char *two[2] = {text, "0198a000-0000-7000-8000-000000000001"};
        const char *back[2];
        const char *cursor;

        text[len] = '\0';
        cursor = ch_page_seal(pool, key, BINDING, two, 2);
        text[len] = 'x';
        if (cursor == NULL) {
            continue;
        }
        longest = len;
        ck_assert_uint_le(strlen(cursor), CH_CURSOR_MAX);
        ck_assert(ch_page_open(pool, key, BINDING, cursor, back, 2));
        ck_assert_uint_eq(strlen(back[0]), len);
        ck_assert_str_eq(back[1], two[1]);
    }
    /* 384 bytes less MAC, two lengths and the id */
    ck_assert_uint_eq(longest, 384 - 16 - 4 - 36);
}
END_TEST

START_TEST(values_do_not_run_into_each_other)
{
    const char *one[2] = {"ab", "c"};
    const char *two[2] = {"a", "bc"};

    set_key();
    ck_assert_str_ne(ch_page_seal(pool, key, "b", one, 2),
                     ch_page_seal(pool, key, "b", two, 2));
}
END_TEST

CH_SUITE_MAIN("base/page", CH_ONCE(known_cursor), CH_ONCE(there_and_back),
              CH_ONCE(bound_to_key_binding_and_count), CH_ONCE(damage),
              CH_EACH(refuses_garbage, garbage), CH_ONCE(no_values),
              CH_ONCE(every_length),
              CH_ONCE(values_do_not_run_into_each_other))
