/* Shared memory of all processes: one anonymous segment, made before the
 * first child and kept over restarts, so that limits and counters go on. */
#include <string.h>

#include <apr_shm.h>

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "base/seal.h"
#include "httpd/server.h"
#include "store/counter.h"
#include "store/limit.h"
#include "store/seat.h"


#define KEPT_KEY "mod_chronicle:" CH_VERSION
#define LINE 64 /* bytes of a cache line */

typedef struct {
    unsigned char seed[16];
} head_t;

static size_t lines(size_t size)
{
    return (size + LINE - 1) / LINE * LINE;
}

/* The segment as an earlier generation of the server left it, or a new one.
 * Its size is in the key of a release: another layout is another segment. */
static char *segment(server_rec *main_server, size_t size, apr_status_t *rv)
{
    apr_shm_t **kept = ap_retained_data_get(KEPT_KEY);

    *rv = APR_SUCCESS;
    if (!kept) {
        kept = ap_retained_data_create(KEPT_KEY, sizeof(*kept));
    }
    if (*kept && apr_shm_size_get(*kept) >= size) {
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

apr_status_t ch_shared_open(server_rec *main_server)
{
    size_t size = lines(sizeof(head_t)) + lines(ch_limit_size())
                  + lines(ch_seat_size()) + lines(ch_counter_size());
    apr_status_t rv;
    char *at = segment(main_server, size, &rv);
    const head_t *head = (const head_t *)(void *)at;

    if (!at) {
        return rv;
    }
    at += lines(sizeof(head_t));
    ch_limit_open(at, head->seed);
    at += lines(ch_limit_size());
    ch_seat_open(at);
    at += lines(ch_seat_size());
    ch_counter_open(at);
    ch_counter_start();
    return APR_SUCCESS;
}
