/* Keeps who is typing in shared memory behind sequence locks: readers never
 * wait, a writer that finds a place taken does without. */
#include "realtime/typing.h"

#include <string.h>

#include "base/steady.h"
#include "base/words.h"

#define PLACES 1024
#define LASTS apr_time_from_sec(CH_TYPING_SECONDS)

typedef struct {
    apr_time_t until; /* 0 = empty */
    apr_int64_t site;
    unsigned char room[16];
    unsigned char user[16];
} entry_t;

/* seq is odd while the place is being written; a writer that died leaves it
 * so, which costs one place. */
typedef struct {
    apr_uint64_t seq;
    entry_t entry;
} place_t;

static place_t *places;

void ch_typing_open(void *memory)
{
    places = memory;
}

size_t ch_typing_size(void)
{
    return sizeof(place_t) * PLACES;
}

static apr_uint64_t seq_of(const place_t *place)
{
    return __atomic_load_n(&place->seq, __ATOMIC_SEQ_CST);
}

static apr_time_t until_of(const place_t *place)
{
    return __atomic_load_n(&place->entry.until, __ATOMIC_ACQUIRE);
}

static int is_in(const entry_t *entry, int site, const unsigned char *room)
{
    return entry->site == site && memcmp(entry->room, room, 16) == 0;
}

/* Gets what is in a place of the room; 0 when it is another one's, is over,
 * or is being written. */
static int look(const place_t *place, int site, const unsigned char *room,
                apr_time_t now, entry_t *out)
{
    apr_uint64_t seq = seq_of(place);

    if (seq & 1 || until_of(place) <= now) {
        return 0;
    }
    ch_words_read(out, &place->entry, sizeof(*out));
    return seq_of(place) == seq && is_in(out, site, room);
}

static int swap_seq(place_t *place, apr_uint64_t from)
{
    return __atomic_compare_exchange_n(&place->seq, &from, from + 1, 0,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Writes where nobody has written since seq. */
static void put(place_t *place, apr_uint64_t seq, const entry_t *entry)
{
    if (!(seq & 1) && swap_seq(place, seq)) {
        ch_words_write(&place->entry, entry, sizeof(*entry));
        __atomic_store_n(&place->seq, seq + 2, __ATOMIC_SEQ_CST);
    }
}

/* The place that is over, or will be first; NULL when all are being written.
 * *seq: as it was when that was seen. */
static place_t *find_place(apr_time_t now, apr_uint64_t *seq)
{
    place_t *best = NULL;
    apr_time_t least = 0;
    int i;

    for (i = 0; i < PLACES; i++) {
        apr_uint64_t one = seq_of(&places[i]);
        apr_time_t until = until_of(&places[i]);

        if (one & 1) {
            continue;
        }
        if (until <= now) {
            until = 0;
        }
        if (!best || until < least) {
            best = &places[i];
            least = until;
            *seq = one;
        }
        if (!until) {
            break;
        }
    }
    return best;
}

/* The same user may be there twice: two of his sockets came at once. */
void ch_typing_set(int site, const unsigned char *room,
                   const unsigned char *user, int on)
{
    apr_time_t now = ch_steady_now();
    entry_t entry = { .site = site, .until = on ? now + LASTS : 0 };
    int found = 0;
    apr_uint64_t seq = 0;
    place_t *place;
    entry_t copy;
    int i;

    if (!places) {
        return;
    }
    memcpy(entry.room, room, 16);
    memcpy(entry.user, user, 16);
    for (i = 0; i < PLACES; i++) {
        seq = seq_of(&places[i]);
        if (look(&places[i], site, room, now, &copy)
            && memcmp(copy.user, user, 16) == 0) {
            put(&places[i], seq, &entry);
            found = 1;
        }
    }
    if (on && !found) {
        place = find_place(now, &seq);
        if (place) {
            put(place, seq, &entry);
        }
    }
}

static int is_listed(unsigned char (*users)[16], int count,
                     const unsigned char *user)
{
    while (count > 0) {
        if (memcmp(users[--count], user, 16) == 0) {
            return 1;
        }
    }
    return 0;
}

int ch_typing_list(int site, const unsigned char *room,
                   unsigned char (*users)[16], int max)
{
    apr_time_t now = ch_steady_now();
    int count = 0;
    entry_t copy;
    int i;

    for (i = 0; places && i < PLACES && count < max; i++) {
        if (look(&places[i], site, room, now, &copy)
            && !is_listed(users, count, copy.user)) {
            memcpy(users[count++], copy.user, 16);
        }
    }
    return count;
}
