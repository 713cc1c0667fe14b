/* Reads where mail goes. */
#include "net/smtp.h"

#include <string.h>
#include <strings.h>

#include <apr_escape.h>
#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>

#define HOST_MAX 253
#define PORT_SUBMISSION 587
#define PORT_SUBMISSIONS 465

#define FORMS                                                                 \
    "must be smtp://[user:password@]host[:port][?tls=required|none&ca=file] " \
    "or smtps://..., with special characters of user and password as %XX"

static int has_control(const char *text)
{
    for (; text && *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F) {
            return 1;
        }
    }
    return 0;
}

/* --- parts ------------------------------------------------------------- */

static int is_host(const char *host)
{
    size_t len = strlen(host);
    int v6 = strchr(host, ':') != NULL;

    if (!len || len > HOST_MAX || *host == '-' || *host == '.') {
        return 0;
    }
    for (; *host; host++) {
        if (v6 ? !apr_isxdigit(*host) && *host != ':' && *host != '.'
               : !apr_isalnum(*host) && !strchr("-._", *host)) {
            return 0;
        }
    }
    return 1;
}

static int is_local(const char *host)
{
    size_t len = strlen(host);

    return strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0
           || (len > 10 && strcasecmp(host + len - 10, ".localhost") == 0)
           || (strncmp(host, "127.", 4) == 0
               && strspn(host, "0123456789.") == len);
}

static int read_port(const char *text)
{
    size_t len = strspn(text, "0123456789");
    apr_int64_t port = len && len < 6 && !text[len] ? apr_atoi64(text) : 0;

    return port <= 65535 ? (int)port : 0;
}

static const char *check_file(apr_pool_t *pool, const ch_smtp_t *server)
{
    apr_file_t *file;
    char reason[120];
    apr_status_t rv;

    if (server->tls == CH_SMTP_TLS_NONE) {
        return "ca= is of no use with tls=none";
    }
    rv = apr_file_open(&file, server->ca, APR_FOPEN_READ, 0, pool);
    if (rv != APR_SUCCESS) {
        return apr_psprintf(pool, "cannot read %s: %s", server->ca,
                            apr_strerror(rv, reason, sizeof(reason)));
    }
    apr_file_close(file);
    return NULL;
}

/* What is not said, and whether it goes together. */
static const char *finish(apr_pool_t *pool, ch_smtp_t *server)
{
    const char *error = NULL;

    if (!is_host(server->host)) {
        return "names no host; " FORMS;
    }
    if (server->user && (!*server->user || !server->password)) {
        return "a user needs a name and a password";
    }
    if (has_control(server->user) || has_control(server->password)) {
        return "user and password can't hold control characters";
    }
    if (server->ca) {
        error = check_file(pool, server);
    }
    if (error) {
        return error;
    }
    server->local = is_local(server->host);
    if (!server->port) {
        server->port = server->tls == CH_SMTP_TLS_IMPLICIT
                           ? PORT_SUBMISSIONS
                           : PORT_SUBMISSION;
    }
    /* a password never waits for what somebody on the way may take out of
     * the server's offer */
    if (server->user && !server->local
        && server->tls == CH_SMTP_TLS_OFFERED) {
        server->tls = CH_SMTP_TLS_REQUIRED;
    }
    return NULL;
}

const char *ch_smtp_from_parts(apr_pool_t *pool, const ch_smtp_t *parts,
                               const char *port, const ch_smtp_t **out)
{
    ch_smtp_t *server = apr_pmemdup(pool, parts, sizeof(*parts));

    *out = server;
    if (port) {
        server->port = read_port(port);
        if (!server->port) {
            return "the port must be 1 to 65535";
        }
        if (server->port == PORT_SUBMISSIONS) {
            server->tls = CH_SMTP_TLS_IMPLICIT;
        }
    }
    return finish(pool, server);
}

/* --- URL --------------------------------------------------------------- */

static const char *read_login(apr_pool_t *pool, char *text,
                              ch_smtp_t *server)
{
    char *colon = strchr(text, ':');

    if (!colon) {
        return "a user needs a name and a password";
    }
    *colon = '\0';
    server->user = apr_punescape_url(pool, text, NULL, NULL, 0);
    server->password = apr_punescape_url(pool, colon + 1, NULL, NULL, 0);
    return server->user && server->password
               ? NULL
               : "user or password are not encoded rightly (%XX)";
}

/* "host", "host:port", "[address]:port". */
static const char *read_host(char *text, ch_smtp_t *server)
{
    char *colon = strchr(text, ':');

    server->host = text;
    if (*text == '[') {
        char *end = strchr(text, ']');

        if (!end || (end[1] && end[1] != ':') || !strchr(text, ':')) {
            return FORMS;
        }
        *end = '\0';
        server->host = text + 1;
        colon = end[1] ? end + 1 : NULL;
    }
    if (colon) {
        *colon = '\0';
        server->port = read_port(colon + 1);
    }
    return colon && !server->port ? "the port must be 1 to 65535" : NULL;
}

static const char *read_option(apr_pool_t *pool, const char *option,
                               ch_smtp_t *server)
{
    static const struct {
        const char *text;
        ch_smtp_tls_e tls;
    } ways[] = {
        { "tls=required", CH_SMTP_TLS_REQUIRED },
        { "tls=none", CH_SMTP_TLS_NONE },
    };
    size_t i;

    for (i = 0; i < CH_COUNT(ways); i++) {
        if (strcasecmp(option, ways[i].text) == 0) {
            if (server->tls == CH_SMTP_TLS_IMPLICIT) {
                return "smtps:// has TLS anyhow: leave tls= out";
            }
            server->tls = ways[i].tls;
            return NULL;
        }
    }
    if (strncasecmp(option, "ca=", 3) == 0) {
        server->ca = apr_punescape_url(pool, option + 3, NULL, NULL, 0);
        return server->ca && server->ca[0] == '/'
                   ? NULL
                   : "ca= must be the full path of a file";
    }
    return "knows the options tls=required, tls=none and ca=/path";
}

const char *ch_smtp_parse(apr_pool_t *pool, const char *url,
                          const ch_smtp_t **out)
{
    ch_smtp_t *server = apr_pcalloc(pool, sizeof(*server));
    char *text = apr_pstrdup(pool, url);
    const char *error = NULL;
    char *query, *at, *option, *last;

    *out = server;
    if (strncasecmp(text, "smtps://", 8) == 0) {
        server->tls = CH_SMTP_TLS_IMPLICIT;
    }
    else if (strncasecmp(text, "smtp://", 7) != 0) {
        return FORMS;
    }
    text = strstr(text, "://") + 3;
    query = strchr(text, '?');
    if (query) {
        *query++ = '\0';
    }
    /* an @ that is not encoded is taken for one of the password's */
    at = strrchr(text, '@');
    if (at) {
        *at = '\0';
        error = read_login(pool, text, server);
        text = at + 1;
    }
    if (*text && text[strlen(text) - 1] == '/') {
        text[strlen(text) - 1] = '\0';
    }
    if (!error) {
        error = read_host(text, server);
    }
    for (option = query ? apr_strtok(query, "&", &last) : NULL;
         option && !error; option = apr_strtok(NULL, "&", &last)) {
        error = read_option(pool, option, server);
    }
    return error ? error : finish(pool, server);
}
