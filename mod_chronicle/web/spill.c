/* Puts long answers aside while they are written. */
#include <apr_strings.h>

#include "web/reply.h"

#define SPILL_MIN (4u * 1024 * 1024) /* bytes that are put aside together */

/* A file without a name: it goes with the last one who has it open. */
static apr_status_t open_spill(ch_req_t *rq)
{
    const char *dir;
    char *name;
    apr_status_t rv = apr_temp_dir_get(&dir, rq->pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    name = apr_pstrcat(rq->pool, dir, "/chronicle.XXXXXX", NULL);
    rv = apr_file_mktemp(&rq->reply.spilled, name,
                         APR_FOPEN_CREATE | APR_FOPEN_READ | APR_FOPEN_WRITE
                             | APR_FOPEN_EXCL | APR_FOPEN_SENDFILE_ENABLED,
                         rq->pool);
    return rv == APR_SUCCESS ? apr_file_remove(name, rq->pool) : rv;
}

ch_err_t *ch_reply_spill(ch_req_t *rq)
{
    ch_reply_t *reply = &rq->reply;
    apr_status_t rv = APR_SUCCESS;

    if (reply->body->len < SPILL_MIN) {
        return NULL;
    }
    if (!reply->spilled) {
        rv = open_spill(rq);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_file_write_full(reply->spilled, reply->body->data,
                                 reply->body->len, NULL);
    }
    if (rv != APR_SUCCESS) {
        return ch_err_cause(rq->pool, CH_E_SERVICE_UNAVAILABLE,
                            "reply: a long answer can't be written to the "
                            "temporary directory: %pm",
                            &rv);
    }
    reply->spilled_size += (apr_off_t)reply->body->len;
    reply->body->len = 0;
    return NULL;
}
