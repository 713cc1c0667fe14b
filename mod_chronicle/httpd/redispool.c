/* Gives servers their Redis: those with the same URL share one. */
#include <httpd.h>
#include <ap_mpm.h>
#include <http_config.h>
#include <http_log.h>

#include "httpd/server.h"
#include "store/redis.h"

#define BACKGROUND 5 /* threads beside those of requests */

/* The first server before this one with the same Redis. */
static server_rec *same_before(server_rec *main_server, server_rec *server)
{
    const ch_redis_url_t *url = ch_config_of(server)->conf.redis_url;
    server_rec *other;

    for (other = main_server; other != server; other = other->next) {
        const ch_redis_url_t *its = ch_config_of(other)->conf.redis_url;

        if (its && ch_redis_url_same(its, url)) {
            return other;
        }
    }
    return NULL;
}

const char *ch_redispool_claim(server_rec *main_server)
{
    server_rec *server;
    int count = 0;

    for (server = main_server; server; server = server->next) {
        const ch_redis_url_t *url = ch_config_of(server)->conf.redis_url;

        if (url && !same_before(main_server, server)) {
            if (++count > CH_REDIS_PLACES) {
                return "more than 16 different URLs of ChronicleRedis";
            }
            ch_redis_claim(url);
        }
    }
    return NULL;
}

static void write_log(void *ctx, char level, int number, const char *text)
{
    ap_log_error(APLOG_MARK, level == 'e' ? APLOG_ERR : APLOG_WARNING, 0, ctx,
                 "CH%04d: %s", number, text);
}

void ch_redispool_open(apr_pool_t *pool, server_rec *main_server)
{
    server_rec *server;
    int threads = 1;

    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    threads = (threads > 0 ? threads : 1) + BACKGROUND;
    for (server = main_server; server; server = server->next) {
        ch_conf_t *conf = &ch_config_of(server)->conf;
        server_rec *other;

        if (!conf->redis_url || conf->redis) {
            continue;
        }
        other = same_before(main_server, server);
        conf->redis = other ? ch_config_of(other)->conf.redis
                            : ch_redis_make(pool, conf->redis_url, threads,
                                            write_log, main_server);
    }
}
