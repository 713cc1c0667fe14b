/* Counts requests per key in a table of shared memory without locks: a
 * process that dies at any point leaves nothing locked behind. */
#include "store/limit.h"

#include <string.h>

#include <apr_siphash.h>

#define BUCKETS 16384 /* power of two */
#define WAYS 8

/* state: end of the window (ticks of 1/16 second, the upper 36 bits: good
 * until 2106) and count (the lower 28) in one word, so that one
 * compare-and-swap decides both. */
#define TICKS 16
#define COUNT_BITS 28
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

_Static_assert(CH_LIMIT_MAX < COUNT_MASK, "the count has room for any limit");

typedef struct {
    apr_uint64_t key; /* 0 = never used */
    apr_uint64_t state;
} slot_t;

static slot_t (*table)[WAYS];
static unsigned char seed[APR_SIPHASH_KSIZE];

void ch_limit_open(void *memory, const unsigned char secret[16])
{
    table = memory;
    memcpy(seed, secret, sizeof(seed));
}

size_t ch_limit_size(void)
{
    return sizeof(slot_t) * WAYS * BUCKETS;
}

static apr_uint64_t load(const apr_uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static int swap(apr_uint64_t *word, apr_uint64_t from, apr_uint64_t to)
{
    return __atomic_compare_exchange_n(word, &from, to, 0, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static apr_uint64_t ends(apr_uint64_t state)
{
    return state >> COUNT_BITS;
}

/* The slot to give to a new key: a window that is over, else the one that
 * ends first. */
static slot_t *oldest(slot_t *bucket)
{
    slot_t *best = &bucket[0];
    int i;

    for (i = 1; i < WAYS; i++) {
        if (ends(load(&bucket[i].state)) < ends(load(&best->state))) {
            best = &bucket[i];
        }
    }
    return best;
}

static slot_t *find(slot_t *bucket, apr_uint64_t key)
{
    for (;;) {
        slot_t *slot;
        apr_uint64_t old;
        int i;

        for (i = 0; i < WAYS; i++) {
            if (load(&bucket[i].key) == key) {
                return &bucket[i];
            }
        }
        slot = oldest(bucket);
        old = load(&slot->key);
        if (old != key && swap(&slot->key, old, key)) {
            __atomic_store_n(&slot->state, 0, __ATOMIC_RELEASE);
            return slot;
        }
        /* somebody took it meanwhile, perhaps for this very key: look again */
    }
}

ch_limit_state_t ch_limit_count(const void *key, size_t len, int limit,
                                int seconds)
{
    apr_uint64_t now = (apr_uint64_t)apr_time_now() * TICKS / APR_USEC_PER_SEC;
    apr_uint64_t hash, old, new, count;
    ch_limit_state_t out = { .limit = limit, .remaining = limit,
                             .reset = seconds };
    slot_t *slot;

    if (!table) {
        return out;
    }
    hash = apr_siphash24(key, len, seed) | 1;
    slot = find(table[(hash >> 8) & (BUCKETS - 1)], hash);
    do {
        old = load(&slot->state);
        if (ends(old) <= now) {
            new = (now + (apr_uint64_t)seconds * TICKS) << COUNT_BITS | 1;
        }
        else if ((old & COUNT_MASK) > (apr_uint64_t)limit) {
            new = old; /* refused already: stays, and cannot overflow */
        }
        else {
            new = old + 1;
        }
    } while (new != old && !swap(&slot->state, old, new));
    count = new & COUNT_MASK;
    out.refused = count > (apr_uint64_t)limit;
    out.remaining = out.refused ? 0 : limit - (int)count;
    out.reset = (int)((ends(new) - now + TICKS - 1) / TICKS);
    return out;
}
