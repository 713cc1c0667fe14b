/* Tokens whose signature this child has checked before. What can change, time
 * and revocation, is checked at every use. */
#ifndef CH_AUTH_KNOWN_H
#define CH_AUTH_KNOWN_H

#include "auth/jwt.h"

typedef struct {
    char user_id[CH_UUID_LEN + 1];
    char session_id[CH_UUID_LEN + 1];
    apr_int64_t exp; /* seconds */
} ch_known_t;

/* Opens the cache of this child, in pool. Without it nothing is known. */
void ch_known_open(apr_pool_t *pool);

/* Whether this very token was noted under this configuration (a number that
 * tells virtual hosts apart): 1 and a copy, or 0. */
int ch_known_get(int conf, ch_bytes_t token, ch_known_t *out);

/* Notes a token that was found good. */
void ch_known_put(int conf, ch_bytes_t token, const ch_claims_t *claims);

#endif
