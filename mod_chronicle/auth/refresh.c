/* Makes refresh tokens and checks them without a database. */
#include "auth/refresh.h"

#include <string.h>

#include <apr_strings.h>

#include "base/seal.h"
#include "base/uuid.h"

#define VERSION 1
#define AT_SESSION 1
#define AT_COUNTER 17
#define AT_ISSUED 21
#define AT_MAC 25
#define AT_CHECK (AT_MAC + CH_REFRESH_MAC_LEN)
#define TOKEN_LEN (AT_CHECK + CH_REFRESH_MAC_LEN)
#define PREFIX_LEN (sizeof(CH_REFRESH_PREFIX) - 1)
#define TEXT_LEN (PREFIX_LEN + TOKEN_LEN / 3 * 4) /* 57 bytes: no odd end */

static void put32(unsigned char *out, apr_uint32_t value)
{
    out[0] = (unsigned char)(value >> 24);
    out[1] = (unsigned char)(value >> 16);
    out[2] = (unsigned char)(value >> 8);
    out[3] = (unsigned char)value;
}

static apr_uint32_t get32(const unsigned char *from)
{
    return (apr_uint32_t)from[0] << 24 | (apr_uint32_t)from[1] << 16 |
           (apr_uint32_t)from[2] << 8 | from[3];
}

/* The first half of an HMAC over the first `len` bytes of a token. */
static void mac_of(const unsigned char *key, const unsigned char *token,
                   size_t len, unsigned char out[CH_REFRESH_MAC_LEN])
{
    unsigned char mac[CH_SHA256_LEN];

    ch_seal_hmac(key, CH_REFRESH_KEY_LEN, token, len, mac);
    memcpy(out, mac, CH_REFRESH_MAC_LEN);
}

/* Everything in front of the MACs; 0 if session is no UUID. */
static int put_head(unsigned char *out, const char *session,
                    apr_uint32_t counter, apr_uint32_t issued)
{
    out[0] = VERSION;
    put32(out + AT_COUNTER, counter);
    put32(out + AT_ISSUED, issued);
    return ch_uuid_bytes(session, out + AT_SESSION);
}

const char *ch_refresh_make(apr_pool_t *pool, const unsigned char *server_key,
                            const unsigned char *session_key,
                            const char *session, apr_uint32_t counter,
                            apr_uint32_t issued)
{
    unsigned char token[TOKEN_LEN];

    if (!put_head(token, session, counter, issued)) {
        return NULL;
    }
    mac_of(session_key, token, AT_MAC, token + AT_MAC);
    mac_of(server_key, token, AT_CHECK, token + AT_CHECK);
    return apr_pstrcat(pool, CH_REFRESH_PREFIX,
                       ch_seal_b64url(pool, token, sizeof(token)), NULL);
}

int ch_refresh_read(apr_pool_t *pool, const unsigned char *server_key,
                    const char *token, size_t len, ch_refresh_t *out)
{
    unsigned char check[CH_REFRESH_MAC_LEN];
    unsigned char *bytes;
    size_t n;

    if (len != TEXT_LEN || memcmp(token, CH_REFRESH_PREFIX, PREFIX_LEN) != 0) {
        return 0;
    }
    bytes =
        ch_seal_b64url_decode(pool, token + PREFIX_LEN, len - PREFIX_LEN, &n);
    if (bytes == NULL || n != TOKEN_LEN || bytes[0] != VERSION) {
        return 0;
    }
    mac_of(server_key, bytes, AT_CHECK, check);
    if (!ch_seal_equal(check, sizeof(check), bytes + AT_CHECK,
                       sizeof(check))) {
        return 0;
    }
    ch_uuid_text(bytes + AT_SESSION, out->session);
    out->counter = get32(bytes + AT_COUNTER);
    out->issued = get32(bytes + AT_ISSUED);
    memcpy(out->mac, bytes + AT_MAC, CH_REFRESH_MAC_LEN);
    return 1;
}

int ch_refresh_belongs(const ch_refresh_t *token,
                       const unsigned char *session_key)
{
    unsigned char head[AT_MAC];
    unsigned char mac[CH_REFRESH_MAC_LEN];

    if (!put_head(head, token->session, token->counter, token->issued)) {
        return 0;
    }
    mac_of(session_key, head, sizeof(head), mac);
    return ch_seal_equal(mac, sizeof(mac), token->mac, sizeof(mac));
}
