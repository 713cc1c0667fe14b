/* Counts writes per user, in shared memory. */
#include "store/fresh.h"

#include <string.h>

typedef struct {
    apr_uint64_t version;
    apr_uint64_t writers; /* at work now */
} slot_t;

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
        add(&slot_of(user)->writers, 1);
    }
}

void ch_fresh_end(const unsigned char user[16])
{
    if (room) {
        add(&slot_of(user)->version, 1);
        add(&slot_of(user)->writers, (apr_uint64_t)-1);
    }
}

int ch_fresh_version(const unsigned char user[16],
                     unsigned char out[CH_FRESH_LEN])
{
    const slot_t *slot;
    apr_uint64_t versions[2];

    if (!room) {
        return 0;
    }
    slot = slot_of(user);
    versions[0] = get(&slot->version);
    versions[1] = get(&room->all);
    memcpy(out, versions, CH_FRESH_LEN);
    return get(&slot->writers) == 0;
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
