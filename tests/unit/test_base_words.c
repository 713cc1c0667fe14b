/* Tests of base/words: copies of every length, and that words are never torn.
 */
#include "ch_check.h"

#include <apr_thread_proc.h>

#include "base/words.h"

START_TEST(sizes)
{
    ck_assert_uint_eq(ch_words_size(0), 0);
    ck_assert_uint_eq(ch_words_size(1), 8);
    ck_assert_uint_eq(ch_words_size(8), 8);
    ck_assert_uint_eq(ch_words_size(9), 16);
}
END_TEST

/* There and back, wherever it ends, from and to any address; the rest of the
 * last word is zero, what lies behind it is not touched. */
START_TEST(there_and_back)
{
    static const char text[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    apr_uint64_t shared[5];
    size_t len, i;

    for (len = 0; len <= 32; len++) {
        size_t words = ch_words_size(len) / CH_WORD;
        char *odd = ch_check_copy(text, len + 1) + 1;
        char *back = ch_check_copy(text, len + 1) + 1;

        memset(shared, 0xaa, sizeof(shared));
        ch_words_write(shared, odd, len);
        for (i = words; i < CH_COUNT(shared); i++) {
            ck_assert_uint_eq(shared[i], APR_UINT64_C(0xaaaaaaaaaaaaaaaa));
        }
        for (i = len; i < words * CH_WORD; i++) {
            ck_assert_int_eq(((const char *)shared)[i], 0);
        }
        memset(back, '.', len);
        ch_words_read(back, shared, len);
        ck_assert_int_eq(memcmp(back, text + 1, len), 0);
    }
}
END_TEST

/* The sum of what is read is that of what was written, of every length; any
 * other bytes have another one: a bit that is changed, words that changed
 * places, words that are all zero, less or more of them. */
START_TEST(sums)
{
    static const apr_uint64_t none[6];
    apr_uint64_t text[6] = { 1, 2, APR_UINT64_C(1) << 63, 0, 5, 6 };
    apr_uint64_t shared[6], back[6], sum;
    size_t len, i;

    for (len = 1; len <= sizeof(text); len++) {
        sum = ch_words_write_sum(shared, text, len, 7);
        ck_assert_int_eq(memcmp(shared, text, len), 0);
        memset(back, '.', sizeof(back));
        ck_assert_uint_eq(ch_words_read_sum(back, shared, len, 7), sum);
        ck_assert_int_eq(memcmp(back, text, len), 0);
        ck_assert_uint_ne(ch_words_read_sum(back, shared, len, 8), sum);
        ck_assert_uint_ne(ch_words_read_sum(back, shared, len - 1, 7), sum);
        ck_assert_uint_ne(ch_words_read_sum(back, none, len, 7), sum);
        for (i = 0; i < len * 8; i++) {
            ((unsigned char *)shared)[i / 8] ^= (unsigned char)(1 << i % 8);
            ck_assert_uint_ne(ch_words_read_sum(back, shared, len, 7), sum);
            ((unsigned char *)shared)[i / 8] ^= (unsigned char)(1 << i % 8);
        }
    }
    for (i = 1; i < CH_COUNT(text); i++) {
        memcpy(shared, text, sizeof(text));
        shared[i] = text[i - 1];
        shared[i - 1] = text[i];
        ck_assert_uint_ne(ch_words_read_sum(back, shared, sizeof(back), 7),
                          sum);
    }
    ck_assert_uint_ne(ch_words_read_sum(back, none, 8, 7),
                      ch_words_read_sum(back, none, 16, 7));
}
END_TEST

#define ROUNDS 2000000

static apr_uint64_t place[4];
static int ended;

static void *APR_THREAD_FUNC write_much(apr_thread_t *thread, void *data)
{
    apr_uint64_t words[4];
    unsigned i;

    for (i = 1; i <= ROUNDS; i++) {
        words[0] = words[1] = words[2] = words[3] =
            i * APR_UINT64_C(0x0000000100000001);
        ch_words_write(place, words, sizeof(words));
    }
    __atomic_store_n(&ended, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* Both halves of a word are of one writing; a word that comes later in the
 * copy is of the same writing as an earlier one, of the one before or later.
 */
START_TEST(words_are_whole)
{
    apr_thread_t *writer;
    apr_status_t status;
    apr_uint64_t words[4];
    int i;

    ck_assert_int_eq(apr_thread_create(&writer, NULL, write_much, NULL, pool),
                     0);
    while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
        ch_words_read(words, place, sizeof(words));
        for (i = 0; i < 4; i++) {
            ck_assert_uint_eq(words[i] >> 32, words[i] & 0xffffffff);
            ck_assert(i == 0
                      || words[i] + (APR_UINT64_C(1) << 32) + 1
                             >= words[i - 1]);
        }
    }
    apr_thread_join(&status, writer);
}
END_TEST

CH_SUITE_MAIN("base/words", CH_ONCE(sizes), CH_ONCE(there_and_back),
              CH_ONCE(sums), CH_ONCE(words_are_whole))
