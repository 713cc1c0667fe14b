/* Tests of store/cache: what is put in comes out whole or not at all. */
#include "ch_cache.h"

/* --- one after the other --------------------------------------------------
 */

START_TEST(no_cache)
{
    char untouched[64] = "";

    put(1, 1, 100);
    ck_assert_str_eq(get_texts(key_of(1)), "");
    ck_assert_uint_eq(ch_cache_size(0), 0);
    ch_cache_open(NULL, 0);
    put(1, 1, 100);
    ck_assert_str_eq(get_texts(key_of(1)), "");
    /* too little for anything */
    ch_cache_open(untouched, 7);
    put_texts(key_of(1), "", "", 9);
    ck_assert_str_eq(get_texts(key_of(1)), "");
}
END_TEST

START_TEST(in_and_out)
{
    open_cache(64 * 1024);
    ck_assert_str_eq(get_texts(key_of(1)), "");
    put_texts(key_of(1), "\"v1\"", "the answer", 9);
    ck_assert_str_eq(get_texts(key_of(1)), "\"v1\"|the answer");
    put_texts(key_of(2), "", "no tag", 9);
    ck_assert_str_eq(get_texts(key_of(2)), "|no tag");
    put_texts(key_of(3), "\"v3\"", "", 9);
    ck_assert_str_eq(get_texts(key_of(3)), "\"v3\"|");
    put_texts(key_of(4), "", "", 9);
    ck_assert_str_eq(get_texts(key_of(4)), "|");
    ck_assert_str_eq(get_texts(key_of(1)), "\"v1\"|the answer");
    /* another one in the same bucket is not there */
    ck_assert_str_eq(get_texts(key_in(1, 1)), "");
}
END_TEST

START_TEST(the_last_one_counts)
{
    open_cache(64 * 1024);
    put_texts(key_of(1), "a", "first", 9);
    put_texts(key_of(1), "b", "second", 9);
    ck_assert_str_eq(get_texts(key_of(1)), "b|second");
}
END_TEST

START_TEST(its_time)
{
    open_cache(64 * 1024);
    put_texts(key_of(1), "", "x", 5);
    clock_now += apr_time_from_sec(5) - 1;
    ck_assert_str_eq(get_texts(key_of(1)), "|x");
    clock_now += 1;
    ck_assert_str_eq(get_texts(key_of(1)), "");
    put_texts(key_of(1), "", "y", 5);
    ck_assert_str_eq(get_texts(key_of(1)), "|y");
}
END_TEST

/* Every length, wherever in a word it ends. */
START_TEST(lengths)
{
    static const char bytes[] = "abcdefghijklmnopqrstuvwxyz";
    size_t head, body;

    open_cache(64 * 1024);
    for (head = 0; head <= 17; head++) {
        for (body = 0; body <= 17; body++) {
            const ch_kept_t kept = {
                .head = { ch_check_copy(bytes, head), head },
                .body = { ch_check_copy(bytes, body), body }
            };
            ch_kept_t got;

            ch_cache_put(key_of(1).bytes, &kept, 9);
            ck_assert(ch_cache_get(pool, key_of(1).bytes, &got));
            ck_assert_uint_eq(got.head.len, head);
            ck_assert_uint_eq(got.body.len, body);
            ck_assert_int_eq(memcmp(got.head.data, bytes, head), 0);
            ck_assert_int_eq(memcmp(got.body.data, bytes, body), 0);
        }
    }
}
END_TEST

START_TEST(too_long)
{
    size_t share = 64 * 1024 / 16;
    char *text = apr_palloc(pool, share + 2);
    ch_kept_t kept = { .head = { "h", 1 } };

    open_cache(64 * 1024);
    memset(text, 'x', share + 1);
    kept.body = (ch_bytes_t){ text, share - 1 };
    ch_cache_put(key_of(1).bytes, &kept, 9);
    ck_assert(ch_cache_get(pool, key_of(1).bytes, &kept));
    kept.body = (ch_bytes_t){ text, share };
    ch_cache_put(key_of(2).bytes, &kept, 9);
    ck_assert(!ch_cache_get(pool, key_of(2).bytes, &kept));
    ck_assert(ch_cache_get(pool, key_of(1).bytes, &kept));
}
END_TEST

/* A bucket holds four; the fifth takes the place of the oldest. */
START_TEST(a_full_bucket)
{
    unsigned i;

    open_cache(64 * 1024);
    for (i = 1; i <= 4; i++) {
        put_texts(key_in(5, i), "", "x", 9);
    }
    put_texts(key_in(5, 2), "", "x", 9); /* now the youngest */
    put_texts(key_in(5, 5), "", "x", 9);
    put_texts(key_in(5, 6), "", "x", 9);
    for (i = 1; i <= 6; i++) {
        ck_assert_str_eq(get_texts(key_in(5, i)),
                         i == 1 || i == 3 ? "" : "|x");
    }
}
END_TEST

/* --- the ring -------------------------------------------------------------
 */

static const size_t sizes[] = { 8192, 8192 + 8, 65536, 100000, 99 };

/* Round and round: the newest one is always there, an old one is right or
 * not there, nothing is written behind the end, nothing into the index. */
START_TEST(round_and_round)
{
    size_t bytes = sizes[_i];
    size_t max = bytes >= 128 ? bytes / 16 - 8 : 0; /* less the head */
    unsigned found = 0, version, i, k;
    apr_pool_t *p;

    apr_pool_create(&p, pool);
    open_cache(bytes);
    for (i = 0; i < 5000; i++) {
        apr_pool_clear(p);
        put(i, i, max);
        if (bytes / 16 < 8) {
            ck_assert_int_eq(get(p, i, max, &version), 0);
            continue;
        }
        for (k = 0; k < 20 && k <= i; k++) {
            int got = get(p, i - k, max, &version);

            ck_assert_int_ge(got, k ? 0 : 1);
            found += got;
        }
    }
    if (bytes / 16 >= 8) {
        ck_assert_uint_gt(found, i * 3);
    }
}
END_TEST

/* How much of it is there is a matter of its size. */
START_TEST(nothing_goes_too_early)
{
    unsigned version, i;

    open_cache(64 * 1024);
    /* less than the ring holds, and four for each of its buckets */
    for (i = 0; i < 32; i++) {
        put(i, 1, 1900);
    }
    for (i = 0; i < 32; i++) {
        ck_assert_int_eq(get(pool, i, 1900, &version), 1);
    }
}
END_TEST

/* Where a key's answer was, another one's is now, and be it the same bytes. */
START_TEST(overwritten)
{
    unsigned i;

    open_cache(8192 * 2); /* two buckets */
    put_texts(key_in(1, 1), "", "0123456701234567", 9);
    for (i = 0; i < 8192 * 2 / 16 - 1; i++) {
        put_texts(key_in(0, i), "", "0123456701234567", 9);
        ck_assert_str_ne(get_texts(key_in(1, 1)), "");
    }
    /* the ring is full; the next one begins anew */
    ck_assert_str_ne(get_texts(key_in(1, 1)), "");
    put_texts(key_in(0, i), "", "0123456701234567", 9);
    ck_assert_str_eq(get_texts(key_in(1, 1)), "");
}
END_TEST

static char *find_bytes(const void *bytes, size_t len)
{
    char *at = memmem(memory, memory_size, bytes, len);

    ck_assert_ptr_nonnull(at);
    return at;
}

/* What a writer does that slept while the ring went round: it writes where
 * somebody else's answer is by now. Any byte of it is noticed. */
START_TEST(spoiled_bytes)
{
    static const char body[] = "0123456789abcdefghijk";
    size_t i;

    open_cache(64 * 1024);
    for (i = 0; i < sizeof(body) - 1; i++) {
        char *at;

        put_texts(key_of(1), "tag", body, 9);
        ck_assert_str_eq(get_texts(key_of(1)),
                         apr_pstrcat(pool, "tag|", body, NULL));
        at = find_bytes(body, sizeof(body) - 1);
        at[i] ^= 1;
        ck_assert_str_eq(get_texts(key_of(1)), "");
        at[i] = '.'; /* not to be found again */
    }
    put_texts(key_of(1), "some tag", body, 9);
    *find_bytes("some tag", 8) = 'S';
    ck_assert_str_eq(get_texts(key_of(1)), "");
}
END_TEST

/* --- a writer that died ---------------------------------------------------
 */

/* Leaves the slot of a key as a process does that is killed while it writes:
 * the number before the key is odd. */
static void kill_writer(cache_key_t key)
{
    char *at = find_bytes(key.bytes, sizeof(key.bytes)) - 8;
    apr_uint64_t seq;

    memcpy(&seq, at, sizeof(seq));
    ck_assert_uint_eq(seq % 2, 0);
    seq++;
    memcpy(at, &seq, sizeof(seq));
}

START_TEST(a_dead_writer)
{
    unsigned i;

    open_cache(64 * 1024);
    for (i = 1; i <= 4; i++) {
        put_texts(key_in(5, i), "", "x", 9);
    }
    kill_writer(key_in(5, 1));
    ck_assert_str_eq(get_texts(key_in(5, 1)), "");
    for (i = 2; i <= 4; i++) {
        ck_assert_str_eq(get_texts(key_in(5, i)), "|x");
    }
    /* it costs one place of four, and no more than that */
    for (i = 5; i <= 20; i++) {
        put_texts(key_in(5, i), "", "y", 9);
        ck_assert_str_eq(get_texts(key_in(5, i)), "|y");
    }
    ck_assert_str_eq(get_texts(key_in(5, 18)), "|y");
    ck_assert_str_eq(get_texts(key_in(5, 17)), "");
    put_texts(key_in(5, 1), "", "z", 9);
    ck_assert_str_eq(get_texts(key_in(5, 1)), "|z");
}
END_TEST

START_TEST(four_dead_writers)
{
    unsigned i;

    open_cache(64 * 1024);
    for (i = 1; i <= 4; i++) {
        put_texts(key_in(5, i), "", "x", 9);
    }
    for (i = 1; i <= 4; i++) {
        kill_writer(key_in(5, i));
    }
    put_texts(key_in(5, 6), "", "y", 9);
    ck_assert_str_eq(get_texts(key_in(5, 6)), "");
    put_texts(key_in(6, 6), "", "y", 9);
    ck_assert_str_eq(get_texts(key_in(6, 6)), "|y");
}
END_TEST

CH_SUITE_MAIN("store/cache", CH_ONCE(no_cache), CH_ONCE(in_and_out),
              CH_ONCE(the_last_one_counts), CH_ONCE(its_time),
              CH_ONCE(lengths), CH_ONCE(too_long), CH_ONCE(a_full_bucket),
              CH_EACH(round_and_round, sizes), CH_ONCE(nothing_goes_too_early),
              CH_ONCE(overwritten), CH_ONCE(spoiled_bytes),
              CH_ONCE(a_dead_writer), CH_ONCE(four_dead_writers))
