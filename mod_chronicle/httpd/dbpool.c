/* Takes connections from mod_dbd, which pools them. */
#include <string.h>

#include <httpd.h>
#include <http_config.h>
#include <apr_dbd.h>

#include <http_log.h>
#include <mod_dbd.h>

#include "base/steady.h"
#include "httpd/server.h"


static APR_OPTIONAL_FN_TYPE(ap_dbd_open) *dbd_open;
static APR_OPTIONAL_FN_TYPE(ap_dbd_close) *dbd_close;

int ch_dbpool_find(void)
{
    dbd_open = APR_RETRIEVE_OPTIONAL_FN(ap_dbd_open);
    dbd_close = APR_RETRIEVE_OPTIONAL_FN(ap_dbd_close);
    return dbd_open && dbd_close;
}

/* Says once that the database went away, and once that it is back. */
static void tell_state(void *owner, int up)
{
    server_rec *server = owner;
    apr_time_t *down_since = &ch_config_of(server)->down_since;
    apr_time_t since = __atomic_load_n(down_since, __ATOMIC_RELAXED);
    apr_time_t now;

    if ((since == 0) == up) {
        return;
    }
    now = ch_steady_now();
    if (!__atomic_compare_exchange_n(down_since, &since, up ? 0 : now, 0,
                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        return; /* another thread says it */
    }
    if (up) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, server,
                     "CH1064: this process has a connection to the database "
                     "again, after %" APR_TIME_T_FMT " ms",
                     apr_time_as_msec(now - since));
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, server,
                     "CH1063: this process gets no connection to the "
                     "database");
    }
}

static void *open_connection(void *server, apr_pool_t *pool, void **handle,
                             apr_pool_t **conn_pool)
{
    ap_dbd_t *dbd = dbd_open(pool, server);

    if (!dbd) {
        return NULL;
    }
    *handle = dbd;
    *conn_pool = dbd->pool;
    return apr_dbd_native_handle(dbd->driver, dbd->handle);
}

static void close_connection(void *server, void *handle)
{
    dbd_close(server, handle);
}

static const ch_db_source_t source = {
    .open = open_connection,
    .close = close_connection,
    .tell = tell_state,
};

/* Servers that use one pool of mod_dbd share one gate before it. */
void ch_dbpool_open(apr_pool_t *pool, server_rec *main_server)
{
    server_rec *server, *other;

    for (server = main_server; server; server = server->next) {
        ch_settings_t *settings = ch_config_of(server);
        server_rec *owner;

        if (!settings->conf.enabled || settings->conf.db) {
            continue;
        }
        owner = ch_config_dbd_owner(main_server, server);
        for (other = main_server; other != server; other = other->next) {
            if (ch_config_of(other)->conf.db
                && ch_config_dbd_owner(main_server, other) == owner) {
                settings->conf.db = ch_config_of(other)->conf.db;
                settings->conf.db_id = ch_config_of(other)->conf.db_id;
            }
        }
        if (!settings->conf.db) {
            settings->conf.db = ch_db_home_make(
                pool, &source, owner, ch_config_dbd_max(main_server, owner),
                settings->conf.db_wait_ms);
        }
    }
}
