/* Remembers addresses, each in the one slot that its account's id picks,
 * behind sequence locks: readers never wait. */
#include "auth/email.h"

#include <string.h>

#include <apr_strings.h>

#include "auth/auth.h"
#include "base/uuid.h"
#include "store/sql_gen.h"

#define SLOTS 1024 /* power of two */

typedef struct {
    apr_uint32_t seq; /* odd while it is written */
    unsigned char user[16];
    char email[CH_EMAIL_MAX + 1]; /* empty = nobody */
} slot_t;

static slot_t *slots;

/* The table goes with its pool. */
static apr_status_t shut(void *unused)
{
    slots = NULL;
    return APR_SUCCESS;
}

void ch_email_open(apr_pool_t *pool)
{
    slots = apr_pcalloc(pool, sizeof(*slots) * SLOTS);
    apr_pool_cleanup_register(pool, NULL, shut, apr_pool_cleanup_null);
}

static slot_t *slot_of(const unsigned char user[16])
{
    apr_uint64_t tail;

    memcpy(&tail, user + 8, sizeof(tail)); /* the random half of a UUIDv7 */
    tail *= UINT64_C(0x9e3779b97f4a7c15);
    return &slots[tail >> 48 & (SLOTS - 1)];
}

int ch_email_get(const unsigned char user[16], char *out)
{
    apr_uint32_t seq;
    slot_t *slot;
    int same;

    if (!slots) {
        return 0;
    }
    slot = slot_of(user);
    seq = __atomic_load_n(&slot->seq, __ATOMIC_ACQUIRE);
    if (seq & 1) {
        return 0;
    }
    same = memcmp(slot->user, user, 16) == 0;
    memcpy(out, slot->email, sizeof(slot->email));
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return same && __atomic_load_n(&slot->seq, __ATOMIC_RELAXED) == seq
           && *out;
}

void ch_email_put(const unsigned char user[16], const char *email)
{
    apr_uint32_t seq;
    slot_t *slot;

    if (!slots || strlen(email) > CH_EMAIL_MAX) {
        return;
    }
    slot = slot_of(user);
    seq = __atomic_load_n(&slot->seq, __ATOMIC_ACQUIRE);
    if ((seq & 1)
        || !__atomic_compare_exchange_n(&slot->seq, &seq, seq + 1, 0,
                                        __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
        return; /* somebody else writes it: next time */
    }
    memcpy(slot->user, user, 16);
    apr_cpystrn(slot->email, email, sizeof(slot->email));
    __atomic_store_n(&slot->seq, seq + 2, __ATOMIC_RELEASE);
}

ch_err_t *ch_auth_email(ch_req_t *rq)
{
    const sql_auth_email_t in = { .id = rq->who->user_id };
    char *email = apr_palloc(rq->pool, CH_EMAIL_MAX + 1);
    unsigned char id[16];
    ch_rows_t *rows;
    ch_err_t *err;

    ch_uuid_bytes(rq->who->user_id, id);
    if (!rq->who->email && ch_email_get(id, email)) {
        rq->who->email = email;
    }
    if (rq->who->email) {
        return NULL;
    }
    err = sql_auth_email(rq->db, &in, &rows);
    if (err) {
        return err;
    }
    if (!ch_rows_count(rows)) { /* deleted a moment ago */
        return ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    rq->who->email = ch_rows_text(rows, 0, "email");
    ch_email_put(id, rq->who->email);
    return NULL;
}
