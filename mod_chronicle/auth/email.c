/* Remembers addresses, each in the one slot that its account's id picks,
 * behind sequence locks: readers never wait. */
#include "auth/email.h"

#include <string.h>

#include <apr_strings.h>

#include "auth/auth.h"
#include "base/uuid.h"
#include "base/words.h"
#include "store/sql_gen.h"

#define SLOTS 1024 /* power of two */

typedef struct {
    unsigned char user[16];
    char email[(CH_EMAIL_MAX + 8) / 8 * 8]; /* empty = nobody */
} entry_t;

typedef struct {
    apr_uint64_t seq; /* odd while it is written */
    entry_t entry;
} slot_t;

_Static_assert(sizeof(entry_t) % 8 == 0, "an entry is copied in words");

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
    apr_uint64_t seq;
    entry_t entry;
    slot_t *slot;

    if (!slots) {
        return 0;
    }
    slot = slot_of(user);
    seq = __atomic_load_n(&slot->seq, __ATOMIC_ACQUIRE);
    if (seq & 1) {
        return 0;
    }
    ch_words_read(&entry, &slot->entry, sizeof(entry));
    if (__atomic_load_n(&slot->seq, __ATOMIC_RELAXED) != seq
        || memcmp(entry.user, user, 16) != 0 || !*entry.email) {
        return 0;
    }
    memcpy(out, entry.email, strlen(entry.email) + 1);
    return 1;
}

void ch_email_put(const unsigned char user[16], const char *email)
{
    apr_uint64_t seq;
    entry_t entry;
    slot_t *slot;

    if (!slots || strlen(email) > CH_EMAIL_MAX) {
        return;
    }
    memset(&entry, 0, sizeof(entry));
    memcpy(entry.user, user, 16);
    apr_cpystrn(entry.email, email, sizeof(entry.email));
    slot = slot_of(user);
    seq = __atomic_load_n(&slot->seq, __ATOMIC_ACQUIRE);
    if ((seq & 1)
        || !__atomic_compare_exchange_n(&slot->seq, &seq, seq + 1, 0,
                                        __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
        return; /* somebody else writes it: next time */
    }
    ch_words_write(&slot->entry, &entry, sizeof(entry));
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
