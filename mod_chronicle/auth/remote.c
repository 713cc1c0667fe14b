/* Maps the user of another module's login, by e-mail address, to an account,
 * which is made on first sight. */
#include <string.h>

#include <apr_strings.h>

#include "auth/auth.h"
#include "base/budget.h"
#include "base/seal.h"
#include "base/steady.h"
#include "base/text.h"
#include "base/uuid.h"
#include "store/sql_gen.h"

#define LINES 5 /* in the error log, of one child in LINE_SECONDS */
#define LINE_SECONDS 60

/* The key in the cache of principals: of this virtual host, whose database
 * may be another than its neighbour's. */
static void key_of(const ch_req_t *rq, const char *email,
                   unsigned char key[CH_SHA256_LEN])
{
    const char *text = apr_psprintf(rq->pool, "remote %d %s", rq->conf->id,
                                    email);

    ch_seal_hmac(rq->conf->refresh_key, sizeof(rq->conf->refresh_key), text,
                 strlen(text), key);
}

static void seat_of_row(const ch_rows_t *rows, ch_seat_t *seat)
{
    memset(seat, 0, sizeof(*seat));
    ch_uuid_bytes(ch_rows_text(rows, 0, "id"), seat->user);
    seat->expires = UINT32_MAX;
    seat->role = (unsigned char)ch_role_of(ch_rows_text(rows, 0, "role"));
    seat->verified = (unsigned char)ch_rows_bool(rows, 0, "email_verified");
    seat->remote = 1;
}

static void refuse(ch_req_t *rq, ch_code_e code, const char *why)
{
    rq->credential_fault = ch_err_make(rq->pool, code, "%s", why);
}

/* A login that can't be an account's is a matter of the configuration, so
 * the administrator is told; not with each request. */
static void refuse_name(ch_req_t *rq, const char *name)
{
    static ch_budget_t budget;

    refuse(rq, CH_E_AUTHENTICATION_REQUIRED,
           "The user of this login is not an e-mail address");
    if (ch_budget_take(&budget, ch_steady_now(), LINES, LINE_SECONDS)) {
        rq->io->log(rq, 'e', 1043,
                    apr_pstrcat(rq->pool, "ChronicleTrustRemoteUser: the "
                                "module that authenticated \"", name,
                                "\" must give an e-mail address as user",
                                NULL));
    }
}

static ch_err_t *create(ch_req_t *rq, const char *email, ch_rows_t **rows)
{
    const sql_remote_create_t in = {
        .id = ch_uuid_make(rq->pool),
        .email = email,
        .admin_email = rq->conf->admin_email,
        .ip = rq->client_ip,
        .folder_id = ch_uuid_make(rq->pool),
        .request_id = rq->request_id,
    };

    return sql_remote_create(rq->db, &in, rows);
}

/* Ends what somebody else may have prepared for whoever owns the address. */
static ch_err_t *claim(ch_req_t *rq, const char *email, ch_rows_t **rows)
{
    const sql_remote_claim_t in = {
        .email = email,
        .admin_email = rq->conf->admin_email,
        .ip = rq->client_ip,
        .request_id = rq->request_id,
    };
    ch_err_t *err = sql_remote_claim(rq->db, &in, rows);

    if (!err && ch_rows_count(*rows)) {
        ch_session_forget_user(rq, ch_rows_text(*rows, 0, "id"));
    }
    return err;
}

/* The account's row, which is made or claimed if need be; whoever else does
 * the same at this moment is found in the next round. */
static ch_err_t *find(ch_req_t *rq, const char *email, ch_rows_t **rows)
{
    const sql_remote_find_t in = { .email = email };
    int round;

    for (round = 0; round < 3; round++) {
        ch_err_t *err = sql_remote_find(rq->db, &in, rows);

        if (!err && !ch_rows_count(*rows)) {
            err = create(rq, email, rows);
        }
        else if (!err && ch_rows_bool(*rows, 0, "is_active")
                 && !ch_rows_bool(*rows, 0, "email_verified")) {
            err = claim(rq, email, rows);
        }
        if (err || ch_rows_count(*rows)) {
            return err;
        }
    }
    return ch_err_cause(rq->pool, CH_E_DATABASE_ERROR,
                        "an account comes and goes");
}

void ch_remote_identify(ch_req_t *rq)
{
    const char *name, *email;
    unsigned char key[CH_SHA256_LEN];
    apr_uint64_t epoch = ch_seat_epoch();
    ch_rows_t *rows;
    ch_seat_t seat;

    name = rq->conf->trust_remote_user ? rq->io->remote_user(rq) : NULL;
    if (!name) {
        return;
    }
    if (!ch_text_is_email(name, strlen(name))) {
        refuse_name(rq, name);
        return;
    }
    email = ch_text_lower(rq->pool, name, strlen(name));
    key_of(rq, email, key);
    if (!ch_seat_get(key, &seat) || !seat.remote) {
        rq->credential_fault = find(rq, email, &rows);
        if (rq->credential_fault) {
            return;
        }
        if (!ch_rows_bool(rows, 0, "is_active")) {
            refuse(rq, CH_E_INVALID_TOKEN, "This account is not active");
            return;
        }
        seat_of_row(rows, &seat);
        ch_seat_put(key, &seat, epoch);
    }
    ch_identify_take(rq, &seat);
    rq->who->email = email;
}
