/* Remembers verified tokens, each in one slot that its hash picks, behind
 * sequence locks: readers never wait. The whole token is compared, so a hash
 * that collides costs a check and nothing else. */
#include "auth/known.h"

#include <string.h>

#include <apr_siphash.h>
#include <apr_strings.h>

#include "base/seal.h"

#define SLOTS 2048     /* power of two */
#define TOKEN_MAX 640  /* bytes; longer ones are checked each time */

typedef struct {
    apr_uint32_t seq; /* odd while it is written */
    int conf;
    apr_uint32_t len; /* 0 = empty */
    ch_known_t known;
    char token[TOKEN_MAX];
} slot_t;

static slot_t *slots;
static unsigned char seed[APR_SIPHASH_KSIZE];

void ch_known_open(apr_pool_t *pool)
{
    ch_seal_random(seed, sizeof(seed));
    slots = apr_pcalloc(pool, sizeof(*slots) * SLOTS);
}

static slot_t *slot_of(ch_bytes_t token)
{
    /* the signature at the end differs between any two tokens */
    size_t tail = token.len > 43 ? 43 : token.len;

    return &slots[apr_siphash24(token.data + token.len - tail, tail, seed)
                  & (SLOTS - 1)];
}

int ch_known_get(int conf, ch_bytes_t token, ch_known_t *out)
{
    apr_uint32_t seq;
    slot_t *slot;
    int same;

    if (!slots || !token.len || token.len > TOKEN_MAX) {
        return 0;
    }
    slot = slot_of(token);
    seq = __atomic_load_n(&slot->seq, __ATOMIC_ACQUIRE);
    if (seq & 1) {
        return 0;
    }
    same = slot->len == token.len && slot->conf == conf
           && memcmp(slot->token, token.data, token.len) == 0;
    *out = slot->known;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return same && __atomic_load_n(&slot->seq, __ATOMIC_RELAXED) == seq;
}

void ch_known_put(int conf, ch_bytes_t token, const ch_claims_t *claims)
{
    apr_uint32_t seq;
    slot_t *slot;

    if (!slots || !token.len || token.len > TOKEN_MAX) {
        return;
    }
    slot = slot_of(token);
    seq = __atomic_load_n(&slot->seq, __ATOMIC_ACQUIRE);
    if ((seq & 1)
        || !__atomic_compare_exchange_n(&slot->seq, &seq, seq + 1, 0,
                                        __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
        return; /* somebody else writes it: next time */
    }
    slot->conf = conf;
    slot->len = (apr_uint32_t)token.len;
    slot->known.exp = claims->exp;
    apr_cpystrn(slot->known.user_id, claims->sub, CH_UUID_LEN + 1);
    apr_cpystrn(slot->known.session_id, claims->sid, CH_UUID_LEN + 1);
    memcpy(slot->token, token.data, token.len);
    __atomic_store_n(&slot->seq, seq + 2, __ATOMIC_RELEASE);
}
