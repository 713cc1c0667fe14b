/* Rate limits: fixed windows, counted in shared memory, exact across all
 * processes of this server; or in Redis, exact across all servers. */
#ifndef CH_STORE_LIMIT_H
#define CH_STORE_LIMIT_H

#include "chronicle.h"

#define CH_LIMIT_MAX 200000000 /* the largest limit */

typedef struct {
    int limit;     /* requests allowed in a window */
    int remaining; /* 0 or more */
    int reset;     /* seconds to the window's end, 1 or more */
    int refused;   /* this request is over the limit */
} ch_limit_state_t;

/* Memory shared by all processes, zeroed when new. seed is secret and the
 * same in all of them: nobody can aim keys at one bucket. */
void ch_limit_open(void *memory, const unsigned char seed[16]);
size_t ch_limit_size(void);

/* Counts one request of `key` (any bytes) against `limit` per `seconds`. The
 * window opens with the first request of a key. Before open: never
 * refuses. */
ch_limit_state_t ch_limit_count(const void *key, size_t len, int limit,
                                int seconds);

/* What counting a request now would find, without counting it: refused when
 * it would be over the limit, remaining as it is. */
ch_limit_state_t ch_limit_look(const void *key, size_t len, int limit,
                               int seconds);

/* --- across servers ----------------------------------------------------- */

struct ch_redis_t;
struct ch_redis_command_t;
struct ch_redis_reply_t;

/* Who is counted, where, and how far. */
typedef struct {
    struct ch_redis_t *redis;    /* NULL = this server counts alone */
    const unsigned char *secret; /* 32 bytes, the same on all servers */
    int conf;                    /* tells virtual hosts apart in memory */
    const char *rate;            /* name of the class */
    const char *caller;
    int limit;
    int seconds;
} ch_limit_t;

/* Counts one request. */
ch_limit_state_t ch_limit_take(apr_pool_t *pool, const ch_limit_t *limit);

/* What counting one now would find, without counting it: refused when it would
 * be over the limit, remaining as it is. */
ch_limit_state_t ch_limit_peek(apr_pool_t *pool, const ch_limit_t *limit);

/* The same as take in two halves, for whoever sends the command (of one that
 * has a redis) along with others. `reply` is NULL when none came: then this
 * server's memory counts. */
void ch_limit_ask(apr_pool_t *pool, const ch_limit_t *limit,
                  struct ch_redis_command_t *out);
ch_limit_state_t ch_limit_answer(apr_pool_t *pool, const ch_limit_t *limit,
                                 const struct ch_redis_reply_t *reply);

#endif
