/* Fuzzes refresh tokens: as they come, and with a good check behind whatever
 * comes, so that the reader's inside is reached. */
#include "ch_fuzz.h"

#include <apr_strings.h>

#include "auth/refresh.h"
#include "base/seal.h"

#define UNSIGNED_LEN 41 /* all but the check */

static const unsigned char server_key[32] = "a key of thirty-two bytes, exact";
static const unsigned char session_key[32] =
    "another key of just as many byte";

/* The same token made again from its parts must be the same text. */
static void check_again(apr_pool_t *pool, const char *token, size_t len,
                        const ch_refresh_t *parts)
{
    const char *again =
        ch_refresh_make(pool, server_key, session_key, parts->session,
                        parts->counter, parts->issued);

    CH_PROMISE(again != NULL && strlen(again) == len);
    CH_PROMISE(ch_refresh_belongs(parts, session_key) ==
               (memcmp(again, token, len) == 0));
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    unsigned char token[UNSIGNED_LEN + CH_SHA256_LEN];
    ch_refresh_t parts;
    size_t len;
    char *text;

    if (ch_refresh_read(pool, server_key, (const char *)data, size, &parts)) {
        check_again(pool, (const char *)data, size, &parts);
    }
    if (size < UNSIGNED_LEN) {
        return;
    }
    memcpy(token, data, UNSIGNED_LEN);
    ch_seal_hmac(server_key, sizeof(server_key), token, UNSIGNED_LEN,
                 token + UNSIGNED_LEN);
    text = apr_psprintf(pool, CH_REFRESH_PREFIX "%s",
                        ch_seal_b64url(pool, token, UNSIGNED_LEN + 16));
    len = strlen(text);
    if (ch_refresh_read(pool, server_key, text, len, &parts)) {
        CH_PROMISE(token[0] == 1);
        check_again(pool, text, len, &parts);
    }
    else {
        CH_PROMISE(token[0] != 1);
    }
}
