/* Remembers verified tokens, each in one slot that its hash picks, behind
 * sequence locks: readers never wait. The whole token is compared, so a hash
 * that collides costs a check and nothing else. */
#include "auth/known.h"

#include <string.h>

#include <apr_siphash.h>
#include <apr_strings.h>

#include "base/seal.h"
#include "base/words.h"

#define SLOTS 2048     /* power of two */
#define TOKEN_MAX 640  /* bytes; longer ones are checked each time */

typedef struct {
    int conf;
    apr_uint32_t len; /* 0 = empty */
    ch_known_t known;
    char token[TOKEN_MAX];
} entry_t;

typedef struct {
    apr_uint64_t seq; /* odd while it is written */
    entry_t entry;
} slot_t;

_Static_assert(sizeof(entry_t) % 8 == 0
                   && offsetof(entry_t, token) % 8 == 0,
               "an entry is copied in words");

#define HEAD offsetof(entry_t, token)

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

/* Bytes of an entry with a token of this length, in whole words. */
static size_t entry_size(size_t len)
{
    return HEAD + (len + 7) / 8 * 8;
}

int ch_known_get(int conf, ch_bytes_t token, ch_known_t *out)
{
    apr_uint64_t seq;
    entry_t entry;
    slot_t *slot;

    if (!slots || !token.len || token.len > TOKEN_MAX) {
        return 0;
    }
    slot = slot_of(token);
    seq = __atomic_load_n(&slot->seq, __ATOMIC_ACQUIRE);
    if (seq & 1) {
        return 0;
    }
    ch_words_read(&entry, &slot->entry, entry_size(token.len));
    if (__atomic_load_n(&slot->seq, __ATOMIC_RELAXED) != seq
        || entry.len != token.len || entry.conf != conf
        || memcmp(entry.token, token.data, token.len) != 0) {
        return 0;
    }
    *out = entry.known;
    return 1;
}

void ch_known_put(int conf, ch_bytes_t token, const ch_claims_t *claims)
{
    apr_uint64_t seq;
    entry_t entry;
    slot_t *slot;

    if (!slots || !token.len || token.len > TOKEN_MAX) {
        return;
    }
    memset(&entry, 0, entry_size(token.len));
    entry.conf = conf;
    entry.len = (apr_uint32_t)token.len;
    entry.known.exp = claims->exp;
    apr_cpystrn(entry.known.user_id, claims->sub, CH_UUID_LEN + 1);
    apr_cpystrn(entry.known.session_id, claims->sid, CH_UUID_LEN + 1);
    memcpy(entry.token, token.data, token.len);
    slot = slot_of(token);
    seq = __atomic_load_n(&slot->seq, __ATOMIC_ACQUIRE);
    if ((seq & 1)
        || !__atomic_compare_exchange_n(&slot->seq, &seq, seq + 1, 0,
                                        __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
        return; /* somebody else writes it: next time */
    }
    ch_words_write(&slot->entry, &entry, entry_size(token.len));
    __atomic_store_n(&slot->seq, seq + 2, __ATOMIC_RELEASE);
}
