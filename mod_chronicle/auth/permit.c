/* Refuses who may not go on: no credential, a bad one, a missing CSRF token,
 * an address that is not verified, too small a role. */
#include <string.h>

#include "auth/auth.h"
#include "base/seal.h"
#include "store/counter.h"

static ch_err_t *refuse(ch_req_t *rq, ch_err_t *err)
{
    static const struct {
        ch_code_e code;
        ch_auth_failure_e reason;
    } reasons[] = {
        { CH_E_AUTHENTICATION_REQUIRED, CH_AUTH_NO_CREDENTIAL },
        { CH_E_INVALID_TOKEN, CH_AUTH_BAD_TOKEN },
        { CH_E_TOKEN_EXPIRED, CH_AUTH_EXPIRED_TOKEN },
        { CH_E_CSRF_FAILED, CH_AUTH_BAD_CSRF },
    };
    size_t i;

    for (i = 0; i < CH_COUNT(reasons); i++) {
        if (reasons[i].code == err->code) {
            ch_secure_failure(rq, reasons[i].reason);
        }
    }
    return err;
}

/* A public route that wants to know who calls: a credential that is no good
 * leaves nobody and the reason why. */
static ch_err_t *recognise(ch_req_t *rq)
{
    ch_err_t *err = rq->who ? ch_auth_be_sure(rq) : rq->credential_fault;

    if (err) {
        rq->who = NULL;
        rq->credential_fault = err;
    }
    return err && ch_code_status(err->code) != 401 ? err : NULL;
}

ch_err_t *ch_authenticate_stage(ch_req_t *rq)
{
    ch_err_t *err;

    if (rq->route->auth == CH_PUBLIC) {
        return rq->route->flags & CH_KNOWS ? recognise(rq) : NULL;
    }
    if (rq->credential_fault) {
        return refuse(rq, rq->credential_fault);
    }
    if (!rq->who) {
        if (rq->route->auth == CH_OPTIONAL) {
            return NULL;
        }
        return refuse(
            rq, ch_err_make(rq->pool, CH_E_AUTHENTICATION_REQUIRED, NULL));
    }
    err = ch_auth_be_sure(rq);
    return err ? refuse(rq, err) : NULL;
}

ch_err_t *ch_auth_check_csrf(ch_req_t *rq)
{
    const char *header = ch_req_header(rq, "X-CSRF-Token");
    const char *cookie = ch_req_cookie(rq, CH_CSRF_COOKIE);
    unsigned char hash[CH_SHA256_LEN];

    if (!rq->who || !rq->who->cookie || rq->route->method == CH_GET) {
        return NULL;
    }
    if (header && cookie
        && ch_seal_equal(header, strlen(header), cookie, strlen(cookie))) {
        ch_seal_sha256(header, strlen(header), hash);
        if (ch_seal_equal(hash, sizeof(hash), rq->who->csrf,
                          sizeof(rq->who->csrf))) {
            return NULL;
        }
    }
    return refuse(rq, ch_err_make(rq->pool, CH_E_CSRF_FAILED, NULL));
}

static int has_role(const ch_req_t *rq)
{
    switch (rq->route->auth) {
    case CH_ADMIN:
        return rq->who->role >= CH_ROLE_ADMIN;
    case CH_MANAGER:
        return rq->who->role >= CH_ROLE_MANAGER;
    case CH_USER:
    case CH_OPTIONAL:
    case CH_PUBLIC:
        break;
    }
    return 1;
}

ch_err_t *ch_permit_stage(ch_req_t *rq)
{
    ch_err_t *err;

    if (!rq->who
        || (rq->route->auth == CH_PUBLIC
            && !(rq->route->flags & CH_KNOWS))) {
        return NULL;
    }
    err = ch_auth_check_csrf(rq);
    if (err) {
        return err;
    }
    if (rq->conf->require_verified_email && !rq->who->verified
        && ch_route_needs_verified(rq->route)) {
        return ch_err_make(rq->pool, CH_E_EMAIL_NOT_VERIFIED, NULL);
    }
    if (!has_role(rq)) {
        return ch_err_make(rq->pool, CH_E_FORBIDDEN, NULL);
    }
    return NULL;
}
