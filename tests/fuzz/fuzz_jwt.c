/* Fuzzes access tokens: as they come, and with a good signature over any
 * header and body (the input's two lines), so that the claims are reached. */
#include "ch_fuzz.h"

#include <apr_strings.h>

#include "auth/jwt.h"
#include "base/seal.h"
#include "base/uuid.h"

#define NOW APR_INT64_C(1769250700)

static const ch_jwt_key_t keys[] = {
    {.kid = "1", .secret = "a key of thirty-two bytes, exact", .len = 32},
    {.kid = "2", .secret = "another key of just as many byte", .len = 32},
};

static ch_jwt_e check(apr_pool_t *pool, const char *token, size_t len)
{
    const ch_bytes_t bytes = {token, len};
    ch_claims_t claims;
    ch_jwt_e found =
        ch_jwt_verify(pool, keys, CH_COUNT(keys), bytes, NOW, &claims);

    if (found != CH_JWT_BAD) {
        CH_PROMISE(ch_uuid_parse(claims.sub, strlen(claims.sub), NULL));
        CH_PROMISE(ch_uuid_parse(claims.sid, strlen(claims.sid), NULL));
        CH_PROMISE(claims.email != NULL && claims.role != NULL);
        CH_PROMISE(claims.iat <= NOW + CH_JWT_SKEW_SECONDS);
        CH_PROMISE(claims.nbf <= NOW + CH_JWT_SKEW_SECONDS);
        CH_PROMISE((claims.exp > NOW) == (found == CH_JWT_GOOD));
    }
    return found;
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
    unsigned char mac[CH_SHA256_LEN];
    char *copy = calloc(1, size + (size == 0));
    char *token;

    memcpy(copy, data, size);
    /* nobody can guess a signature */
    CH_PROMISE(check(pool, copy, size) == CH_JWT_BAD);
    free(copy);
    if (line == NULL) {
        return;
    }
    token = apr_pstrcat(
        pool, ch_seal_b64url(pool, data, (size_t)(line - data)), ".",
        ch_seal_b64url(pool, line + 1, size - (size_t)(line + 1 - data)),
        NULL);
    ch_seal_hmac(keys[0].secret, keys[0].len, token, strlen(token), mac);
    token = apr_pstrcat(pool, token, ".", ch_seal_b64url(pool, mac, 32), NULL);
    check(pool, token, strlen(token));
}
