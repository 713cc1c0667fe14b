/* Require chronicle-role and Require chronicle-verified: what an account must
 * be to come in. */
#include <string.h>

#include <apr_strings.h>

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <http_request.h>
#include <ap_provider.h>
#include <mod_auth.h>

#include "auth/auth.h"
#include "httpd/server.h"

/* The account behind the request, or what to say without one. */
static authz_status find_account(request_rec *r, const ch_principal_t **who)
{
    ch_err_t *err;

    *who = NULL;
    if (!r->user) {
        return AUTHZ_DENIED_NO_USER; /* authenticates, and asks again */
    }
    err = ch_authn_account(r, who);
    if (err) {
        return ch_code_status(err->code) < 500 ? AUTHZ_DENIED
                                               : AUTHZ_GENERAL_ERROR;
    }
    if (!*who) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      "CH1044: %s is the user of another module; see "
                      "ChronicleTrustRemoteUser",
                      r->user);
        return AUTHZ_DENIED;
    }
    return AUTHZ_GRANTED;
}

/* --- chronicle-role -------------------------------------------------------
 */

static const char *parse_role(cmd_parms *cmd, const char *line,
                              const void **parsed)
{
    ch_role_e *role = apr_palloc(cmd->pool, sizeof(*role));
    const char *error = ch_role_lowest(cmd->temp_pool, line, role);

    *parsed = role;
    return error ? apr_pstrcat(cmd->pool, "Require chronicle-role: ", error,
                               NULL)
                 : NULL;
}

static authz_status check_role(request_rec *r, const char *line,
                               const void *parsed)
{
    const ch_principal_t *who;
    authz_status status = find_account(r, &who);

    if (who) {
        return who->role >= *(const ch_role_e *)parsed ? AUTHZ_GRANTED
                                                       : AUTHZ_DENIED;
    }
    return status;
}

static const authz_provider role_provider = {
    .check_authorization = check_role,
    .parse_require_line = parse_role,
};

/* --- chronicle-verified ---------------------------------------------------
 */

static const char *parse_verified(cmd_parms *cmd, const char *line,
                                  const void **parsed)
{
    return *line ? "Require chronicle-verified takes no argument" : NULL;
}

static authz_status check_verified(request_rec *r, const char *line,
                                   const void *parsed)
{
    const ch_principal_t *who;
    authz_status status = find_account(r, &who);

    if (who) {
        return who->verified ? AUTHZ_GRANTED : AUTHZ_DENIED;
    }
    return status;
}

static const authz_provider verified_provider = {
    .check_authorization = check_verified,
    .parse_require_line = parse_verified,
};

void ch_authz_register(apr_pool_t *pool)
{
    ap_register_auth_provider(pool, AUTHZ_PROVIDER_GROUP, "chronicle-role",
                              AUTHZ_PROVIDER_VERSION, &role_provider,
                              AP_AUTH_INTERNAL_PER_CONF);
    ap_register_auth_provider(pool, AUTHZ_PROVIDER_GROUP,
                              "chronicle-verified", AUTHZ_PROVIDER_VERSION,
                              &verified_provider, AP_AUTH_INTERNAL_PER_CONF);
}
