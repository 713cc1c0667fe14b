/* Checks an address and a password that come with every request, as HTTP's
 * Basic scheme has it: bcrypt only for what this child has not seen. */
#include <string.h>

#include <apr_strings.h>

#include "auth/auth.h"
#include "auth/password.h"
#include "auth/proof.h"
#include "base/budget.h"
#include "base/jsonw.h"
#include "base/steady.h"
#include "base/text.h"
#include "store/counter.h"
#include "store/sql_gen.h"

#define ROWS_PER_SECOND 20 /* of failures, of one child */

/* Nobody acted who is known; the target is the account, if there is one. The
 * work is the same either way. */
ch_err_t *ch_auth_audit_failure(ch_req_t *rq, const char *email,
                                const ch_rows_t *found)
{
    int there = ch_rows_count(found) > 0;
    ch_buf_t *details = ch_buf_make(rq->pool, 512, 4096);
    sql_auth_audit_t in = {
        .action = "auth.login_failed",
        .target_type = there ? "user" : NULL,
        .target_id = there ? ch_rows_text(found, 0, "id") : NULL,
        .ip = rq->client_ip,
        .request_id = rq->request_id,
    };

    CH_BUF_LIT(details, "{\"email\":");
    ch_jsonw_cstr(details, email);
    CH_BUF_LIT(details, ",\"reason\":");
    ch_jsonw_cstr(details, !there ? "unknown"
                           : ch_rows_bool(found, 0, "is_active")
                               ? "password"
                               : "inactive");
    ch_buf_putc(details, '}');
    in.details = ch_buf_cstr(details);
    ch_secure_failure(rq, CH_AUTH_BAD_LOGIN);
    return sql_auth_audit(rq->db, &in);
}

static ch_err_t *too_many(ch_req_t *rq, int wait)
{
    ch_err_t *err = ch_err_make(rq->pool, CH_E_RATE_LIMIT_EXCEEDED, NULL);

    ch_counter_limited(CH_RATE_AUTH);
    err->retry_after = wait;
    return err;
}

static ch_err_t *failed(ch_req_t *rq, const char *email,
                        const ch_rows_t *found)
{
    static ch_budget_t budget;
    ch_err_t *err = NULL;

    ch_limit_failed(rq, CH_RATE_AUTH);
    if (ch_budget_take(&budget, ch_steady_now(), ROWS_PER_SECOND, 1)) {
        err = ch_auth_audit_failure(rq, email, found);
    }
    return err ? err : ch_err_make(rq->pool, CH_E_INVALID_CREDENTIALS, NULL);
}

/* bcrypt, for an address that has not failed too often. Many may be at it at
 * once: what one found out, good or bad, is not told if others have used up
 * the limit meanwhile. */
static ch_err_t *verify(ch_req_t *rq, const char *password, const char *hash,
                        int *good)
{
    int wait = ch_limit_wait(rq, CH_RATE_AUTH);
    ch_err_t *err;

    if (wait) {
        return too_many(rq, wait);
    }
    err = ch_password_verify(rq->pool, password, hash, good);
    if (err) {
        return err;
    }
    wait = ch_limit_wait(rq, CH_RATE_AUTH);
    return wait ? too_many(rq, wait) : NULL;
}

ch_err_t *ch_basic_check(ch_req_t *rq, const char *name, const char *password,
                         int *found)
{
    const char *hash = NULL;
    sql_auth_find_t in;
    ch_rows_t *rows;
    ch_err_t *err;
    int known, good;

    *found = 0;
    if (!ch_text_is_email(name, strlen(name))) { /* nobody's of ours */
        return ch_err_make(rq->pool, CH_E_INVALID_CREDENTIALS, NULL);
    }
    in.email = ch_text_lower(rq->pool, name, strlen(name));
    err = sql_auth_find(rq->db, &in, &rows);
    if (err) {
        return err;
    }
    if (ch_rows_count(rows)) {
        *found = 1;
        hash = ch_rows_text(rows, 0, "password_hash");
    }
    known = good = hash && ch_proof_has(password, hash);
    err = known ? NULL : verify(rq, password, hash, &good);
    if (err) {
        return err;
    }
    if (!good || !ch_rows_bool(rows, 0, "is_active")) {
        return failed(rq, in.email, rows);
    }
    if (!known) {
        ch_proof_add(password, hash);
    }
    rq->who = apr_pcalloc(rq->pool, sizeof(*rq->who));
    rq->who->user_id = ch_rows_text(rows, 0, "id");
    rq->who->email = in.email;
    rq->who->role = ch_role_of(ch_rows_text(rows, 0, "role"));
    rq->who->verified = ch_rows_bool(rows, 0, "email_verified");
    rq->who->sure = 1;
    return NULL;
}
