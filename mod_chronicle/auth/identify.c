/* Finds out who calls: by bearer token, else by session cookie, else by what
 * another module of the server says. */
#include <string.h>

#include <apr_strings.h>

#include "auth/auth.h"
#include "auth/known.h"
#include "base/seal.h"
#include "base/uuid.h"
#include "store/seat.h"
#include "store/sql_gen.h"

static void fault(ch_req_t *rq, ch_code_e code)
{
    rq->credential_fault = ch_err_make(rq->pool, code, NULL);
}

static void take_token(ch_req_t *rq, const char *user_id,
                       const char *session_id)
{
    rq->who = apr_pcalloc(rq->pool, sizeof(*rq->who));
    rq->who->user_id = user_id;
    rq->who->session_id = session_id;
}

static void by_token(ch_req_t *rq, const char *text)
{
    const ch_bytes_t token = { text, strlen(text) };
    ch_known_t *known = apr_palloc(rq->pool, sizeof(*known));
    apr_int64_t now = apr_time_sec(rq->start);
    ch_claims_t claims;

    if (ch_known_get(rq->conf->id, token, known) && known->exp > now) {
        take_token(rq, known->user_id, known->session_id);
        return;
    }
    switch (ch_jwt_verify(rq->pool, rq->conf->jwt_keys,
                          rq->conf->jwt_key_count, token, now, &claims)) {
    case CH_JWT_GOOD:
        ch_known_put(rq->conf->id, token, &claims);
        take_token(rq, claims.sub, claims.sid);
        break;
    case CH_JWT_EXPIRED:
        fault(rq, CH_E_TOKEN_EXPIRED);
        break;
    case CH_JWT_BAD:
        fault(rq, CH_E_INVALID_TOKEN);
        break;
    }
}

/* A row of session_principal or session_by_cookie. */
static void seat_of_row(const ch_req_t *rq, const ch_rows_t *rows,
                        ch_seat_t *seat)
{
    const char *csrf = ch_rows_text(rows, 0, "csrf_hash");
    const char *kind = ch_rows_text(rows, 0, "kind");

    memset(seat, 0, sizeof(*seat));
    ch_uuid_bytes(ch_rows_text(rows, 0, "id"), seat->session);
    ch_uuid_bytes(ch_rows_text(rows, 0, "user_id"), seat->user);
    if (csrf) {
        ch_session_key(csrf, seat->csrf);
    }
    seat->expires = (apr_uint32_t)ch_rows_int(rows, 0, "expires");
    seat->role = (unsigned char)ch_role_of(ch_rows_text(rows, 0, "role"));
    seat->verified = (unsigned char)ch_rows_bool(rows, 0, "email_verified");
    seat->cookie = kind && *kind == 'c';
    seat->site = rq->conf->site;
}

void ch_identify_take(ch_req_t *rq, const ch_seat_t *seat)
{
    char *user = apr_palloc(rq->pool, CH_UUID_LEN + 1);
    char *session = apr_palloc(rq->pool, CH_UUID_LEN + 1);

    ch_uuid_text(seat->user, user);
    ch_uuid_text(seat->session, session);
    if (!rq->who) {
        rq->who = apr_pcalloc(rq->pool, sizeof(*rq->who));
    }
    rq->who->user_id = user;
    rq->who->session_id = seat->remote ? NULL : session;
    rq->who->role = (ch_role_e)seat->role;
    rq->who->verified = seat->verified;
    rq->who->cookie = seat->cookie;
    rq->who->sure = 1;
    memcpy(rq->who->csrf, seat->csrf, sizeof(seat->csrf));
}

/* What is kept of this session (by one of its keys) is good for this request:
 * servers of another database may sign with the same secret. */
static int find_seat(const ch_req_t *rq, const unsigned char *key,
                     ch_seat_t *seat)
{
    return rq->conf->site >= 0 && ch_seat_get(key, seat)
           && seat->site == rq->conf->site
           && seat->expires > (apr_uint32_t)apr_time_sec(rq->start);
}

/* An unknown cookie counts as no credential and is taken back. A database
 * that is away is another matter: it must not log anybody out. */
static void by_cookie(ch_req_t *rq, const char *cookie)
{
    const char *hash = ch_session_cookie_hash(rq, cookie);
    const sql_session_by_cookie_t in = { .token_hash = hash };
    apr_uint64_t epoch = ch_seat_epoch();
    unsigned char key[32];
    ch_rows_t *rows;
    ch_seat_t seat;

    ch_session_key(hash, key);
    if (find_seat(rq, key, &seat) && seat.cookie) {
        ch_identify_take(rq, &seat);
        return;
    }
    rq->credential_fault = sql_session_by_cookie(rq->db, &in, &rows);
    if (rq->credential_fault) {
        return;
    }
    if (!ch_rows_count(rows)) {
        ch_session_clear_cookies(rq);
        return;
    }
    seat_of_row(rq, rows, &seat);
    ch_seat_put(key, &seat, epoch);
    ch_identify_take(rq, &seat);
    if (ch_rows_bool(rows, 0, "touched")) {
        ch_req_set_cookie(rq, CH_SESSION_COOKIE, cookie, CH_SESSION_SECONDS,
                          1);
    }
}

ch_err_t *ch_identify_stage(ch_req_t *rq)
{
    const char *header = ch_req_header(rq, "Authorization");
    const char *cookie;

    if (header && strncasecmp(header, "Bearer", 6) == 0
        && (header[6] == ' ' || !header[6])) {
        by_token(rq, header + 6 + strspn(header + 6, " "));
        return NULL;
    }
    if (rq->route->flags & CH_ROOT) {
        return NULL;
    }
    cookie = ch_req_cookie(rq, CH_SESSION_COOKIE);
    if (cookie) {
        by_cookie(rq, cookie);
    }
    if (!rq->who && !rq->credential_fault) {
        ch_remote_identify(rq);
    }
    return NULL;
}

ch_err_t *ch_auth_be_sure(ch_req_t *rq)
{
    apr_uint64_t epoch = ch_seat_epoch();
    const sql_session_principal_t in = { .id = rq->who->session_id };
    unsigned char key[16], user[16];
    ch_rows_t *rows;
    ch_seat_t seat;
    ch_err_t *err;

    if (rq->who->sure) {
        return NULL;
    }
    ch_uuid_bytes(rq->who->session_id, key);
    ch_uuid_bytes(rq->who->user_id, user);
    if (!find_seat(rq, key, &seat)) {
        err = sql_session_principal(rq->db, &in, &rows);
        if (err) {
            return err;
        }
        if (!ch_rows_count(rows)) {
            return ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
        }
        seat_of_row(rq, rows, &seat);
        if (!seat.cookie) {
            ch_seat_put(key, &seat, epoch);
        }
    }
    if (seat.cookie || memcmp(seat.user, user, sizeof(user)) != 0) {
        return ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    ch_identify_take(rq, &seat);
    return NULL;
}
