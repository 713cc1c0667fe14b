/* Shared memory of all processes: two anonymous segments, made before the
 * first child and kept over restarts, so that limits and counters go on. The
 * cache has its own: when it changes its size, the children of before, which
 * go on with the old one, still count their writes where all can see it. */
#include <errno.h>
#include <string.h>

#include <apr_shm.h>

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <ap_mpm.h>

#include "base/seal.h"
#include "httpd/server.h"
#include "realtime/far.h"
#include "realtime/typing.h"
#include "realtime/wire.h"
#include "store/apilog.h"
#include "store/bus.h"
#include "store/cache.h"
#include "store/counter.h"
#include "store/fresh.h"
#include "store/kept.h"
#include "store/limit.h"
#include "store/redis.h"
#include "store/seat.h"

#define KEPT_STATE "mod_chronicle:" CH_VERSION
#define KEPT_CACHE KEPT_STATE ":cache"
#define KEPT_WIRE KEPT_STATE ":wire"
#define LINE 64       /* bytes of a cache line */
#define SPARE_SLOTS 4 /* of children whose number went to another process */

typedef struct {
    unsigned char seed[16];
    unsigned char id[16]; /* of this server */
} head_t;

static size_t lines(size_t size)
{
    return (size + LINE - 1) / LINE * LINE;
}

/* A segment as an earlier generation of the server left it, or a new one,
 * zeroed. Another size is another layout, and a new segment; children that
 * use the old one keep it. NULL on failure. */
static char *segment(server_rec *main_server, const char *key, size_t size,
                     apr_status_t *rv)
{
    apr_shm_t **kept = ap_retained_data_get(key);

    *rv = APR_SUCCESS;
    if (!kept) {
        kept = ap_retained_data_create(key, sizeof(*kept));
    }
    if (*kept && apr_shm_size_get(*kept) == size) {
        return apr_shm_baseaddr_get(*kept);
    }
    if (*kept) {
        apr_shm_destroy(*kept);
        *kept = NULL;
    }
    *rv = apr_shm_create(kept, size, NULL, main_server->process->pool);
    if (*rv != APR_SUCCESS) {
        *kept = NULL;
        return NULL;
    }
    memset(apr_shm_baseaddr_get(*kept), 0, size);
    return apr_shm_baseaddr_get(*kept);
}

/* --- what lies in it -------------------------------------------------- */

static head_t *head;

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
    { ch_wire_size, ch_wire_open },
    { ch_far_size, ch_far_open },
    { ch_typing_size, ch_typing_open },
};

static int is_new(void)
{
    static const head_t none;

    return memcmp(head, &none, sizeof(none)) == 0;
}

/* The inboxes of the children, of which there are at most as many as the MPM
 * allows. With new memory they are new: children of before, who have their
 * slots elsewhere, would read what is not for them. Without any there is no
 * realtime, and all else works. */
static void open_wire(server_rec *main_server, int fresh)
{
    ch_wire_kept_t **kept = ap_retained_data_get(KEPT_WIRE);
    int children = 1;

    if (!kept) {
        kept = ap_retained_data_create(KEPT_WIRE, sizeof(*kept));
    }
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &children);
    *kept = ch_wire_make(main_server->process->pool, fresh ? NULL : *kept,
                         children + SPARE_SLOTS);
    if (!*kept) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, main_server,
                     "CH1130: cannot make sockets between the children");
    }
}

static apr_status_t open_state(server_rec *main_server)
{
    size_t size = lines(sizeof(head_t));
    int generation = 0;
    apr_status_t rv;
    char *at;
    size_t i;
    int fresh;

    for (i = 0; i < CH_COUNT(parts); i++) {
        size += lines(parts[i].size());
    }
    at = segment(main_server, KEPT_STATE, size, &rv);
    if (!at) {
        return rv;
    }
    head = (head_t *)(void *)at;
    fresh = is_new();
    if (fresh) {
        ch_seal_random(head, sizeof(*head));
    }
    open_wire(main_server, fresh);
    at += lines(sizeof(head_t));
    for (i = 0; i < CH_COUNT(parts); i++) {
        parts[i].open(at);
        at += lines(parts[i].size());
    }
    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    if (fresh && generation > 0) {
        ch_bus_doubt(); /* children of before count elsewhere */
    }
    ch_fresh_spoil_all(); /* kept by other settings */
    return APR_SUCCESS;
}

static apr_status_t open_cache(server_rec *main_server)
{
    size_t bytes = cache_bytes(main_server);
    char *memory = NULL;
    apr_status_t rv = APR_SUCCESS;

    if (bytes) {
        memory =
            segment(main_server, KEPT_CACHE, lines(ch_cache_size(bytes)), &rv);
    }
    if (rv == APR_SUCCESS) {
        ch_cache_open(memory, bytes);
    }
    return rv;
}

apr_status_t ch_shared_open(server_rec *main_server)
{
    apr_status_t rv = open_state(main_server);

    if (rv == APR_SUCCESS) {
        rv = open_cache(main_server);
    }
    if (rv == APR_SUCCESS) {
        ch_counter_start();
    }
    return rv;
}
