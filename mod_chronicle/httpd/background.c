/* Runs what happens without a request, in threads of mod_watchdog: so many
 * runners of jobs per server, and one bus, whatever its number of children. */
#include <unistd.h>

#include <apr_network_io.h>
#include <apr_strings.h>

#include <httpd.h>
#include <ap_mpm.h>
#include <http_config.h>
#include <http_log.h>
#include <mod_watchdog.h>

#include "api/api.h"
#include "httpd/server.h"
#include "jobs/job.h"
#include "store/bus.h"

#define JOBS_EVERY apr_time_from_sec(1)
#define BUS_EVERY (APR_USEC_PER_SEC / 10)
#define BUS_WAIT_MS 100 /* a stopping child waits that long for it */

/* Set when the pool of the child goes: whoever waits looks at it. */
static int child_ends;

typedef struct {
    server_rec *server;
    const char *name; /* of its watchdog */
    ch_runner_io_t io;
    ch_runner_t *runner; /* made in the child that runs it */
} worker_t;

static int is_stopping(void *ctx)
{
    int state = AP_MPMQ_RUNNING;

    return __atomic_load_n(&child_ends, __ATOMIC_RELAXED)
           || ap_mpm_query(AP_MPMQ_MPM_STATE, &state) != APR_SUCCESS
           || state == AP_MPMQ_STOPPING;
}

static void write_log(void *ctx, char level, int number, const char *text)
{
    const worker_t *worker = ctx;

    ch_server_log(worker->server, level, number, text);
}

/* Tells the runner from all others, on all hosts. */
static const char *runner_name(apr_pool_t *pool, const worker_t *worker)
{
    char host[32] = "";

    gethostname(host, sizeof(host) - 1);
    return apr_psprintf(pool, "%s:%d:%s", host, (int)getpid(), worker->name);
}

static apr_status_t work(int state, void *data, apr_pool_t *pool)
{
    worker_t *worker = data;
    const ch_conf_t *conf = &ch_config_of(worker->server)->conf;

    if (state != AP_WATCHDOG_STATE_RUNNING || !conf->db) {
        return APR_SUCCESS;
    }
    if (!worker->runner) {
        /* lives as long as this child */
        worker->runner =
            ch_runner_make(worker->server->process->pool, conf,
                           runner_name(pool, worker), &worker->io);
    }
    ch_runner_work(worker->runner, pool);
    return APR_SUCCESS;
}

/* --- bus -------------------------------------------------------------- */

typedef struct {
    server_rec *server;
    ch_bus_conf_t conf;
} line_t;

static void log_line(void *ctx, char level, int number, const char *text)
{
    const line_t *line = ctx;

    ch_server_log(line->server, level, number, text);
}

/* Stays, so that what is announced acts at once, until the child stops. */
static apr_status_t listen_to_bus(int state, void *data, apr_pool_t *pool)
{
    line_t *line = data;
    ch_bus_t *bus;

    if (state != AP_WATCHDOG_STATE_RUNNING) {
        return APR_SUCCESS;
    }
    line->conf.redis = ch_config_of(line->server)->conf.redis;
    bus = ch_bus_make(pool, &line->conf);
    while (!is_stopping(NULL)) {
        ch_bus_wait(bus, BUS_WAIT_MS);
    }
    return APR_SUCCESS;
}

static apr_status_t listen_to_redis(int state, void *data, apr_pool_t *pool)
{
    line_t *line = data;
    struct ch_redis_sub_t *sub = NULL;
    apr_pool_t *sub_pool;

    line->conf.redis = ch_config_of(line->server)->conf.redis;
    if (state != AP_WATCHDOG_STATE_RUNNING || !line->conf.redis) {
        return APR_SUCCESS;
    }
    apr_pool_create(&sub_pool, pool);
    while (!is_stopping(NULL)) {
        if (!sub) {
            apr_pool_clear(sub_pool);
        }
        ch_bus_wait_redis(&line->conf, sub_pool, &sub, BUS_WAIT_MS);
    }
    return APR_SUCCESS;
}

/* --- start ------------------------------------------------------------ */

static APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get_watchdog;
static APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *add_callback;

static apr_status_t add_worker(apr_pool_t *pool, server_rec *server, int n)
{
    worker_t *worker = apr_pcalloc(pool, sizeof(*worker));
    ap_watchdog_t *watchdog;
    apr_status_t rv;

    worker->server = server;
    worker->name = apr_psprintf(pool, "chronicle-%d-jobs-%d",
                                ch_config_of(server)->conf.id, n);
    worker->io = (ch_runner_io_t){
        .kinds = ch_job_kinds,
        .kind_count = ch_job_kind_count,
        .stopping = is_stopping,
        .log = write_log,
        .ctx = worker,
    };
    rv = get_watchdog(&watchdog, worker->name, 0, 1, pool);
    if (rv == APR_SUCCESS) {
        rv = add_callback(watchdog, JOBS_EVERY, worker, work);
    }
    return rv;
}

static apr_status_t add_line(apr_pool_t *pool, server_rec *main_server,
                             server_rec *server)
{
    line_t *line = apr_pcalloc(pool, sizeof(*line));
    int id = ch_config_of(server)->conf.id;
    ap_watchdog_t *watchdog;
    apr_status_t rv;

    line->server = server;
    line->conf = (ch_bus_conf_t){
        .conninfo = ch_config_dbd_params(pool, main_server, server),
        .site = ch_config_of(server)->conf.site,
        .log = log_line,
        .ctx = line,
    };
    rv = get_watchdog(&watchdog, apr_psprintf(pool, "chronicle-%d-bus", id),
                      0, 1, pool);
    if (rv == APR_SUCCESS) {
        rv = add_callback(watchdog, BUS_EVERY, line, listen_to_bus);
    }
    if (rv == APR_SUCCESS && ch_config_of(server)->conf.redis_url) {
        rv = get_watchdog(&watchdog,
                          apr_psprintf(pool, "chronicle-%d-redis", id), 0, 1,
                          pool);
        if (rv == APR_SUCCESS) {
            rv = add_callback(watchdog, BUS_EVERY, line, listen_to_redis);
        }
    }
    return rv;
}

/* Servers that share a database share its runners: the first one's. */
static server_rec *first_of_site(server_rec *main_server, server_rec *server)
{
    server_rec *owner = ch_config_dbd_owner(main_server, server);
    server_rec *other;

    for (other = main_server; other != server; other = other->next) {
        if (ch_config_of(other)->conf.enabled
            && ch_config_dbd_owner(main_server, other) == owner) {
            break;
        }
    }
    return other;
}

static apr_status_t add_site(apr_pool_t *pool, server_rec *main_server,
                             server_rec *server)
{
    const ch_conf_t *conf = &ch_config_of(server)->conf;
    apr_status_t rv = APR_SUCCESS;
    int n;

    if (conf->site >= 0) {
        rv = add_line(pool, main_server, server);
    }
    for (n = 1; n <= conf->job_workers && rv == APR_SUCCESS; n++) {
        rv = add_worker(pool, server, n);
    }
    return rv;
}

apr_status_t ch_background_plan(apr_pool_t *pool, server_rec *main_server)
{
    server_rec *server, *first;
    apr_status_t rv = APR_SUCCESS;
    int sites = 0;

    get_watchdog = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    add_callback = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    if (!get_watchdog || !add_callback) {
        return APR_ENOTIMPL;
    }
    for (server = main_server; server && !rv; server = server->next) {
        ch_conf_t *conf = &ch_config_of(server)->conf;

        if (!conf->enabled) {
            continue;
        }
        first = first_of_site(main_server, server);
        if (first != server) {
            conf->site = ch_config_of(first)->conf.site;
            continue;
        }
        conf->site = sites < CH_BUS_SITES ? sites++ : -1;
        rv = add_site(pool, main_server, server);
    }
    return rv;
}

static apr_status_t end_child(void *data)
{
    __atomic_store_n(&child_ends, 1, __ATOMIC_RELAXED);
    return APR_SUCCESS;
}

void ch_background_watch(apr_pool_t *pchild)
{
    apr_pool_pre_cleanup_register(pchild, NULL, end_child);
}
