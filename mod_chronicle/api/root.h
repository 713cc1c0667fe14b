/* Inside section 2: handlers that root.c's table names and other files hold.
 */
#ifndef CH_API_ROOT_H
#define CH_API_ROOT_H

#include "web/request.h"

/* /metrics */
ch_err_t *ch_metrics_show(ch_req_t *rq);

/* /api-docs and the files below it */
ch_err_t *ch_docs_show(ch_req_t *rq);

/* Bytes of memory that this process holds; 0 when the system won't say. */
apr_int64_t ch_metrics_resident(apr_pool_t *pool);

#endif
