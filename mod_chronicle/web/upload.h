/* Inside of web/: bodies of multipart/form-data with a file. */
#ifndef CH_WEB_UPLOAD_H
#define CH_WEB_UPLOAD_H

#include "web/request.h"

/* Reads the body of a route with upload_max: the part "file" into
 * rq->upload, which stays NULL when there was none, the others into rq->texts.
 * PAYLOAD_TOO_LARGE as soon as the file passes its limit, or the other parts
 * theirs; VALIDATION_ERROR for a second file, and what web/multipart.h
 * says. */
ch_err_t *ch_upload_read(ch_req_t *rq);

#endif
