/* Tests of auth/jwt: what is signed, and all that is not believed. */
#include "ch_check.h"

#include <apr_strings.h>

#include "auth/jwt.h"
#include "base/seal.h"

#define NOW APR_INT64_C(1769250700)
#define SUB "0198a000-0000-7000-8000-000000000001"
#define SID "0198a000-0000-7000-8000-000000000002"
#define SECRET "0123456789012345678901234567890123456789"

static const ch_jwt_key_t keys[] = {
    {.kid = "2026-a", .secret = SECRET, .len = 40},
    {.kid = "1", .secret = "another secret of at least 32 bytes", .len = 35},
};

static const ch_claims_t claims = {
    .sub = SUB,
    .sid = SID,
    .email = "a@b.c",
    .role = "user",
    .iat = 1769250600,
    .nbf = 1769250600,
    .exp = 1769251500,
};

/* Computed with another HMAC and base64. */
#define HEAD "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjIwMjYtYSJ9"
#define TOKEN                                                                 \
    HEAD ".eyJpc3MiOiJtb2RfY2hyb25pY2xlIiwiYXVkIjoiY2hyb25pY2xlLWFwaSIsInN1"  \
         "YiI6IjAxOThhMDAwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMSIsImVtYWlsIj" \
         "oiYUBiLmMiLCJyb2xlIjoidXNlciIsInNpZCI6IjAxOThhMDAwLTAwMDAtNzAwMC04" \
         "MDAwLTAwMDAwMDAwMDAwMiIsImlhdCI6MTc2OTI1MDYwMCwibmJmIjoxNzY5MjUwNj" \
         "AwLCJleHAiOjE3NjkyNTE1MDB9."                                        \
         "ek5SskGKg93uVZzgC3MiqbGIFxVu7E5Y1owiZaK2eDw"

static ch_jwt_e verify_at(const char *token, apr_int64_t now, ch_claims_t *out)
{
    const ch_bytes_t bytes = { ch_check_copy(token, strlen(token)),
                               strlen(token) };

    return ch_jwt_verify(pool, keys, CH_COUNT(keys), bytes, now, out);
}

static ch_jwt_e verify(const char *token)
{
    ch_claims_t out;

    return verify_at(token, NOW, &out);
}

/* A token of any header and body with a good signature. */
static const char *forge_with(const char *head, const char *body,
                              const ch_jwt_key_t *key)
{
    unsigned char mac[CH_SHA256_LEN];
    const char *text =
        apr_pstrcat(pool, ch_seal_b64url(pool, head, strlen(head)), ".",
                    ch_seal_b64url(pool, body, strlen(body)), NULL);

    ch_seal_hmac(key->secret, key->len, text, strlen(text), mac);
    return apr_pstrcat(pool, text, ".", ch_seal_b64url(pool, mac, sizeof(mac)),
                       NULL);
}

static const char *forge(const char *head, const char *body)
{
    return forge_with(head, body, &keys[0]);
}

#define GOOD_HEAD "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"2026-a\"}"
#define NAMES "\"iss\":\"mod_chronicle\",\"aud\":\"chronicle-api\""
#define WHO                                                                   \
    "\"sub\":\"" SUB                                                          \
    "\",\"email\":\"a@b.c\",\"role\":\"user\",\"sid\":\"" SID "\""
#define WHEN "\"iat\":1769250600,\"nbf\":1769250600,\"exp\":1769251500"
#define GOOD_BODY "{" NAMES "," WHO "," WHEN "}"

START_TEST(signs_the_known_token)
{
    ck_assert_str_eq(ch_jwt_sign(pool, &keys[0], &claims), TOKEN);
}
END_TEST

START_TEST(reads_the_claims_back)
{
    ch_claims_t out;

    ck_assert_int_eq(verify_at(TOKEN, NOW, &out), CH_JWT_GOOD);
    ck_assert_str_eq(out.sub, SUB);
    ck_assert_str_eq(out.sid, SID);
    ck_assert_str_eq(out.email, "a@b.c");
    ck_assert_str_eq(out.role, "user");
    ck_assert_int_eq(out.iat, claims.iat);
    ck_assert_int_eq(out.nbf, claims.nbf);
    ck_assert_int_eq(out.exp, claims.exp);
}
END_TEST

START_TEST(odd_addresses_survive)
{
    ch_claims_t odd = claims;
    ch_claims_t out;

    odd.email = "\"\\\n\xC3\xA4@b.c";
    ck_assert_int_eq(verify_at(ch_jwt_sign(pool, &keys[1], &odd), NOW, &out),
                     CH_JWT_GOOD);
    ck_assert_str_eq(out.email, odd.email);
}
END_TEST

static const struct {
    apr_int64_t now;
    ch_jwt_e want;
} moments[] = {
    {1769250600 - 6, CH_JWT_BAD},
    {1769250600 - 5, CH_JWT_GOOD},
    {1769250600, CH_JWT_GOOD},
    {1769251499, CH_JWT_GOOD},
    {1769251500, CH_JWT_EXPIRED},
    {1769999999, CH_JWT_EXPIRED},
    {0, CH_JWT_BAD},
};

START_TEST(moment)
{
    ch_claims_t out = {.sub = NULL};

    ck_assert_int_eq(verify_at(TOKEN, moments[_i].now, &out),
                     moments[_i].want);
    if (moments[_i].want == CH_JWT_EXPIRED) {
        ck_assert_str_eq(out.sid, SID);
    }
}
END_TEST

START_TEST(iat_and_nbf_apart)
{
    ck_assert_int_eq(
        verify(forge(GOOD_HEAD, "{" NAMES "," WHO ",\"iat\":1769250706,"
                                "\"nbf\":1769250600,"
                                "\"exp\":1769251500}")),
        CH_JWT_BAD);
    ck_assert_int_eq(
        verify(forge(GOOD_HEAD, "{" NAMES "," WHO ",\"iat\":1769250600,"
                                "\"nbf\":1769250706,"
                                "\"exp\":1769251500}")),
        CH_JWT_BAD);
    /* not yet valid and past its end: nothing but the end may be wrong */
    ck_assert_int_eq(
        verify(forge(GOOD_HEAD, "{" NAMES "," WHO ",\"iat\":1769250600,"
                                "\"nbf\":1769250706,"
                                "\"exp\":1769250601}")),
        CH_JWT_BAD);
    ck_assert_int_eq(
        verify(forge(GOOD_HEAD, "{" NAMES "," WHO ",\"iat\":1769250705,"
                                "\"nbf\":1769250705,"
                                "\"exp\":1769251500}")),
        CH_JWT_GOOD);
}
END_TEST

static const struct {
    const char *head;
    ch_jwt_e want;
} heads[] = {
    {GOOD_HEAD, CH_JWT_GOOD},
    {"{\"kid\":\"2026-a\",\"alg\":\"HS256\"}", CH_JWT_GOOD},
    {"{\"alg\":\"HS256\",\"kid\":\"2026-a\",\"jku\":\"https://x\","
     "\"jwk\":{},\"x5u\":\"y\",\"cty\":1}",
     CH_JWT_GOOD},
    {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", CH_JWT_BAD},
    {"{\"alg\":\"HS256\",\"kid\":\"nobody\"}", CH_JWT_BAD},
    {"{\"alg\":\"HS256\",\"kid\":\"\"}", CH_JWT_BAD},
    {"{\"alg\":\"HS256\",\"kid\":1}", CH_JWT_BAD},
    {"{\"alg\":\"HS256\",\"kid\":null}", CH_JWT_BAD},
    {"{\"alg\":\"HS256\",\"kid\":\"1\"}", CH_JWT_BAD}, /* other key's */
    {"{\"alg\":\"none\",\"kid\":\"2026-a\"}", CH_JWT_BAD},
    {"{\"alg\":\"None\",\"kid\":\"2026-a\"}", CH_JWT_BAD},
    {"{\"alg\":\"hs256\",\"kid\":\"2026-a\"}", CH_JWT_BAD},
    {"{\"alg\":\"HS512\",\"kid\":\"2026-a\"}", CH_JWT_BAD},
    {"{\"alg\":\"RS256\",\"kid\":\"2026-a\"}", CH_JWT_BAD},
    {"{\"alg\":[\"HS256\"],\"kid\":\"2026-a\"}", CH_JWT_BAD},
    {"{\"kid\":\"2026-a\"}", CH_JWT_BAD},
    {"{\"alg\":\"none\",\"alg\":\"HS256\",\"kid\":\"2026-a\"}", CH_JWT_BAD},
    {"{\"alg\":\"HS256\",\"typ\":\"JWS\",\"kid\":\"2026-a\"}", CH_JWT_BAD},
    {"{\"alg\":\"HS256\",\"typ\":1,\"kid\":\"2026-a\"}", CH_JWT_BAD},
    {"{\"alg\":\"HS256\",\"kid\":\"2026-a\",\"crit\":[\"exp\"]}", CH_JWT_BAD},
    {"{\"alg\":\"HS256\",\"kid\":\"2026-a\",\"crit\":null}", CH_JWT_BAD},
    {"[\"HS256\"]", CH_JWT_BAD},
    {"\"HS256\"", CH_JWT_BAD},
    {"", CH_JWT_BAD},
    {"{", CH_JWT_BAD},
};

START_TEST(head)
{
    ck_assert_int_eq(verify(forge(heads[_i].head, GOOD_BODY)), heads[_i].want);
}
END_TEST

static const struct {
    const char *body;
    ch_jwt_e want;
} bodies[] = {
    {GOOD_BODY, CH_JWT_GOOD},
    {"{" NAMES "," WHO "," WHEN ",\"more\":[1]}", CH_JWT_GOOD},
    {"{" WHO "," WHEN "}", CH_JWT_BAD},
    {"{\"iss\":\"x\",\"aud\":\"chronicle-api\"," WHO "," WHEN "}", CH_JWT_BAD},
    {"{\"iss\":\"mod_chronicle\",\"aud\":\"x\"," WHO "," WHEN "}", CH_JWT_BAD},
    {"{\"iss\":\"mod_chronicle\",\"aud\":[\"chronicle-api\"]," WHO "," WHEN
     "}",
     CH_JWT_BAD},
    {"{\"aud\":\"chronicle-api\"," WHO "," WHEN "}", CH_JWT_BAD},
    {"{\"iss\":\"mod_chronicle\"," WHO "," WHEN "}", CH_JWT_BAD},
    {"{" NAMES ",\"email\":\"a\",\"role\":\"user\",\"sid\":\"" SID "\"," WHEN
     "}",
     CH_JWT_BAD},
    {"{" NAMES ",\"sub\":\"" SUB "\",\"role\":\"user\",\"sid\":\"" SID
     "\"," WHEN "}",
     CH_JWT_BAD},
    {"{" NAMES ",\"sub\":\"" SUB "\",\"email\":\"a\",\"sid\":\"" SID "\"," WHEN
     "}",
     CH_JWT_BAD},
    {"{" NAMES ",\"sub\":\"" SUB "\",\"email\":\"a\",\"role\":\"user\"," WHEN
     "}",
     CH_JWT_BAD},
    {"{" NAMES ",\"sub\":\"7\",\"email\":\"a\",\"role\":\"user\",\"sid\":"
     "\"" SID "\"," WHEN "}",
     CH_JWT_BAD},
    {"{" NAMES ",\"sub\":7,\"email\":\"a\",\"role\":\"user\",\"sid\":"
     "\"" SID "\"," WHEN "}",
     CH_JWT_BAD},
    {"{" NAMES ",\"sub\":\"" SUB
     "\",\"email\":null,\"role\":\"user\",\"sid\":\"" SID "\"," WHEN "}",
     CH_JWT_BAD},
    {"{" NAMES "," WHO ",\"nbf\":1769250600,\"exp\":1769251500}", CH_JWT_BAD},
    {"{" NAMES "," WHO ",\"iat\":1769250600,\"exp\":1769251500}", CH_JWT_BAD},
    {"{" NAMES "," WHO ",\"iat\":1769250600,\"nbf\":1769250600}", CH_JWT_BAD},
    {"{" NAMES "," WHO ",\"iat\":1769250600,\"nbf\":1769250600,"
     "\"exp\":\"1769251500\"}",
     CH_JWT_BAD},
    {"{" NAMES "," WHO ",\"iat\":1769250600,\"nbf\":1769250600,"
     "\"exp\":1769251500.0}",
     CH_JWT_BAD},
    {"{" NAMES "," WHO ",\"iat\":1769250600,\"nbf\":1769250600,"
     "\"exp\":-1}",
     CH_JWT_BAD},
    {"{" NAMES "," WHO ",\"iat\":1769250600,\"nbf\":1769250600,"
     "\"exp\":9223372036854775807}",
     CH_JWT_GOOD},
    {"{" NAMES "," WHO ",\"iat\":9223372036854775807,\"nbf\":0,"
     "\"exp\":9223372036854775807}",
     CH_JWT_BAD},
    {"[" GOOD_BODY "]", CH_JWT_BAD},
    {GOOD_BODY "x", CH_JWT_BAD},
    {"", CH_JWT_BAD},
};

START_TEST(body)
{
    ck_assert_int_eq(verify(forge(GOOD_HEAD, bodies[_i].body)),
                     bodies[_i].want);
}
END_TEST

START_TEST(ids_come_in_lower_case)
{
    ch_claims_t out;
    const char *token = forge(
        GOOD_HEAD, "{" NAMES ",\"sub\":\"0198A000-0000-7000-8000-0000000000AB"
                   "\",\"email\":\"a\",\"role\":\"user\",\"sid\":"
                   "\"0198A000-0000-7000-8000-0000000000CD\"," WHEN "}");

    ck_assert_int_eq(verify_at(token, NOW, &out), CH_JWT_GOOD);
    ck_assert_str_eq(out.sub, "0198a000-0000-7000-8000-0000000000ab");
    ck_assert_str_eq(out.sid, "0198a000-0000-7000-8000-0000000000cd");
}
END_TEST

START_TEST(keys_rotate)
{
    const char *head_of_old = "{\"alg\":\"HS256\",\"kid\":\"1\"}";

    ck_assert_int_eq(verify(forge_with(head_of_old, GOOD_BODY, &keys[1])),
                     CH_JWT_GOOD);
    ck_assert_int_eq(verify(forge_with(GOOD_HEAD, GOOD_BODY, &keys[1])),
                     CH_JWT_BAD);
}
END_TEST

/* No character of a good token may change, none may be missing. */
START_TEST(damage)
{
    size_t len = strlen(TOKEN);
    size_t i;

    for (i = 0; i < len; i++) {
        char *token = apr_pstrdup(pool, TOKEN);

        token[i] = token[i] == 'A' ? 'B' : 'A';
        ck_assert_int_eq(verify(token), CH_JWT_BAD);
        token[i] = '\0';
        ck_assert_int_eq(verify(token), CH_JWT_BAD);
    }
}
END_TEST

static const char *const shapes[] = {
    "",         ".",       "..",           "...",
    "a.b.c",    HEAD,      HEAD ".",       HEAD "..",
    TOKEN ".",  TOKEN "=", TOKEN "A",      " " TOKEN,
    TOKEN " ",  "." TOKEN, TOKEN "." HEAD, "Bearer " TOKEN,
    "crt_AAAA",
};

START_TEST(shape)
{
    ck_assert_int_eq(verify(shapes[_i]), CH_JWT_BAD);
}
END_TEST

START_TEST(no_signature)
{
    const char *none = "{\"alg\":\"none\",\"kid\":\"2026-a\"}";
    const char *token = apr_pstrcat(
        pool, ch_seal_b64url(pool, none, strlen(none)), ".",
        ch_seal_b64url(pool, GOOD_BODY, strlen(GOOD_BODY)), ".", NULL);

    ck_assert_int_eq(verify(token), CH_JWT_BAD);
}
END_TEST

/* A signature cut to a prefix of itself must not pass. */
START_TEST(short_signature)
{
    const char *dot = strrchr(TOKEN, '.');
    ptrdiff_t base = dot - TOKEN + 1;

    ck_assert_int_eq(verify(apr_pstrndup(pool, TOKEN, (size_t)base)),
                     CH_JWT_BAD);
    ck_assert_int_eq(verify(apr_pstrndup(pool, TOKEN, (size_t)base + 4)),
                     CH_JWT_BAD);
}
END_TEST

START_TEST(long_token)
{
    char *text = apr_palloc(pool, 5001);
    const char *token;
    int n = apr_snprintf(text, 5000, "{%s,%s,%s,\"x\":\"", NAMES, WHO, WHEN);

    /* head 56, dots 2, signature 43: 3995 are left for the body */
    memset(text + n, 'x', (size_t)(2996 - n - 2));
    memcpy(text + 2994, "\"}", 3);
    token = forge(GOOD_HEAD, text);
    ck_assert_uint_eq(strlen(token), 4096);
    ck_assert_int_eq(verify(token), CH_JWT_GOOD);
    memcpy(text + 2994, "x\"}", 4);
    token = forge(GOOD_HEAD, text);
    ck_assert_uint_gt(strlen(token), 4096);
    ck_assert_int_eq(verify(token), CH_JWT_BAD);
}
END_TEST

START_TEST(no_keys)
{
    const ch_bytes_t bytes = { TOKEN, strlen(TOKEN) };
    ch_claims_t out;

    ck_assert_int_eq(ch_jwt_verify(pool, NULL, 0, bytes, NOW, &out),
                     CH_JWT_BAD);
}
END_TEST

CH_SUITE_MAIN("auth/jwt", CH_ONCE(signs_the_known_token),
              CH_ONCE(reads_the_claims_back), CH_ONCE(odd_addresses_survive),
              CH_EACH(moment, moments), CH_ONCE(iat_and_nbf_apart),
              CH_EACH(head, heads), CH_EACH(body, bodies),
              CH_ONCE(ids_come_in_lower_case), CH_ONCE(keys_rotate),
              CH_ONCE(damage), CH_EACH(shape, shapes), CH_ONCE(no_signature),
              CH_ONCE(short_signature), CH_ONCE(long_token), CH_ONCE(no_keys))
