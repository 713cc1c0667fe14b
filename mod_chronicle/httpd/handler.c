/* Takes a request through the stages and sends what came of it. */
#include <ctype.h>
#include <string.h>

#include <apr_strings.h>

#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_ssl.h>

#include "auth/auth.h"
#include "base/uuid.h"
#include "httpd/jsonlog.h"
#include "httpd/server.h"
#include "realtime/record.h"
#include "store/counter.h"
#include "web/reply.h"

typedef ch_err_t *stage_t(ch_req_t *rq);

/* The order of checks is the order of API.md 1.5. */
static stage_t *const stages[] = {
    ch_secure_stage,       /* 2 */
    ch_cors_stage,         /* 3 */
    ch_match_stage,        /* 4, 5 */
    ch_identify_stage,     /* who calls: the key of the limit */
    ch_limit_stage,        /* 6 */
    ch_authenticate_stage, /* 7 */
    ch_user_limit_stage,
    ch_permit_stage,   /* 8 to 10 */
    ch_body_stage,     /* 11, 12 */
    ch_validate_stage, /* 13 */
    ch_handler_stage,  /* 14 to 20 */
};

static ch_method_e method_of(const char *name)
{
    int i;

    for (i = 0; i < CH_METHOD__COUNT; i++) {
        if (strcmp(ch_method_names[i], name) == 0) {
            return (ch_method_e)i;
        }
    }
    return CH_METHOD_OTHER;
}

/* The client's own id where it is harmless, else a new one. */
static const char *request_id(request_rec *r)
{
    const char *id = apr_table_get(r->headers_in, "X-Request-Id");
    size_t len = id ? strlen(id) : 0;
    size_t i;

    for (i = 0; i < len; i++) {
        if (!isalnum((unsigned char)id[i]) && !strchr("._-", id[i])) {
            len = 0;
        }
    }
    return len >= 1 && len <= 128 ? id : ch_uuid_make(r->pool);
}

static apr_off_t body_size(request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");
    apr_off_t size = 0;

    if (apr_table_get(r->headers_in, "Transfer-Encoding")) {
        return -1;
    }
    if (length && ap_parse_strict_length(&size, length)) {
        return size;
    }
    return 0;
}

/* A request has one id and is in one trace, however often it is looked at:
 * whoever protects a place looks before the handler does. */
static void set_ids(request_rec *r, ch_req_t *rq)
{
    const char *id = apr_table_get(r->notes, CH_NOTE_REQUEST_ID);
    const char *trace_id = apr_table_get(r->notes, CH_NOTE_TRACE_ID);

    rq->request_id = id ? id : request_id(r);
    if (!ch_trace_parse(apr_table_get(r->headers_in, "traceparent"),
                        &rq->trace)) {
        ch_trace_make(&rq->trace);
        if (trace_id) {
            apr_cpystrn(rq->trace.trace_id, trace_id,
                        sizeof(rq->trace.trace_id));
        }
    }
    apr_table_setn(r->notes, CH_NOTE_REQUEST_ID, rq->request_id);
    apr_table_setn(r->notes, CH_NOTE_TRACE_ID, rq->trace.trace_id);
}

ch_req_t *ch_server_request(request_rec *r)
{
    ch_req_t *rq = apr_pcalloc(r->pool, sizeof(*rq));
    const char *host = apr_table_get(r->headers_in, "Host");

    rq->pool = r->pool;
    rq->io = &ch_server_io;
    rq->io_ctx = r;
    rq->conf = &ch_config_of(r->server)->conf;
    rq->router = ch_server_router;
    rq->start = r->request_time;
    rq->method_name = r->method;
    rq->method = r->header_only ? CH_HEAD : method_of(r->method);
    rq->raw_path = r->uri;
    rq->sent_path = apr_pstrmemdup(r->pool, r->unparsed_uri,
                                   strcspn(r->unparsed_uri, "?"));
    rq->args = r->args;
    rq->in = r->headers_in;
    rq->out = r->headers_out;
    rq->client_ip = apr_pstrmemdup(r->pool, r->useragent_ip,
                                   strcspn(r->useragent_ip, "%"));
    rq->host = host ? host : "";
    rq->tls = ap_ssl_conn_is_ssl(r->connection);
    rq->body_size = body_size(r);
    set_ids(r, rq);
    rq->db = ch_db_make(r->pool, rq->conf->db);
    return rq;
}

static ch_req_t *make_request(request_rec *r)
{
    ch_req_t *rq = ch_server_request(r);

    ch_router_match(rq->router, r->pool, rq->raw_path, rq->method,
                    rq->conf->feature, &rq->match);
    return rq;
}

/* Whoever wrote notes or folders has other devices. */
static void tell_sync(ch_req_t *rq)
{
    if (rq->who && ch_route_writes_notes(rq->route)) {
        ch_record_send_sync(rq->pool, rq->conf, rq->who->user_id);
    }
}

static void walk(ch_req_t *rq)
{
    ch_err_t *err = NULL;
    size_t i;

    for (i = 0; i < CH_COUNT(stages) && !err && !rq->done; i++) {
        err = stages[i](rq);
    }
    if (err) {
        ch_reply_error(rq, err);
    }
    else {
        tell_sync(rq);
    }
    ch_reply_headers(rq);
}

/* For CustomLog: %{chronicle-route}n and so on, and %u. */
static void set_notes(request_rec *r, const ch_req_t *rq)
{
    if (rq->match.route) {
        apr_table_setn(r->notes, CH_NOTE_ROUTE, rq->match.route->path);
    }
    apr_table_setn(r->notes, CH_NOTE_DB_MS,
                   apr_psprintf(r->pool, "%.3f",
                                (double)ch_db_elapsed(rq->db) / 1000));
    if (rq->reply.code) {
        apr_table_setn(r->notes, CH_NOTE_ERROR, ch_code_name(rq->reply.code));
    }
    if (rq->who && rq->who->sure) {
        r->user = apr_pstrdup(r->pool, rq->who->user_id);
        apr_table_setn(r->notes, CH_NOTE_USER, rq->who->user_id);
    }
}

int ch_server_handle(request_rec *r)
{
    ch_req_t *rq = make_request(r);
    int index, result;

    ch_counter_begin();
    walk(rq);
    set_notes(r, rq);
    ch_logs_request(rq); /* whoever has the answer finds it in the log */
    result = ch_server_send(r, rq);
    index = rq->match.route
                ? ch_router_index(rq->router, rq->match.route)
                : CH_COUNTER_ROUTES - 1;
    ch_counter_end(index, rq->reply.status, apr_time_now() - rq->start);
    return result;
}
