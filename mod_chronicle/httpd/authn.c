/* Our accounts for other places of the server: AuthType Chronicle by token or
 * cookie, AuthBasicProvider chronicle by password; and who was authenticated
 * by other modules. */
#include <string.h>

#include <apr_strings.h>

#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <ap_provider.h>
#include <mod_auth.h>

#include "auth/auth.h"
#include "httpd/server.h"

#define AUTH_TYPE "Chronicle"
#define PROVIDER "chronicle"
#define RETRY_SECONDS "5" /* after 503, as in the API */

/* --- what a request knows of its login ------------------------------------
 */

typedef struct {
    int asked; /* the server's authentication ran for this request */
    const ch_principal_t *who;
} login_t;

static login_t *own_login(request_rec *r)
{
    login_t *login = ap_get_module_config(r->request_config,
                                          &chronicle_module);

    if (!login) {
        login = apr_pcalloc(r->pool, sizeof(*login));
        ap_set_module_config(r->request_config, &chronicle_module, login);
    }
    return login;
}

static int is_same_place(const request_rec *r, const request_rec *other)
{
    return other && other->per_dir_config == r->per_dir_config;
}

/* The server does not authenticate again for a subrequest or a redirect to a
 * place of the same settings, but takes over the user; so do we. */
static const login_t *login_of(request_rec *r)
{
    const login_t *login = NULL;

    while (r) {
        login = ap_get_module_config(r->request_config, &chronicle_module);
        if (login) {
            break;
        }
        r = is_same_place(r, r->prev)   ? r->prev
            : is_same_place(r, r->main) ? r->main
                                        : NULL;
    }
    return login;
}

/* For CGI, mod_headers, mod_log_config and expressions. */
static void set_variables(request_rec *r, const ch_principal_t *who)
{
    apr_table_t *env = r->subprocess_env;

    apr_table_setn(env, "CHRONICLE_USER_ID", who->user_id);
    apr_table_setn(env, "CHRONICLE_EMAIL", who->email);
    apr_table_setn(env, "CHRONICLE_ROLE", ch_role_names[who->role]);
    if (who->session_id) {
        apr_table_setn(env, "CHRONICLE_SESSION_ID", who->session_id);
    }
}

/* A redirect inside the server has renamed them meanwhile. */
static int fixups(request_rec *r)
{
    const login_t *login = login_of(r);

    if (login && login->who && r->user) {
        set_variables(r, login->who);
    }
    return DECLINED;
}

static void take(request_rec *r, const ch_principal_t *who)
{
    own_login(r)->who = who;
    r->user = apr_pstrdup(r->pool, who->email);
    set_variables(r, who);
}

/* --- answers --------------------------------------------------------------
 */

static void ask_for_token(request_rec *r, const char *error)
{
    const char *realm = ap_auth_name(r);

    apr_table_setn(r->err_headers_out, "WWW-Authenticate",
                   apr_pstrcat(r->pool, "Bearer realm=\"",
                               realm ? ap_escape_quotes(r->pool, realm)
                                     : PROVIDER,
                               "\"", error, NULL));
}

/* Somebody is known, but Require says no. */
static int note_failure(request_rec *r, const char *type)
{
    if (strcasecmp(type, AUTH_TYPE) != 0) {
        return DECLINED;
    }
    ask_for_token(r, "");
    return OK;
}

static void say_when(request_rec *r, const ch_err_t *err)
{
    apr_table_setn(r->err_headers_out, "Retry-After",
                   err->retry_after ? apr_itoa(r->pool, err->retry_after)
                                    : RETRY_SECONDS);
}

static void log_refusal(request_rec *r, const ch_req_t *rq,
                        const ch_err_t *err)
{
    int status = ch_code_status(err->code);

    ap_log_rerror(APLOG_MARK, status >= 500 ? APLOG_ERR : APLOG_INFO, 0, r,
                  "CH1040: [%s] %s: %s", rq->request_id,
                  ch_code_name(err->code),
                  err->cause ? err->cause : err->message);
}

static int refuse(request_rec *r, const ch_req_t *rq, const ch_err_t *err)
{
    int status = ch_code_status(err->code);

    log_refusal(r, rq, err);
    if (status == HTTP_UNAUTHORIZED) {
        ask_for_token(r, err->code == CH_E_AUTHENTICATION_REQUIRED
                             ? ""
                             : ", error=\"invalid_token\"");
    }
    if (status == HTTP_SERVICE_UNAVAILABLE) {
        say_when(r, err);
    }
    return status;
}

/* --- AuthType Chronicle ---------------------------------------------------
 */

static int is_enabled(request_rec *r, const char *what)
{
    if (ch_config_of(r->server)->conf.enabled) {
        return 1;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "CH1041: %s needs Chronicle On in this server", what);
    return 0;
}

static int is_ours(const char *type)
{
    return type && strcasecmp(type, AUTH_TYPE) == 0;
}

/* A request as the rooms know it, for finding out who sends it. Cookies are
 * set whatever becomes of the answer. */
static ch_req_t *light_request(request_rec *r)
{
    static const ch_route_t place = { .path = "", .auth = CH_USER };
    ch_req_t *rq = ch_server_request(r);

    rq->route = &place;
    rq->out = r->err_headers_out;
    return rq;
}

static ch_err_t *check_verified(ch_req_t *rq)
{
    return rq->conf->require_verified_email && !rq->who->verified
               ? ch_err_make(rq->pool, CH_E_EMAIL_NOT_VERIFIED, NULL)
               : NULL;
}

/* The API's own stages. Its CSRF token is none that the forms of another
 * application know of, so here Origin alone is judged, also of requests that
 * are safe but for opening a WebSocket. */
static ch_err_t *find_out(ch_req_t *rq)
{
    ch_err_t *err = ch_identify_stage(rq);

    if (!err) {
        err = ch_authenticate_stage(rq);
    }
    if (!err && rq->who->cookie && !ch_cors_is_trusted(rq)) {
        ch_secure_event(rq, CH_SECURITY_ORIGIN, ch_req_header(rq, "Origin"));
        err = ch_err_make(rq->pool, CH_E_SECURITY_VIOLATION,
                          "This origin is not allowed");
    }
    if (!err) {
        err = check_verified(rq);
    }
    return err ? err : ch_auth_email(rq);
}

/* Whom the request that this one came out of was found to be from: it has the
 * same headers. */
static const ch_principal_t *known_before(request_rec *r)
{
    request_rec *from = r;

    while ((from = from->prev ? from->prev : from->main)) {
        const login_t *login = ap_get_module_config(from->request_config,
                                                    &chronicle_module);

        if (login && login->who && from->server == r->server
            && is_ours(from->ap_auth_type)) {
            return login->who;
        }
    }
    return NULL;
}

/* Runs before every other module's, to note that somebody was asked at all:
 * only then a user of type Basic is more than what the client wrote. */
static int authenticate(request_rec *r)
{
    const char *type = ap_auth_type(r);
    const ch_principal_t *who;
    ch_req_t *rq;
    ch_err_t *err;

    own_login(r)->asked = 1;
    if (!is_ours(type)) {
        return DECLINED;
    }
    if (!is_enabled(r, "AuthType Chronicle")) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    r->ap_auth_type = apr_pstrdup(r->pool, AUTH_TYPE);
    who = known_before(r);
    if (!who) {
        rq = light_request(r);
        err = find_out(rq);
        if (err) {
            return refuse(r, rq, err);
        }
        who = rq->who;
    }
    if (who->cookie) { /* of Authorization caches know by themselves */
        apr_table_mergen(r->err_headers_out, "Cache-Control", "private");
    }
    take(r, who);
    return OK;
}

/* --- AuthBasicProvider chronicle ------------------------------------------
 */

static authn_status status_of(request_rec *r, const ch_req_t *rq,
                              const ch_err_t *err, int found)
{
    switch (err->code) {
    case CH_E_INVALID_CREDENTIALS: /* the next provider may know them */
        return found ? AUTH_DENIED : AUTH_USER_NOT_FOUND;
    case CH_E_RATE_LIMIT_EXCEEDED: /* a provider cannot say 429 */
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "CH1042: [%s] too many failed logins from %s",
                      rq->request_id, rq->client_ip);
        say_when(r, err);
        return AUTH_DENIED;
    case CH_E_EMAIL_NOT_VERIFIED:
        log_refusal(r, rq, err);
        return AUTH_DENIED;
    default:
        log_refusal(r, rq, err);
        say_when(r, err);
        return AUTH_GENERAL_ERROR;
    }
}

static authn_status check_password(request_rec *r, const char *user,
                                   const char *password)
{
    ch_req_t *rq;
    ch_err_t *err;
    int found;

    if (!is_enabled(r, "AuthBasicProvider chronicle")) {
        return AUTH_GENERAL_ERROR;
    }
    rq = light_request(r);
    err = ch_basic_check(rq, user, password, &found);
    if (!err) {
        err = check_verified(rq);
    }
    if (err) {
        return status_of(r, rq, err, found);
    }
    take(r, rq->who);
    return AUTH_GRANTED;
}

static const authn_provider provider = {
    .check_password = check_password,
};

/* --- users of other modules -----------------------------------------------
 */

const char *ch_authn_remote_user(ch_req_t *rq)
{
    request_rec *r = rq->io_ctx;
    const login_t *login = login_of(r);

    /* empty: mod_auth_openidc let somebody pass who has not logged in */
    if (!r->user || !*r->user || is_ours(r->ap_auth_type)) {
        return NULL;
    }
    /* ap_get_basic_auth_pw() sets both from the header, whoever calls it and
     * whether the password was checked or not; mod_ssl sets the user of a
     * certificate without being asked. */
    if (r->ap_auth_type && strcasecmp(r->ap_auth_type, "Basic") == 0
        && !(login && login->asked)) {
        return NULL;
    }
    return r->user;
}

ch_err_t *ch_authn_account(request_rec *r, const ch_principal_t **out)
{
    const login_t *login = login_of(r);
    ch_req_t *rq;

    *out = login ? login->who : NULL;
    if (*out || !is_enabled(r, "Require chronicle-...")) {
        return NULL;
    }
    rq = light_request(r);
    ch_remote_identify(rq);
    if (rq->credential_fault) {
        log_refusal(r, rq, rq->credential_fault);
        return rq->credential_fault;
    }
    if (rq->who) {
        own_login(r)->who = rq->who;
        set_variables(r, rq->who);
    }
    *out = rq->who;
    return NULL;
}

/* --- configuration --------------------------------------------------------
 */

static int is_enabled_somewhere(server_rec *server)
{
    for (; server; server = server->next) {
        if (ch_config_of(server)->conf.enabled) {
            return 1;
        }
    }
    return 0;
}

static const ap_directive_t *find_use(const ap_directive_t *node)
{
    const ap_directive_t *found = NULL;

    for (; node && !found; node = node->next) {
        if (strcasecmp(node->directive, "AuthType") == 0) {
            const char *args = node->args;

            found = strcasecmp(args, AUTH_TYPE) == 0
                            || strcasecmp(args, "\"" AUTH_TYPE "\"") == 0
                        ? node
                        : NULL;
        }
        else {
            found = find_use(node->first_child);
        }
    }
    return found;
}

int ch_authn_check(server_rec *main_server)
{
    const ap_directive_t *use = is_enabled_somewhere(main_server)
                                    ? NULL
                                    : find_use(ap_conftree);

    if (!use) {
        return OK;
    }
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_EMERG, 0, main_server,
                 "CH1045: AuthType Chronicle at %s:%d needs Chronicle On",
                 use->filename, use->line_num);
    return HTTP_INTERNAL_SERVER_ERROR;
}

void ch_authn_register(apr_pool_t *pool)
{
    ap_hook_check_authn(authenticate, NULL, NULL, APR_HOOK_REALLY_FIRST,
                        AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_note_auth_failure(note_failure, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_fixups(fixups, NULL, NULL, APR_HOOK_FIRST);
    ap_register_auth_provider(pool, AUTHN_PROVIDER_GROUP, PROVIDER,
                              AUTHN_PROVIDER_VERSION, &provider,
                              AP_AUTH_INTERNAL_PER_CONF);
}
