/* Gives mod_log_config a whole line of the access log as JSON: %^CJ. Its own
 * directives escape for people (\xHH), which no reader of JSON takes. */
#include <string.h>

#include <apr_strings.h>

#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_ssl.h>
#include <mod_log_config.h>

#include "httpd/jsonlog.h"

#define ID_MAX 128
#define PATH_BYTES 1024
#define AGENT_MAX 512

/* What stands behind ? or # may hold tokens and is nobody's business. */
static const char *without_query(request_rec *r, const char *url)
{
    return url ? apr_pstrmemdup(r->pool, url, strcspn(url, "?#")) : NULL;
}

static const char *note(const request_rec *r, const char *name)
{
    return apr_table_get(r->notes, name);
}

static void put_answer(ch_logline_t *line, request_rec *r,
                       const request_rec *orig)
{
    const char *db_ms = note(r, CH_NOTE_DB_MS);

    ch_logline_int(line, "status", r->status);
    ch_logline_int(line, "bytes", r->bytes_sent);
    ch_logline_int(line, "durationUs", apr_time_now() - orig->request_time);
    ch_logline_text(line, "user", r->user, ID_MAX);
    ch_logline_text(line, "route", note(r, CH_NOTE_ROUTE), 255);
    ch_logline_number(line, "dbMs", db_ms);
    ch_logline_text(line, "requestId", note(r, CH_NOTE_REQUEST_ID), ID_MAX);
    ch_logline_text(line, "traceId", note(r, CH_NOTE_TRACE_ID), ID_MAX);
    ch_logline_text(line, "errorCode", note(r, CH_NOTE_ERROR), ID_MAX);
}

/* A header is bytes of the client's; the line makes them safe. */
static void put_client(ch_logline_t *line, request_rec *r)
{
    conn_rec *c = r->connection;

    ch_logline_text(line, "userAgent",
                    apr_table_get(r->headers_in, "User-Agent"), AGENT_MAX);
    ch_logline_text(line, "referer",
                    without_query(r, apr_table_get(r->headers_in, "Referer")),
                    AGENT_MAX);
    ch_logline_text(line, "tls",
                    ap_ssl_conn_is_ssl(c) ? ap_ssl_var_lookup(
                        r->pool, r->server, c, r, "SSL_PROTOCOL")
                                          : NULL,
                    ID_MAX);
}

/* As mod_log_config's own: the request as it came in, the answer as it went
 * out, whatever redirects were between. */
static const char *json_line(request_rec *r, char *argument)
{
    ch_logline_t *line = apr_palloc(r->pool, sizeof(*line));
    const request_rec *orig = r;

    while (orig->prev) {
        orig = orig->prev;
    }
    ch_logline_begin(line, orig->request_time, "http");
    ch_logline_text(line, "host", r->server->server_hostname, 255);
    ch_logline_text(line, "client", r->useragent_ip, ID_MAX);
    ch_logline_text(line, "method", orig->method, ID_MAX);
    ch_logline_text(line, "path", without_query(r, orig->uri), PATH_BYTES);
    ch_logline_text(line, "protocol", orig->protocol, ID_MAX);
    put_answer(line, r, orig);
    put_client(line, r);
    ch_logline_end(line);
    return line->data;
}

void ch_access_register(apr_pool_t *pconf)
{
    APR_OPTIONAL_FN_TYPE(ap_register_log_handler) *add =
        APR_RETRIEVE_OPTIONAL_FN(ap_register_log_handler);
    char tag[] = "^CJ";

    if (add) {
        add(pconf, apr_pstrdup(pconf, tag), json_line, 0);
    }
}
