/* Tokens are refreshed, sessions ended. */
#include <string.h>

#include <apr_strings.h>

#include "api/account.h"
#include "api/api.h"
#include "auth/auth.h"
#include "auth/refresh.h"
#include "base/clock.h"
#include "store/sql_gen.h"
#include "web/reply.h"

/* --- inputs and outputs ----------------------------------------------- */

typedef struct {
    const char *refresh_token;
    int all_devices;
} logout_in_t;

static const ch_field_t logout_rows[] = {
    { .name = "refreshToken",
      CH_IN(logout_in_t, refresh_token, CH_T_SECRET), .min = 1, .max = 255,
      .flags = CH_WRITE_ONLY, .doc = "In place of a credential" },
    { .name = "allDevices", CH_IN(logout_in_t, all_devices, CH_T_BOOL),
      .def = "false", .doc = "true: ends every session of the account" },
};

static const ch_fields_t logout_in = CH_FIELDS(logout_in_t, logout_rows);

typedef struct {
    const char *refresh_token;
    const char *device_name;
} refresh_in_t;

static const ch_field_t refresh_rows[] = {
    { .name = "refreshToken",
      CH_IN(refresh_in_t, refresh_token, CH_T_SECRET),
      .flags = CH_REQUIRED | CH_WRITE_ONLY, .min = 1, .max = 255,
      .doc = "The newest refresh token" },
    { .name = "deviceName", CH_IN(refresh_in_t, device_name, CH_T_STR),
      .min = 1, .max = 255, .doc = "New name of the device" },
};

static const ch_fields_t refresh_in = CH_FIELDS(refresh_in_t, refresh_rows);

static const ch_field_t refreshed_rows[] = {
    { .name = "tokens", .type = CH_T_NEST, .nested = &ch_tokens_out,
      .doc = "The tokens to use from now on" },
};

static const ch_fields_t refreshed_out = {
    .rows = refreshed_rows, .count = (int)CH_COUNT(refreshed_rows),
};

/* --- refresh ---------------------------------------------------------- */

/* Under the session's row lock: which token to answer with. A token that is
 * not the newest is a lost answer, a race or a theft. */
typedef enum { REFRESH_NEXT, REFRESH_SAME, REFRESH_REUSE } refresh_e;

static refresh_e judge(const ch_refresh_t *token, const ch_rows_t *session)
{
    apr_int64_t newest = ch_rows_int(session, 0, "refresh_counter");

    if (token->counter == newest) {
        return REFRESH_NEXT;
    }
    if (token->counter + 1 == newest || ch_rows_bool(session, 0, "recent")) {
        return REFRESH_SAME;
    }
    return REFRESH_REUSE;
}

static ch_err_t *invalid_token(ch_req_t *rq)
{
    ch_secure_failure(rq, CH_AUTH_BAD_TOKEN);
    return ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
}

static ch_err_t *expired_token(ch_req_t *rq)
{
    ch_secure_failure(rq, CH_AUTH_EXPIRED_TOKEN);
    return ch_err_make(rq->pool, CH_E_TOKEN_EXPIRED, NULL);
}

/* Reads a token and its session's row (locked inside a transaction). */
static ch_err_t *find_refresh(ch_req_t *rq, const char *text,
                              ch_refresh_t *token, ch_rows_t **session)
{
    sql_session_lock_t in;
    unsigned char key[CH_REFRESH_KEY_LEN];
    ch_err_t *err;

    if (!ch_refresh_read(rq->pool, rq->conf->refresh_key, text, strlen(text),
                         token)) {
        return invalid_token(rq);
    }
    if ((apr_int64_t)token->issued + CH_REFRESH_SECONDS
        <= apr_time_sec(rq->start)) {
        return expired_token(rq);
    }
    in = (sql_session_lock_t){ .id = token->session,
                               .counter = token->counter };
    err = sql_session_lock(rq->db, &in, session);
    if (err) {
        return err;
    }
    if (!ch_rows_count(*session) || !ch_rows_bool(*session, 0, "live")
        || !ch_session_key(ch_rows_text(*session, 0, "refresh_key"), key)
        || !ch_refresh_belongs(token, key)
        || token->counter > ch_rows_int(*session, 0, "refresh_counter")) {
        return invalid_token(rq);
    }
    return ch_rows_bool(*session, 0, "over") ? expired_token(rq) : NULL;
}

static ch_err_t *end_reused(ch_req_t *rq, const ch_refresh_t *token,
                            const ch_rows_t *session)
{
    const sql_auth_reuse_t in = {
        .id = token->session,
        .user_id = ch_rows_text(session, 0, "user_id"),
        .ip = rq->client_ip,
        .request_id = rq->request_id,
        .presented = token->counter,
        .newest = ch_rows_int(session, 0, "refresh_counter"),
    };
    ch_err_t *err = sql_auth_reuse(rq->db, &in);

    ch_secure_failure(rq, CH_AUTH_REFRESH_REUSE);
    return err;
}

static ch_err_t *advance(ch_req_t *rq, ch_tokens_t *next)
{
    const refresh_in_t *in = rq->body;
    sql_session_advance_t row = { .id = next->session_id,
                                  .device_name = in->device_name };

    next->counter++;
    next->issued = (apr_uint32_t)apr_time_sec(rq->start);
    row.issued = ch_clock_text(rq->pool, apr_time_from_sec(next->issued));
    return sql_session_advance(rq->db, &row);
}

static ch_err_t *reply_tokens(ch_req_t *rq, const ch_tokens_t *tokens)
{
    ch_buf_t *buf = ch_reply_begin(rq, 1024);

    CH_BUF_LIT(buf, "{\"tokens\":");
    ch_session_write_tokens(rq, buf, tokens);
    ch_buf_putc(buf, '}');
    return ch_reply_end(rq, "Tokens refreshed");
}

/* A transaction: what to answer is decided under the row lock, and the MAC
 * that is part of the decision is not Postgres' to compute. */
static ch_err_t *refresh_locked(ch_req_t *rq, ch_tokens_t *next, int *reused)
{
    const refresh_in_t *in = rq->body;
    ch_refresh_t *token = apr_palloc(rq->pool, sizeof(*token));
    unsigned char *key = apr_palloc(rq->pool, CH_REFRESH_KEY_LEN);
    ch_rows_t *session;
    ch_err_t *err = find_refresh(rq, in->refresh_token, token, &session);

    if (err) {
        return err;
    }
    ch_session_key(ch_rows_text(session, 0, "refresh_key"), key);
    *next = (ch_tokens_t){
        .user_id = ch_rows_text(session, 0, "user_id"),
        .email = ch_rows_text(session, 0, "email"),
        .role = ch_rows_text(session, 0, "role"),
        .session_id = token->session,
        .refresh_key = key,
        .counter = (apr_uint32_t)ch_rows_int(session, 0, "refresh_counter"),
        .issued = (apr_uint32_t)ch_rows_int(session, 0, "issued"),
    };
    switch (judge(token, session)) {
    case REFRESH_NEXT:
        return advance(rq, next);
    case REFRESH_REUSE:
        *reused = 1;
        return end_reused(rq, token, session);
    case REFRESH_SAME:
        break;
    }
    return NULL;
}

static ch_err_t *refresh(ch_req_t *rq)
{
    ch_tokens_t next;
    int reused = 0;
    ch_err_t *err = ch_db_begin(rq->db);

    if (err) {
        return err;
    }
    err = refresh_locked(rq, &next, &reused);
    if (err) {
        ch_db_rollback(rq->db);
        return err;
    }
    err = ch_db_commit(rq->db);
    if (err) {
        return err;
    }
    if (reused) {
        ch_session_forget(rq, next.session_id);
        return ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    return reply_tokens(rq, &next);
}

/* --- logout ----------------------------------------------------------- */

/* Who logs out: the caller, else whom the refresh token in the body names. */
static ch_err_t *who_leaves(ch_req_t *rq, sql_session_revoke_t *row)
{
    const logout_in_t *in = rq->body;
    ch_refresh_t *token = apr_palloc(rq->pool, sizeof(*token));
    ch_rows_t *session;
    ch_err_t *err;

    if (rq->who && (rq->who->session_id || !in->refresh_token)) {
        row->user_id = rq->who->user_id;
        row->id = rq->who->session_id;
        return NULL;
    }
    if (!in->refresh_token) {
        return rq->credential_fault
                   ? rq->credential_fault
                   : ch_err_make(rq->pool, CH_E_AUTHENTICATION_REQUIRED,
                                 NULL);
    }
    err = find_refresh(rq, in->refresh_token, token, &session);
    if (err) {
        return err->code == CH_E_TOKEN_EXPIRED ? invalid_token(rq) : err;
    }
    row->user_id = ch_rows_text(session, 0, "user_id");
    row->id = token->session;
    return NULL;
}

static ch_err_t *logout(ch_req_t *rq)
{
    const logout_in_t *in = rq->body;
    sql_session_revoke_t row = {
        .everything = in->all_devices,
        .action = "auth.logout",
        .ip = rq->client_ip,
        .request_id = rq->request_id,
    };
    ch_rows_t *rows;
    ch_err_t *err = who_leaves(rq, &row);

    if (!err) {
        /* whom another module has logged in has no session to end here */
        err = sql_session_revoke(rq->db, &row, &rows);
    }
    if (err) {
        return err;
    }
    if (in->all_devices) {
        ch_session_forget_user(rq, row.user_id);
    }
    else if (row.id) {
        ch_session_forget(rq, row.id);
    }
    if (ch_req_cookie(rq, CH_SESSION_COOKIE)) {
        ch_session_clear_cookies(rq);
    }
    return ch_reply_row(rq, rows, "Logged out");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_POST, .path = "/api/v1/auth/logout", .auth = CH_PUBLIC,
      .rate = CH_RATE_NONE, .flags = CH_KNOWS, .ok = 200, .body = &logout_in,
      .out = &ch_revoked_out,
      CH_ROUTE_CODES(CH_E_AUTHENTICATION_REQUIRED, CH_E_INVALID_TOKEN,
                     CH_E_TOKEN_EXPIRED, CH_E_CSRF_FAILED),
      .handler = logout, .tag = "Auth", .summary = "Log out" },
    { .method = CH_POST, .path = "/api/v1/auth/refresh",
      .alias = { "/api/v1/auth/refresh-token" }, .auth = CH_PUBLIC,
      .rate = CH_RATE_API, .ok = 200, .body = &refresh_in,
      .out = &refreshed_out,
      CH_ROUTE_CODES(CH_E_INVALID_TOKEN, CH_E_TOKEN_EXPIRED),
      .handler = refresh, .tag = "Auth", .summary = "Get new tokens" },
};

const ch_routes_t ch_auth_token_routes = CH_ROUTES(routes);
