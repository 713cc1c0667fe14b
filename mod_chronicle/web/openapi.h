/* The OpenAPI document: everything that the route rows say. */
#ifndef CH_WEB_OPENAPI_H
#define CH_WEB_OPENAPI_H

#include "base/buf.h"
#include "web/route.h"

/* Writes the OpenAPI 3.1 document of all rows: every row under its own path
 * (aliases are left out), PATCH beside every PUT. Never fails; a buffer that
 * is too small overflows, 4 MB do for some hundred rows. */
void ch_openapi_write(ch_buf_t *buf, const ch_router_t *router);

/* Writes a JSON array of all endpoints, in the order of the rows:
 * [{method,path,auth,rateClass,summary}]. Paths are those of the document. */
void ch_openapi_list(ch_buf_t *buf, const ch_router_t *router);

#endif
