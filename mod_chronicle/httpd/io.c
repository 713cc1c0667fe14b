/* What the other rooms borrow from the server: the request's body, the error
 * log; and the way out for an answer. */
#include <string.h>

#include <apr_strings.h>

#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <util_filter.h>

#include "base/budget.h"
#include "base/steady.h"
#include "httpd/jsonlog.h"
#include "httpd/server.h"
#include "store/sql_gen.h"


#define GZIP_MIN 1024        /* bytes from which an answer is compressed */
#define EVENTS_PER_SECOND 20 /* rows of security events of one child */

/* --- body ------------------------------------------------------------- */

static ch_err_t *body_error(ch_req_t *rq, apr_status_t rv)
{
    if (rv == APR_ENOSPC) {
        return ch_err_make(rq->pool, CH_E_PAYLOAD_TOO_LARGE, NULL);
    }
    rq->answered = rv == AP_FILTER_ERROR;
    ((request_rec *)rq->io_ctx)->connection->keepalive = AP_CONN_CLOSE;
    return ch_err_make(rq->pool, CH_E_MALFORMED_JSON,
                       "The body did not arrive whole");
}

/* A status that a filter sends in place of data, such as 413 for
 * LimitRequestBody. */
static apr_status_t status_of(apr_bucket *bucket)
{
    if (AP_BUCKET_IS_ERROR(bucket)) {
        return ((ap_bucket_error *)bucket->data)->status
                       == HTTP_REQUEST_ENTITY_TOO_LARGE
                   ? APR_ENOSPC
                   : APR_EGENERAL;
    }
    return APR_SUCCESS;
}

/* A body on its way. */
typedef struct {
    ch_body_taker_t *take;
    void *ctx;
    apr_off_t left; /* bytes that it may still have */
    int end;
    ch_err_t *err; /* of take */
} stream_t;

/* Passes on one brigade's data. */
static apr_status_t pass_on(apr_bucket_brigade *brigade, stream_t *stream)
{
    apr_bucket *bucket;

    for (bucket = APR_BRIGADE_FIRST(brigade);
         bucket != APR_BRIGADE_SENTINEL(brigade);
         bucket = APR_BUCKET_NEXT(bucket)) {
        const char *data;
        apr_size_t len;
        apr_status_t rv;

        if (APR_BUCKET_IS_EOS(bucket)) {
            stream->end = 1;
            return APR_SUCCESS;
        }
        if (APR_BUCKET_IS_METADATA(bucket)) {
            rv = status_of(bucket);
            if (rv != APR_SUCCESS) {
                return rv;
            }
            continue;
        }
        rv = apr_bucket_read(bucket, &data, &len, APR_BLOCK_READ);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        if ((apr_off_t)len > stream->left) {
            return APR_ENOSPC;
        }
        stream->left -= (apr_off_t)len;
        stream->err = stream->take(stream->ctx, data, len);
        if (stream->err) {
            return APR_EGENERAL;
        }
    }
    return APR_SUCCESS;
}

/* LimitRequestBody of this place where it is less than max. Where the size is
 * known nothing is read, or the server's filter would answer in our place. */
static ch_err_t *check_limit(ch_req_t *rq, apr_off_t *max)
{
    apr_off_t limit = ap_get_limit_req_body(rq->io_ctx);

    if (limit > 0 && limit < *max) {
        *max = limit;
    }
    return rq->body_size > *max ? body_error(rq, APR_ENOSPC) : NULL;
}

static ch_err_t *stream_body(ch_req_t *rq, apr_off_t max,
                             ch_body_taker_t *take, void *ctx)
{
    request_rec *r = rq->io_ctx;
    ch_err_t *err = check_limit(rq, &max);
    stream_t stream = { .take = take, .ctx = ctx, .left = max };
    apr_bucket_brigade *brigade;
    apr_status_t rv = APR_SUCCESS;

    if (err) {
        return err;
    }
    brigade = apr_brigade_create(rq->pool, r->connection->bucket_alloc);
    while (!stream.end && rv == APR_SUCCESS) {
        rv = ap_get_brigade(r->input_filters, brigade, AP_MODE_READBYTES,
                            APR_BLOCK_READ, HUGE_STRING_LEN);
        if (rv == APR_SUCCESS) {
            rv = pass_on(brigade, &stream);
        }
        apr_brigade_cleanup(brigade);
    }
    if (stream.err) {
        return stream.err;
    }
    return rv == APR_SUCCESS ? NULL : body_error(rq, rv);
}

static ch_err_t *collect(void *ctx, const char *data, size_t len)
{
    ch_buf_add(ctx, data, len);
    return NULL;
}

static ch_err_t *read_body(ch_req_t *rq, size_t max, ch_bytes_t *out)
{
    apr_off_t limit = (apr_off_t)max;
    ch_err_t *err = check_limit(rq, &limit);
    size_t size = rq->body_size > 0 ? (size_t)rq->body_size + 1 : 8192;
    ch_buf_t *body;

    if (err) {
        return err;
    }
    body = ch_buf_make(rq->pool, size, max + 1);
    err = stream_body(rq, limit, collect, body);
    if (err) {
        return err;
    }
    out->data = ch_buf_cstr(body);
    out->len = body->len;
    return NULL;
}

/* --- logs ------------------------------------------------------------- */

static int log_level(char letter)
{
    static const struct {
        char letter;
        int level;
    } levels[] = {
        { 'e', APLOG_ERR },
        { 'w', APLOG_WARNING },
        { 'n', APLOG_NOTICE },
        { 'i', APLOG_INFO },
    };
    size_t i = 0;

    while (i < CH_COUNT(levels) - 1 && levels[i].letter != letter) {
        i++;
    }
    return levels[i].level;
}

static void write_log(ch_req_t *rq, char level, int number, const char *text)
{
    ap_log_rerror(APLOG_MARK, log_level(level), 0,
                  (request_rec *)rq->io_ctx, "CH%04d: [%s %s] %s", number,
                  rq->request_id, rq->trace.trace_id, text);
}

void ch_server_log(server_rec *server, char level, int number,
                   const char *text)
{
    ap_log_error(APLOG_MARK, log_level(level), 0, server, "CH%04d: %s",
                 number, text);
}

/* Rows are for looking back; a flood of them is worth no more than the
 * counter and the log already tell. */
static void keep_event(ch_req_t *rq, const char *type, const char *pattern)
{
    static ch_budget_t budget;
    const sql_security_event_add_t row = {
        .type = type,
        .ip = rq->client_ip,
        .user_id = rq->who ? rq->who->user_id : NULL,
        .path = ap_escape_logitem(rq->pool, rq->raw_path),
        .pattern = ap_escape_logitem(rq->pool, pattern),
        .request_id = rq->request_id,
    };

    if (ch_budget_take(&budget, ch_steady_now(), EVENTS_PER_SECOND, 1)) {
        ch_err_t *err = sql_security_event_add(rq->db, &row);

        if (err) {
            write_log(rq, 'w', 1003, err->cause);
        }
    }
}

static void write_security(ch_req_t *rq, const char *event, const char *detail)
{
    ch_jsonlog_security(rq->io_ctx, rq->who ? rq->who->user_id : NULL, event,
                     detail);
}

static const char *own_url(ch_req_t *rq)
{
    request_rec *r = rq->io_ctx;
    const char *name = r->server->server_hostname;
    apr_port_t port = r->server->port ? r->server->port
                                      : r->connection->local_addr->port;

    if (rq->conf->public_url) {
        return rq->conf->public_url;
    }
    if (port == (rq->tls ? 443 : 80)) {
        return apr_psprintf(rq->pool, "%s://%s", rq->tls ? "https" : "http",
                            name);
    }
    return apr_psprintf(rq->pool, "%s://%s:%u", rq->tls ? "https" : "http",
                        name, port);
}

/* With EnableSendfile of the place. */
static apr_status_t open_for_reading(ch_req_t *rq, const char *path,
                                     apr_file_t **out)
{
    request_rec *r = rq->io_ctx;
    const core_dir_config *core =
        ap_get_core_module_config(r->per_dir_config);

    return apr_file_open(out, path,
                         APR_FOPEN_READ | APR_FOPEN_BINARY
                             | AP_SENDFILE_ENABLED(core->enable_sendfile),
                         0, r->pool);
}

const ch_io_t ch_server_io = {
    .read_body = read_body,
    .stream_body = stream_body,
    .log = write_log,
    .event = keep_event,
    .security = write_security,
    .own_url = own_url,
    .remote_user = ch_authn_remote_user,
    .open_file = open_for_reading,
};

/* --- sending ---------------------------------------------------------- */

/* Whether an element of Accept-Encoding ("gzip;q=0.5") has weight. */
static int has_weight(const char *element, size_t len)
{
    const char *at = memchr(element, '=', len);

    if (!at) {
        return 1;
    }
    for (at++; at < element + len; at++) {
        if (*at >= '1' && *at <= '9') {
            return 1;
        }
    }
    return 0;
}

static int takes_gzip(const ch_req_t *rq)
{
    const char *at = ch_req_header(rq, "Accept-Encoding");

    while (at && *at) {
        size_t len;

        at += strspn(at, " \t,");
        len = strcspn(at, ",");
        if (strncasecmp(at, "gzip", 4) == 0 && strchr(" \t;,", at[4])) {
            return has_weight(at, len);
        }
        at += len;
    }
    return 0;
}

static int has_filter(const request_rec *r, const char *name)
{
    const ap_filter_t *filter = r->output_filters;

    while (filter && strcasecmp(filter->frec->name, name) != 0) {
        filter = filter->next;
    }
    return filter != NULL;
}

/* What is sent depends on Accept-Encoding, so caches between are told, also
 * where the client takes no coding. The server takes out repetitions. */
static void vary_by_coding(request_rec *r)
{
    if (ap_get_output_filter_handle("DEFLATE")) {
        apr_table_mergen(r->headers_out, "Vary", "Accept-Encoding");
    }
}

static void refuse_compression(request_rec *r)
{
    apr_table_setn(r->subprocess_env, "no-gzip", "1");
    apr_table_setn(r->subprocess_env, "no-brotli", "1");
}

/* Long answers are compressed by mod_deflate where it is loaded, after
 * whatever the admin set up for this place: a filter leaves alone what
 * another has encoded. Short ones, and downloads, are compressed by nobody. */
static void set_compression(request_rec *r, const ch_req_t *rq, size_t size)
{
    if (size < GZIP_MIN
        || apr_table_get(r->headers_out, "Content-Disposition")) {
        refuse_compression(r);
        return;
    }
    vary_by_coding(r);
    if (takes_gzip(rq) && !has_filter(r, "DEFLATE")
        && ap_get_output_filter_handle("DEFLATE")) {
        ap_add_output_filter("DEFLATE", NULL, r, r->connection);
    }
}

static void insert_file(request_rec *r, apr_bucket_brigade *brigade,
                        apr_file_t *file, const ch_reply_t *reply)
{
    const core_dir_config *core =
        ap_get_core_module_config(r->per_dir_config);
    apr_bucket *bucket =
        apr_brigade_insert_file(brigade, file, reply->file_start,
                                reply->file_size, r->pool);

    if (core->enable_mmap == ENABLE_MMAP_OFF) {
        apr_bucket_file_enable_mmap(bucket, 0);
    }
}

static apr_off_t add_path(request_rec *r, apr_bucket_brigade *brigade,
                          ch_req_t *rq)
{
    apr_file_t *file;

    if (open_for_reading(rq, rq->reply.file, &file) != APR_SUCCESS) {
        return 0;
    }
    insert_file(r, brigade, file, &rq->reply);
    return rq->reply.file_size;
}

/* Puts the body into the brigade; its size. */
static apr_off_t add_body(request_rec *r, apr_bucket_brigade *brigade,
                          ch_req_t *rq)
{
    const ch_reply_t *reply = &rq->reply;

    if (reply->open_file) {
        if (reply->file_size) {
            insert_file(r, brigade, reply->open_file, reply);
        }
        return reply->file_size;
    }
    if (reply->file) {
        return add_path(r, brigade, rq);
    }
    if (!reply->body || !reply->body->len) {
        return 0;
    }
    if (reply->spilled_size) {
        apr_brigade_insert_file(brigade, reply->spilled, 0,
                                reply->spilled_size, r->pool);
    }
    APR_BRIGADE_INSERT_TAIL(
        brigade, apr_bucket_pool_create(reply->body->data, reply->body->len,
                                        r->pool,
                                        r->connection->bucket_alloc));
    return reply->spilled_size + (apr_off_t)reply->body->len;
}

/* Ranges are answered by us, or not at all: httpd's filter would take them of
 * any answer. */
static void pass_over_ranges(request_rec *r)
{
    apr_table_unset(r->headers_in, "Range");
    apr_table_unset(r->headers_in, "Request-Range");
}

/* What was not read of a body is read and thrown away by the server before
 * the next request; a long one is not worth that. */
static void spare_long_bodies(request_rec *r, const ch_req_t *rq)
{
    if (rq->reply.status >= 400 && !rq->raw_body.data
        && (rq->body_size > 65536 || rq->body_size < 0)) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
}

int ch_server_send(request_rec *r, ch_req_t *rq)
{
    const ch_reply_t *reply = &rq->reply;
    apr_bucket_brigade *brigade =
        apr_brigade_create(r->pool, r->connection->bucket_alloc);
    apr_off_t size;

    if (rq->answered) {
        return AP_FILTER_ERROR;
    }
    r->status = reply->status;
    spare_long_bodies(r, rq);
    pass_over_ranges(r);
    if (reply->status != 204 && reply->status != 304) {
        size = add_body(r, brigade, rq);
        ap_set_content_type(r, reply->content_type);
        ap_set_content_length(r, size);
        set_compression(r, rq, (size_t)size);
    }
    else if (reply->status == 304) {
        refuse_compression(r); /* its tag is right as it is */
        vary_by_coding(r);
    }
    APR_BRIGADE_INSERT_TAIL(
        brigade, apr_bucket_eos_create(r->connection->bucket_alloc));
    ap_pass_brigade(r->output_filters, brigade);
    return OK;
}
