/* Runs the handler, and under an Idempotency-Key runs it once. */
#include <string.h>

#include <apr_strings.h>

#include "base/jsonw.h"
#include "base/seal.h"
#include "store/idem.h"
#include "web/reply.h"
#include "web/request.h"

static const char *const kept_headers[] = { "ETag", "Location" };

static const char *headers_as_json(ch_req_t *rq)
{
    ch_buf_t *buf = ch_buf_make(rq->pool, 256, CH_BODY_MAX);
    const char *comma = "{";
    size_t i;

    for (i = 0; i < CH_COUNT(kept_headers); i++) {
        const char *value = apr_table_get(rq->out, kept_headers[i]);

        if (value) {
            ch_buf_printf(buf, "%s\"%s\":", comma, kept_headers[i]);
            ch_jsonw_cstr(buf, value);
            comma = ",";
        }
    }
    ch_buf_puts(buf, *comma == '{' ? "{}" : "}");
    return ch_buf_cstr(buf);
}

static ch_err_t *replay(ch_req_t *rq, const ch_idem_answer_t *answer)
{
    const ch_json_t *headers;
    size_t i, len;
    ch_err_t *err = ch_json_parse(rq->pool, answer->headers,
                                  strlen(answer->headers), 2, &headers);

    if (err) {
        return err;
    }
    for (i = 0; i < CH_COUNT(kept_headers); i++) {
        const ch_json_t *value = ch_json_get(headers, kept_headers[i]);

        if (value) {
            apr_table_set(rq->out, kept_headers[i],
                          ch_json_string(value, &len));
        }
    }
    apr_table_setn(rq->out, "Idempotent-Replayed", "true");
    rq->reply.status = answer->status;
    rq->reply.body = ch_buf_make(rq->pool, strlen(answer->body) + 1,
                                 strlen(answer->body) + 1);
    ch_buf_puts(rq->reply.body, answer->body);
    return NULL;
}

static ch_err_t *perform_once(ch_req_t *rq)
{
    const ch_idem_t idem = {
        .scope = rq->who ? rq->who->user_id : rq->client_ip,
        .route = apr_pstrcat(rq->pool, ch_method_names[rq->route->method],
                             " ", rq->canonical, NULL),
        .key = rq->idem_key,
        .hash = ch_seal_sha256_hex(rq->pool, rq->raw_body.data,
                                   rq->raw_body.len),
    };
    ch_idem_answer_t answer;
    ch_err_t *err = ch_idem_begin(rq->pool, rq->db, &idem, &answer);

    if (err || answer.status) {
        return err ? err : replay(rq, &answer);
    }
    err = rq->route->handler(rq);
    if (err) {
        ch_idem_abandon(rq->db);
        return err;
    }
    answer.status = rq->reply.status;
    answer.headers = headers_as_json(rq);
    answer.body = ch_buf_cstr(rq->reply.body);
    return ch_idem_end(rq->pool, rq->db, &idem, &answer);
}

ch_err_t *ch_handler_stage(ch_req_t *rq)
{
    ch_err_t *err =
        rq->idem_key ? perform_once(rq) : rq->route->handler(rq);

    if (!err) {
        rq->done = 1;
    }
    return err;
}
