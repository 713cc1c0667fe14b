/* Takes multipart/form-data (RFC 7578) apart as it comes, cut anywhere. No
 * more than the headers of one part is held.
 *
 * Faults are VALIDATION_ERROR, with a message that says what is wrong: a
 * boundary that is missing, or is not one of RFC 2046; headers of a part
 * longer than 8 KB, or none of "Content-Disposition: form-data" with a name;
 * a Content-Transfer-Encoding that encodes; names that are not UTF-8; more
 * than 32 parts; an end before the closing boundary. What precedes the first
 * boundary and follows the last is passed over. */
#ifndef CH_WEB_MULTIPART_H
#define CH_WEB_MULTIPART_H

#include "base/err.h"

#define CH_PARTS_MAX 32

typedef struct ch_multipart_t ch_multipart_t;

typedef struct {
    const char *name; /* without control characters, not empty */
    /* NULL = none. The last part of what was given: "C:\dir\x.json" is
     * "x.json"; control characters have become "_". "filename*" is ignored,
     * as RFC 7578 forbids it. */
    const char *filename;
    const char *media; /* Content-Type, printable ASCII; "" = none */
} ch_part_t;

/* What is told of the parts, in order; an error of any ends the reading and
 * is passed on. */
typedef struct {
    ch_err_t *(*begin)(void *ctx, const ch_part_t *part); /* lives in pool */
    ch_err_t *(*data)(void *ctx, const char *data, size_t len);
    ch_err_t *(*end)(void *ctx);
} ch_part_taker_t;

/* Whether a Content-Type is multipart/form-data. */
int ch_multipart_is(const char *content_type);

/* A reader with the boundary of that Content-Type, in pool. taker must live
 * as long. */
ch_err_t *ch_multipart_make(apr_pool_t *pool, const char *content_type,
                            const ch_part_taker_t *taker, void *ctx,
                            ch_multipart_t **out);

/* The next bytes. After an error every further call answers it. */
ch_err_t *ch_multipart_feed(ch_multipart_t *form, const char *data,
                            size_t len);
ch_err_t *ch_multipart_end(ch_multipart_t *form);

#endif
