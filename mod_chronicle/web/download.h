/* Answers that are a file: whole, or the part that was asked for. */
#ifndef CH_WEB_DOWNLOAD_H
#define CH_WEB_DOWNLOAD_H

#include "web/request.h"

typedef struct {
    const char *path;
    apr_off_t size; /* that it must have */
    const char *media;
    const char *disposition; /* Content-Disposition */
    const char *etag;        /* strong, with its quotes */
    apr_time_t modified;
} ch_download_t;

/* Replies with a file: 200, or 206 for one range that can be had. A range
 * that lies outside is RANGE_NOT_SATISFIABLE; several ranges, a range in
 * another unit and one under an If-Range that does not fit are passed over,
 * as RFC 9110 lets a server do. STORAGE_ERROR when the file is not there, or
 * is not whole. */
ch_err_t *ch_reply_download(ch_req_t *rq, const ch_download_t *download);

#endif
