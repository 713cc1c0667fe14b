/* Inside store/: what all processes of the server know of each Redis, in
 * shared memory: whether it is there, and who may try when it is not. */
#ifndef CH_STORE_REDIS_STATE_H
#define CH_STORE_REDIS_STATE_H

#include "store/redis.h"

typedef struct ch_redis_state_t ch_redis_state_t;

/* The place of a Redis by its key; NULL when it was never claimed. */
ch_redis_state_t *ch_redis_state(apr_uint64_t key);

/* The state as a number that changes with it. Who uses Redis reads it first,
 * and says later of which state what he found is true. */
apr_uint64_t ch_redis_turn(const ch_redis_state_t *state);
int ch_redis_turn_is_up(apr_uint64_t turn);

/* Connections are of one generation: after Redis was lost, or was changed for
 * another, the old ones are not used again. */
apr_uint64_t ch_redis_turn_generation(apr_uint64_t turn);

/* It is lost, if it is still as it was at `turn`: 1 for the one caller that
 * made it so, who tells the log. */
int ch_redis_state_lose(ch_redis_state_t *state, apr_uint64_t turn);

/* 1 for one caller of the whole server each time a try is due. He tells how
 * it went by _fail or _return. */
int ch_redis_state_try(ch_redis_state_t *state);
void ch_redis_state_fail(ch_redis_state_t *state);
int ch_redis_state_return(ch_redis_state_t *state, apr_uint64_t turn);

/* A new connection met the process with this run id (hashed, 0 = it does not
 * tell). Another one than before begins a new generation. */
void ch_redis_state_met(ch_redis_state_t *state, apr_uint64_t run);

#endif
