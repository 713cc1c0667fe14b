/* Puts aside what is too long for memory: answers while they are written,
 * files that come in. */
#include "web/spill.h"

#include <apr_strings.h>

#include "web/reply.h"

#define SPILL_MIN (4u * 1024 * 1024) /* bytes that are put aside together */

static ch_err_t *failed(apr_pool_t *pool, apr_status_t rv)
{
    return rv == APR_SUCCESS
               ? NULL
               : ch_err_cause(pool, CH_E_SERVICE_UNAVAILABLE,
                              "nothing can be written to the temporary "
                              "directory: %pm",
                              &rv);
}

ch_err_t *ch_spill_open(apr_pool_t *pool, apr_file_t **out)
{
    const char *dir;
    char *name;
    apr_status_t rv = apr_temp_dir_get(&dir, pool);

    if (rv != APR_SUCCESS) {
        return failed(pool, rv);
    }
    name = apr_pstrcat(pool, dir, "/chronicle.XXXXXX", NULL);
    rv = apr_file_mktemp(out, name,
                         APR_FOPEN_CREATE | APR_FOPEN_READ | APR_FOPEN_WRITE
                             | APR_FOPEN_EXCL | APR_FOPEN_SENDFILE_ENABLED,
                         pool);
    return failed(pool,
                  rv == APR_SUCCESS ? apr_file_remove(name, pool) : rv);
}

ch_err_t *ch_spill_write(apr_pool_t *pool, apr_file_t *file,
                         const void *data, size_t len)
{
    return failed(pool, apr_file_write_full(file, data, len, NULL));
}

ch_err_t *ch_reply_spill(ch_req_t *rq)
{
    ch_reply_t *reply = &rq->reply;
    ch_err_t *err = NULL;

    if (reply->body->len < SPILL_MIN) {
        return NULL;
    }
    if (!reply->spilled) {
        err = ch_spill_open(rq->pool, &reply->spilled);
    }
    if (!err) {
        err = ch_spill_write(rq->pool, reply->spilled, reply->body->data,
                             reply->body->len);
    }
    if (err) {
        return err;
    }
    reply->spilled_size += (apr_off_t)reply->body->len;
    reply->body->len = 0;
    return NULL;
}
