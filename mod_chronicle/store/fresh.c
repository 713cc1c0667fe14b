/* Counts writes per user, in shared memory. */
#include "store/fresh.h"

#include <string.h>

#include "base/steady.h"

/* Of `state` the lower half counts the writers at work now, the upper half is
 * the second until which a write is in doubt. */
typedef struct {
    apr_uint64_t version;
    apr_uint64_t state;
} slot_t;

#define WRITERS APR_UINT64_C(0xffffffff)

typedef struct {
    apr_uint64_t all; /* moved when everything is out of date */
    slot_t slots[CH_FRESH_SLOTS];
} room_t;

static room_t *room;
static apr_uint64_t salt;

void ch_fresh_open(void *memory, const unsigned char seed[16])
{
    room = memory;
    memcpy(&salt, seed, sizeof(salt));
}

size_t ch_fresh_size(void)
{
    return sizeof(room_t);
}

/* Users share a slot at random; all that it costs them is a fresh answer. */
static slot_t *slot_of(const unsigned char user[16])
{
    apr_uint64_t tail;

    memcpy(&tail, user + 8, sizeof(tail)); /* the random half of a UUIDv7 */
    tail = (tail ^ salt) * UINT64_C(0x9e3779b97f4a7c15);
    return &room->slots[tail >> 48 & (CH_FRESH_SLOTS - 1)];
}

static apr_uint64_t now_seconds(void)
{
    return (apr_uint64_t)apr_time_sec(ch_steady_now());
}

static apr_uint64_t get(const apr_uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

static void add(apr_uint64_t *counter, apr_uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_SEQ_CST);
}

void ch_fresh_begin(const unsigned char user[16])
{
    if (room) {
        add(&slot_of(user)->state, 1);
    }
}

/* One writer less, and a doubt that lasts at least until the time given. */
static void leave(slot_t *slot, apr_uint64_t doubt)
{
    apr_uint64_t state = get(&slot->state);
    apr_uint64_t next;

    do {
        apr_uint64_t until = state >> 32;

        next = (until > doubt ? until : doubt) << 32
               | ((state - 1) & WRITERS);
    } while (!__atomic_compare_exchange_n(&slot->state, &state, next, 0,
                                          __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
}

void ch_fresh_end(const unsigned char user[16], int in_doubt)
{
    if (room) {
        add(&slot_of(user)->version, 1);
        leave(slot_of(user),
              in_doubt ? now_seconds() + CH_FRESH_DOUBT_SECONDS : 0);
    }
}

int ch_fresh_version(const unsigned char user[16],
                     unsigned char out[CH_FRESH_LEN])
{
    const slot_t *slot;
    apr_uint64_t versions[2], state;

    if (!room) {
        return 0;
    }
    slot = slot_of(user);
    /* in this order: a write that ends in between moves the version that we
     * are about to read */
    state = get(&slot->state);
    versions[0] = get(&slot->version);
    versions[1] = get(&room->all);
    memcpy(out, versions, CH_FRESH_LEN);
    return (state & WRITERS) == 0
           && (state == 0 || state >> 32 <= now_seconds());
}

void ch_fresh_spoil(const unsigned char user[16])
{
    if (room) {
        add(&slot_of(user)->version, 1);
    }
}

void ch_fresh_spoil_all(void)
{
    if (room) {
        add(&room->all, 1);
    }
}
