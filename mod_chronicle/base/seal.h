/* Keyed hashes, random bytes and their text forms (OpenSSL). */
#ifndef CH_BASE_SEAL_H
#define CH_BASE_SEAL_H

#include "chronicle.h"

#define CH_SHA256_LEN 32
#define CH_SHA1_LEN 20

/* A key for one purpose: HKDF-SHA-256 of secret with info = purpose, salt
 * empty. */
void ch_seal_derive(const char *secret, size_t len, const char *purpose,
                    unsigned char key[CH_SHA256_LEN]);

/* HMAC-SHA-256. */
void ch_seal_hmac(const void *key, size_t key_len, const void *data,
                  size_t len, unsigned char out[CH_SHA256_LEN]);

void ch_seal_sha256(const void *data, size_t len,
                    unsigned char out[CH_SHA256_LEN]);

/* For protocols that name things by it; nothing is secured with it. */
void ch_seal_sha1(const void *data, size_t len,
                  unsigned char out[CH_SHA1_LEN]);

/* SHA-256 as 64 lower case hex digits in pool. */
const char *ch_seal_sha256_hex(apr_pool_t *pool, const void *data,
                               size_t len);

/* The same of bytes that come in pieces; lives in pool. The hash may be asked
 * for once. */
typedef struct ch_seal_sum_t ch_seal_sum_t;

ch_seal_sum_t *ch_seal_sum_make(apr_pool_t *pool);
void ch_seal_sum_add(ch_seal_sum_t *sum, const void *data, size_t len);
const char *ch_seal_sum_hex(ch_seal_sum_t *sum);

/* Strong random bytes; aborts the process if the system has none. */
void ch_seal_random(void *out, size_t len);

/* n random bytes as base64url in pool. */
const char *ch_seal_token(apr_pool_t *pool, size_t bytes);

/* Constant time; lengths are no secret. */
int ch_seal_equal(const void *a, size_t a_len, const void *b, size_t b_len);

/* base64url without padding (RFC 4648 section 5). Decode is strict: only the
 * alphabet, no padding, no non-zero trailing bits, a possible length;
 * otherwise NULL. */
const char *ch_seal_b64url(apr_pool_t *pool, const void *data, size_t len);
unsigned char *ch_seal_b64url_decode(apr_pool_t *pool, const char *text,
                                     size_t len, size_t *out_len);

const char *ch_seal_hex(apr_pool_t *pool, const void *data, size_t len);

#endif
