/* Tests of auth/known: a token is known by all of its bytes, under its own
 * configuration, and is never half of another. */
#include "ch_check.h"

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "auth/known.h"

static ch_bytes_t token_of(const char *text)
{
    size_t len = strlen(text);
    const ch_bytes_t token = { ch_check_copy(text, len), len };

    return token;
}

#define USER "0198a000-0000-7000-8000-00000000000a"
#define SESSION "0198a000-0000-7000-8000-000000000001"

static void put(int conf, const char *token, apr_int64_t exp)
{
    const ch_claims_t claims = { .sub = USER, .sid = SESSION, .exp = exp };

    ch_known_put(conf, token_of(token), &claims);
}

/* The time when the token ends, 0 when it is not known. */
static apr_int64_t get(int conf, const char *token)
{
    ch_known_t known;

    if (!ch_known_get(conf, token_of(token), &known)) {
        return 0;
    }
    ck_assert_str_eq(known.user_id, USER);
    ck_assert_str_eq(known.session_id, SESSION);
    return known.exp;
}

START_TEST(before_open)
{
    put(1, "a.b.c", 9);
    ck_assert_int_eq(get(1, "a.b.c"), 0);
}
END_TEST

START_TEST(in_and_out)
{
    ch_known_open(pool);
    ck_assert_int_eq(get(1, "a.b.c"), 0);
    put(1, "a.b.c", 9);
    ck_assert_int_eq(get(1, "a.b.c"), 9);
    put(1, "a.b.c", 10);
    ck_assert_int_eq(get(1, "a.b.c"), 10);
    /* another host may have other keys */
    ck_assert_int_eq(get(2, "a.b.c"), 0);
    put(2, "a.b.c", 11);
    ck_assert_int_eq(get(2, "a.b.c"), 11);
}
END_TEST

START_TEST(the_empty_one)
{
    ch_known_open(pool);
    put(0, "", 9);
    ck_assert_int_eq(get(0, ""), 0);
}
END_TEST

/* Whatever byte is another one, and however long it is. */
START_TEST(every_byte_counts)
{
    static const size_t lengths[] = { 1, 42, 43, 44, 300, 640, 641 };
    size_t i, k;

    ch_known_open(pool);
    for (i = 0; i < CH_COUNT(lengths); i++) {
        char *token = apr_palloc(pool, lengths[i] + 1);

        memset(token, 'a' + (int)i, lengths[i]);
        token[lengths[i]] = '\0';
        put(1, token, 9);
        /* a very long one is checked each time */
        ck_assert_int_eq(get(1, token), lengths[i] > 640 ? 0 : 9);
        for (k = 0; k < lengths[i]; k++) {
            token[k] ^= 0x40;
            ck_assert_int_eq(get(1, token), 0);
            token[k] ^= 0x40;
        }
        token[lengths[i] - 1] = '\0';
        ck_assert_int_eq(get(1, token), 0);
    }
}
END_TEST

START_TEST(many_tokens)
{
    int known = 0;
    int i;

    ch_known_open(pool);
    for (i = 1; i <= 5000; i++) {
        put(1, apr_psprintf(pool, "head.body.%043d", i), i);
        ck_assert_int_eq(get(1, apr_psprintf(pool, "head.body.%043d", i)), i);
    }
    /* later ones took places of earlier ones; nothing is mixed up */
    for (i = 1; i <= 5000; i++) {
        apr_int64_t exp = get(1, apr_psprintf(pool, "head.body.%043d", i));

        ck_assert(exp == 0 || exp == i);
        known += exp == i;
    }
    ck_assert_int_gt(known, 1000);
}
END_TEST

/* --- many at once ---------------------------------------------------------
 */

#define THREADS 6
#define ROUNDS 100000

static int wrong, found;

/* All tokens end alike, so they share one slot. */
static void *APR_THREAD_FUNC put_and_get(apr_thread_t *thread, void *data)
{
    char text[] = "0.1234567890123456789012345678901234567890123";
    const ch_bytes_t token = { text, sizeof(text) - 1 };
    int i;

    for (i = 0; i < ROUNDS; i++) {
        char id[CH_UUID_LEN + 1] = USER;
        const ch_claims_t claims = { .sub = id, .sid = id, .exp = i % 10 + 1 };
        ch_known_t known;

        text[0] = id[0] = (char)('0' + i % 10);
        ch_known_put(1, token, &claims);
        text[0] = id[0] = (char)('0' + i * 3 % 10);
        if (!ch_known_get(1, token, &known)) {
            continue;
        }
        __atomic_store_n(&found, 1, __ATOMIC_RELAXED);
        if (strcmp(known.user_id, id) != 0 || strcmp(known.session_id, id) != 0
            || known.exp != i * 3 % 10 + 1) {
            __atomic_store_n(&wrong, 1, __ATOMIC_RELAXED);
        }
    }
    return NULL;
}

START_TEST(never_half_of_another)
{
    apr_thread_t *threads[THREADS];
    apr_status_t status;
    int i;

    ch_known_open(pool);
    wrong = found = 0;
    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, put_and_get, NULL, pool), 0);
    }
    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&status, threads[i]);
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_eq(found, 1);
}
END_TEST

CH_SUITE_MAIN("auth/known", CH_ONCE(before_open), CH_ONCE(in_and_out),
              CH_ONCE(the_empty_one), CH_ONCE(every_byte_counts),
              CH_ONCE(many_tokens), CH_ONCE(never_half_of_another))
