/* Reads entries of a ZIP archive as a stream. Memory grows neither with the
 * archive nor with an entry: how long one may get is for whoever reads
 * it. Nothing is ever written to where a name in an archive points. */
#ifndef CH_BASE_UNZIP_H
#define CH_BASE_UNZIP_H

#include "base/err.h"

typedef struct ch_unzip_t ch_unzip_t;

/* Gives the next bytes of the archive. *len: room in data; out: bytes, 0 =
 * the end. An error ends the reading and is what the function that was called
 * for it answers. */
typedef ch_err_t *ch_unzip_source_t(void *ctx, void *data, size_t *len);

/* Whether an entry of this name, the last part of its path, is wanted. */
typedef int ch_unzip_match_t(const char *name);

/* Finds the first wanted entry; *out NULL = there is none. VALIDATION_ERROR
 * for what is no ZIP archive, is damaged, encrypted, packed by anything but
 * deflate, or expands to more than 16 MB and 32 times its bytes together, all
 * entries up to there; the source's errors are passed on. Lives in pool. */
ch_err_t *ch_unzip_open(apr_pool_t *pool, ch_unzip_source_t *source,
                        void *ctx, ch_unzip_match_t *match, ch_unzip_t **out);

/* On to the wanted entry after this one; *found 0 = there is none. Errors as
 * above. */
ch_err_t *ch_unzip_next(ch_unzip_t *zip, int *found);

/* The next bytes of the entry. *len: room in data; out: bytes, 0 = the end,
 * which is only reached when the checksum is right. Errors as above; after
 * one every further call answers it. */
ch_err_t *ch_unzip_read(ch_unzip_t *zip, void *data, size_t *len);

#endif
