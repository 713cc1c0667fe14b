/* Reads one entry of a ZIP archive as a stream. Memory grows neither with the
 * archive nor with the entry: how long an entry may get is for whoever reads
 * it. Nothing is ever written to where a name in an archive points. */
#ifndef CH_BASE_UNZIP_H
#define CH_BASE_UNZIP_H

#include "base/err.h"

typedef struct ch_unzip_t ch_unzip_t;

/* Gives the next bytes of the archive. *len: room in data; out: bytes, 0 =
 * the end. An error ends the reading and is what the function that was called
 * for it answers. */
typedef ch_err_t *ch_unzip_source_t(void *ctx, void *data, size_t *len);

/* Finds the first entry whose last path part is `name`; *out NULL = there is
 * none. VALIDATION_ERROR for what is no ZIP archive, is damaged, or
 * encrypted; the source's errors are passed on. Lives in pool. */
ch_err_t *ch_unzip_open(apr_pool_t *pool, ch_unzip_source_t *source,
                        void *ctx, const char *name, ch_unzip_t **out);

/* The next bytes of the entry. *len: room in data; out: bytes, 0 = the end,
 * which is only reached when the checksum is right. Errors as above; after
 * one every further call answers it. */
ch_err_t *ch_unzip_read(ch_unzip_t *zip, void *data, size_t *len);

#endif
