/* Makes, merges and checks the settings of each server. */
#include "httpd/config.h"

#include <string.h>

#include <apr_env.h>
#include <apr_escape.h>
#include <apr_strings.h>
#include <http_log.h>

#include "base/seal.h"
#include "base/text.h"
#include "store/redis.h"

#ifndef CH_DATADIR
#define CH_DATADIR "/usr/share/chronicle"
#endif

#ifndef CH_STATEDIR
#define CH_STATEDIR "/var/lib/chronicle"
#endif

#define DB_WAIT_MS 1000
#define JOB_WORKERS 2
#define CACHE_SIZE (32 * 1024 * 1024)
#define API_LOG_RATE 200
#define SOCKETIO_PING_MS 25000
#define SOCKETIO_PONG_MS 20000
#define SOCKETIO_MAX_PAYLOAD 1000000
#define SOCKETIO_UPGRADE_MS 10000
#define DBD_MAX 10 /* mod_dbd's own default */

/* --- create and merge ------------------------------------------------- */

void *ch_config_create(apr_pool_t *pool, server_rec *server)
{
    ch_settings_t *settings = apr_pcalloc(pool, sizeof(*settings));

#define INT(member) settings->member = -1;
#define TEXT(member)
#define LIST(member)
    CH_SETTINGS(INT, TEXT, LIST)
#undef INT
#undef TEXT
#undef LIST
    memset(settings->feature, -1, sizeof(settings->feature));
    return settings;
}

void *ch_config_merge(apr_pool_t *pool, void *base_data, void *own_data)
{
    const ch_settings_t *base = base_data;
    const ch_settings_t *own = own_data;
    ch_settings_t *out = apr_pcalloc(pool, sizeof(*out));
    int i;

#define INT(member)                                                           \
    out->member = own->member >= 0 ? own->member : base->member;
#define TEXT(member) out->member = own->member ? own->member : base->member;
#define LIST(member) out->member = own->member ? own->member : base->member;
    CH_SETTINGS(INT, TEXT, LIST)
#undef INT
#undef TEXT
#undef LIST
    for (i = 0; i < CH_RATE__COUNT; i++) {
        out->rate[i] = own->rate[i].seconds ? own->rate[i] : base->rate[i];
    }
    for (i = 0; i < CH_FEATURE__COUNT; i++) {
        out->feature[i] =
            own->feature[i] >= 0 ? own->feature[i] : base->feature[i];
    }
    for (i = 0; i < CH_JSONLOG__COUNT; i++) {
        out->log[i] = own->log[i] ? own->log[i] : base->log[i];
    }
    out->where = own->where ? own->where : base->where;
    return out;
}

ch_settings_t *ch_config_of(server_rec *server)
{
    return ap_get_module_config(server->module_config, &chronicle_module);
}

/* --- what the environment gives --------------------------------------- */

const char *ch_config_variable(apr_pool_t *pool, const char *name)
{
    char *value;

    if (apr_env_get(&value, name, pool) != APR_SUCCESS || !*value) {
        return NULL;
    }
    return value;
}

/* Fills a setting that is not given from its variable. */
static const char *text_from(apr_pool_t *pool, const char **member,
                             const char *name)
{
    const char *value = *member ? NULL : ch_config_variable(pool, name);

    return value ? ch_secret_read(pool, value, member) : NULL;
}

static void split_origins(apr_pool_t *pool, apr_array_header_t **list,
                          const char *text)
{
    char *copy = text ? apr_pstrdup(pool, text) : NULL;
    char *last;
    char *word = copy ? apr_strtok(copy, ", ", &last) : NULL;

    for (; word; word = apr_strtok(NULL, ", ", &last)) {
        if (!*list) {
            *list = apr_array_make(pool, 4, sizeof(const char *));
        }
        APR_ARRAY_PUSH(*list, const char *) =
            ch_text_ascii_lower(pool, word, strlen(word));
    }
}

const char *ch_config_redis(apr_pool_t *pool, const char *text,
                            const ch_redis_url_t **out)
{
    *out = NULL;
    return strcasecmp(text, "off") == 0 ? NULL
                                        : ch_redis_url_parse(pool, text, out);
}

/* A URL of the parts that other programs take from the environment. */
static const char *redis_parts(apr_pool_t *pool)
{
    const char *host = ch_config_variable(pool, "REDIS_HOST");
    const char *port = ch_config_variable(pool, "REDIS_PORT");
    const char *password = ch_config_variable(pool, "REDIS_PASSWORD");

    if (!host) {
        return NULL;
    }
    return apr_pstrcat(
        pool, "redis://", password ? ":" : "",
        password ? apr_pescape_path_segment(pool, password) : "",
        password ? "@" : "", apr_psprintf(pool, strchr(host, ':') ? "[%s]"
                                                                  : "%s",
                                          host),
        port ? ":" : "", port ? port : "", NULL);
}

static const char *redis_from_environment(apr_pool_t *pool,
                                          ch_settings_t *settings)
{
    const ch_redis_url_t *url;
    const char *error;

    if (settings->redis) {
        return NULL;
    }
    error = text_from(pool, &settings->redis, "REDIS_URL");
    if (!error && !settings->redis) {
        settings->redis = redis_parts(pool);
    }
    if (!error && settings->redis) {
        error = ch_config_redis(pool, settings->redis, &url);
    }
    return error ? apr_pstrcat(pool, "REDIS_URL or REDIS_HOST: ", error, NULL)
                 : NULL;
}

static const char *from_environment(apr_pool_t *pool, ch_settings_t *settings)
{
    const char *error, *value, *rate;

    value = settings->jwt ? NULL : ch_config_variable(pool, "JWT_SECRET");
    if (value) {
        error = ch_config_add_jwt(pool, &settings->jwt, value);
        if (error) {
            return apr_pstrcat(pool, "JWT_SECRET: ", error, NULL);
        }
    }
    error = text_from(pool, &settings->refresh_secret, "JWT_REFRESH_SECRET");
    if (!error) {
        error = text_from(pool, &settings->session_secret, "SESSION_SECRET");
    }
    if (!error) {
        error = text_from(pool, &settings->frontend_url, "FRONTEND_URL");
    }
    if (!error) {
        error = redis_from_environment(pool, settings);
    }
    if (!settings->origins) {
        split_origins(pool, &settings->origins,
                      ch_config_variable(pool, "ALLOWED_ORIGINS"));
        split_origins(pool, &settings->origins,
                      ch_config_variable(pool, "FRONTEND_URL"));
    }
    rate = ch_config_variable(pool, "RATE_LIMIT_MAX_REQUESTS");
    if (rate && !settings->rate[CH_RATE_PROVGEN].seconds
        && apr_atoi64(rate) > 0) {
        settings->rate[CH_RATE_PROVGEN].limit = (int)apr_atoi64(rate);
        settings->rate[CH_RATE_PROVGEN].seconds = 60;
    }
    return error;
}

/* --- from settings to conf -------------------------------------------- */

static void fill_rates(ch_conf_t *conf, const ch_settings_t *settings)
{
    static const ch_rate_limit_t defaults[CH_RATE__COUNT] = {
#define X(name, text, limit, seconds) [CH_RATE_##name] = { limit, seconds },
        CH_RATES(X)
#undef X
    };
    int i;

    for (i = 0; i < CH_RATE__COUNT; i++) {
        conf->rate[i] = settings->rate[i].seconds ? settings->rate[i]
                                                  : defaults[i];
    }
    for (i = 0; i < CH_FEATURE__COUNT; i++) {
        conf->feature[i] = settings->feature[i] != 0;
    }
}

static void fill_socketio(ch_conf_t *conf, const ch_settings_t *settings)
{
    conf->socketio = settings->socketio != 0;
    conf->socketio_echo = settings->socketio_echo > 0;
    conf->socketio_ping_ms = settings->socketio_ping_ms > 0
                                 ? settings->socketio_ping_ms
                                 : SOCKETIO_PING_MS;
    conf->socketio_pong_ms = settings->socketio_pong_ms > 0
                                 ? settings->socketio_pong_ms
                                 : SOCKETIO_PONG_MS;
    conf->socketio_max_payload = settings->socketio_max_payload > 0
                                     ? settings->socketio_max_payload
                                     : SOCKETIO_MAX_PAYLOAD;
    conf->socketio_upgrade_ms = settings->socketio_upgrade_ms > 0
                                    ? settings->socketio_upgrade_ms
                                    : SOCKETIO_UPGRADE_MS;
    conf->blocked_words = settings->blocked_words;
}

static const char *what_is_missing(const ch_settings_t *settings)
{
    if (!settings->jwt) {
        return "ChronicleJwtSecret is required (or JWT_SECRET)";
    }
    if (!settings->refresh_secret) {
        return "ChronicleRefreshSecret is required (or JWT_REFRESH_SECRET)";
    }
    if (strlen(settings->refresh_secret) < 32) {
        return "JWT_REFRESH_SECRET: the secret must have 32 bytes or more";
    }
    return NULL;
}

static void fill_conf(apr_pool_t *pool, ch_conf_t *conf,
                      const ch_settings_t *settings, int id)
{
    const char *session = settings->session_secret ? settings->session_secret
                                                   : settings->refresh_secret;

    conf->enabled = 1;
    conf->id = id;
    conf->db_id = id;
    conf->jwt_keys = (const ch_secret_t *)(void *)settings->jwt->elts;
    conf->jwt_key_count = settings->jwt->nelts;
    ch_seal_derive(settings->refresh_secret,
                   strlen(settings->refresh_secret), "refresh",
                   conf->refresh_key);
    ch_seal_derive(settings->refresh_secret,
                   strlen(settings->refresh_secret), "redis",
                   conf->redis_key);
    ch_seal_derive(session, strlen(session), "cursor", conf->cursor_key);
    if (settings->redis) {
        ch_config_redis(pool, settings->redis, &conf->redis_url);
    }
    conf->origins = settings->origins;
    conf->frontend_url = settings->frontend_url;
    conf->public_url = settings->public_url;
    conf->admin_email = settings->admin_email;
    conf->contact_email = settings->contact_email ? settings->contact_email
                                                  : settings->admin_email;
    conf->metrics_token = settings->metrics_token;
    conf->docs_dir = settings->docs_dir ? settings->docs_dir
                                        : CH_DATADIR "/swagger-ui";
    conf->storage_dir =
        settings->storage_dir ? settings->storage_dir : CH_STATEDIR;
    conf->require_verified_email = settings->require_verified_email > 0;
    conf->trust_remote_user = settings->trust_remote_user > 0;
    conf->db_wait_ms =
        settings->db_wait_ms > 0 ? settings->db_wait_ms : DB_WAIT_MS;
    conf->cache_size =
        settings->cache_size >= 0 ? settings->cache_size : CACHE_SIZE;
    conf->import_limit = settings->import_limit
                             ? ch_config_size(settings->import_limit)
                             : CH_BODY_MAX;
    conf->job_workers =
        settings->job_workers >= 0 ? settings->job_workers : JOB_WORKERS;
    conf->api_log_rate =
        settings->api_log_rate >= 0 ? settings->api_log_rate : API_LOG_RATE;
    fill_rates(conf, settings);
    fill_socketio(conf, settings);
}

/* --- mod_dbd's settings, which it keeps to itself --------------------- */

typedef struct {
    const char *name;  /* directive */
    const char *value; /* its last value */
} search_t;

static void search(const ap_directive_t *node, search_t *what)
{
    for (; node; node = node->next) {
        if (strcasecmp(node->directive, what->name) == 0) {
            what->value = node->args;
        }
        else if (node->first_child
                 && strncasecmp(node->directive, "<VirtualHost", 12) != 0) {
            search(node->first_child, what); /* <IfModule> and the like */
        }
    }
}

static int is_at(const server_rec *server, const char *file, int line)
{
    return server->defn_name && (int)server->defn_line_number == line
           && strcmp(server->defn_name, file) == 0;
}

/* A file that is included more than once, with other definitions each time,
 * gives as many servers with the same place. The last one is listed first. */
static int count_before(const server_rec *server)
{
    const server_rec *other;
    int count = 0;

    for (other = server->next; other && server->defn_name;
         other = other->next) {
        count += is_at(other, server->defn_name,
                       (int)server->defn_line_number);
    }
    return count;
}

/* Its section, behind as many others with the same place. */
static const ap_directive_t *section_of(const ap_directive_t *node,
                                        const server_rec *server, int *before)
{
    for (; node; node = node->next) {
        const ap_directive_t *inner;

        if (strncasecmp(node->directive, "<VirtualHost", 12) == 0
            && is_at(server, node->filename, node->line_num)
            && (*before)-- == 0) {
            return node;
        }
        inner = section_of(node->first_child, server, before);
        if (inner) {
            return inner;
        }
    }
    return NULL;
}

static const char *dbd_setting(server_rec *main_server, server_rec *server,
                               const char *name)
{
    search_t what = { .name = name };
    const ap_directive_t *section;
    int before = count_before(server);

    if (server == main_server) {
        search(ap_conftree, &what);
        return what.value;
    }
    section = section_of(ap_conftree, server, &before);
    if (section) {
        search(section->first_child, &what);
    }
    return what.value;
}

server_rec *ch_config_dbd_owner(server_rec *main_server, server_rec *server)
{
    return dbd_setting(main_server, server, "DBDParams") ? server
                                                         : main_server;
}

const char *ch_config_dbd_params(apr_pool_t *pool, server_rec *main_server,
                                 server_rec *server)
{
    server_rec *owner = ch_config_dbd_owner(main_server, server);
    const char *args = dbd_setting(main_server, owner, "DBDParams");

    return args ? ap_getword_conf(pool, &args) : "";
}

int ch_config_dbd_max(server_rec *main_server, server_rec *server)
{
    const char *value = dbd_setting(main_server, server, "DBDMax");

    if (!value) {
        value = dbd_setting(main_server, main_server, "DBDMax");
    }
    return value && apr_atoi64(value) > 0 ? (int)apr_atoi64(value) : DBD_MAX;
}

static const char *what_dbd_lacks(server_rec *main_server, server_rec *server)
{
    server_rec *owner = ch_config_dbd_owner(main_server, server);
    const char *driver = dbd_setting(main_server, owner, "DBDriver");

    if (!driver) {
        driver = dbd_setting(main_server, main_server, "DBDriver");
    }
    if (!ap_find_linked_module("mod_dbd.c")) {
        return "LoadModule dbd_module is required";
    }
    if (!driver || strcasecmp(driver, "pgsql") != 0) {
        return "DBDriver pgsql is required";
    }
    if (!dbd_setting(main_server, owner, "DBDParams")) {
        return "DBDParams is required";
    }
    return NULL;
}

/* Elsewhere another database may have the same number as this one. */
static void name_database(apr_pool_t *pool, server_rec *main_server,
                          server_rec *server, ch_conf_t *conf)
{
    const char *params = ch_config_dbd_params(pool, main_server, server);

    ch_seal_sha256(params, strlen(params), conf->db_key);
}

/* A virtual host without a directive of ours has the main server's settings,
 * the very ones. Where it names a database of its own it needs a copy, which
 * will lead there. */
static void part_from_main(apr_pool_t *pool, server_rec *main_server)
{
    ch_settings_t *shared = ch_config_of(main_server);
    server_rec *server;

    for (server = main_server->next; server; server = server->next) {
        if (ch_config_of(server) == shared
            && ch_config_dbd_owner(main_server, server) == server) {
            ap_set_module_config(server->module_config, &chronicle_module,
                                 apr_pmemdup(pool, shared, sizeof(*shared)));
        }
    }
}

int ch_config_finish(apr_pool_t *pool, server_rec *main_server)
{
    server_rec *server;
    int id = 0;

    part_from_main(pool, main_server);
    for (server = main_server; server; server = server->next) {
        ch_settings_t *settings = ch_config_of(server);
        const char *error;

        id++;
        if (settings->enabled <= 0 || settings->conf.enabled) {
            continue; /* off, or shared with a server seen before */
        }
        settings->written = apr_pmemdup(pool, settings, sizeof(*settings));
        error = from_environment(pool, settings);
        if (!error) {
            error = what_is_missing(settings);
        }
        if (!error) {
            error = what_dbd_lacks(main_server, server);
        }
        if (!error) {
            error = ch_config_mail(pool, server, settings);
        }
        if (error) {
            ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_EMERG, 0, server,
                         "CH1010: %s, for Chronicle On at %s", error,
                         settings->where);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
        fill_conf(pool, &settings->conf, settings, id);
        name_database(pool, main_server, server, &settings->conf);
    }
    return OK;
}
