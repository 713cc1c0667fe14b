/* ZIP archives, written as a stream; the only file that sees libarchive is
 * zip.c. Memory does not grow with the size of what is written, but for some
 * 150 bytes per entry: the directory at the end. */
#ifndef CH_BASE_ZIP_H
#define CH_BASE_ZIP_H

#include "base/err.h"

typedef struct ch_zip_t ch_zip_t;

/* Takes the next bytes of the archive. An error ends the writing and is what
 * the function that was called for it answers. */
typedef ch_err_t *ch_zip_sink_t(void *ctx, const void *data, size_t len);

typedef struct {
    const char *name;    /* UTF-8, "/" between the parts */
    apr_int64_t size;    /* bytes that will be written; -1 = not known yet */
    apr_time_t modified; /* to the second */
    int stored;          /* as it is: what is compressed already */
} ch_zip_entry_t;

/* An archive that goes to sink. What the archive holds outside of pool goes
 * with pool. */
ch_err_t *ch_zip_make(apr_pool_t *pool, ch_zip_sink_t *sink, void *ctx,
                      ch_zip_t **out);

/* Begins an entry, which ends the one before; its bytes; the end of the
 * archive. After an error every further call answers that error.
 * INTERNAL_ERROR for what is not the sink's, such as more bytes than size
 * said. */
ch_err_t *ch_zip_begin(ch_zip_t *zip, const ch_zip_entry_t *entry);
ch_err_t *ch_zip_write(ch_zip_t *zip, const void *data, size_t len);
ch_err_t *ch_zip_end(ch_zip_t *zip);

/* A name for one part of an entry's path: without "/", "\", ":" and control
 * characters (each becomes "_"), neither empty nor "." or "..", in pool. */
const char *ch_zip_safe_name(apr_pool_t *pool, const char *name);

#endif
