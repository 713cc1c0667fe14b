/* Refresh tokens: what they hold and how they are checked, without a
 * database. Layout before base64url, after the prefix "crt_":
 *   version 1 byte (1) | session 16 | counter 4 (big endian) | issued 4
 *   (seconds, big endian) | MAC 16 under the session's own key | check 16
 *   under the server's key over all before.
 * The check refuses garbage without a look-up; the session's MAC binds the
 * token to a key that dies with the session row. */
#ifndef CH_AUTH_REFRESH_H
#define CH_AUTH_REFRESH_H

#include "chronicle.h"

#define CH_REFRESH_PREFIX "crt_"
#define CH_REFRESH_SECONDS 2592000
#define CH_REFRESH_KEY_LEN 32
#define CH_REFRESH_MAC_LEN 16

typedef struct {
    char session[CH_UUID_LEN + 1];
    apr_uint32_t counter;
    apr_uint32_t issued;
    unsigned char mac[CH_REFRESH_MAC_LEN];
} ch_refresh_t;

/* The token text in pool. server_key and session_key are 32 bytes. */
const char *ch_refresh_make(apr_pool_t *pool, const unsigned char *server_key,
                            const unsigned char *session_key,
                            const char *session, apr_uint32_t counter,
                            apr_uint32_t issued);

/* 1 and *out if the form and the server's check are good, else 0. */
int ch_refresh_read(apr_pool_t *pool, const unsigned char *server_key,
                    const char *token, size_t len, ch_refresh_t *out);

/* Whether the token's MAC belongs to the session's key. */
int ch_refresh_belongs(const ch_refresh_t *token,
                       const unsigned char *session_key);

#endif
