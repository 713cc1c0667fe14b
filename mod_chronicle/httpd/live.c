/* Opens and closes realtime in each child, and lends it what it needs of the
 * server. */
#include <string.h>

#include <httpd.h>
#include <ap_mpm.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <mpm_common.h>

#include "api/api.h"
#include "api/chat.h"
#include "api/sync.h"
#include "httpd/server.h"
#include "realtime/realtime.h"

#define THREADS_MAX 32
#define SPREAD_GRACEFUL apr_time_from_sec(8)
#define SPREAD_NOW (APR_USEC_PER_SEC / 2) /* at TERM there is little time */

static ch_realtime_t room;

/* --- what realtime borrows -------------------------------------------- */

static server_rec *server_of(const ch_conf_t *conf)
{
    server_rec *server = ch_server_main;

    while (server && &ch_config_of(server)->conf != conf) {
        server = server->next;
    }
    return server ? server : ch_server_main;
}

static void log_event(ch_req_t *rq, char level, int number, const char *text)
{
    ch_server_log(server_of(rq->conf), level, number, text);
}

static void log_room(void *ctx, char level, int number, const char *text)
{
    ch_server_log(ch_server_main, level, number, text);
}

static void no_event(ch_req_t *rq, const char *type, const char *pattern)
{
}

static void security(ch_req_t *rq, const char *event, const char *detail)
{
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, server_of(rq->conf),
                 "CH1127: [%s] [client %s] %s%s%s", rq->request_id,
                 rq->client_ip, event, detail ? ": " : "",
                 detail ? detail : "");
}

static const char *remote_user(ch_req_t *rq)
{
    return NULL;
}

static const char *own_url(ch_req_t *rq)
{
    return rq->conf->public_url ? rq->conf->public_url : "";
}

static const ch_io_t event_io = {
    .log = log_event,
    .event = no_event,
    .security = security,
    .own_url = own_url,
    .remote_user = remote_user,
};

/* --- child ------------------------------------------------------------ */

static int has_site(const ch_conf_t *const *confs, int count, int site)
{
    int i;

    for (i = 0; i < count; i++) {
        if (confs[i]->site == site) {
            return 1;
        }
    }
    return 0;
}

/* The first server of each database, and how many connections they have. */
static int collect(apr_pool_t *pool, server_rec *main_server)
{
    apr_array_header_t *confs =
        apr_array_make(pool, 2, sizeof(const ch_conf_t *));
    apr_array_header_t *servers =
        apr_array_make(pool, 2, sizeof(const ch_conf_t *));
    server_rec *server;

    room.threads = 0;
    for (server = main_server; server; server = server->next) {
        const ch_conf_t *conf = &ch_config_of(server)->conf;

        if (!conf->enabled || !conf->socketio) {
            continue;
        }
        APR_ARRAY_PUSH(servers, const ch_conf_t *) = conf;
        if (conf->site < 0
            || has_site((const ch_conf_t *const *)confs->elts, confs->nelts,
                        conf->site)) {
            continue;
        }
        APR_ARRAY_PUSH(confs, const ch_conf_t *) = conf;
        room.threads += ch_config_dbd_max(
            main_server, ch_config_dbd_owner(main_server, server));
    }
    room.confs = (const ch_conf_t *const *)confs->elts;
    room.conf_count = confs->nelts;
    room.servers = (const ch_conf_t *const *)servers->elts;
    room.server_count = servers->nelts;
    if (room.threads > THREADS_MAX) {
        room.threads = THREADS_MAX;
    }
    return confs->nelts;
}

static int is_stopping(void)
{
    int state = AP_MPMQ_RUNNING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS
           && state == AP_MPMQ_STOPPING;
}

static int graceful;

static void child_stopping(apr_pool_t *pchild, int is_graceful)
{
    graceful = is_graceful;
}

/* Before anything that it uses goes. */
static apr_status_t end(void *unused)
{
    ch_realtime_end(graceful ? SPREAD_GRACEFUL : SPREAD_NOW);
    return APR_SUCCESS;
}

void ch_live_begin(apr_pool_t *pchild, server_rec *main_server)
{
    if (!collect(pchild, main_server)) {
        return;
    }
    room.events = ch_api_events;
    room.event_count = ch_api_event_count;
    room.sync_event = ch_sync_changed;
    room.missed = ch_message_missed;
    room.io = &event_io;
    room.log = log_room;
    room.is_stopping = is_stopping;
    room.spread = SPREAD_GRACEFUL;
    room.sockets_max = ch_upgrade_sockets_max();
    ap_mpm_query(AP_MPMQ_IS_ASYNC, &room.detaches);
    ap_mpm_query(AP_MPMQ_GENERATION, &room.generation);
    if (!ch_realtime_begin(pchild, &room)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, main_server,
                     "CH1125: this process serves no Socket.IO: it has no "
                     "inbox, or no threads");
        return;
    }
    apr_pool_pre_cleanup_register(pchild, NULL, end);
}

void ch_live_register(void)
{
    ap_hook_child_stopping(child_stopping, NULL, NULL, APR_HOOK_MIDDLE);
}
