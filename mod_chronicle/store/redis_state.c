/* Keeps the state of each Redis in shared memory, without locks: a process
 * that dies at any point leaves nothing locked behind. */
#include "store/redis_state.h"

#include <string.h>

#include "base/steady.h"
#include "store/redis_url.h"

/* Who tries has so long; then somebody else may: he may have died. */
#define TRY_USEC (10 * APR_USEC_PER_SEC)

/* A Redis that is lost this soon after it came back is left alone for twice
 * as long as the last time: no log is filled by one that comes and goes. */
#define STEADY_USEC (5 * APR_USEC_PER_SEC)
#define PAUSE_MAX_MS 8000

struct ch_redis_state_t {
    apr_uint64_t key;     /* 0 = free */
    apr_uint64_t claimed; /* the how manyth claim of all */
    apr_uint64_t turn;    /* odd: it is lost */
    apr_uint64_t run;     /* of the process met last */
    apr_time_t try_at;
    apr_time_t up_since; /* 0 = always */
    int pause_ms;        /* 0 = the shortest */
};

typedef struct {
    apr_uint64_t claims;
    ch_redis_state_t places[CH_REDIS_PLACES];
} room_t;

static room_t *room;

void ch_redis_open(void *memory)
{
    room = memory;
}

size_t ch_redis_size(void)
{
    return sizeof(room_t);
}

ch_redis_state_t *ch_redis_state(apr_uint64_t key)
{
    int i;

    for (i = 0; room && i < CH_REDIS_PLACES; i++) {
        if (__atomic_load_n(&room->places[i].key, __ATOMIC_ACQUIRE) == key) {
            return &room->places[i];
        }
    }
    return NULL;
}

/* A server that is started anew keeps the memory: what this configuration
 * does not name goes first, and that was claimed the longest ago. Only the
 * parent comes here. */
void ch_redis_claim(const ch_redis_url_t *url)
{
    ch_redis_state_t *place = ch_redis_state(url->key);
    int i;

    if (!room) {
        return;
    }
    if (!place) {
        place = &room->places[0];
        for (i = 1; i < CH_REDIS_PLACES; i++) {
            if (room->places[i].claimed < place->claimed) {
                place = &room->places[i];
            }
        }
        memset(place, 0, sizeof(*place));
        __atomic_store_n(&place->key, url->key, __ATOMIC_RELEASE);
    }
    place->claimed = ++room->claims;
}

apr_uint64_t ch_redis_turn(const ch_redis_state_t *state)
{
    return __atomic_load_n(&state->turn, __ATOMIC_ACQUIRE);
}

int ch_redis_turn_is_up(apr_uint64_t turn)
{
    return (turn & 1) == 0;
}

apr_uint64_t ch_redis_turn_generation(apr_uint64_t turn)
{
    return turn >> 1;
}

static int move(ch_redis_state_t *state, apr_uint64_t from, apr_uint64_t by)
{
    return __atomic_compare_exchange_n(&state->turn, &from, from + by, 0,
                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void next_try_in(ch_redis_state_t *state, int ms)
{
    __atomic_store_n(&state->try_at, ch_steady_now() + apr_time_from_msec(ms),
                     __ATOMIC_RELEASE);
}

static int pause_of(const ch_redis_state_t *state)
{
    int ms = __atomic_load_n(&state->pause_ms, __ATOMIC_RELAXED);

    return ms ? ms : CH_REDIS_PAUSE_MS;
}

int ch_redis_state_lose(ch_redis_state_t *state, apr_uint64_t turn)
{
    apr_time_t since = __atomic_load_n(&state->up_since, __ATOMIC_RELAXED);
    int ms = CH_REDIS_PAUSE_MS;

    if (since && ch_steady_now() - since < STEADY_USEC) {
        ms = 2 * pause_of(state);
        ms = ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
    }
    if (ch_redis_turn(state) != turn) {
        return 0;
    }
    next_try_in(state, ms); /* first: it counts from the change on */
    if (!move(state, turn, 1)) {
        return 0;
    }
    __atomic_store_n(&state->pause_ms, ms, __ATOMIC_RELAXED);
    return 1;
}

int ch_redis_state_try(ch_redis_state_t *state)
{
    apr_time_t due = __atomic_load_n(&state->try_at, __ATOMIC_ACQUIRE);
    apr_time_t now = ch_steady_now();

    return due <= now
           && __atomic_compare_exchange_n(&state->try_at, &due, now + TRY_USEC,
                                          0, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE);
}

void ch_redis_state_fail(ch_redis_state_t *state)
{
    next_try_in(state, pause_of(state));
}

int ch_redis_state_return(ch_redis_state_t *state, apr_uint64_t turn)
{
    __atomic_store_n(&state->up_since, ch_steady_now(), __ATOMIC_RELAXED);
    return move(state, turn, 1);
}

void ch_redis_state_met(ch_redis_state_t *state, apr_uint64_t run)
{
    apr_uint64_t before = __atomic_load_n(&state->run, __ATOMIC_ACQUIRE);
    apr_uint64_t turn = ch_redis_turn(state);

    if (!run || run == before
        || !__atomic_compare_exchange_n(&state->run, &before, run, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        return;
    }
    while (before && ch_redis_turn_is_up(turn) && !move(state, turn, 2)) {
        turn = ch_redis_turn(state);
    }
}
