/* Idempotency keys: a request's answer is kept in the transaction that did
 * its work, so a key is worth exactly one execution whatever dies when. */
#ifndef CH_STORE_IDEM_H
#define CH_STORE_IDEM_H

#include "store/db.h"

typedef struct {
    const char *scope; /* user id or client address */
    const char *route; /* method and canonical path */
    const char *key;
    const char *hash; /* SHA-256 of the body, hex */
    int apart; /* the work is long, and can be repeated: it is not done in the
                * transaction, so that no connection is held for it */
} ch_idem_t;

/* What was kept. */
typedef struct {
    int status;
    const char *headers; /* a JSON object of strings */
    const char *body;
} ch_idem_answer_t;

/* Opens a transaction and claims the key in it; apart: the claim is on disk,
 * for five minutes, and nothing is open. NULL and answer->status 0: do the
 * work in this transaction, or apart, then end or abandon. NULL and a status:
 * nothing is open, send this answer. IDEMPOTENCY_IN_PROGRESS,
 * IDEMPOTENCY_MISMATCH: nothing is open. */
ch_err_t *ch_idem_begin(apr_pool_t *pool, ch_db_t *db, const ch_idem_t *idem,
                        ch_idem_answer_t *answer);

/* Keeps the answer for 24 hours and commits. */
ch_err_t *ch_idem_end(apr_pool_t *pool, ch_db_t *db, const ch_idem_t *idem,
                      const ch_idem_answer_t *answer);

/* Undoes the work; the key is free again. */
void ch_idem_abandon(ch_db_t *db, const ch_idem_t *idem);

#endif
