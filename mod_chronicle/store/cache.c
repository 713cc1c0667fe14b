/* Keeps answers in a ring in shared memory. */
#include "store/cache.h"

#include <string.h>

#define WAYS 4
#define BYTES_PER_SLOT 2048 /* an answer is longer, as a rule */
#define SHARE 16            /* of the ring, that one answer may take */

/* Positions count bytes since the beginning: position modulo size is where
 * they lie, and what is more than size behind `head` has been overwritten. */
typedef struct {
    apr_uint32_t seq; /* odd while it is being written */
    apr_uint32_t until;
    unsigned char key[CH_CACHE_KEY];
    apr_uint64_t at;
    apr_uint64_t sum; /* of the bytes: a writer that slept while the ring
                       * went round may have spoiled them */
    apr_uint32_t head_len;
    apr_uint32_t body_len;
} slot_t;

typedef struct {
    apr_uint64_t head; /* where the next answer goes */
    apr_uint64_t size;
    apr_uint64_t buckets; /* a power of two */
    apr_uint64_t pad[5];
    slot_t slots[];
} room_t;

static room_t *room;
static char *ring;

static size_t bucket_count(size_t bytes)
{
    size_t count = 1;

    while (count * WAYS * BYTES_PER_SLOT < bytes) {
        count *= 2;
    }
    return count;
}

static size_t index_size(size_t bytes)
{
    return sizeof(room_t) + bucket_count(bytes) * WAYS * sizeof(slot_t);
}

size_t ch_cache_size(size_t bytes)
{
    return bytes ? index_size(bytes) + bytes : 0;
}

void ch_cache_open(void *memory, size_t bytes)
{
    room = bytes ? memory : NULL;
    if (room) {
        room->size = bytes;
        room->buckets = bucket_count(bytes);
        ring = (char *)memory + index_size(bytes);
    }
}

static slot_t *bucket_of(const unsigned char *key)
{
    apr_uint64_t n;

    memcpy(&n, key, sizeof(n));
    return &room->slots[(n & (room->buckets - 1)) * WAYS];
}

static apr_uint32_t now_seconds(void)
{
    return (apr_uint32_t)apr_time_sec(apr_time_now());
}

static apr_uint64_t head_now(void)
{
    return __atomic_load_n(&room->head, __ATOMIC_SEQ_CST);
}

static int is_there(const slot_t *slot)
{
    return slot->at + room->size >= head_now();
}

/* A consistent copy of a slot; 0 when it was being written. */
static int copy_slot(const slot_t *slot, slot_t *out)
{
    apr_uint32_t seq = __atomic_load_n(&slot->seq, __ATOMIC_ACQUIRE);

    if (seq & 1) {
        return 0;
    }
    memcpy(out, slot, sizeof(*out));
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&slot->seq, __ATOMIC_RELAXED) == seq;
}

static apr_uint64_t mix(apr_uint64_t sum, apr_uint64_t word)
{
    sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 32;
}

/* Tells bytes that were overwritten from those that were put there; against
 * accidents only. Four sums at a time, because a processor can. */
static apr_uint64_t add_up(apr_uint64_t sum, const char *data, size_t len)
{
    apr_uint64_t sums[4] = { sum, 1, 2, 3 };
    apr_uint64_t words[4];
    size_t i;

    for (; len >= sizeof(words); len -= sizeof(words)) {
        memcpy(words, data, sizeof(words));
        for (i = 0; i < CH_COUNT(sums); i++) {
            sums[i] = mix(sums[i], words[i]);
        }
        data += sizeof(words);
    }
    memset(words, 0, sizeof(words));
    memcpy(words, data, len);
    for (i = 0; i < CH_COUNT(sums); i++) {
        sums[0] = mix(sums[0], mix(sums[i], words[i]));
    }
    return mix(sums[0], len);
}

/* Copies an answer out of the ring; 0 when it was overwritten meanwhile. */
static int copy_answer(apr_pool_t *pool, const slot_t *slot, ch_kept_t *out)
{
    char *copy = apr_palloc(pool, (size_t)slot->head_len + slot->body_len + 2);
    const char *from = ring + slot->at % room->size;
    char *body = copy + slot->head_len + 1;

    memcpy(copy, from, slot->head_len);
    memcpy(body, from + slot->head_len, slot->body_len);
    copy[slot->head_len] = '\0';
    body[slot->body_len] = '\0';
    out->head = (ch_bytes_t){ copy, slot->head_len };
    out->body = (ch_bytes_t){ body, slot->body_len };
    return is_there(slot)
           && add_up(add_up(0, copy, slot->head_len), body, slot->body_len)
                  == slot->sum;
}

int ch_cache_get(apr_pool_t *pool, const unsigned char key[CH_CACHE_KEY],
                 ch_kept_t *out)
{
    const slot_t *bucket;
    slot_t slot;
    int i;

    if (!room) {
        return 0;
    }
    bucket = bucket_of(key);
    for (i = 0; i < WAYS; i++) {
        if (copy_slot(&bucket[i], &slot) && slot.until
            && memcmp(slot.key, key, CH_CACHE_KEY) == 0) {
            break;
        }
    }
    return i < WAYS && slot.until > now_seconds() && is_there(&slot)
           && copy_answer(pool, &slot, out);
}

/* Takes len bytes of the ring in one piece: a piece that would pass the end
 * begins anew at the start. */
static apr_uint64_t reserve(size_t len)
{
    apr_uint64_t head = head_now();
    apr_uint64_t at;

    do {
        at = head;
        if (at % room->size + len > room->size) {
            at += room->size - at % room->size;
        }
    } while (!__atomic_compare_exchange_n(&room->head, &head, at + len, 0,
                                          __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    return at;
}

/* The key's own slot, else the one whose answer goes first. */
static slot_t *slot_for(const unsigned char *key)
{
    slot_t *bucket = bucket_of(key);
    slot_t *best = bucket;
    int i;

    for (i = 0; i < WAYS; i++) {
        if (memcmp(bucket[i].key, key, CH_CACHE_KEY) == 0) {
            return &bucket[i];
        }
        if (bucket[i].at < best->at) {
            best = &bucket[i];
        }
    }
    return best;
}

/* Puts the bytes into the ring: their position. */
static apr_uint64_t store(const ch_kept_t *kept)
{
    apr_uint64_t at = reserve(kept->head.len + kept->body.len);
    char *to = ring + at % room->size;

    memcpy(to, kept->head.data, kept->head.len);
    memcpy(to + kept->head.len, kept->body.data, kept->body.len);
    return at;
}

void ch_cache_put(const unsigned char key[CH_CACHE_KEY],
                  const ch_kept_t *kept, int seconds)
{
    apr_uint64_t at;
    apr_uint32_t seq;
    slot_t *slot;

    if (!room || kept->head.len + kept->body.len > room->size / SHARE) {
        return;
    }
    at = store(kept);
    slot = slot_for(key);
    seq = __atomic_load_n(&slot->seq, __ATOMIC_SEQ_CST);
    if ((seq & 1)
        || !__atomic_compare_exchange_n(&slot->seq, &seq, seq + 1, 0,
                                        __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
        return; /* somebody else keeps an answer there; his is as good */
    }
    memcpy(slot->key, key, CH_CACHE_KEY);
    slot->at = at;
    slot->head_len = (apr_uint32_t)kept->head.len;
    slot->body_len = (apr_uint32_t)kept->body.len;
    slot->sum = add_up(add_up(0, kept->head.data, kept->head.len),
                       kept->body.data, kept->body.len);
    slot->until = now_seconds() + (apr_uint32_t)seconds;
    __atomic_store_n(&slot->seq, seq + 2, __ATOMIC_SEQ_CST);
}
