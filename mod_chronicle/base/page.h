/* Paging cursors: a position in a sorted list, bound to what it was made
 * for and signed, opaque to clients (API.md 1.3). */
#ifndef CH_BASE_PAGE_H
#define CH_BASE_PAGE_H

#include "chronicle.h"

/* A cursor holding `values` (each a C string without control characters
 * below 0x20 other than what text fields allow; NULL allowed), bound to
 * `binding` (endpoint, filters, sort, user: any text). NULL when it would
 * pass CH_CURSOR_MAX characters. key is 32 bytes. */
const char *ch_page_seal(apr_pool_t *pool, const unsigned char *key,
                         const char *binding, const char *const *values,
                         int count);

/* Reads a cursor back: 1 and values[count] in pool, or 0 for a damaged or
 * foreign one. */
int ch_page_open(apr_pool_t *pool, const unsigned char *key,
                 const char *binding, const char *cursor, const char **values,
                 int count);

#endif
