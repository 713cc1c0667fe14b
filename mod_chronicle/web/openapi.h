/* The OpenAPI document: everything that the route rows say. */
#ifndef CH_WEB_OPENAPI_H
#define CH_WEB_OPENAPI_H

#include "base/buf.h"
#include "web/route.h"

/* Writes the OpenAPI 3.1 document: every row of an area that is on, under its
 * own path (aliases are left out), PATCH beside every PUT. features is what a
 * host has on (conf.h). Never fails; a buffer that is too small overflows,
 * 4 MB do for some hundred rows. */
void ch_openapi_write(ch_buf_t *buf, const ch_router_t *router,
                      const char *features);

/* Writes a JSON array of the same endpoints, in the order of the rows:
 * [{method,path,auth,rateClass,summary}]. */
void ch_openapi_list(ch_buf_t *buf, const ch_router_t *router,
                     const char *features);

#endif
