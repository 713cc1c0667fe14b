/* What the files of realtime/ share: the state of this child. All of it
 * belongs to the loop's thread, but for what is said to be of any thread. */
#ifndef CH_REALTIME_CORE_H
#define CH_REALTIME_CORE_H

#include <apr_hash.h>
#include <apr_thread_mutex.h>

#include "realtime/conn.h"
#include "realtime/realtime.h"
#include "realtime/record.h"

typedef struct ch_engine_t ch_engine_t;
typedef struct ch_sock_t ch_sock_t;

typedef struct {
    /* of any thread: they don't change once the child has begun */
    const ch_realtime_t *conf;
    apr_pool_t *pool;
    ch_loop_t *loop;
    char place[64]; /* in the tables of presence */

    int ending; /* of any thread, atomic: nothing new is taken */

    apr_hash_t *engines; /* by sid */
    apr_hash_t *socks;   /* by id */
    apr_uint64_t next_id;
} ch_core_t;

extern ch_core_t ch_core;

/* The settings of a database's first server; NULL when it is gone. */
const ch_conf_t *ch_core_conf(int site);

#endif
