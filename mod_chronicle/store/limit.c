/* Counts requests per key in a table of shared memory without locks: a
 * process that dies at any point leaves nothing locked behind. */
#include "store/limit.h"

#include <string.h>

#include <apr_siphash.h>

#include "base/steady.h"

#define BUCKETS 16384 /* power of two */
#define WAYS 8

/* state: end of the window (ticks of 1/16 second of the clock that nobody
 * sets, the upper 36 bits) and count (the lower 28) in one word, so that one
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

static apr_uint64_t clock_ticks(void)
{
    return (apr_uint64_t)ch_steady_now() * TICKS / APR_USEC_PER_SEC;
}

/* The slot of a key; a new one takes the slot whose window ends first, which
 * as a rule is over. All that is decided rests on one pass, and in it a
 * slot's window is read before its key: whoever takes a slot sets the key
 * first, so two that come with the same new key choose the same slot, and
 * one of them loses the swap and looks again. */
static slot_t *find(slot_t *bucket, apr_uint64_t key, apr_uint64_t now)
{
    for (;;) {
        apr_uint64_t best_state = 0, best_key = 0;
        slot_t *best = NULL;
        int i;

        for (i = 0; i < WAYS; i++) {
            apr_uint64_t state = load(&bucket[i].state);
            apr_uint64_t holder = load(&bucket[i].key);

            if (holder == key) {
                return &bucket[i];
            }
            if (!best || ends(state) < ends(best_state)) {
                best = &bucket[i];
                best_state = state;
                best_key = holder;
            }
        }
        if (swap(&best->key, best_key, key)) {
            if (ends(best_state) > now) { /* the bucket is overfull */
                swap(&best->state, best_state, 0);
            }
            return best;
        }
        /* somebody took it meanwhile, perhaps for this very key */
    }
}

ch_limit_state_t ch_limit_count(const void *key, size_t len, int limit,
                                int seconds)
{
    apr_uint64_t now, hash, old, new, count;
    ch_limit_state_t out = { .limit = limit,
                             .remaining = limit,
                             .reset = seconds };
    slot_t *slot;

    if (!table) {
        return out;
    }
    hash = apr_siphash24(key, len, seed) | 1;
    slot = find(table[(hash >> 8) & (BUCKETS - 1)], hash, clock_ticks());
    now = clock_ticks(); /* not older than that of whoever took the slot */
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
    count = new &COUNT_MASK;
    out.refused = count > (apr_uint64_t)limit;
    out.remaining = out.refused ? 0 : limit - (int)count;
    out.reset = (int)((ends(new) - now + TICKS - 1) / TICKS);
    return out;
}

ch_limit_state_t ch_limit_look(const void *key, size_t len, int limit,
                               int seconds)
{
    ch_limit_state_t out = { .limit = limit, .remaining = limit,
                             .reset = seconds };
    apr_uint64_t now = clock_ticks();
    apr_uint64_t hash;
    slot_t *bucket;
    int i;

    if (!table) {
        return out;
    }
    hash = apr_siphash24(key, len, seed) | 1;
    bucket = table[(hash >> 8) & (BUCKETS - 1)];
    for (i = 0; i < WAYS; i++) {
        apr_uint64_t state = load(&bucket[i].state);
        apr_uint64_t count = state & COUNT_MASK;

        if (load(&bucket[i].key) != hash || ends(state) <= now) {
            continue;
        }
        out.refused = count >= (apr_uint64_t)limit;
        out.remaining = out.refused ? 0 : limit - (int)count;
        out.reset = (int)((ends(state) - now + TICKS - 1) / TICKS);
        break;
    }
    return out;
}
