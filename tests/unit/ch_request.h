/* A request without a server: what httpd/ would have filled in, and what it
 * lends, as far as the rooms web/ and auth/ look at it. */
#ifndef CH_TESTS_REQUEST_H
#define CH_TESTS_REQUEST_H

#include <apr_strings.h>

#include "ch_check.h"
#include "web/request.h"

/* What the server was told, and what it has to say. */
static struct {
    int logs;
    char level;
    int number;
    const char *log; /* the last one */
    int events;
    const char *type;
    const char *pattern;
    int securities;
    const char *security; /* the last one: "event: detail" */
    int reads;
    const char *body; /* what read_body gives */
    size_t body_len;
    ch_code_e refusal; /* what read_body says instead */
    const char *remote; /* whom another module has authenticated */
} server;

static inline ch_err_t *ch_fake_read_body(ch_req_t *rq, size_t max,
                                          ch_bytes_t *out)
{
    server.reads++;
    if (server.refusal) {
        return ch_err_make(rq->pool, server.refusal, NULL);
    }
    if (server.body_len > max) {
        return ch_err_make(rq->pool, CH_E_PAYLOAD_TOO_LARGE, NULL);
    }
    out->data = server.body ? server.body : "";
    out->len = server.body_len;
    return NULL;
}

/* In pieces of 5 bytes. */
static inline ch_err_t *ch_fake_stream_body(ch_req_t *rq, apr_off_t max,
                                            ch_body_taker_t *take, void *ctx)
{
    ch_bytes_t body = { NULL, 0 };
    ch_err_t *err = ch_fake_read_body(rq, (size_t)max, &body);

    while (!err && body.len) {
        size_t len = body.len < 5 ? body.len : 5;

        err = take(ctx, body.data, len);
        body.data += len;
        body.len -= len;
    }
    return err;
}

static inline void ch_fake_log(ch_req_t *rq, char level, int number,
                               const char *text)
{
    server.logs++;
    server.level = level;
    server.number = number;
    server.log = text;
}

static inline void ch_fake_event(ch_req_t *rq, const char *type,
                                 const char *pattern)
{
    server.events++;
    server.type = type;
    server.pattern = pattern;
}

static inline void ch_fake_security(ch_req_t *rq, const char *event,
                                    const char *detail)
{
    server.securities++;
    server.security =
        apr_pstrcat(rq->pool, event, ": ", detail ? detail : "-", NULL);
}

static inline const char *ch_fake_own_url(ch_req_t *rq)
{
    return "https://own.example";
}

static inline const char *ch_fake_remote_user(ch_req_t *rq)
{
    return server.remote;
}

static const ch_io_t ch_fake_io = {
    .read_body = ch_fake_read_body,
    .stream_body = ch_fake_stream_body,
    .log = ch_fake_log,
    .event = ch_fake_event,
    .security = ch_fake_security,
    .own_url = ch_fake_own_url,
    .remote_user = ch_fake_remote_user,
};

/* The settings of the request, to be changed by a test. */
static ch_conf_t *conf;

/* A request from 192.0.2.1 to http://api.example, everything switched on. */
static inline ch_req_t *ch_request_make(ch_method_e method, const char *path)
{
    static const ch_rate_limit_t rates[CH_RATE__COUNT] = {
#define X(name, text, n, secs) { .limit = n, .seconds = secs },
        CH_RATES(X)
#undef X
    };
    ch_req_t *rq = apr_pcalloc(pool, sizeof(*rq));

    memset(&server, 0, sizeof(server));
    conf = apr_pcalloc(pool, sizeof(*conf));
    conf->enabled = 1;
    conf->id = 1;
    memset(conf->feature, 1, sizeof(conf->feature));
    memcpy(conf->rate, rates, sizeof(rates));
    rq->pool = pool;
    rq->io = &ch_fake_io;
    rq->conf = conf;
    rq->start = apr_time_now();
    rq->method = method;
    rq->method_name =
        method < CH_METHOD__COUNT ? ch_method_names[method] : "TRACE";
    rq->raw_path = path;
    rq->sent_path = path;
    rq->in = apr_table_make(pool, 8);
    rq->out = apr_table_make(pool, 8);
    rq->client_ip = "192.0.2.1";
    rq->host = "api.example";
    rq->request_id = "rq-1";
    return rq;
}

/* Just some request, for what needs one and no more; it leaves what the
 * others look at alone. */
static inline ch_req_t *ch_request_any(void)
{
    ch_req_t *rq = apr_pcalloc(pool, sizeof(*rq));

    rq->pool = pool;
    rq->conf = apr_pcalloc(pool, sizeof(*rq->conf));
    return rq;
}

static inline void ch_request_header(ch_req_t *rq, const char *name,
                                     const char *value)
{
    apr_table_set(rq->in, name, value);
}

/* A header of the answer, "" when there is none. */
static inline const char *ch_answer_header(const ch_req_t *rq,
                                           const char *name)
{
    const char *value = apr_table_get(rq->out, name);

    return value ? value : "";
}

/* The name of an error's code, "" for success. */
static inline const char *ch_code_of(const ch_err_t *err)
{
    return err ? ch_code_name(err->code) : "";
}

/* The faults of an error as "field CODE, field CODE", "-" for no field. */
static inline const char *ch_faults_of(const ch_err_t *err)
{
    const char *text = "";
    int i;

    for (i = 0; err && err->details && i < err->details->nelts; i++) {
        const ch_detail_t *detail =
            &APR_ARRAY_IDX(err->details, i, ch_detail_t);

        text = apr_pstrcat(pool, text, i ? ", " : "",
                           detail->field ? detail->field : "-", " ",
                           detail->code, NULL);
    }
    return text;
}

#endif
