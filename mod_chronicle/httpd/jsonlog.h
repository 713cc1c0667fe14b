/* The JSON logs of ChronicleLog, and the values of an access log in JSON. */
#ifndef CH_HTTPD_JSONLOG_H
#define CH_HTTPD_JSONLOG_H

#include <http_core.h>

#include "base/logline.h"
#include "httpd/config.h"

extern const char *const ch_jsonlog_names[CH_JSONLOG__COUNT];

/* The notes of a request that logs show: %{chronicle-request-id}n. */
#define CH_NOTE_REQUEST_ID "chronicle-request-id"
#define CH_NOTE_TRACE_ID "chronicle-trace-id"
#define CH_NOTE_ROUTE "chronicle-route"
#define CH_NOTE_USER "chronicle-user"
#define CH_NOTE_DB_MS "chronicle-db-ms"
#define CH_NOTE_ERROR "chronicle-error"

/* Opens the files and programs of every server, as root, like ErrorLog. */
int ch_jsonlog_open(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                 server_rec *main_server);

/* Whether anybody reads this log of the server. */
int ch_jsonlog_wanted(const server_rec *server, ch_jsonlog_e log);

/* Ends the line and writes it: one write, and if that fails, none. */
void ch_jsonlog_write(const server_rec *server, ch_jsonlog_e log,
                      ch_logline_t *line);

/* Begins a line about a request: time, stream, host, client, request, trace
 * and user. */
void ch_jsonlog_begin(ch_logline_t *line, const request_rec *r,
                      ch_jsonlog_e log);

/* A line to the log of security events. */
void ch_jsonlog_security(const request_rec *r, const char *user,
                      const char *event, const char *detail);

/* Hook: every line of the error log. */
void ch_jsonlog_error(const ap_errorlog_info *info, const char *text);

/* Makes %^CJ known to mod_log_config, where that is loaded. */
void ch_access_register(apr_pool_t *pconf);

#endif
