/* Keyed hashes, random bytes and their text forms; the only file that sees
 * OpenSSL. */
#include "base/seal.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

static const char b64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789-_";

/* A hash that fails has no memory left; an answer signed with whatever was in
 * the buffer would be worse than none. */
static void must(int good)
{
    if (!good) {
        abort();
    }
}

void ch_seal_derive(const char *secret, size_t len, const char *purpose,
                    unsigned char key[CH_SHA256_LEN])
{
    static const unsigned char salt[CH_SHA256_LEN] = {0};
    unsigned char root[CH_SHA256_LEN];
    unsigned char info[256];
    size_t info_len = strlen(purpose);

    /* RFC 5869 with one block of output: T(1) = HMAC(root, info | 0x01). */
    must(info_len < sizeof(info));
    memcpy(info, purpose, info_len);
    info[info_len] = 1;
    ch_seal_hmac(salt, sizeof(salt), secret, len, root);
    ch_seal_hmac(root, sizeof(root), info, info_len + 1, key);
    OPENSSL_cleanse(root, sizeof(root));
}

void ch_seal_hmac(const void *key, size_t key_len, const void *data,
                  size_t len, unsigned char out[CH_SHA256_LEN])
{
    unsigned out_len = 0;

    /* The one-shot form keeps nothing between calls, so there is nothing to
     * free when a thread ends or the module is unloaded; that is worth the
     * 0.8 us which a context kept per thread would save. */
    must(key_len <= INT32_MAX &&
         HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &out_len) !=
             NULL &&
         out_len == CH_SHA256_LEN);
}

void ch_seal_sha256(const void *data, size_t len,
                    unsigned char out[CH_SHA256_LEN])
{
    must(EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1);
}

struct ch_seal_sum_t {
    apr_pool_t *pool;
    EVP_MD_CTX *context;
};

static apr_status_t free_sum(void *data)
{
    EVP_MD_CTX_free(((ch_seal_sum_t *)data)->context);
    return APR_SUCCESS;
}

ch_seal_sum_t *ch_seal_sum_make(apr_pool_t *pool)
{
    ch_seal_sum_t *sum = apr_palloc(pool, sizeof(*sum));

    sum->pool = pool;
    sum->context = EVP_MD_CTX_new();
    must(sum->context
         && EVP_DigestInit_ex(sum->context, EVP_sha256(), NULL) == 1);
    apr_pool_cleanup_register(pool, sum, free_sum, apr_pool_cleanup_null);
    return sum;
}

void ch_seal_sum_add(ch_seal_sum_t *sum, const void *data, size_t len)
{
    must(EVP_DigestUpdate(sum->context, data, len) == 1);
}

const char *ch_seal_sum_hex(ch_seal_sum_t *sum)
{
    unsigned char hash[CH_SHA256_LEN];

    must(EVP_DigestFinal_ex(sum->context, hash, NULL) == 1);
    return ch_seal_hex(sum->pool, hash, sizeof(hash));
}

void ch_seal_sha1(const void *data, size_t len,
                  unsigned char out[CH_SHA1_LEN])
{
    must(EVP_Digest(data, len, out, NULL, EVP_sha1(), NULL) == 1);
}

const char *ch_seal_sha256_hex(apr_pool_t *pool, const void *data, size_t len)
{
    unsigned char hash[CH_SHA256_LEN];

    ch_seal_sha256(data, len, hash);
    return ch_seal_hex(pool, hash, sizeof(hash));
}

void ch_seal_random(void *out, size_t len)
{
    must(len <= INT32_MAX && RAND_bytes(out, (int)len) == 1);
}

const char *ch_seal_token(apr_pool_t *pool, size_t bytes)
{
    void *data = apr_palloc(pool, bytes);

    ch_seal_random(data, bytes);
    return ch_seal_b64url(pool, data, bytes);
}

int ch_seal_equal(const void *a, size_t a_len, const void *b, size_t b_len)
{
    return a_len == b_len && CRYPTO_memcmp(a, b, a_len) == 0;
}

const char *ch_seal_b64url(apr_pool_t *pool, const void *data, size_t len)
{
    const unsigned char *from = data;
    char *out = apr_palloc(pool, len / 3 * 4 + 4);
    char *to = out;

    for (; len >= 3; len -= 3, from += 3) {
        *to++ = b64_digits[from[0] >> 2];
        *to++ = b64_digits[(from[0] & 3) << 4 | from[1] >> 4];
        *to++ = b64_digits[(from[1] & 15) << 2 | from[2] >> 6];
        *to++ = b64_digits[from[2] & 63];
    }
    if (len >= 1) {
        unsigned next = len == 2 ? from[1] : 0;

        *to++ = b64_digits[from[0] >> 2];
        *to++ = b64_digits[(from[0] & 3) << 4 | next >> 4];
        if (len == 2) {
            *to++ = b64_digits[(next & 15) << 2];
        }
    }
    *to = '\0';
    return out;
}

/* The value of a digit of the alphabet, -1 for any other byte. */
static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '-') {
        return 62;
    }
    return c == '_' ? 63 : -1;
}

unsigned char *ch_seal_b64url_decode(apr_pool_t *pool, const char *text,
                                     size_t len, size_t *out_len)
{
    unsigned char *out;
    unsigned bits = 0;
    int have = 0; /* bits not yet written */
    size_t n = 0;
    size_t i;

    if (len % 4 == 1) {
        return NULL;
    }
    out = apr_palloc(pool, len / 4 * 3 + 3);
    for (i = 0; i < len; i++) {
        int digit = digit_of(text[i]);

        if (digit < 0) {
            return NULL;
        }
        bits = bits << 6 | (unsigned)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (unsigned char)(bits >> have);
            bits &= (1u << have) - 1;
        }
    }
    /* Two texts for the same bytes would make one token look like two. */
    if (bits != 0) {
        return NULL;
    }
    *out_len = n;
    return out;
}

const char *ch_seal_hex(apr_pool_t *pool, const void *data, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *from = data;
    char *out = apr_palloc(pool, len * 2 + 1);
    size_t i;

    for (i = 0; i < len; i++) {
        out[i * 2] = hex[from[i] >> 4];
        out[i * 2 + 1] = hex[from[i] & 15];
    }
    out[len * 2] = '\0';
    return out;
}
