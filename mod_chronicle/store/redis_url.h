/* Inside store/: the parts of a Redis URL. */
#ifndef CH_STORE_REDIS_URL_H
#define CH_STORE_REDIS_URL_H

#include "store/redis.h"

struct ch_redis_url_t {
    const char *name; /* for logs */
    const char *host; /* NULL: path is a unix socket */
    const char *path;
    const char *user;     /* NULL = none */
    const char *password; /* NULL = none */
    int port;
    int db;
    apr_uint64_t key; /* the same for the same parts; not 0 */
};

#endif
