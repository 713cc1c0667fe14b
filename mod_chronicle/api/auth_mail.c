/* The ways that lead over a mail: verify an address, reset a password. */
#include "api/auth_mail.h"

#include <string.h>

#include <apr_strings.h>

#include "api/account.h"
#include "api/api.h"
#include "auth/auth.h"
#include "auth/password.h"
#include "base/seal.h"
#include "store/sql_gen.h"
#include "web/reply.h"

#define TOKEN_BYTES 32

/* --- inputs and outputs ----------------------------------------------- */

typedef struct {
    const char *email;
} forgot_in_t;

static const ch_field_t forgot_rows[] = {
    { .name = "email", CH_IN(forgot_in_t, email, CH_T_EMAIL),
      .flags = CH_REQUIRED, .doc = "Address of the account" },
};

static const ch_fields_t forgot_in = CH_FIELDS(forgot_in_t, forgot_rows);

typedef struct {
    const char *token;
    const char *password;
} reset_in_t;

#define TOKEN_ROW                                                             \
    { .name = "token", CH_IN(reset_in_t, token, CH_T_STR),                    \
      .flags = CH_REQUIRED | CH_WRITE_ONLY, .min = 1, .max = 255,             \
      .doc = "From the link in the mail" }

static const ch_field_t reset_rows[] = {
    TOKEN_ROW,
    { .name = "password", CH_IN(reset_in_t, password, CH_T_SECRET),
      .flags = CH_REQUIRED | CH_WRITE_ONLY, .min = CH_PASSWORD_MIN,
      .max = CH_PASSWORD_MAX, .doc = "The new password" },
};

static void check_reset(ch_req_t *rq, void *fields, ch_err_t **faults)
{
    const reset_in_t *in = fields;

    if (in->password) {
        ch_password_check(rq->pool, faults, "password", in->password, NULL);
    }
}

static const ch_fields_t reset_in = {
    .rows = reset_rows, .count = (int)CH_COUNT(reset_rows),
    .size = sizeof(reset_in_t), .check = check_reset,
};

static const ch_field_t verify_rows[] = { TOKEN_ROW };

static const ch_fields_t verify_in = CH_FIELDS(reset_in_t, verify_rows);

static const ch_field_t verified_rows[] = {
    { .name = "emailVerified", .type = CH_T_BOOL, .column = "email_verified",
      .doc = "Always true" },
    { .name = "user", .type = CH_T_NEST, .nested = &ch_user_out,
      .column = "id", .doc = "The account" },
};

static const ch_fields_t verified_out = {
    .rows = verified_rows, .count = (int)CH_COUNT(verified_rows),
};

/* --- links ------------------------------------------------------------ */

/* The mail holds the token, the table its hash. */
static void make_link(ch_req_t *rq, const char *page, const char *text,
                      ch_mail_link_t *out)
{
    const char *token = ch_seal_token(rq->pool, TOKEN_BYTES);

    out->token_hash = ch_seal_sha256_hex(rq->pool, token, strlen(token));
    out->text = apr_psprintf(rq->pool, "%s\n\n%s/%s?token=%s\n", text,
                             ch_req_frontend_url(rq), page, token);
}

void ch_mail_verify(ch_req_t *rq, ch_mail_link_t *out)
{
    out->subject = "Verify your e-mail address";
    make_link(rq, "verify-email",
              "Follow this link to verify your e-mail address. It is good "
              "for 24 hours.",
              out);
}

static const char *hash_of(ch_req_t *rq, const char *token)
{
    return ch_seal_sha256_hex(rq->pool, token, strlen(token));
}

/* --- handlers --------------------------------------------------------- */

/* The same answer and nearly the same work whether or not there is such an
 * account: the hash drowns what the statement takes longer for one. */
static ch_err_t *forgot_password(ch_req_t *rq)
{
    const forgot_in_t *in = rq->body;
    sql_auth_forgot_t row = { .email = in->email };
    ch_mail_link_t link;
    int good;
    ch_err_t *err;

    link.subject = "Reset your password";
    make_link(rq, "reset-password",
              "Follow this link to choose a new password. It is good for one "
              "hour. If you did not ask for it, do nothing.",
              &link);
    row.token_hash = link.token_hash;
    row.mail_subject = link.subject;
    row.mail_text = link.text;
    err = ch_password_verify(rq->pool, in->email, NULL, &good);
    if (!err) {
        err = sql_auth_forgot(rq->db, &row);
    }
    if (err) {
        return err;
    }
    return ch_reply_null(rq, "If there is an account with this address, a "
                             "mail is on its way");
}

static ch_err_t *reset_password(ch_req_t *rq)
{
    const reset_in_t *in = rq->body;
    sql_auth_reset_t row = {
        .token_hash = hash_of(rq, in->token),
        .admin_email = rq->conf->admin_email,
        .ip = rq->client_ip,
        .request_id = rq->request_id,
    };
    const sql_auth_reset_find_t find = { .token_hash = row.token_hash };
    ch_rows_t *rows;
    ch_err_t *err = sql_auth_reset_find(rq->db, &find, &rows);

    if (!err) {
        err = ch_reply_fault(rq, rows, CH_E_INVALID_TOKEN);
    }
    if (err) {
        return err;
    }
    ch_password_check(rq->pool, &rq->faults, "password", in->password,
                      ch_rows_text(rows, 0, "email"));
    if (rq->faults) {
        return rq->faults;
    }
    err = ch_password_hash(rq->pool, in->password, &row.new_hash);
    if (!err) {
        err = sql_auth_reset(rq->db, &row, &rows);
    }
    if (err) {
        return err;
    }
    if (!ch_rows_count(rows)) { /* somebody was faster with the link */
        return ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    ch_session_forget_user(rq, ch_rows_text(rows, 0, "id"));
    return ch_reply_null(rq, "Password changed, log in again");
}

static ch_err_t *verify_email(ch_req_t *rq)
{
    const reset_in_t *in = rq->body;
    const sql_auth_verify_email_t row = {
        .token_hash = hash_of(rq, in->token),
        .admin_email = rq->conf->admin_email,
        .ip = rq->client_ip,
        .request_id = rq->request_id,
    };
    ch_rows_t *rows;
    ch_err_t *err = sql_auth_verify_email(rq->db, &row, &rows);

    if (!err) {
        err = ch_reply_fault(rq, rows, CH_E_INVALID_TOKEN);
    }
    if (err) {
        return err;
    }
    ch_session_forget_user(rq, ch_rows_text(rows, 0, "id"));
    return ch_reply_row(rq, rows, "E-mail address verified");
}

static ch_err_t *resend_verification(ch_req_t *rq)
{
    sql_auth_resend_t row = { .id = rq->who->user_id };
    ch_mail_link_t link;
    ch_rows_t *rows;
    ch_err_t *err;

    ch_mail_verify(rq, &link);
    row.token_hash = link.token_hash;
    row.mail_subject = link.subject;
    row.mail_text = link.text;
    err = sql_auth_resend(rq->db, &row, &rows);
    if (!err) {
        err = ch_reply_fault(rq, rows, CH_E_INVALID_TOKEN);
    }
    return err ? err : ch_reply_null(rq, "A mail is on its way");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_POST, .path = "/api/v1/auth/forgot-password",
      .auth = CH_PUBLIC, .rate = CH_RATE_AUTH, .flags = CH_NULL_DATA,
      .ok = 200, .body = &forgot_in, CH_ROUTE_CODES(CH_E_SERVICE_UNAVAILABLE),
      .handler = forgot_password, .tag = "Auth",
      .summary = "Ask for a link to reset the password" },
    { .method = CH_POST, .path = "/api/v1/auth/reset-password",
      .auth = CH_PUBLIC, .rate = CH_RATE_AUTH, .flags = CH_NULL_DATA,
      .ok = 200, .body = &reset_in,
      CH_ROUTE_CODES(CH_E_INVALID_TOKEN, CH_E_TOKEN_EXPIRED,
                     CH_E_SERVICE_UNAVAILABLE),
      .handler = reset_password, .tag = "Auth",
      .summary = "Choose a new password" },
    { .method = CH_POST, .path = "/api/v1/auth/verify-email",
      .auth = CH_PUBLIC, .rate = CH_RATE_AUTH, .ok = 200, .body = &verify_in,
      .out = &verified_out,
      CH_ROUTE_CODES(CH_E_INVALID_TOKEN, CH_E_TOKEN_EXPIRED),
      .handler = verify_email, .tag = "Auth",
      .summary = "Verify the e-mail address" },
    { .method = CH_POST, .path = "/api/v1/auth/resend-verification",
      .auth = CH_USER, .rate = CH_RATE_AUTH, .flags = CH_NULL_DATA,
      .ok = 200, CH_ROUTE_CODES(CH_E_ALREADY_VERIFIED),
      .handler = resend_verification, .tag = "Auth",
      .summary = "Send the verification mail again" },
};

const ch_routes_t ch_auth_mail_routes = CH_ROUTES(routes);
