/* Hooks into the server: start, children, and the requests that are ours. */
#include <string.h>

#include <apr_strings.h>

#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <http_protocol.h>
#include <http_request.h>

#include "api/api.h"
#include "auth/email.h"
#include "auth/known.h"
#include "auth/password.h"
#include "auth/proof.h"
#include "httpd/jsonlog.h"
#include "httpd/server.h"
#include "net/net.h"


#define HANDLER "chronicle"
#define HASH_WAIT_MS 10000

const ch_router_t *ch_server_router;
server_rec *ch_server_main;

/* --- start ------------------------------------------------------------ */

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    ch_access_register(pconf);
    return OK;
}

static int check_config(apr_pool_t *pconf, apr_pool_t *plog,
                        apr_pool_t *ptemp, server_rec *main_server)
{
    int status = ch_config_finish(pconf, main_server);

    if (status == OK) {
        status = ch_storage_check(ptemp, main_server);
    }
    return status == OK ? ch_authn_check(main_server) : status;
}

static int any_enabled(server_rec *server)
{
    for (; server; server = server->next) {
        if (ch_config_of(server)->conf.enabled) {
            return 1;
        }
    }
    return 0;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog,
                       apr_pool_t *ptemp, server_rec *main_server)
{
    const char *why = NULL;
    apr_status_t rv;

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG
        || !any_enabled(main_server)) {
        return OK;
    }
    if (!ch_dbpool_find()) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, main_server,
                     "CH1011: mod_dbd is not loaded");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    ch_server_router = ch_router_make(pconf, ch_api_tables,
                                      ch_api_table_count, &why);
    if (!ch_server_router) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, main_server, "CH1012: %s",
                     why);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    rv = ch_shared_open(main_server);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, main_server,
                     "CH1013: cannot make shared memory");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    why = ch_redispool_claim(main_server);
    if (why) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, main_server, "CH1032: %s",
                     why);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (ch_storage_open(pconf, main_server) != OK) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    rv = ch_background_plan(pconf, main_server);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, main_server,
                     "CH1015: background jobs need mod_watchdog");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    ch_upgrade_plan(main_server);
    ch_server_main = main_server;
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, main_server,
                 "CH1062: mod_chronicle " CH_VERSION " for schema %d",
                 CH_SCHEMA_VERSION);
    return OK;
}

static void child_init(apr_pool_t *pchild, server_rec *main_server)
{
    if (!any_enabled(main_server)) {
        return;
    }
    ch_dbpool_open(pchild, main_server);
    ch_redispool_open(pchild, main_server);
    ch_logs_begin(pchild, main_server); /* ends after the roles */
    ch_known_open(pchild);
    ch_email_open(pchild);
    ch_proof_open(pchild);
    if (ch_net_open() != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, main_server,
                     "CH1081: libcurl does not start: no mail is sent");
    }
    if (ch_password_init(pchild, 0, HASH_WAIT_MS) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, main_server,
                     "CH1014: cannot open the gate of password hashes");
    }
    ch_background_begin(pchild);
    ch_live_begin(pchild, main_server); /* ends before them */
}

/* --- requests --------------------------------------------------------- */

/* Notes of a request that is ours: its path and query as they came. */
#define URI_NOTE "chronicle-uri"
#define ARGS_NOTE "chronicle-args"

static int claims(const request_rec *r)
{
    return ch_upgrade_claims(r)
           || ch_router_claims(ch_server_router, r->uri);
}

/* Our paths are taken before the server decodes them: segments are decoded
 * one by one, so that %2F is not a separator. */
static int pre_translate(request_rec *r)
{
    if (r->main || !ch_config_of(r->server)->conf.enabled
        || !claims(r)) {
        return DECLINED;
    }
    apr_table_setn(r->notes, URI_NOTE, r->uri);
    if (r->args) {
        apr_table_setn(r->notes, ARGS_NOTE, r->args);
    }
    return DONE;
}

/* Whether it is still ours after the admin's rules: those for this very path
 * may have sent it elsewhere. */
static int is_ours(const request_rec *r)
{
    const char *uri = apr_table_get(r->notes, URI_NOTE);

    return uri && !r->proxyreq
           && (r->uri == uri || claims(r));
}

/* After mod_rewrite and before mod_proxy, whose mappings of everything are
 * not for us. */
static int keep_from_proxy(request_rec *r)
{
    if (is_ours(r)) {
        apr_table_setn(r->subprocess_env, "no-proxy", "1");
    }
    return DECLINED;
}

/* When all that may forbid or redirect has been asked: no file is looked for
 * behind our paths. */
static int translate(request_rec *r)
{
    if (!is_ours(r)) {
        return DECLINED;
    }
    r->filename = apr_pstrdup(r->pool, HANDLER);
    return OK;
}

/* No directory is walked, either. What rules for files have made of the
 * request by now (another query, a script that would answer) is undone. */
static int map_to_storage(request_rec *r)
{
    if (!is_ours(r)) {
        return DECLINED;
    }
    if (r->uri == apr_table_get(r->notes, URI_NOTE)) {
        r->args = apr_pstrdup(r->pool, apr_table_get(r->notes, ARGS_NOTE));
    }
    r->filename = apr_pstrdup(r->pool, HANDLER);
    r->handler = HANDLER;
    return OK;
}

static int type_checker(request_rec *r)
{
    return is_ours(r) ? OK : DECLINED;
}

static int handler(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, HANDLER) != 0 || !is_ours(r)) {
        return DECLINED;
    }
    return ch_upgrade_claims(r) ? ch_upgrade_handle(r) : ch_server_handle(r);
}

void ch_server_register_hooks(apr_pool_t *pool)
{
    static const char *const watchdog[] = { "mod_watchdog.c", NULL };
    static const char *const dbd[] = { "mod_dbd.c", NULL };
    static const char *const rewriting[] = { "mod_rewrite.c", NULL };
    static const char *const proxying[] = { "mod_proxy.c", NULL };

    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_open_logs(ch_jsonlog_open, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_error_log(ch_jsonlog_error, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_test_config(ch_dump_config, NULL, NULL, APR_HOOK_MIDDLE);
    ch_status_register();
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    /* roles need connections as soon as a watchdog looks for them */
    ap_hook_child_init(child_init, dbd, watchdog, APR_HOOK_MIDDLE);
    ap_hook_pre_translate_name(pre_translate, NULL, NULL,
                               APR_HOOK_REALLY_FIRST);
    ap_hook_translate_name(keep_from_proxy, rewriting, proxying,
                           APR_HOOK_FIRST);
    ap_hook_translate_name(translate, NULL, NULL, APR_HOOK_LAST);
    ap_hook_map_to_storage(map_to_storage, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_type_checker(type_checker, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
    ch_authn_register(pool);
    ch_authz_register(pool);
    ch_live_register();
    ch_upgrade_register();
}
