/* Keeps answers in a ring in shared memory. */
#include "store/cache.h"

#include <string.h>

#include "base/steady.h"
#include "base/words.h"

#define WAYS 4
#define BYTES_PER_SLOT 2048 /* an answer is longer, as a rule */
#define SHARE 16            /* of the ring, that one answer may take */

/* Positions count bytes since the beginning: position modulo size is where
 * they lie, and what is more than size behind `head` has been overwritten. */
typedef struct {
    unsigned char key[CH_CACHE_KEY];
    apr_uint64_t at;
    apr_uint64_t sum; /* of the bytes: a writer that slept while the ring
                       * went round may have spoiled them */
    apr_uint32_t head_len;
    apr_uint32_t body_len;
    apr_uint32_t until; /* seconds; 0 = empty */
    apr_uint32_t pad;
} entry_t;

/* seq is odd while the entry is being written, and for ever when its writer
 * died: that costs one slot and nothing else. */
typedef struct {
    apr_uint64_t seq;
    entry_t entry;
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
    room = bytes >= CH_WORD ? memory : NULL;
    if (room) {
        room->size = bytes / CH_WORD * CH_WORD;
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
    return (apr_uint32_t)apr_time_sec(ch_steady_now());
}

static apr_uint64_t load(const apr_uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

/* Whether these bytes are not overwritten yet. */
static int is_there(const entry_t *entry)
{
    return entry->at + room->size >= load(&room->head);
}

/* A consistent copy of a slot's entry; 0 when it was being written. */
static int copy_entry(const slot_t *slot, entry_t *out)
{
    apr_uint64_t seq = load(&slot->seq);

    if (seq & 1) {
        return 0;
    }
    ch_words_read(out, &slot->entry, sizeof(*out));
    return load(&slot->seq) == seq;
}

/* Copies an answer out of the ring; 0 when it was overwritten meanwhile. */
static int copy_answer(apr_pool_t *pool, const entry_t *entry, ch_kept_t *out)
{
    size_t head_len = entry->head_len;
    size_t body_len = entry->body_len;
    char *head = apr_palloc(pool, head_len + body_len + 2);
    char *body = head + head_len + 1;
    const char *from = ring + entry->at % room->size;
    apr_uint64_t sum = ch_words_read_sum(head, from, head_len, 0);

    sum = ch_words_read_sum(body, from + ch_words_size(head_len), body_len,
                            sum);
    head[head_len] = '\0';
    body[body_len] = '\0';
    out->head = (ch_bytes_t){ head, head_len };
    out->body = (ch_bytes_t){ body, body_len };
    return is_there(entry) && sum == entry->sum;
}

int ch_cache_get(apr_pool_t *pool, const unsigned char key[CH_CACHE_KEY],
                 ch_kept_t *out)
{
    const slot_t *bucket;
    entry_t entry;
    int i;

    if (!room) {
        return 0;
    }
    bucket = bucket_of(key);
    for (i = 0; i < WAYS; i++) {
        if (copy_entry(&bucket[i], &entry) && entry.until > now_seconds()
            && memcmp(entry.key, key, CH_CACHE_KEY) == 0 && is_there(&entry)
            && copy_answer(pool, &entry, out)) {
            return 1;
        }
    }
    return 0;
}

/* Takes len bytes of the ring in one piece: a piece that would pass the end
 * begins anew at the start. */
static apr_uint64_t reserve(size_t len)
{
    apr_uint64_t head = load(&room->head);
    apr_uint64_t at;

    do {
        at = head;
        if (at % room->size + len > room->size) {
            at += room->size - at % room->size;
        }
    } while (!__atomic_compare_exchange_n(&room->head, &head, at + len, 0,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return at;
}

/* The key's own slot, else an empty one, else the one whose answer goes first;
 * not one that is being written, whose writer may be dead. NULL when all
 * are. What is read here may be half written, and only guides the choice. */
static slot_t *slot_for(const unsigned char *key)
{
    slot_t *bucket = bucket_of(key);
    slot_t *best = NULL;
    apr_uint64_t least = 0;
    entry_t entry;
    int i;

    for (i = 0; i < WAYS; i++) {
        if (load(&bucket[i].seq) & 1) {
            continue;
        }
        ch_words_read(&entry, &bucket[i].entry, sizeof(entry));
        if (!entry.until /* they fill up in order */
            || memcmp(entry.key, key, CH_CACHE_KEY) == 0) {
            return &bucket[i];
        }
        if (!best || entry.at < least) {
            best = &bucket[i];
            least = entry.at;
        }
    }
    return best;
}

/* Puts the bytes into the ring: entry->at, entry->sum. */
static void store(const ch_kept_t *kept, entry_t *entry)
{
    size_t head_size = ch_words_size(kept->head.len);
    char *to;

    entry->at = reserve(head_size + ch_words_size(kept->body.len));
    to = ring + entry->at % room->size;
    entry->sum = ch_words_write_sum(to, kept->head.data, kept->head.len, 0);
    entry->sum = ch_words_write_sum(to + head_size, kept->body.data,
                                    kept->body.len, entry->sum);
}

static void write_entry(slot_t *slot, const entry_t *entry)
{
    apr_uint64_t seq = load(&slot->seq);

    if ((seq & 1)
        || !__atomic_compare_exchange_n(&slot->seq, &seq, seq + 1, 0,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        return; /* somebody else keeps an answer there; his is as good */
    }
    ch_words_write(&slot->entry, entry, sizeof(*entry));
    __atomic_store_n(&slot->seq, seq + 2, __ATOMIC_SEQ_CST);
}

void ch_cache_put(const unsigned char key[CH_CACHE_KEY], const ch_kept_t *kept,
                  int seconds)
{
    entry_t entry = { .head_len = (apr_uint32_t)kept->head.len,
                      .body_len = (apr_uint32_t)kept->body.len };
    slot_t *slot;

    if (!room || kept->head.len + kept->body.len > room->size / SHARE) {
        return;
    }
    memcpy(entry.key, key, CH_CACHE_KEY);
    entry.until = now_seconds() + (apr_uint32_t)seconds;
    store(kept, &entry);
    slot = slot_for(key);
    if (slot) {
        write_entry(slot, &entry);
    }
}
