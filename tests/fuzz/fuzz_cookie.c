/* Fuzzes the Cookie header: what is found is what a plain look by pieces
 * finds. */
#include "ch_fuzz.h"

#include <apr_strings.h>

#include "web/request.h"

#define NAME "sid"

/* The same by cutting a copy at each semicolon. */
static const char *find(apr_pool_t *pool, const char *header)
{
    char *at = apr_pstrdup(pool, header);
    char *piece;

    while ((piece = strsep(&at, ";")) != NULL) {
        char *value;
        size_t len;

        piece += strspn(piece, " \t");
        if (strncmp(piece, NAME "=", strlen(NAME) + 1) != 0) {
            continue;
        }
        value = piece + strlen(NAME) + 1;
        len = strlen(value);
        if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
            value[len - 1] = '\0';
            value++;
        }
        return *value ? value : NULL;
    }
    return NULL;
}

void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size)
{
    ch_req_t *rq = apr_pcalloc(pool, sizeof(*rq));
    char *header = malloc(size + 1);
    const char *want;
    const char *got;

    /* in a block of its own, so that a sanitizer sees any overrun */
    memcpy(header, data, size);
    header[size] = '\0';
    rq->pool = pool;
    rq->in = apr_table_make(pool, 1);
    apr_table_setn(rq->in, "Cookie", header);
    got = ch_req_cookie(rq, NAME);
    want = find(pool, header);
    CH_PROMISE((got == NULL) == (want == NULL));
    CH_PROMISE(got == NULL || strcmp(got, want) == 0);
    free(header);
}
