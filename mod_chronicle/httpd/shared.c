/* Shared memory of all processes: one anonymous segment, made before the
 * first child and kept over restarts, so that limits and counters go on. */
#include <string.h>

#include <apr_shm.h>

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "base/seal.h"
#include "httpd/server.h"
#include "store/apilog.h"
#include "store/bus.h"
#include "store/cache.h"
#include "store/counter.h"
#include "store/fresh.h"
#include "store/kept.h"
#include "store/limit.h"
#include "store/redis.h"
#include "store/seat.h"


#define KEPT_KEY "mod_chronicle:" CH_VERSION
#define LINE 64 /* bytes of a cache line */

typedef struct {
    unsigned char seed[16];
    unsigned char id[16]; /* of this server */
} head_t;

static size_t lines(size_t size)
{
    return (size + LINE - 1) / LINE * LINE;
}

/* The segment as an earlier generation of the server left it, or a new one.
 * Another size is another layout, and a new segment. */
static char *segment(server_rec *main_server, size_t size, apr_status_t *rv)
{
    apr_shm_t **kept = ap_retained_data_get(KEPT_KEY);

    *rv = APR_SUCCESS;
    if (!kept) {
        kept = ap_retained_data_create(KEPT_KEY, sizeof(*kept));
    }
    if (*kept && apr_shm_size_get(*kept) == size) {
        return apr_shm_baseaddr_get(*kept);
    }
    *rv = apr_shm_create(kept, size, NULL, main_server->process->pool);
    if (*rv != APR_SUCCESS) {
        *kept = NULL;
        return NULL;
    }
    memset(apr_shm_baseaddr_get(*kept), 0, size);
    ch_seal_random(apr_shm_baseaddr_get(*kept), sizeof(head_t));
    return apr_shm_baseaddr_get(*kept);
}

/* --- what lies in it -------------------------------------------------- */

static const head_t *head;
static size_t cache; /* bytes of the cache's ring */

/* The main server's wish, which reaches us through any that is enabled. */
static size_t cache_bytes(server_rec *server)
{
    size_t bytes = 0;

    for (; server; server = server->next) {
        const ch_conf_t *conf = &ch_config_of(server)->conf;

        if (conf->enabled && (size_t)conf->cache_size > bytes) {
            bytes = (size_t)conf->cache_size;
        }
    }
    return lines(bytes);
}

static void open_limit(void *at)
{
    ch_limit_open(at, head->seed);
}

static void open_bus(void *at)
{
    ch_bus_open(at, head->id);
}

static void open_fresh(void *at)
{
    ch_fresh_open(at, head->seed);
}

static size_t cache_size(void)
{
    return ch_cache_size(cache);
}

static void open_cache(void *at)
{
    ch_cache_open(at, cache);
}

static const struct {
    size_t (*size)(void);
    void (*open)(void *at);
} parts[] = {
    { ch_limit_size, open_limit },
    { ch_seat_size, ch_seat_open },
    { ch_counter_size, ch_counter_open },
    { ch_apilog_size, ch_apilog_open },
    { ch_redis_size, ch_redis_open },
    { ch_background_size, ch_background_open },
    { ch_bus_size, open_bus },
    { ch_fresh_size, open_fresh },
    { ch_kept_size, ch_kept_open },
    { cache_size, open_cache },
};

apr_status_t ch_shared_open(server_rec *main_server)
{
    size_t size = lines(sizeof(head_t));
    apr_status_t rv;
    char *at;
    size_t i;

    cache = cache_bytes(main_server);
    for (i = 0; i < CH_COUNT(parts); i++) {
        size += lines(parts[i].size());
    }
    at = segment(main_server, size, &rv);
    if (!at) {
        return rv;
    }
    head = (const head_t *)(void *)at;
    at += lines(sizeof(head_t));
    for (i = 0; i < CH_COUNT(parts); i++) {
        parts[i].open(at);
        at += lines(parts[i].size());
    }
    ch_counter_start();
    return APR_SUCCESS;
}
