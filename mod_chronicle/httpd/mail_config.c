/* Finds out where mail goes and whom it comes from. */
#include "httpd/config.h"

#include <string.h>
#include <strings.h>

#include <apr_strings.h>
#include <http_core.h>

#include "base/mime.h"
#include "net/smtp.h"

const char *ch_config_smtp(apr_pool_t *pool, const char *text,
                           const ch_smtp_t **out)
{
    *out = NULL;
    return strcasecmp(text, "off") == 0 ? NULL
                                        : ch_smtp_parse(pool, text, out);
}

/* As a URL, for those who look at the settings. */
static const char *shown(apr_pool_t *pool, const ch_smtp_t *server)
{
    return apr_psprintf(
        pool, strchr(server->host, ':') ? "%s://%s[%s]:%d" : "%s://%s%s:%d",
        server->tls == CH_SMTP_TLS_IMPLICIT ? "smtps" : "smtp",
        server->user ? "login@" : "", server->host, server->port);
}

/* The variables that other programs know, too. */
static const char *from_environment(apr_pool_t *pool, const char **text,
                                    const ch_smtp_t **out)
{
    ch_smtp_t parts = { .host = ch_config_variable(pool, "SMTP_HOST"),
                        .user = ch_config_variable(pool, "SMTP_USER"),
                        .password = ch_config_variable(pool, "SMTP_PASS") };
    const char *error = NULL;

    if (!parts.host) {
        return NULL;
    }
    if (parts.password) {
        error = ch_secret_read(pool, parts.password, &parts.password);
    }
    if (!error) {
        error = ch_smtp_from_parts(pool, &parts,
                                   ch_config_variable(pool, "SMTP_PORT"),
                                   out);
    }
    if (!error) {
        *text = shown(pool, *out);
    }
    return error ? apr_pstrcat(pool, "SMTP_HOST, SMTP_PORT, SMTP_USER, "
                                     "SMTP_PASS: ",
                               error, NULL)
                 : NULL;
}

/* A name that other hosts may know us by, and no address. */
static int is_domain(const char *name)
{
    const char *last = name ? strrchr(name, '.') : NULL;

    return last && last[1] && strspn(last + 1, "0123456789") < strlen(last + 1)
           && !strchr(name, ':');
}

static const char *find_sender(apr_pool_t *pool, const server_rec *server,
                               const ch_settings_t *settings,
                               ch_mailbox_t *out)
{
    const char *host = server->server_hostname;
    const char *text = settings->mail_from;

    if (!text && is_domain(host)) {
        text = apr_pstrcat(pool, "noreply@", host, NULL);
    }
    return text && ch_mime_mailbox(pool, text, out)
               ? NULL
               : apr_psprintf(pool,
                              "ChronicleMailFrom is required with "
                              "ChronicleSmtp, because the server's name (%s) "
                              "is no domain that mail may come from",
                              host ? host : "none");
}

/* httpd reads its configuration twice when it starts. */
static int is_first_reading(void)
{
    return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG
           && ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_CONFIG_TEST;
}

const char *ch_config_mail(apr_pool_t *pool, server_rec *server,
                           ch_settings_t *settings)
{
    ch_conf_t *conf = &settings->conf;
    ch_mailbox_t *sender = apr_pcalloc(pool, sizeof(*sender));
    const char *error = settings->smtp
                            ? ch_config_smtp(pool, settings->smtp,
                                             &conf->smtp)
                            : from_environment(pool, &settings->smtp,
                                               &conf->smtp);

    if (error || !conf->smtp) {
        return error;
    }
    conf->mail_from = sender;
    conf->mail_host =
        is_domain(server->server_hostname) ? server->server_hostname : NULL;
    if (conf->smtp->user && conf->smtp->tls == CH_SMTP_TLS_NONE
        && !conf->smtp->local && !is_first_reading()) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                     "CH1080: the password for the mail server %s is sent "
                     "without encryption, because of tls=none",
                     conf->smtp->host);
    }
    return find_sender(pool, server, settings, sender);
}
