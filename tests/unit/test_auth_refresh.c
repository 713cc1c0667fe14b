/* Tests of auth/refresh: tokens come back whole, all else is refused. */
#include "ch_check.h"

#include <apr_strings.h>

#include "auth/refresh.h"
#include "base/seal.h"

#define SESSION "0198a000-0000-7000-8000-000000000002"

/* Computed with another HMAC; server key 32 times 1, session key 32 times
 * 2. */
#define TOKEN                                                                 \
    "crt_AQGYoAAAAHAAgAAAAAAAAAIAAAAHaXSfKIJY2XcusY5SFJfkxuuAj7cQ_qM58Gn3f2"  \
    "bPcZM5dBeS"

static unsigned char server_key[CH_REFRESH_KEY_LEN];
static unsigned char session_key[CH_REFRESH_KEY_LEN];

static void set_keys(void)
{
    memset(server_key, 1, sizeof(server_key));
    memset(session_key, 2, sizeof(session_key));
}

static int read_token(const char *token, ch_refresh_t *out)
{
    return ch_refresh_read(pool, server_key,
                           ch_check_copy(token, strlen(token)), strlen(token),
                           out);
}

START_TEST(known_token)
{
    set_keys();
    ck_assert_str_eq(
        ch_refresh_make(pool, server_key, session_key, SESSION, 7, 1769250600),
        TOKEN);
}
END_TEST

START_TEST(there_and_back)
{
    ch_refresh_t out;

    set_keys();
    ck_assert(read_token(TOKEN, &out));
    ck_assert_str_eq(out.session, SESSION);
    ck_assert_uint_eq(out.counter, 7);
    ck_assert_uint_eq(out.issued, 1769250600);
    ck_assert(ch_refresh_belongs(&out, session_key));
}
END_TEST

START_TEST(ends_of_the_counter)
{
    static const apr_uint32_t numbers[] = {0,          1,          0x01020304,
                                           0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    ch_refresh_t out;
    size_t i;

    set_keys();
    for (i = 0; i < CH_COUNT(numbers); i++) {
        const char *token = ch_refresh_make(
            pool, server_key, session_key,
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", numbers[i], ~numbers[i]);

        ck_assert(read_token(token, &out));
        ck_assert_str_eq(out.session, "ffffffff-ffff-ffff-ffff-ffffffffffff");
        ck_assert_uint_eq(out.counter, numbers[i]);
        ck_assert_uint_eq(out.issued, (apr_uint32_t)~numbers[i]);
        ck_assert(ch_refresh_belongs(&out, session_key));
    }
}
END_TEST

START_TEST(other_keys)
{
    ch_refresh_t out;

    set_keys();
    ck_assert(read_token(TOKEN, &out));
    session_key[31] ^= 1;
    ck_assert(!ch_refresh_belongs(&out, session_key));
    server_key[0] ^= 1;
    ck_assert(!read_token(TOKEN, &out));
}
END_TEST

/* What was read may not be turned into another session's or a later token. */
START_TEST(belongs_covers_every_part)
{
    ch_refresh_t good;
    ch_refresh_t out;

    set_keys();
    ck_assert(read_token(TOKEN, &good));
    out = good;
    out.counter++;
    ck_assert(!ch_refresh_belongs(&out, session_key));
    out = good;
    out.issued++;
    ck_assert(!ch_refresh_belongs(&out, session_key));
    out = good;
    out.session[35] = '3';
    ck_assert(!ch_refresh_belongs(&out, session_key));
    out = good;
    out.mac[15] ^= 1;
    ck_assert(!ch_refresh_belongs(&out, session_key));
    out = good;
    out.session[0] = 'x';
    ck_assert(!ch_refresh_belongs(&out, session_key));
    ck_assert(ch_refresh_belongs(&good, session_key));
}
END_TEST

START_TEST(damage)
{
    size_t len = strlen(TOKEN);
    ch_refresh_t out;
    size_t i;

    set_keys();
    for (i = 0; i < len; i++) {
        char *token = apr_pstrdup(pool, TOKEN);

        token[i] = token[i] == 'A' ? 'B' : 'A';
        ck_assert(!read_token(token, &out));
        token[i] = '\0';
        ck_assert(!read_token(token, &out));
    }
}
END_TEST

static const char *const garbage[] = {
    "",
    "crt_",
    "crt",
    "CRT_"
    "AQGYoAAAAHAAgAAAAAAAAAIAAAAHaXSfKIJY2Xcu",
    TOKEN "A",
    TOKEN "AAAA",
    " " TOKEN,
    TOKEN "\n",
    TOKEN "=",
    "crt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAA",
    "crt_!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"
    "!!!!!!!!",
};

START_TEST(refuses_garbage)
{
    ch_refresh_t out;

    set_keys();
    ck_assert(!read_token(garbage[_i], &out));
}
END_TEST

/* A token of another version with a good check: not ours to read. */
START_TEST(other_version)
{
    unsigned char bytes[41 + CH_SHA256_LEN] = {1};
    ch_refresh_t out;
    int version;

    set_keys();
    for (version = 0; version < 256; version++) {
        const char *token;

        bytes[0] = (unsigned char)version;
        ch_seal_hmac(server_key, sizeof(server_key), bytes, 41, bytes + 41);
        token =
            apr_pstrcat(pool, "crt_", ch_seal_b64url(pool, bytes, 57), NULL);
        ck_assert_int_eq(read_token(token, &out), version == 1);
    }
}
END_TEST

START_TEST(session_must_be_a_uuid)
{
    set_keys();
    ck_assert_ptr_null(
        ch_refresh_make(pool, server_key, session_key, "7", 1, 1));
}
END_TEST

CH_SUITE_MAIN("auth/refresh", CH_ONCE(known_token), CH_ONCE(there_and_back),
              CH_ONCE(ends_of_the_counter), CH_ONCE(other_keys),
              CH_ONCE(belongs_covers_every_part), CH_ONCE(damage),
              CH_EACH(refuses_garbage, garbage), CH_ONCE(other_version),
              CH_ONCE(session_must_be_a_uuid))
