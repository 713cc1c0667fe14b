/* Tests of base/seal: published vectors, and what strict decoding refuses. */
#include "ch_check.h"

#include "base/seal.h"

static const char *hmac_hex(const void *key, size_t key_len, const void *data,
                            size_t len)
{
    unsigned char out[CH_SHA256_LEN];

    ch_seal_hmac(ch_check_copy(key, key_len), key_len,
                 ch_check_copy(data, len), len, out);
    return ch_seal_hex(pool, out, sizeof(out));
}

static const char *repeat(int byte, size_t count)
{
    char *out = apr_palloc(pool, count);

    memset(out, byte, count);
    return out;
}

START_TEST(hmac_of_rfc_4231)
{
    static const char long_text[] =
        "This is a test using a larger than block-size key and a larger "
        "than block-size data. The key needs to be hashed before being "
        "used by the HMAC algorithm.";
    char key[25];
    int i;

    for (i = 0; i < 25; i++) {
        key[i] = (char)(i + 1);
    }
    ck_assert_str_eq(hmac_hex(repeat(0x0b, 20), 20, "Hi There", 8),
                     "b0344c61d8db38535ca8afceaf0bf12b"
                     "881dc200c9833da726e9376c2e32cff7");
    ck_assert_str_eq(hmac_hex("Jefe", 4, "what do ya want for nothing?", 28),
                     "5bdcc146bf60754e6a042426089575c7"
                     "5a003f089d2739839dec58b964ec3843");
    ck_assert_str_eq(hmac_hex(repeat(0xaa, 20), 20, repeat(0xdd, 50), 50),
                     "773ea91e36800e46854db8ebd09181a7"
                     "2959098b3ef8c122d9635514ced565fe");
    ck_assert_str_eq(hmac_hex(key, 25, repeat(0xcd, 50), 50),
                     "82558a389a443c0ea4cc819899f2083a"
                     "85f0faa3e578f8077a2e3ff46729665b");
    ck_assert_str_eq(hmac_hex(repeat(0xaa, 131), 131,
                              "Test Using Larger Than Block-Size Key - "
                              "Hash Key First",
                              54),
                     "60e431591ee0b67f0d8a26aacbf5b77f"
                     "8e0bc6213728c5140546040f0ee37f54");
    ck_assert_str_eq(
        hmac_hex(repeat(0xaa, 131), 131, long_text, sizeof(long_text) - 1),
        "9b09ffa71b942fcb27635fbcd5b0e944"
        "bfdc63644f0713938a7f51535c3a35e2");
}
END_TEST

/* RFC 7515, appendix A.1 */
START_TEST(hmac_of_rfc_7515)
{
    static const char key_text[] =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0i"
        "PS4hcgUuTwjAzZr1Z9CAow";
    static const char data[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    unsigned char out[CH_SHA256_LEN];
    size_t len;
    unsigned char *key =
        ch_seal_b64url_decode(pool, key_text, sizeof(key_text) - 1, &len);

    ck_assert_uint_eq(len, 64);
    ch_seal_hmac(key, len, data, sizeof(data) - 1, out);
    ck_assert_str_eq(ch_seal_b64url(pool, out, sizeof(out)),
                     "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
}
END_TEST

START_TEST(empty_inputs)
{
    unsigned char out[CH_SHA256_LEN];

    ck_assert_str_eq(hmac_hex("", 0, "", 0),
                     "b613679a0814d9ec772f95d778c35fc5"
                     "ff1697c493715653c6c712144292c5ad");
    ch_seal_sha256("", 0, out);
    ck_assert_str_eq(ch_seal_hex(pool, out, sizeof(out)),
                     "e3b0c44298fc1c149afbf4c8996fb924"
                     "27ae41e4649b934ca495991b7852b855");
}
END_TEST

START_TEST(sha256_of_fips_180)
{
    ck_assert_str_eq(ch_seal_sha256_hex(pool, "abc", 3),
                     "ba7816bf8f01cfea414140de5dae2223"
                     "b00361a396177a9cb410ff61f20015ad");
}
END_TEST

START_TEST(sha256_of_pieces)
{
    ch_seal_sum_t *sum = ch_seal_sum_make(pool);

    ch_seal_sum_add(sum, "a", 1);
    ch_seal_sum_add(sum, "", 0);
    ch_seal_sum_add(sum, "bc", 2);
    ck_assert_str_eq(ch_seal_sum_hex(sum),
                     ch_seal_sha256_hex(pool, "abc", 3));
}
END_TEST

/* The first is RFC 5869 A.3 (its first 32 bytes); the second was computed
 * with another HMAC. */
START_TEST(derive)
{
    unsigned char key[CH_SHA256_LEN];

    ch_seal_derive(repeat(0x0b, 22), 22, "", key);
    ck_assert_str_eq(ch_seal_hex(pool, key, sizeof(key)),
                     "8da4e775a563c18f715f802a063c5a31"
                     "b8a11f5c5ee1879ec3454e5f3c738d2d");
    ch_seal_derive("0123456789012345678901234567890123456789", 40, "refresh",
                   key);
    ck_assert_str_eq(ch_seal_hex(pool, key, sizeof(key)),
                     "994f15d05548f71accc645c13235d411"
                     "54fae0d7301fcac5c5d0c63b21227990");
}
END_TEST

/* RFC 4648 section 10, and bytes that differ from plain base64 */
static const struct {
    const char *data;
    const char *text;
} pairs[] = {
    {"", ""},
    {"f", "Zg"},
    {"fo", "Zm8"},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg"},
    {"fooba", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy"},
    {"\xFB\xEF\xBE\xFF\xFF\xFF", "----____"},
};

START_TEST(base64url)
{
    const char *data = pairs[_i].data;
    const char *text =
        ch_seal_b64url(pool, ch_check_copy(data, strlen(data)), strlen(data));
    size_t len = 99;
    unsigned char *back = ch_seal_b64url_decode(
        pool, ch_check_copy(text, strlen(text)), strlen(text), &len);

    ck_assert_str_eq(text, pairs[_i].text);
    ck_assert_ptr_nonnull(back);
    ck_assert_uint_eq(len, strlen(data));
    ck_assert_mem_eq(back, data, len);
}
END_TEST

static const char *const not_base64[] = {
    "A",     "AAAAA", "Z",    "Zg=",   "Zg==",    "Zm9vY", "Zm9v\n",
    " Zm9v", "Zm+v",  "Zm/v", "Zm9v.", "Zm\xC3v", "Zh", /* trailing bits of
                                                           "Zg" set */
    "Zn",    "Zm9", /* the same for two bytes */
    "Zm_",   "////",  "=",
};

START_TEST(base64url_refuses)
{
    const char *text = not_base64[_i];
    size_t len;

    ck_assert_msg(ch_seal_b64url_decode(pool,
                                        ch_check_copy(text, strlen(text)),
                                        strlen(text), &len) == NULL,
                  "%s", text);
}
END_TEST

/* Every byte as a digit: 64 of them are good. */
START_TEST(base64url_alphabet)
{
    char text[4] = "AAAA";
    size_t len;
    int good = 0;
    int c;

    for (c = 0; c < 256; c++) {
        text[3] = (char)c;
        good += ch_seal_b64url_decode(pool, text, 4, &len) != NULL;
    }
    ck_assert_int_eq(good, 64);
}
END_TEST

START_TEST(equal)
{
    ck_assert(ch_seal_equal("abc", 3, "abc", 3));
    ck_assert(ch_seal_equal("", 0, "", 0));
    ck_assert(!ch_seal_equal("abc", 3, "abd", 3));
    ck_assert(!ch_seal_equal("bbc", 3, "abc", 3));
    ck_assert(!ch_seal_equal("abc", 3, "ab", 2));
    ck_assert(!ch_seal_equal("ab", 2, "abc", 3));
}
END_TEST

START_TEST(random_differs)
{
    unsigned char a[32] = {0};
    unsigned char b[32] = {0};

    ch_seal_random(a, sizeof(a));
    ch_seal_random(b, sizeof(b));
    ck_assert_mem_ne(a, b, sizeof(a));
    ck_assert_uint_eq(strlen(ch_seal_token(pool, 32)), 43);
    ck_assert_str_ne(ch_seal_token(pool, 32), ch_seal_token(pool, 32));
}
END_TEST

START_TEST(hex)
{
    ck_assert_str_eq(ch_seal_hex(pool, "\x00\x0f\xf0\xff", 4), "000ff0ff");
    ck_assert_str_eq(ch_seal_hex(pool, "", 0), "");
}
END_TEST

CH_SUITE_MAIN("base/seal", CH_ONCE(hmac_of_rfc_4231),
              CH_ONCE(hmac_of_rfc_7515), CH_ONCE(empty_inputs),
              CH_ONCE(sha256_of_fips_180), CH_ONCE(sha256_of_pieces),
              CH_ONCE(derive),
              CH_EACH(base64url, pairs),
              CH_EACH(base64url_refuses, not_base64),
              CH_ONCE(base64url_alphabet), CH_ONCE(equal),
              CH_ONCE(random_differs), CH_ONCE(hex))
