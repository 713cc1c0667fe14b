/* Writes the JSON logs: lines of the error log, security events, and what the
 * module itself has to say. Nothing here may log: it is called by the log. */
#include <string.h>
#include <unistd.h>

#include <sys/syscall.h>

#include <apr_strings.h>

#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>

#include "httpd/jsonlog.h"
#include "store/counter.h"

#define HOST_MAX 255
#define ID_MAX 128
#define REST CH_LOGLINE_MAX

#define PERMISSIONS (APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_GREAD)

const char *const ch_jsonlog_names[CH_JSONLOG__COUNT] = {
#define X(name, text) [CH_JSONLOG_##name] = text,
    CH_JSONLOGS(X)
#undef X
};

/* --- opening ---------------------------------------------------------- */

/* A handle lives as long as the settings that hold it: both in pconf. */
static apr_file_t *open_file(apr_pool_t *pool, server_rec *server,
                             const char *name)
{
    apr_file_t *file = NULL;
    apr_status_t rv;

    if (*name == '|') {
        piped_log *pipe = ap_open_piped_log(pool, name + 1);

        if (!pipe) {
            ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_EMERG, 0, server,
                         "CH1060: ChronicleLog: cannot start %s", name + 1);
            return NULL;
        }
        return ap_piped_log_write_fd(pipe);
    }
    rv = apr_file_open(&file, name,
                       APR_FOPEN_WRITE | APR_FOPEN_APPEND | APR_FOPEN_CREATE
                           | APR_FOPEN_LARGEFILE,
                       PERMISSIONS, pool);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_EMERG, rv, server,
                     "CH1061: ChronicleLog: cannot open %s", name);
        return NULL;
    }
    return file;
}

/* What an earlier server has open under the same name: two writers of one
 * program would be two programs. */
static apr_file_t *find_open(server_rec *main_server, const server_rec *last,
                             const char *name)
{
    const server_rec *server;
    int i;

    for (server = main_server; server; server = server->next) {
        const ch_settings_t *settings =
            ap_get_module_config(server->module_config, &chronicle_module);

        for (i = 0; i < CH_JSONLOG__COUNT; i++) {
            if (settings->log_file[i] && settings->log[i]
                && strcmp(settings->log[i], name) == 0) {
                return settings->log_file[i];
            }
        }
        if (server == last) {
            break;
        }
    }
    return NULL;
}

int ch_jsonlog_open(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                 server_rec *main_server)
{
    server_rec *server;
    int i;

    for (server = main_server; server; server = server->next) {
        ch_settings_t *settings = ch_config_of(server);

        for (i = 0; i < CH_JSONLOG__COUNT; i++) {
            const char *name = settings->log[i];
            apr_file_t *file;

            if (!name || !*name || settings->log_file[i]) {
                continue;
            }
            file = find_open(main_server, server, name);
            if (!file) {
                file = open_file(pconf, server, name);
            }
            if (!file) {
                return HTTP_INTERNAL_SERVER_ERROR;
            }
            settings->log_file[i] = file;
        }
    }
    return OK;
}

/* --- writing ---------------------------------------------------------- */

/* The faked server of mod_cgid has no settings, nor has one whose
 * configuration is being read. */
static apr_file_t *file_of(const server_rec *server, ch_jsonlog_e log)
{
    const ch_settings_t *settings = NULL;

    if (server && server->module_config) {
        settings =
            ap_get_module_config(server->module_config, &chronicle_module);
    }
    return settings ? settings->log_file[log] : NULL;
}

int ch_jsonlog_wanted(const server_rec *server, ch_jsonlog_e log)
{
    return file_of(server, log) != NULL;
}

void ch_jsonlog_write(const server_rec *server, ch_jsonlog_e log,
                      ch_logline_t *line)
{
    apr_file_t *file = file_of(server, log);
    apr_size_t len, whole;

    ch_logline_end(line);
    line->data[line->len++] = '\n';
    whole = len = line->len;
    /* a full disk or a program that died costs lines, and nothing else */
    if (file
        && (apr_file_write(file, line->data, &len) != APR_SUCCESS
            || len != whole)) {
        ch_counter_log_lost();
    }
}

/* --- lines ------------------------------------------------------------ */

/* Notes are on the request that came in, not on the ones that a redirect or
 * a subrequest made of it. */
static const char *note_of(const request_rec *r, const char *name)
{
    const char *value = NULL;

    while (r && !value) {
        value = r->notes ? apr_table_get(r->notes, name) : NULL;
        r = r->main ? r->main : r->prev;
    }
    return value;
}

static void put_request(ch_logline_t *line, const request_rec *r)
{
    ch_logline_text(line, "requestId", note_of(r, CH_NOTE_REQUEST_ID), ID_MAX);
    ch_logline_text(line, "traceId", note_of(r, CH_NOTE_TRACE_ID), ID_MAX);
}

void ch_jsonlog_begin(ch_logline_t *line, const request_rec *r,
                      ch_jsonlog_e log)
{
    ch_logline_begin(line, apr_time_now(), ch_jsonlog_names[log]);
    ch_logline_text(line, "host", r->server->server_hostname, HOST_MAX);
    ch_logline_text(line, "client", r->useragent_ip, ID_MAX);
    put_request(line, r);
}

void ch_jsonlog_security(const request_rec *r, const char *user,
                      const char *event, const char *detail)
{
    ch_logline_t line;

    if (!ch_jsonlog_wanted(r->server, CH_JSONLOG_SECURITY)) {
        return;
    }
    ch_jsonlog_begin(&line, r, CH_JSONLOG_SECURITY);
    ch_logline_text(&line, "event", event, ID_MAX);
    ch_logline_text(&line, "detail", detail, 512);
    ch_logline_text(&line, "user", user, ID_MAX);
    ch_logline_text(&line, "method", r->method, ID_MAX);
    ch_logline_text(&line, "path", r->uri, 1024);
    ch_jsonlog_write(r->server, CH_JSONLOG_SECURITY, &line);
}

/* --- the error log ---------------------------------------------------- */

static const struct {
    const char *name, *severity;
} levels[] = {
    [APLOG_EMERG] = { "emerg", "critical" },
    [APLOG_ALERT] = { "alert", "critical" },
    [APLOG_CRIT] = { "crit", "critical" },
    [APLOG_ERR] = { "error", "high" },
    [APLOG_WARNING] = { "warn", "medium" },
    [APLOG_NOTICE] = { "notice", "low" },
    [APLOG_INFO] = { "info", "low" },
    [APLOG_DEBUG] = { "debug", "low" },
};

/* "AH00094" or "CH1001" from the beginning of a message. */
static void put_number(ch_logline_t *line, const char *text)
{
    char number[8];
    size_t len = strncmp(text, "AH", 2) == 0   ? 7
                 : strncmp(text, "CH", 2) == 0 ? 6
                                               : 0;

    if (len == 0 || strspn(text + 2, "0123456789") != len - 2
        || text[len] != ':') {
        ch_logline_text(line, "number", NULL, 0);
        return;
    }
    memcpy(number, text, len);
    number[len] = '\0';
    ch_logline_text(line, "number", number, sizeof(number));
}

static void put_cause(ch_logline_t *line, apr_status_t status)
{
    char text[120];

    ch_logline_text(line, "cause",
                    status ? apr_strerror(status, text, sizeof(text)) : NULL,
                    sizeof(text));
}

static void write_error(const ap_errorlog_info *info, const server_rec *server,
                        ch_jsonlog_e log, const char *text)
{
    size_t level = info->level >= 0 && info->level < APLOG_DEBUG
                       ? (size_t)info->level
                       : APLOG_DEBUG;
    ch_logline_t line;

    ch_logline_begin(&line, apr_time_now(), ch_jsonlog_names[log]);
    ch_logline_text(&line, "level", levels[level].name, ID_MAX);
    ch_logline_text(&line, "severity", levels[level].severity, ID_MAX);
    ch_logline_text(&line, "module",
                    info->module_index == APLOG_NO_MODULE
                        ? NULL
                        : ap_find_module_short_name(info->module_index),
                    ID_MAX);
    ch_logline_int(&line, "pid", getpid());
    ch_logline_int(&line, "tid", syscall(SYS_gettid));
    ch_logline_text(&line, "host", server->server_hostname, HOST_MAX);
    ch_logline_text(&line, "client",
                    info->r   ? info->r->useragent_ip
                    : info->c ? info->c->client_ip
                              : NULL,
                    ID_MAX);
    put_request(&line, info->r);
    put_number(&line, text);
    put_cause(&line, info->status);
    ch_logline_text(&line, "message", text, REST);
    ch_jsonlog_write(server, log, &line);
}

void ch_jsonlog_error(const ap_errorlog_info *info, const char *text)
{
    const server_rec *server = info->s ? info->s : ap_server_conf;

    if (ch_jsonlog_wanted(server, CH_JSONLOG_ERROR)) {
        write_error(info, server, CH_JSONLOG_ERROR, text);
    }
    if (info->module_index == APLOG_MODULE_INDEX
        && ch_jsonlog_wanted(server, CH_JSONLOG_APPLICATION)) {
        write_error(info, server, CH_JSONLOG_APPLICATION, text);
    }
}
