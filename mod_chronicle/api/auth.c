/* Accounts: register, log in, change the password. Tokens are refreshed and
 * sessions ended in auth_tokens.c; the ways that lead over a mail are in
 * auth_mail.c. */
#include <string.h>

#include <apr_strings.h>

#include "api/account.h"
#include "api/api.h"
#include "api/auth_mail.h"
#include "auth/auth.h"
#include "auth/password.h"
#include "base/jsonw.h"
#include "base/uuid.h"
#include "store/sql_gen.h"
#include "web/reply.h"

/* --- inputs ----------------------------------------------------------- */

static const char *const device_types[] = { "web",    "mobile", "desktop",
                                            "tablet", "api",    "other" };

typedef struct {
    const char *email;
    const char *password;
    const char *full_name;
    const char *device_name;
    int device_type;
    int session;
} account_in_t;

#define DEVICE_ROWS                                                           \
    { .name = "deviceName",                                                   \
      CH_IN(account_in_t, device_name, CH_T_STR),                             \
      .min = 1,                                                               \
      .max = 255,                                                             \
      .doc = "Shown in the list of sessions" },                               \
    { .name = "deviceType",                                                   \
      CH_IN(account_in_t, device_type, CH_T_ENUM),                            \
      CH_CHOICES(device_types),                                               \
      .def = "\"other\"",                                                     \
      .doc = "Kind of device" },                                              \
    { .name = "session",                                                      \
      CH_IN(account_in_t, session, CH_T_BOOL),                                \
      .def = "false",                                                         \
      .doc = "true: cookies instead of tokens" }

static const ch_field_t register_rows[] = {
    { .name = "email", CH_IN(account_in_t, email, CH_T_EMAIL),
      .flags = CH_REQUIRED, .doc = "Address of the account" },
    { .name = "password", CH_IN(account_in_t, password, CH_T_SECRET),
      .flags = CH_REQUIRED | CH_WRITE_ONLY, .min = CH_PASSWORD_MIN,
      .max = CH_PASSWORD_MAX, .doc = "8 to 72 bytes, not a well-known one" },
    { .name = "fullName", CH_IN(account_in_t, full_name, CH_T_STR), .min = 1,
      .max = 255, .doc = "Shown to others" },
    DEVICE_ROWS,
};

static const ch_field_t login_rows[] = {
    { .name = "email", CH_IN(account_in_t, email, CH_T_EMAIL),
      .flags = CH_REQUIRED, .doc = "Address of the account" },
    { .name = "password", CH_IN(account_in_t, password, CH_T_SECRET),
      .flags = CH_REQUIRED | CH_WRITE_ONLY, .min = 1, .max = 1024,
      .doc = "The account's password" },
    DEVICE_ROWS,
};

static void check_register(ch_req_t *rq, void *fields, ch_err_t **faults)
{
    const account_in_t *in = fields;

    if (in->password) {
        ch_password_check(rq->pool, faults, "password", in->password,
                          in->email);
    }
}

static const ch_fields_t register_in = {
    .rows = register_rows, .count = (int)CH_COUNT(register_rows),
    .size = sizeof(account_in_t), .check = check_register,
};

static const ch_fields_t login_in = CH_FIELDS(account_in_t, login_rows);

typedef struct {
    const char *current;
    const char *new;
} change_in_t;

static const ch_field_t change_rows[] = {
    { .name = "currentPassword", CH_IN(change_in_t, current, CH_T_SECRET),
      .flags = CH_REQUIRED | CH_WRITE_ONLY, .min = 1, .max = 1024,
      .doc = "The password so far" },
    { .name = "newPassword", CH_IN(change_in_t, new, CH_T_SECRET),
      .flags = CH_REQUIRED | CH_WRITE_ONLY, .min = CH_PASSWORD_MIN,
      .max = CH_PASSWORD_MAX, .doc = "Must differ from it" },
};

static void check_change(ch_req_t *rq, void *fields, ch_err_t **faults)
{
    const change_in_t *in = fields;

    if (in->new) {
        ch_password_check(rq->pool, faults, "newPassword", in->new, NULL);
    }
    if (in->new && in->current && strcmp(in->new, in->current) == 0) {
        ch_err_fault(rq->pool, faults, CH_D_INVALID_VALUE, "newPassword",
                     "must differ from the current password");
    }
}

static const ch_fields_t change_in = {
    .rows = change_rows, .count = (int)CH_COUNT(change_rows),
    .size = sizeof(change_in_t), .check = check_change,
};

/* --- outputs ---------------------------------------------------------- */

static const ch_field_t tokens_rows[] = {
    { .name = "accessToken", .type = CH_T_STR, .doc = "JWT, 15 minutes" },
    { .name = "refreshToken", .type = CH_T_STR, .doc = "30 days" },
    { .name = "tokenType", .type = CH_T_STR, .doc = "Bearer" },
    { .name = "expiresIn", .type = CH_T_INT, .doc = "Seconds" },
    { .name = "refreshExpiresIn", .type = CH_T_INT, .doc = "Seconds" },
};

const ch_fields_t ch_tokens_out = {
    .name = "Tokens", .rows = tokens_rows,
    .count = (int)CH_COUNT(tokens_rows),
};

static const ch_field_t account_rows[] = {
    { .name = "user", .type = CH_T_NEST, .nested = &ch_user_out,
      .doc = "The account" },
    { .name = "tokens", .type = CH_T_NEST, .nested = &ch_tokens_out,
      .flags = CH_NULLABLE, .doc = "null with a cookie session" },
    { .name = "csrfToken", .type = CH_T_STR, .flags = CH_NULLABLE,
      .doc = "For the X-CSRF-Token header of a cookie session" },
};

static const ch_fields_t account_out = {
    .name = "Account", .rows = account_rows,
    .count = (int)CH_COUNT(account_rows),
};

static const ch_field_t revoked_rows[] = {
    { .name = "revokedSessions", .type = CH_T_INT, .column = "revoked",
      .doc = "Sessions ended" },
};

const ch_fields_t ch_revoked_out = {
    .rows = revoked_rows, .count = (int)CH_COUNT(revoked_rows),
};

static const ch_field_t csrf_rows[] = {
    { .name = "csrfToken", .type = CH_T_STR, .flags = CH_NULLABLE,
      .doc = "null for bearer callers" },
};

static const ch_fields_t csrf_out = {
    .rows = csrf_rows, .count = (int)CH_COUNT(csrf_rows),
};

/* --- helpers ---------------------------------------------------------- */

/* What was known of a session cookie that came along is over. */
static ch_err_t *end_old_cookie(ch_req_t *rq)
{
    const char *cookie = ch_req_cookie(rq, CH_SESSION_COOKIE);
    sql_auth_revoke_cookie_t in;
    ch_rows_t *rows;
    ch_err_t *err;

    if (!cookie) {
        return NULL;
    }
    in = (sql_auth_revoke_cookie_t){
        .token_hash = ch_session_cookie_hash(rq, cookie),
        .ip = rq->client_ip,
        .request_id = rq->request_id,
    };
    err = sql_auth_revoke_cookie(rq->db, &in, &rows);
    if (!err && ch_rows_count(rows)) {
        ch_session_forget(rq, ch_rows_text(rows, 0, "id"));
    }
    return err;
}

static ch_err_t *reply_account(ch_req_t *rq, const ch_session_t *session,
                               const ch_rows_t *user, const char *message)
{
    ch_err_t *err = end_old_cookie(rq);

    if (err) {
        return err;
    }
    ch_session_write(rq, ch_reply_begin(rq, 2048), session, &ch_user_out,
                     user);
    return ch_reply_end(rq, message);
}

/* --- register, login -------------------------------------------------- */

static ch_err_t *register_account(ch_req_t *rq)
{
    const account_in_t *in = rq->body;
    sql_auth_register_t row = {
        .id = ch_uuid_make(rq->pool),
        .email = in->email,
        .full_name = in->full_name,
        .folder_id = ch_uuid_make(rq->pool),
        .device_name = in->device_name,
        .device_type = device_types[in->device_type],
        .ip = rq->client_ip,
        .user_agent = ch_req_agent(rq),
        .request_id = rq->request_id,
    };
    ch_session_t session;
    ch_mail_link_t link;
    ch_rows_t *rows;
    ch_err_t *err;

    err = ch_password_hash(rq->pool, in->password, &row.password_hash);
    if (err) {
        return err;
    }
    ch_session_draft(rq, in->session, &session);
    ch_mail_verify(rq, &link);
    row.verify_hash = link.token_hash;
    row.mail_subject = link.subject;
    row.mail_text = link.text;
    row.session_id = session.id;
    row.kind = session.kind;
    row.token_hash = session.token_hash;
    row.csrf_hash = session.csrf_hash;
    row.refresh_key = session.refresh_key;
    row.issued = session.issued;
    err = sql_auth_register(rq->db, &row, &rows);
    if (err) {
        return err;
    }
    apr_table_setn(rq->out, "Location", "/api/v1/user/profile");
    return reply_account(rq, &session, rows, "Account created");
}

static ch_err_t *refuse_login(ch_req_t *rq, const account_in_t *in,
                              const ch_rows_t *found)
{
    ch_err_t *err = ch_auth_audit_failure(rq, in->email, found);

    return err ? err : ch_err_make(rq->pool, CH_E_INVALID_CREDENTIALS, NULL);
}

/* Checks the password with the same work whoever asks. *found has a row only
 * when it fits an active account. */
static ch_err_t *check_login(ch_req_t *rq, const account_in_t *in,
                             ch_rows_t **found)
{
    const sql_auth_find_t find = { .email = in->email };
    const char *hash = NULL;
    int good = 0;
    ch_err_t *err = sql_auth_find(rq->db, &find, found);

    if (err) {
        return err;
    }
    if (ch_rows_count(*found)) {
        hash = ch_rows_text(*found, 0, "password_hash");
    }
    err = ch_password_verify(rq->pool, in->password, hash, &good);
    if (err) {
        return err;
    }
    if (good && ch_rows_bool(*found, 0, "is_active")) {
        return NULL;
    }
    return refuse_login(rq, in, *found);
}

static ch_err_t *login(ch_req_t *rq)
{
    const account_in_t *in = rq->body;
    ch_session_t session;
    ch_rows_t *found, *rows;
    sql_auth_login_t row;
    ch_err_t *err = check_login(rq, in, &found);

    if (err) {
        return err;
    }
    ch_session_draft(rq, in->session, &session);
    row = (sql_auth_login_t){
        .id = ch_rows_text(found, 0, "id"),
        .password_hash = ch_rows_text(found, 0, "password_hash"),
        .session_id = session.id,
        .kind = session.kind,
        .token_hash = session.token_hash,
        .csrf_hash = session.csrf_hash,
        .refresh_key = session.refresh_key,
        .issued = session.issued,
        .device_name = in->device_name,
        .device_type = device_types[in->device_type],
        .ip = rq->client_ip,
        .user_agent = ch_req_agent(rq),
        .request_id = rq->request_id,
    };
    err = sql_auth_login(rq->db, &row, &rows);
    if (err) {
        return err;
    }
    if (!ch_rows_count(rows)) { /* changed while we hashed */
        return refuse_login(rq, in, found);
    }
    return reply_account(rq, &session, rows, "Logged in");
}

/* --- me, csrf, change-password --------------------------------------- */

static ch_err_t *me(ch_req_t *rq)
{
    const sql_user_get_t in = { .id = rq->who->user_id };
    ch_rows_t *rows;
    ch_err_t *err = sql_user_get(rq->db, &in, &rows);

    if (err) {
        return err;
    }
    if (!ch_rows_count(rows)) { /* deleted a moment ago */
        return ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    return ch_reply_row(rq, rows, "Your account");
}

static ch_err_t *csrf(ch_req_t *rq)
{
    ch_buf_t *buf = ch_reply_begin(rq, 128);

    CH_BUF_LIT(buf, "{\"csrfToken\":");
    ch_jsonw_cstr(buf, rq->who->cookie ? ch_req_cookie(rq, CH_CSRF_COOKIE)
                                       : NULL);
    ch_buf_putc(buf, '}');
    return ch_reply_end(rq, "CSRF token");
}

static ch_err_t *change_password(ch_req_t *rq)
{
    const change_in_t *in = rq->body;
    const sql_auth_password_t find = { .id = rq->who->user_id };
    sql_auth_change_password_t row = {
        .id = rq->who->user_id,
        .keep = rq->who->session_id,
        .ip = rq->client_ip,
        .request_id = rq->request_id,
    };
    ch_rows_t *rows;
    int good = 0;
    ch_err_t *err = sql_auth_password(rq->db, &find, &rows);

    if (err) {
        return err;
    }
    row.old_hash = ch_rows_text(rows, 0, "password_hash");
    ch_password_check(rq->pool, &rq->faults, "newPassword", in->new,
                      ch_rows_text(rows, 0, "email"));
    if (rq->faults) {
        return rq->faults;
    }
    err = ch_password_verify(rq->pool, in->current, row.old_hash, &good);
    if (!err && !good) {
        err = ch_err_make(rq->pool, CH_E_INVALID_CREDENTIALS,
                          "The current password is wrong");
    }
    if (!err) {
        err = ch_password_hash(rq->pool, in->new, &row.new_hash);
    }
    if (!err) {
        err = sql_auth_change_password(rq->db, &row, &rows);
    }
    if (err) {
        return err;
    }
    if (!ch_rows_count(rows)) { /* changed meanwhile */
        return ch_err_make(rq->pool, CH_E_INVALID_CREDENTIALS, NULL);
    }
    ch_session_forget_user(rq, rq->who->user_id);
    return ch_reply_row(rq, rows, "Password changed");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_POST, .path = "/api/v1/auth/register", .auth = CH_PUBLIC,
      .rate = CH_RATE_AUTH, .ok = 201, .body = &register_in,
      .out = &account_out,
      CH_ROUTE_CODES(CH_E_EMAIL_TAKEN, CH_E_SERVICE_UNAVAILABLE),
      .handler = register_account, .tag = "Auth",
      .summary = "Create an account" },
    { .method = CH_POST, .path = "/api/v1/auth/login", .auth = CH_PUBLIC,
      .rate = CH_RATE_AUTH, .ok = 200, .body = &login_in,
      .out = &account_out,
      CH_ROUTE_CODES(CH_E_INVALID_CREDENTIALS, CH_E_SERVICE_UNAVAILABLE),
      .handler = login, .tag = "Auth", .summary = "Log in" },
    { .method = CH_GET, .path = "/api/v1/auth/me", .auth = CH_USER,
      .rate = CH_RATE_API, .flags = CH_VERSIONED | CH_NO_304, .ok = 200,
      .out = &ch_user_out, .handler = me, .tag = "Auth",
      .summary = "The caller's account" },
    { .method = CH_POST, .path = "/api/v1/auth/change-password",
      .auth = CH_USER, .rate = CH_RATE_AUTH, .ok = 200, .body = &change_in,
      .out = &ch_revoked_out,
      CH_ROUTE_CODES(CH_E_INVALID_CREDENTIALS, CH_E_SERVICE_UNAVAILABLE),
      .handler = change_password, .tag = "Auth",
      .summary = "Change the password, end all other sessions" },
    { .method = CH_GET, .path = "/api/v1/auth/csrf", .auth = CH_USER,
      .rate = CH_RATE_API, .ok = 200, .out = &csrf_out, .handler = csrf,
      .tag = "Auth", .summary = "The CSRF token of a cookie session" },
};

const ch_routes_t ch_auth_routes = CH_ROUTES(routes);
