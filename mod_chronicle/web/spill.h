/* Files for what is too long for memory. */
#ifndef CH_WEB_SPILL_H
#define CH_WEB_SPILL_H

#include <apr_file_io.h>

#include "base/err.h"

/* A file without a name in the temporary directory, for writing and reading:
 * it goes with pool, or with the last one who has it open.
 * SERVICE_UNAVAILABLE when there can be none. */
ch_err_t *ch_spill_open(apr_pool_t *pool, apr_file_t **out);

/* SERVICE_UNAVAILABLE when there is no room for it. */
ch_err_t *ch_spill_write(apr_pool_t *pool, apr_file_t *file,
                         const void *data, size_t len);

#endif
