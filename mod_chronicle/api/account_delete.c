/* The end of an account: everything that belongs to it is deleted. */
#include "api/account.h"

#include "api/api.h"
#include "api/chat.h"
#include "auth/auth.h"
#include "auth/password.h"
#include "store/sql_gen.h"
#include "web/reply.h"

/* --- inputs and outputs ----------------------------------------------- */

typedef struct {
    const char *password;
} delete_in_t;

static const ch_field_t delete_rows[] = {
    { .name = "password", CH_IN(delete_in_t, password, CH_T_SECRET),
      .flags = CH_REQUIRED | CH_WRITE_ONLY, .min = 1, .max = 1024,
      .doc = "The caller's password" },
};

static const ch_fields_t delete_in = CH_FIELDS(delete_in_t, delete_rows);

static const ch_field_t deleted_rows[] = {
    { .name = "deleted", .type = CH_T_BOOL, .doc = "true" },
};

static const ch_fields_t deleted_out = {
    .name = "DeletedAccount", .rows = deleted_rows,
    .count = (int)CH_COUNT(deleted_rows),
};

/* A user who joins rooms all the time keeps his account a while longer. */
#define TRIES 5

/* --- handler ---------------------------------------------------------- */

static ch_err_t *check_password(ch_req_t *rq, const char **hash)
{
    const delete_in_t *in = rq->body;
    const sql_auth_password_t find = { .id = rq->who->user_id };
    ch_rows_t *rows;
    int good = 0;
    ch_err_t *err = sql_auth_password(rq->db, &find, &rows);

    if (!err && !ch_rows_count(rows)) { /* deleted a moment ago */
        err = ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    if (err) {
        return err;
    }
    *hash = ch_rows_text(rows, 0, "password_hash");
    err = ch_password_verify(rq->pool, in->password, *hash, &good);
    if (!err && !good) {
        err = ch_err_make(rq->pool, CH_E_INVALID_CREDENTIALS,
                          "The password is wrong");
    }
    return err;
}

/* rest: rooms that he joined meanwhile are not locked. */
static ch_err_t *lock(ch_req_t *rq, const char *hash, apr_int64_t *rest)
{
    const sql_account_lock_t in = { .id = rq->who->user_id,
                                    .password_hash = hash };
    const sql_room_lock_all_t rooms = { .user_id = rq->who->user_id };
    const sql_room_lock_new_t more = { .user_id = rq->who->user_id };
    ch_rows_t *rows;
    ch_err_t *err = sql_account_patience(rq->db);

    if (!err) { /* rooms before users, as everybody does */
        err = sql_room_lock_all(rq->db, &rooms);
    }
    if (!err) {
        err = sql_account_lock(rq->db, &in, &rows);
    }
    if (!err) {
        err = ch_reply_fault(rq, rows, CH_E_INVALID_TOKEN);
    }
    if (!err) {
        err = sql_room_lock_new(rq->db, &more, &rows);
    }
    *rest = err ? 0 : ch_rows_int(rows, 0, "rest");
    return err;
}

/* A transaction that has all locks. */
static ch_err_t *begin(ch_req_t *rq, const char *hash)
{
    apr_int64_t rest = 1;
    ch_err_t *err = NULL;
    int tries;

    for (tries = 0; !err && rest && tries < TRIES; tries++) {
        ch_db_abandon(rq->db);
        err = ch_db_begin(rq->db);
        err = err ? err : lock(rq, hash, &rest);
    }
    return !err && rest ? ch_err_make(rq->pool, CH_E_SERVICE_UNAVAILABLE, NULL)
                        : err;
}

/* As many rows as there are choices of `what` in the statement. */
#define WHATS 7

static ch_err_t *delete_all(ch_req_t *rq)
{
    const sql_account_files_t files = { .id = rq->who->user_id };
    sql_account_empty_t table = { .id = rq->who->user_id };
    const sql_account_delete_t row = { .id = rq->who->user_id,
                                       .ip = rq->client_ip,
                                       .request_id = rq->request_id };
    const sql_account_messages_t messages = { .id = rq->who->user_id };
    ch_err_t *err = sql_account_files(rq->db, &files);

    if (!err) {
        err = ch_room_leave_all(rq);
    }
    if (!err) {
        err = sql_account_messages(rq->db, &messages);
    }
    for (table.what = 0; table.what < WHATS && !err; table.what++) {
        err = sql_account_empty(rq->db, &table);
    }
    return err ? err : sql_account_delete(rq->db, &row);
}

/* A transaction, because the parts of one statement would not see each
 * other's work (sql/queries/account.sql). */
static ch_err_t *delete_locked(ch_req_t *rq, const char *hash)
{
    ch_err_t *err = begin(rq, hash);

    if (!err) {
        err = delete_all(rq);
    }
    if (err) {
        ch_db_abandon(rq->db);
        return err;
    }
    return ch_db_commit(rq->db);
}

static ch_err_t *delete_account(ch_req_t *rq)
{
    const char *hash;
    ch_err_t *err = check_password(rq, &hash);

    if (!err) {
        err = delete_locked(rq, hash);
    }
    if (err) {
        return err;
    }
    ch_session_forget_user(rq, rq->who->user_id);
    if (ch_req_cookie(rq, CH_SESSION_COOKIE)) {
        ch_session_clear_cookies(rq);
    }
    CH_BUF_LIT(ch_reply_begin(rq, 64), "{\"deleted\":true}");
    return ch_reply_end(rq, "The account is deleted");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_DELETE, .path = "/api/v1/user/account", .auth = CH_USER,
      .rate = CH_RATE_AUTH, .flags = CH_AUTHORS, .ok = 200,
      .body = &delete_in,
      .out = &deleted_out,
      CH_ROUTE_CODES(CH_E_INVALID_CREDENTIALS, CH_E_LAST_ADMIN,
                     CH_E_SERVICE_UNAVAILABLE),
      .handler = delete_account, .tag = "User",
      .summary = "Delete the account and everything in it" },
};

const ch_routes_t ch_account_routes = CH_ROUTES(routes);
