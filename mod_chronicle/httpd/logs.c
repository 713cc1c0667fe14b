/* The API log: what was answered goes into the ring, and mod_watchdog's thread
 * of one child takes it from there to the database. */
#include <string.h>

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <mod_watchdog.h>

#include "httpd/server.h"
#include "store/apilog.h"

#define WATCHDOG "_chronicle_log_"
#define INTERVAL (APR_USEC_PER_SEC / 2)
#define BATCHES 16 /* statements of one turn */

static const char *user_of(const ch_req_t *rq)
{
    return rq->who && rq->who->sure ? rq->who->user_id : NULL;
}

/* Everything under /api but the documents and what watches the server. */
static int is_logged(const ch_req_t *rq, const ch_route_t *route)
{
    if (strncmp(rq->raw_path, "/api", 4) != 0
        || (rq->raw_path[4] && rq->raw_path[4] != '/')) {
        return 0;
    }
    return !route || !(route->flags & CH_ROOT)
           || (route->flags & CH_ENVELOPED);
}

void ch_logs_request(const ch_req_t *rq)
{
    const ch_route_t *route =
        rq->match.route ? rq->match.route : rq->match.any;
    const ch_apilog_to_t to = { .server = rq->conf->id,
                                .database = rq->conf->db_id,
                                .rate = rq->conf->api_log_rate };
    ch_apilog_t row;

    if (!to.rate || !is_logged(rq, route)) {
        return;
    }
    row = (ch_apilog_t){
        .request_id = rq->request_id,
        .user_id = user_of(rq),
        .method = rq->method_name,
        .path = *rq->sent_path == '/' ? rq->sent_path : rq->raw_path,
        .route = route ? ch_route_template(rq->pool, route) : NULL,
        .client_ip = rq->client_ip,
        .user_agent = ch_req_header(rq, "User-Agent"),
        .error_code = rq->reply.code ? ch_code_name(rq->reply.code) : NULL,
        .status = rq->reply.status,
        .start = rq->start,
        .took = apr_time_now() - rq->start,
    };
    ch_apilog_put(&row, &to);
}

/* --- to the database -------------------------------------------------- */

/* Says once that the database is away and once that it is back. */
static void tell(server_rec *server, const ch_err_t *err, int moved)
{
    static int away;

    if (err && err->code != CH_E_DATABASE_ERROR) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, server,
                     "CH1052: %d rows of the API log were refused: %s", moved,
                     err->cause);
    }
    else if (err && !away) {
        away = 1;
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                     "CH1050: the API log waits: %s", err->cause);
    }
    else if (!err && moved && away) {
        away = 0;
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, server,
                     "CH1051: the API log is written again");
    }
}

static void drain_one(server_rec *server, apr_pool_t *parent)
{
    const ch_conf_t *conf = &ch_config_of(server)->conf;
    ch_err_t *err = NULL;
    apr_pool_t *pool;
    int moved = 1;
    int i;

    for (i = 0; i < BATCHES && !err && moved; i++) {
        apr_pool_create(&pool, parent);
        err = ch_apilog_drain(ch_db_make(pool, conf->db), pool, conf->db_id,
                              &moved);
        tell(server, err, moved);
        apr_pool_destroy(pool);
    }
}

static void drain_all(server_rec *main_server, apr_pool_t *pool)
{
    server_rec *server;

    for (server = main_server; server; server = server->next) {
        const ch_conf_t *conf = &ch_config_of(server)->conf;

        if (conf->enabled && conf->db && conf->db_id == conf->id) {
            drain_one(server, pool);
        }
    }
}

static apr_status_t step(int state, void *data, apr_pool_t *pool)
{
    if (state == AP_WATCHDOG_STATE_RUNNING) {
        drain_all(data, pool);
    }
    return APR_SUCCESS;
}

static int any_logs(server_rec *server)
{
    for (; server; server = server->next) {
        const ch_conf_t *conf = &ch_config_of(server)->conf;

        if (conf->enabled && conf->api_log_rate) {
            return 1;
        }
    }
    return 0;
}

void ch_logs_open(apr_pool_t *pconf, server_rec *main_server)
{
    APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get =
        APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *add =
        APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    ap_watchdog_t *watchdog;
    apr_status_t rv = APR_ENOTIMPL;

    if (!any_logs(main_server)) {
        return;
    }
    if (get && add) {
        rv = get(&watchdog, WATCHDOG, 0, 1, pconf);
    }
    if (rv == APR_SUCCESS) {
        rv = add(watchdog, INTERVAL, main_server, step);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, main_server,
                     "CH1053: no API log is written: it needs mod_watchdog");
    }
}
