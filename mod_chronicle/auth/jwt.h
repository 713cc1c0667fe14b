/* Access tokens: JWT HS256 and nothing else (API.md 1.11). */
#ifndef CH_AUTH_JWT_H
#define CH_AUTH_JWT_H

#include "conf.h"

#define CH_JWT_ISSUER "mod_chronicle"
#define CH_JWT_AUDIENCE "chronicle-api"
#define CH_ACCESS_SECONDS 900
#define CH_JWT_SKEW_SECONDS 5

typedef ch_secret_t ch_jwt_key_t;

typedef struct {
    const char *sub; /* user id, lower case UUID */
    const char *sid; /* session id, lower case UUID */
    const char *email;
    const char *role;
    apr_int64_t iat, nbf, exp; /* seconds */
} ch_claims_t;

typedef enum {
    CH_JWT_GOOD,
    CH_JWT_EXPIRED, /* everything else about it is good */
    CH_JWT_BAD
} ch_jwt_e;

/* Signs with keys[0]; compact form in pool. Header {alg,typ,kid}; claims in
 * this order: iss aud sub email role sid iat nbf exp. */
const char *ch_jwt_sign(apr_pool_t *pool, const ch_jwt_key_t *key,
                        const ch_claims_t *claims);

/* Checks form (three strict base64url parts, at most 4096 bytes), header (alg
 * exactly HS256, kid a known key; typ absent or JWT; every other member is
 * ignored: no jku, jwk, x5u; crit present is bad), MAC in constant time, iss,
 * aud, presence and type of every claim, nbf and iat at most
 * CH_JWT_SKEW_SECONDS ahead of now (seconds), exp. Claims in pool, set for
 * GOOD and EXPIRED. */
ch_jwt_e ch_jwt_verify(apr_pool_t *pool, const ch_jwt_key_t *keys, int count,
                       ch_bytes_t token, apr_int64_t now,
                       ch_claims_t *claims);

#endif
