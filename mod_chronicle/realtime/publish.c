/* Collects what a request has to tell, until it is committed. */
#include "realtime/publish.h"

#include <string.h>

#include <apr_strings.h>

#include "base/jsonw.h"
#include "realtime/record.h"
#include "web/reply.h"

#define DATA_MAX (16u * 1024 * 1024)

static const char *copy(apr_pool_t *pool, const char *text)
{
    return text ? apr_pstrdup(pool, text) : NULL;
}

void ch_publish(ch_req_t *rq, const ch_pub_t *pub)
{
    ch_pub_t *kept;

    if (!rq->told) {
        rq->told = apr_array_make(rq->pool, 4, sizeof(ch_pub_t));
        rq->after = ch_record_send_all;
    }
    kept = apr_array_push(rq->told);
    *kept = *pub;
    kept->room = copy(rq->pool, pub->room);
    kept->user = copy(rq->pool, pub->user);
    kept->event = copy(rq->pool, pub->event);
    kept->rooms = copy(rq->pool, pub->rooms);
    kept->data.data = apr_pmemdup(rq->pool, pub->data.data, pub->data.len);
}

ch_buf_t *ch_publish_buf(ch_req_t *rq)
{
    return ch_buf_make(rq->pool, 512, DATA_MAX);
}

ch_bytes_t ch_publish_row(ch_req_t *rq, const char *key,
                          const ch_fields_t *fields, const ch_rows_t *rows)
{
    ch_buf_t *buf = ch_publish_buf(rq);

    ch_buf_putc(buf, '{');
    ch_jsonw_cstr(buf, key);
    ch_buf_putc(buf, ':');
    ch_reply_write_row(buf, fields, rows, 0);
    ch_buf_putc(buf, '}');
    return (ch_bytes_t){ buf->data, buf->len };
}
