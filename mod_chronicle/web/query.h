/* Query strings, and bodies of forms, taken apart. */
#ifndef CH_WEB_QUERY_H
#define CH_WEB_QUERY_H

#include "chronicle.h"

typedef struct {
    const char *name; /* decoded, valid UTF-8 */
    const char *value;
    size_t len;
    int broken; /* bad percent-encoding, NUL or invalid UTF-8 in it */
} ch_pair_t;

/* The pairs of a query string in order, "+" as space, in pool. An array of
 * ch_pair_t; empty for NULL. */
const apr_array_header_t *ch_query_parse(apr_pool_t *pool, const char *args);

/* The same of len bytes of a body, which may hold anything. */
const apr_array_header_t *ch_query_pairs(apr_pool_t *pool, const char *text,
                                         size_t len);

/* Percent-decodes len bytes once; *broken is set on bad encoding, NUL or
 * invalid UTF-8 (the bytes are then replaced by "?"). */
char *ch_query_decode(apr_pool_t *pool, const char *text, size_t len,
                      int plus_is_space, size_t *out_len, int *broken);

#endif
