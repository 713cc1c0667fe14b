/* Inside store/: what a child has of one Redis. */
#ifndef CH_STORE_REDIS_HOME_H
#define CH_STORE_REDIS_HOME_H

#include <apr_thread_mutex.h>

#include "store/redis_conn.h"
#include "store/redis_state.h"

struct ch_redis_t {
    const ch_redis_url_t *url;
    ch_redis_state_t *state;
    ch_redis_log_t *log;
    void *log_ctx;
    int max;

    apr_thread_mutex_t *mutex; /* of all below */
    ch_redis_peers_t peers;    /* count 0: to be looked up */
    ch_redis_conn_t *idle;     /* the one that was used last comes first */
    ch_redis_conn_t *unused;   /* not connected */
    ch_redis_conn_t all[];
};

/* Opens a connection of the caller's own, and takes note of what it shows.
 * Redis is lost if it cannot be opened and `turn` still holds. */
int ch_redis_connect(ch_redis_t *redis, apr_pool_t *pool, apr_uint64_t turn,
                     ch_redis_conn_t *conn);

/* Redis is lost, if it is still as at `turn`: one line in the log. */
void ch_redis_lose(ch_redis_t *redis, apr_uint64_t turn, const char *why);

/* Whether it is there now. Tries, when it is lost and a try is due. */
int ch_redis_ready(ch_redis_t *redis, apr_pool_t *pool, apr_uint64_t *turn);

#endif
