/* Claims idempotency keys and keeps answers. */
#include "store/idem.h"

#include <string.h>

#include "store/sql_gen.h"

static ch_err_t *in_progress(apr_pool_t *pool)
{
    ch_err_t *err = ch_err_make(pool, CH_E_IDEMPOTENCY_IN_PROGRESS, NULL);

    err->retry_after = 1;
    return err;
}

/* Looks for a kept answer. A row without a status is a claim. */
static ch_err_t *look(apr_pool_t *pool, ch_db_t *db, const ch_idem_t *idem,
                      ch_idem_answer_t *answer)
{
    const sql_idem_get_t get = { .scope = idem->scope, .route = idem->route,
                                 .key = idem->key };
    ch_rows_t *rows;
    ch_err_t *err = sql_idem_get(db, &get, &rows);

    if (err || !ch_rows_count(rows)) {
        return err;
    }
    if (strcmp(ch_rows_text(rows, 0, "body_hash"), idem->hash) != 0) {
        return ch_err_make(pool, CH_E_IDEMPOTENCY_MISMATCH, NULL);
    }
    if (!ch_rows_text(rows, 0, "status")) {
        return in_progress(pool);
    }
    answer->status = (int)ch_rows_int(rows, 0, "status");
    answer->headers = ch_rows_text(rows, 0, "headers");
    answer->body = ch_rows_text(rows, 0, "body");
    return NULL;
}

/* The lock and the look are two statements: the look needs a snapshot taken
 * after the lock, or it could miss the answer of the one that held it. */
static ch_err_t *claim(apr_pool_t *pool, ch_db_t *db, const ch_idem_t *idem,
                       ch_idem_answer_t *answer)
{
    const sql_idem_lock_t lock = { .scope = idem->scope, .route = idem->route,
                                   .key = idem->key };
    ch_rows_t *rows;
    ch_err_t *err;

    err = sql_idem_lock(db, &lock, &rows);
    if (err) {
        return err;
    }
    return ch_rows_bool(rows, 0, "free") ? look(pool, db, idem, answer)
                                         : in_progress(pool);
}

/* --- apart ------------------------------------------------------------ */

static ch_err_t *claim_apart(apr_pool_t *pool, ch_db_t *db,
                             const ch_idem_t *idem, ch_idem_answer_t *answer)
{
    const sql_idem_claim_t in = { .scope = idem->scope, .route = idem->route,
                                  .key = idem->key, .body_hash = idem->hash };
    apr_int64_t claimed = 0;
    ch_err_t *err = sql_idem_claim(db, &in, &claimed);

    if (err || claimed) {
        return err;
    }
    err = look(pool, db, idem, answer);
    return err || answer->status ? err : in_progress(pool); /* dropped now */
}

/* --- from outside ----------------------------------------------------- */

ch_err_t *ch_idem_begin(apr_pool_t *pool, ch_db_t *db, const ch_idem_t *idem,
                        ch_idem_answer_t *answer)
{
    ch_err_t *err;

    answer->status = 0;
    if (idem->apart) {
        return claim_apart(pool, db, idem, answer);
    }
    err = ch_db_begin(db);
    if (err) {
        return err;
    }
    err = claim(pool, db, idem, answer);
    if (err || answer->status) {
        ch_db_rollback(db);
    }
    return err;
}

ch_err_t *ch_idem_end(apr_pool_t *pool, ch_db_t *db, const ch_idem_t *idem,
                      const ch_idem_answer_t *answer)
{
    const sql_idem_put_t put = {
        .scope = idem->scope,
        .route = idem->route,
        .key = idem->key,
        .body_hash = idem->hash,
        .status = answer->status,
        .headers = answer->headers,
        .body = answer->body,
    };
    apr_int64_t kept = 0;
    ch_err_t *err = sql_idem_put(db, &put, &kept);

    if (idem->apart) {
        if (err) { /* what cannot be kept can be done again */
            ch_idem_abandon(db, idem);
        }
        return err;
    }
    if (!err && !kept) {
        err = in_progress(pool);
    }
    if (err) {
        ch_db_rollback(db);
        return err;
    }
    return ch_db_commit(db);
}

void ch_idem_abandon(ch_db_t *db, const ch_idem_t *idem)
{
    const sql_idem_drop_t drop = { .scope = idem->scope, .route = idem->route,
                                   .key = idem->key, .body_hash = idem->hash };

    if (idem->apart) {
        sql_idem_drop(db, &drop);
    }
    else {
        ch_db_rollback(db);
    }
}
