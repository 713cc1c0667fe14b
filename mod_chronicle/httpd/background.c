/* Does what happens without a request: roles, each of which one child of the
 * server plays at a time, in a thread of its own. A watchdog of each child
 * looks every tenth of a second for roles that nobody plays.
 *
 * mod_watchdog's own singletons are not used: a child that waits for one takes
 * a second to stop and ten to take over. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include <httpd.h>
#include <ap_mpm.h>
#include <http_config.h>
#include <http_log.h>
#include <mod_watchdog.h>

#include "api/api.h"
#include "base/heap.h"
#include "base/seal.h"
#include "base/steady.h"
#include "httpd/server.h"
#include "jobs/job.h"
#include "realtime/far.h"
#include "realtime/realtime.h"
#include "store/bus.h"
#include "store/redis.h"

#define LOOK_EVERY (APR_USEC_PER_SEC / 10)
#define WAIT_MS 100 /* a stopping child waits that long for its roles */
#define JOBS_EVERY apr_time_from_sec(1)
#define LOGS_EVERY (APR_USEC_PER_SEC / 2)
#define ROLES_MAX 128
#define STALE apr_time_from_sec(5) /* a pid may be given to somebody else */

typedef struct role_t role_t;

struct role_t {
    server_rec *server;
    const char *name;
    void (*play)(role_t *role); /* until is_stopping() */
    apr_pool_t *pool;           /* of the thread, made in each child */
    apr_thread_t *thread;
    int lost; /* atomic: somebody else plays it by now */
    int done; /* atomic: the thread is about to end */
};

/* --- who plays what --------------------------------------------------- */

typedef struct {
    apr_uint32_t pid; /* 0 = nobody */
    apr_uint32_t pad;
    apr_time_t beat; /* by the clock that nobody sets */
} lease_t;

static lease_t *leases;
static role_t roles[ROLES_MAX];
static int role_count;
static int child_ends; /* set when the pool of the child goes */
static int looking;    /* the watchdog is at work */

void ch_background_open(void *memory)
{
    leases = memory;
}

size_t ch_background_size(void)
{
    return sizeof(lease_t) * ROLES_MAX;
}

/* This child does, or (role) need not play it any more. */
static int is_stopping(void *role)
{
    int state = AP_MPMQ_RUNNING;

    return __atomic_load_n(&child_ends, __ATOMIC_SEQ_CST)
           || (role
               && __atomic_load_n(&((role_t *)role)->lost, __ATOMIC_SEQ_CST))
           || ap_mpm_query(AP_MPMQ_MPM_STATE, &state) != APR_SUCCESS
           || state == AP_MPMQ_STOPPING;
}

static void beat(lease_t *lease)
{
    __atomic_store_n(&lease->beat, ch_steady_now(), __ATOMIC_RELAXED);
}

/* Takes a lease that nobody holds, or whose holder died. */
static int take(lease_t *lease)
{
    apr_uint32_t holder = __atomic_load_n(&lease->pid, __ATOMIC_SEQ_CST);
    apr_time_t last = __atomic_load_n(&lease->beat, __ATOMIC_RELAXED);
    int lives = holder && (kill((pid_t)holder, 0) == 0 || errno != ESRCH);

    if (lives && last + STALE > ch_steady_now()) {
        return 0;
    }
    return __atomic_compare_exchange_n(&lease->pid, &holder,
                                       (apr_uint32_t)getpid(), 0,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Ours alone: somebody else may have taken it, thinking that we were dead. */
static void let_go(lease_t *lease)
{
    apr_uint32_t own = (apr_uint32_t)getpid();

    __atomic_compare_exchange_n(&lease->pid, &own, 0, 0, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
}

static void *APR_THREAD_FUNC run_role(apr_thread_t *thread, void *data)
{
    role_t *role = data;

    role->play(role);
    let_go(&leases[role - roles]);
    __atomic_store_n(&role->done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* A child that stood still for long is thought dead, and another one plays
 * its roles: they are not to be played by both. */
static void keep_on(role_t *role, lease_t *lease)
{
    apr_status_t rv;

    if (__atomic_load_n(&role->done, __ATOMIC_SEQ_CST)) {
        apr_thread_join(&rv, role->thread);
        role->thread = NULL;
        role->lost = role->done = 0;
    }
    else if (__atomic_load_n(&lease->pid, __ATOMIC_SEQ_CST)
             == (apr_uint32_t)getpid()) {
        beat(lease);
    }
    else {
        __atomic_store_n(&role->lost, 1, __ATOMIC_SEQ_CST);
    }
}

static void look_after(role_t *role)
{
    lease_t *lease = &leases[role - roles];

    if (role->thread) {
        keep_on(role, lease);
        return;
    }
    if (!role->pool || !take(lease)) {
        return;
    }
    beat(lease);
    if (apr_thread_create(&role->thread, NULL, run_role, role, role->pool)
        != APR_SUCCESS) {
        role->thread = NULL;
        let_go(lease);
    }
}

static apr_status_t look(int state, void *data, apr_pool_t *pool)
{
    int i;

    /* in this order: end_roles looks the other way round */
    __atomic_store_n(&looking, 1, __ATOMIC_SEQ_CST);
    for (i = 0; i < role_count && state == AP_WATCHDOG_STATE_RUNNING
                && !is_stopping(NULL);
         i++) {
        look_after(&roles[i]);
    }
    __atomic_store_n(&looking, 0, __ATOMIC_SEQ_CST);
    return APR_SUCCESS;
}

/* --- jobs ------------------------------------------------------------- */

static void log_role(void *ctx, char level, int number, const char *text)
{
    const role_t *role = ctx;

    ch_server_log(role->server, level, number, text);
}

/* Tells the runner from all others, on all hosts: names and numbers of
 * processes repeat themselves in containers. */
static const char *runner_name(const role_t *role)
{
    unsigned char random[4];
    char host[25] = "";

    gethostname(host, sizeof(host) - 1);
    ch_seal_random(random, sizeof(random));
    return apr_psprintf(role->pool, "%s:%d:%s:%s", host, (int)getpid(),
                        ch_seal_hex(role->pool, random, sizeof(random)),
                        role->name);
}

static void run_jobs(role_t *role)
{
    const ch_runner_io_t io = {
        .kinds = ch_job_kinds,
        .kind_count = ch_job_kind_count,
        .stopping = is_stopping,
        .log = log_role,
        .ctx = role,
    };
    const ch_conf_t *conf = &ch_config_of(role->server)->conf;
    ch_runner_t *runner =
        ch_runner_make(role->pool, conf, runner_name(role), &io);
    apr_time_t next = 0;

    while (!is_stopping(role)) {
        if (ch_steady_now() >= next) {
            ch_runner_work(runner, role->pool);
            next = ch_steady_now() + JOBS_EVERY;
        }
        apr_sleep(WAIT_MS * 1000);
    }
}

/* --- API log ---------------------------------------------------------- */

static void write_logs(role_t *role)
{
    apr_time_t next = 0;

    while (!is_stopping(role)) {
        if (ch_steady_now() >= next) {
            ch_logs_write(role->server, role->pool);
            next = ch_steady_now() + LOGS_EVERY;
        }
        apr_sleep(WAIT_MS * 1000);
    }
}

/* --- bus -------------------------------------------------------------- */

static void hear(void *ctx, char letter, const char *text, size_t len)
{
    const role_t *role = ctx;

    ch_realtime_hear(&ch_config_of(role->server)->conf, letter, text, len);
}

static void doubt(void *ctx)
{
    const role_t *role = ctx;

    ch_realtime_doubt(&ch_config_of(role->server)->conf);
}

static ch_bus_conf_t bus_conf(role_t *role)
{
    const ch_settings_t *settings = ch_config_of(role->server);

    return (ch_bus_conf_t){ .conninfo = settings->dbd_params,
                            .site = settings->conf.site,
                            .redis = settings->conf.redis,
                            .log = log_role,
                            .heard = hear,
                            .doubt = doubt,
                            .channel =
                                ch_far_channel(role->pool, &settings->conf),
                            .ctx = role };
}

static void listen_to_database(role_t *role)
{
    const ch_bus_conf_t conf = bus_conf(role);
    ch_bus_t *bus = ch_bus_make(role->pool, &conf);

    while (!is_stopping(role)) {
        ch_bus_wait(bus, WAIT_MS);
    }
    ch_bus_close(bus);
}

static void listen_to_redis(role_t *role)
{
    const ch_bus_conf_t conf = bus_conf(role);
    struct ch_redis_sub_t *sub = NULL;
    apr_pool_t *pool;

    apr_pool_create(&pool, role->pool);
    while (!is_stopping(role)) {
        if (!sub) {
            apr_pool_clear(pool);
        }
        ch_bus_wait_redis(&conf, pool, &sub, WAIT_MS);
    }
    apr_pool_destroy(pool);
}

/* --- start ------------------------------------------------------------ */

static void add_role(server_rec *server, const char *name,
                     void (*play)(role_t *role))
{
    if (role_count < ROLES_MAX) {
        roles[role_count++] =
            (role_t){ .server = server, .name = name, .play = play };
    }
}

static void add_site(apr_pool_t *pool, server_rec *server)
{
    const ch_conf_t *conf = &ch_config_of(server)->conf;
    int n;

    if (conf->site >= 0) {
        add_role(server, "bus", listen_to_database);
    }
    add_role(server, "logs", write_logs);
    for (n = 1; n <= conf->job_workers; n++) {
        add_role(server, apr_psprintf(pool, "jobs-%d-%d", conf->id, n),
                 run_jobs);
    }
}

/* Servers that share a database share its roles: the first one's. */
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

/* Hosts of one database may have several Redis, or several channels of one
 * (by their secrets), and the first of them none. */
static void add_redis(server_rec *main_server, server_rec *server)
{
    const ch_conf_t *conf = &ch_config_of(server)->conf;
    server_rec *other;

    if (conf->site < 0 || !conf->redis_url) {
        return;
    }
    for (other = main_server; other != server; other = other->next) {
        const ch_conf_t *its = &ch_config_of(other)->conf;

        if (its->enabled && its->site == conf->site && its->redis_url
            && ch_redis_url_same(its->redis_url, conf->redis_url)
            && memcmp(its->redis_key, conf->redis_key,
                      sizeof(conf->redis_key))
                   == 0) {
            return;
        }
    }
    add_role(server, "redis", listen_to_redis);
}

static void plan_roles(apr_pool_t *pool, server_rec *main_server)
{
    server_rec *server, *first;
    int sites = 0;

    role_count = 0;
    for (server = main_server; server; server = server->next) {
        ch_settings_t *settings = ch_config_of(server);

        if (!settings->conf.enabled) {
            continue;
        }
        first = first_of_site(main_server, server);
        if (first != server) {
            settings->conf.site = ch_config_of(first)->conf.site;
        }
        else {
            settings->conf.site = sites < CH_BUS_SITES ? sites++ : -1;
            settings->dbd_params =
                ch_config_dbd_params(pool, main_server, server);
            add_site(pool, server);
        }
        add_redis(main_server, server);
    }
}

apr_status_t ch_background_plan(apr_pool_t *pool, server_rec *main_server)
{
    APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get_watchdog =
        APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *add_callback =
        APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    ap_watchdog_t *watchdog;
    apr_status_t rv;

    if (!get_watchdog || !add_callback) {
        return APR_ENOTIMPL;
    }
    plan_roles(pool, main_server);
    rv = get_watchdog(&watchdog, "chronicle", 0, 0, pool);
    return rv == APR_SUCCESS ? add_callback(watchdog, LOOK_EVERY, roles, look)
                             : rv;
}

/* --- child ------------------------------------------------------------ */

/* Before mod_dbd's pool goes, which takes no connection being out lightly. The
 * watchdog's own thread outlives the pool of the child, but starts nothing any
 * more. */
static apr_status_t end_roles(void *data)
{
    apr_status_t rv;
    int i;

    __atomic_store_n(&child_ends, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&looking, __ATOMIC_SEQ_CST)) {
        apr_sleep(1000);
    }
    for (i = 0; i < role_count; i++) {
        if (roles[i].thread) {
            apr_thread_join(&rv, roles[i].thread);
            roles[i].thread = NULL;
        }
        if (roles[i].pool) {
            apr_pool_destroy(roles[i].pool);
        }
    }
    return APR_SUCCESS;
}

void ch_background_begin(apr_pool_t *pchild)
{
    int i;

    for (i = 0; i < role_count; i++) {
        roles[i].pool = ch_heap_pool();
    }
    apr_pool_pre_cleanup_register(pchild, NULL, end_roles);
}
