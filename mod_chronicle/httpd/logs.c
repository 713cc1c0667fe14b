/* The API log: what was answered goes into the ring; a role of one child
 * (background.c) takes it from there to the database. */
#include <string.h>

#include <apr_strings.h>

#include <httpd.h>
#include <ap_mpm.h>
#include <http_config.h>
#include <http_log.h>

#include "httpd/server.h"
#include "store/apilog.h"

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
    int away = err && err->code == CH_E_DATABASE_ERROR;

    if (err && !away) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, server,
                     "CH1052: %d rows of the API log were refused: %s", moved,
                     err->cause);
    }
    if ((!away && !moved) || !ch_apilog_note_away(away)) {
        return;
    }
    if (away) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                     "CH1050: the API log waits: %s", err->cause);
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, server,
                     "CH1051: the API log is written again");
    }
}

void ch_logs_write(server_rec *server, apr_pool_t *parent)
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

/* Before a child closes its connections: what it has answered to the end is
 * written, unless that would keep it from going. prefork's children end inside
 * of a signal handler. */
static apr_status_t end_child(void *main_server)
{
    server_rec *server;
    apr_pool_t *pool;
    int threaded = 0;

    ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded);
    if (!threaded || ch_apilog_is_away()) {
        return APR_SUCCESS;
    }
    apr_pool_create(&pool, NULL);
    for (server = main_server; server; server = server->next) {
        const ch_conf_t *conf = &ch_config_of(server)->conf;

        if (conf->enabled && conf->db && conf->db_id == conf->id) {
            ch_logs_write(server, pool);
        }
    }
    apr_pool_destroy(pool);
    return APR_SUCCESS;
}

void ch_logs_begin(apr_pool_t *pchild, server_rec *main_server)
{
    apr_pool_pre_cleanup_register(pchild, main_server, end_child);
}
