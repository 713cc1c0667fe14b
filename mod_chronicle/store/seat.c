/* Keeps principals in shared memory behind sequence locks: readers never
 * wait, a writer that finds a slot taken does without. */
#include "store/seat.h"

#include <string.h>

#include "base/steady.h"
#include "base/words.h"

#define BUCKETS 8192 /* power of two */
#define WAYS 4

typedef struct {
    apr_uint64_t until; /* seconds; 0 = empty */
    unsigned char key[16];
    ch_seat_t seat;
} entry_t;

/* seq is odd while the slot is being written. Who drops entries does not wait
 * for a writer but adds 2, which tells him that what he writes is out of date.
 * A writer that died leaves an odd number: the slot is then never read again,
 * which costs one slot and nothing else. */
typedef struct {
    apr_uint64_t seq;
    entry_t entry;
} slot_t;

typedef struct {
    apr_uint64_t epoch;
    slot_t slots[BUCKETS][WAYS];
} room_t;

static room_t *room;

void ch_seat_open(void *memory)
{
    room = memory;
}

size_t ch_seat_size(void)
{
    return sizeof(room_t);
}

static slot_t *bucket_of(const unsigned char key[16])
{
    apr_uint64_t tail;

    memcpy(&tail, key + 8, sizeof(tail)); /* the random half of a UUIDv7 */
    tail *= UINT64_C(0x9e3779b97f4a7c15);
    return room->slots[tail >> 51 & (BUCKETS - 1)];
}

static apr_uint64_t now_seconds(void)
{
    return (apr_uint64_t)apr_time_sec(ch_steady_now());
}

static apr_uint64_t seq_of(const slot_t *slot)
{
    return __atomic_load_n(&slot->seq, __ATOMIC_SEQ_CST);
}

/* A consistent copy of a slot's entry; 0 when it was being written. */
static int copy_entry(const slot_t *slot, entry_t *out)
{
    apr_uint64_t seq = seq_of(slot);

    if (seq & 1) {
        return 0;
    }
    ch_words_read(out, &slot->entry, sizeof(*out));
    return seq_of(slot) == seq;
}

int ch_seat_get(const unsigned char key[16], ch_seat_t *out)
{
    const slot_t *bucket;
    entry_t copy;
    int i;

    if (!room) {
        return 0;
    }
    bucket = bucket_of(key);
    for (i = 0; i < WAYS; i++) {
        if (copy_entry(&bucket[i], &copy) && copy.until
            && memcmp(copy.key, key, 16) == 0) {
            if (copy.until <= now_seconds()) {
                return 0;
            }
            *out = copy.seat;
            return 1;
        }
    }
    return 0;
}

apr_uint64_t ch_seat_epoch(void)
{
    return room ? __atomic_load_n(&room->epoch, __ATOMIC_SEQ_CST) : 0;
}

static void empty(slot_t *slot)
{
    __atomic_store_n(&slot->entry.until, 0, __ATOMIC_RELEASE);
}

static int swap_seq(slot_t *slot, apr_uint64_t from, apr_uint64_t to)
{
    return __atomic_compare_exchange_n(&slot->seq, &from, to, 0,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Takes a slot for writing: its new, odd seq, or 0 when somebody has it. */
static apr_uint64_t lock_slot(slot_t *slot)
{
    apr_uint64_t seq = seq_of(slot);

    return !(seq & 1) && swap_seq(slot, seq, seq + 1) ? seq + 1 : 0;
}

/* Lets go of it. If something was dropped meanwhile, what was written may be
 * older than that, and goes. */
static void unlock_slot(slot_t *slot, apr_uint64_t seq)
{
    while (!swap_seq(slot, seq, seq + 1)) {
        empty(slot);
        seq = seq_of(slot);
    }
}

/* The key's own slot, else the one that goes stale first; not one that is
 * being written, whose writer may be dead. NULL when all four are. What is
 * read here may be half written, and only guides the choice. */
static slot_t *slot_for(const unsigned char key[16])
{
    slot_t *bucket = bucket_of(key);
    slot_t *best = NULL;
    apr_uint64_t least = 0;
    entry_t copy;
    int i;

    for (i = 0; i < WAYS; i++) {
        if (seq_of(&bucket[i]) & 1) {
            continue;
        }
        ch_words_read(&copy, &bucket[i].entry, sizeof(copy));
        if (memcmp(copy.key, key, 16) == 0) {
            return &bucket[i];
        }
        if (!best || copy.until < least) {
            best = &bucket[i];
            least = copy.until;
        }
    }
    return best;
}

void ch_seat_put(const unsigned char key[16], const ch_seat_t *seat,
                 apr_uint64_t epoch)
{
    entry_t entry = { .seat = *seat };
    apr_uint64_t seq;
    slot_t *slot;

    if (!room) {
        return;
    }
    slot = slot_for(key);
    seq = slot ? lock_slot(slot) : 0;
    if (!seq) {
        return;
    }
    /* The slot is ours: a drop that comes from now on marks it, one that came
     * before has moved the epoch. */
    if (ch_seat_epoch() == epoch) {
        memcpy(entry.key, key, 16);
        entry.until = now_seconds() + CH_SEAT_SECONDS;
        ch_words_write(&slot->entry, &entry, sizeof(entry));
    }
    unlock_slot(slot, seq);
}

/* Whether what is in a slot, which nobody writes, is to go: it holds this id,
 * or anything (NULL). */
static int is_meant(const slot_t *slot, size_t offset,
                    const unsigned char id[16])
{
    entry_t copy;

    if (!__atomic_load_n(&slot->entry.until, __ATOMIC_ACQUIRE)) {
        return 0;
    }
    ch_words_read(&copy, &slot->entry, sizeof(copy));
    return !id || memcmp((const char *)&copy.seat + offset, id, 16) == 0;
}

/* Empties a slot if it is meant. One that is being written may be about to:
 * its writer, who may have looked at the epoch before it moved, is told. */
static void empty_if(slot_t *slot, size_t offset, const unsigned char id[16])
{
    for (;;) {
        apr_uint64_t seq = seq_of(slot);

        if (seq & 1) {
            if (swap_seq(slot, seq, seq + 2)) {
                return;
            }
            continue;
        }
        if (!is_meant(slot, offset, id)) {
            if (seq_of(slot) == seq) {
                return; /* nobody wrote while we looked */
            }
            continue;
        }
        seq = lock_slot(slot);
        if (seq) {
            empty(slot);
            unlock_slot(slot, seq);
            return;
        }
    }
}

static void drop(size_t offset, const unsigned char id[16])
{
    slot_t *slot, *end;

    if (!room) {
        return;
    }
    __atomic_fetch_add(&room->epoch, 1, __ATOMIC_SEQ_CST);
    slot = &room->slots[0][0];
    end = slot + (size_t)BUCKETS * WAYS;
    for (; slot < end; slot++) {
        empty_if(slot, offset, id);
    }
}

void ch_seat_drop_session(const unsigned char session[16])
{
    drop(offsetof(ch_seat_t, session), session);
}

void ch_seat_drop_user(const unsigned char user[16])
{
    drop(offsetof(ch_seat_t, user), user);
}

void ch_seat_drop_all(void)
{
    drop(0, NULL);
}
