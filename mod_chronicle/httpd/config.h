/* Settings as httpd.conf gives them, per server, before they are checked. */
#ifndef CH_HTTPD_CONFIG_H
#define CH_HTTPD_CONFIG_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "conf.h"

/* The one list of settings: how each is kept and merged. INT: -1 = unset.
 * TEXT and LIST: NULL = unset. */
#define CH_SETTINGS(INT, TEXT, LIST)                                          \
    INT(enabled)                                                              \
    INT(require_verified_email)                                               \
    INT(trust_remote_user)                                                    \
    INT(db_wait_ms)                                                           \
    INT(job_workers)                                                          \
    INT(cache_size)                                                           \
    INT(api_log_rate)                                                         \
    INT(socketio)                                                             \
    INT(socketio_echo)                                                        \
    INT(socketio_ping_ms)                                                     \
    INT(socketio_pong_ms)                                                     \
    INT(socketio_max_payload)                                                 \
    INT(socketio_upgrade_ms)                                                  \
    TEXT(refresh_secret)                                                      \
    TEXT(session_secret)                                                      \
    TEXT(frontend_url)                                                        \
    TEXT(public_url)                                                          \
    TEXT(admin_email)                                                         \
    TEXT(contact_email)                                                       \
    TEXT(metrics_token)                                                       \
    TEXT(docs_dir)                                                            \
    TEXT(redis) /* a URL that was checked, or "off" */                        \
    TEXT(import_limit) /* bytes, with K, M or G; checked */                   \
    TEXT(storage_dir)                                                         \
    TEXT(smtp)                                                                \
    TEXT(mail_from)                                                           \
    LIST(jwt)     /* of ch_secret_t */                                        \
    LIST(origins) /* of const char * */                                       \
    LIST(blocked_words) /* the same */

/* The JSON logs of ChronicleLog. */
#define CH_JSONLOGS(X)                                                        \
    X(ERROR, "error")                                                         \
    X(SECURITY, "security")                                                   \
    X(APPLICATION, "application")

typedef enum {
#define X(name, text) CH_JSONLOG_##name,
    CH_JSONLOGS(X)
#undef X
    CH_JSONLOG__COUNT
} ch_jsonlog_e;

typedef struct ch_settings_t ch_settings_t;

struct ch_settings_t {
#define INT(member) int member;
#define TEXT(member) const char *member;
#define LIST(member) apr_array_header_t *member;
    CH_SETTINGS(INT, TEXT, LIST)
#undef INT
#undef TEXT
#undef LIST
    ch_rate_limit_t rate[CH_RATE__COUNT]; /* seconds 0 = unset */
    signed char feature[CH_FEATURE__COUNT];
    const char *log[CH_JSONLOG__COUNT]; /* file or "|program", "" = off */
    apr_file_t *log_file[CH_JSONLOG__COUNT]; /* while the server runs */
    apr_time_t down_since; /* of this pool, in this process; 0 = it is up */
    const ch_settings_t *written; /* as httpd.conf had them */
    const char *where; /* "file:line" of Chronicle On */
    const char *dbd_params;
    ch_conf_t conf;    /* made by ch_config_finish */
};

#ifndef CH_MODULE_RECORD
APLOG_USE_MODULE(chronicle);
#endif

void *ch_config_create(apr_pool_t *pool, server_rec *server);
void *ch_config_merge(apr_pool_t *pool, void *base, void *own);

/* How the setting of a directive is shown to people. What is not known to be
 * harmless is a secret. */
typedef enum {
    CH_SHOW_SECRET,
    CH_SHOW_KEYS, /* secrets whose key ids may be seen */
    CH_SHOW_FLAG,
    CH_SHOW_NUMBER,
    CH_SHOW_SIZE, /* bytes, with K or M where that is exact */
    CH_SHOW_TEXT,
    CH_SHOW_LIST
} ch_show_e;

ch_show_e ch_directive_show(const command_rec *directive);

ch_settings_t *ch_config_of(server_rec *server);

/* Fills and checks conf of every server with Chronicle On. Writes what is
 * missing or wrong, with its place, to the log and returns an error. */
int ch_config_finish(apr_pool_t *pool, server_rec *main_server);

/* The most connections of mod_dbd's pool for this server, and the server
 * whose DBDParams it uses. Both are read from the configuration tree. */
int ch_config_dbd_max(server_rec *main_server, server_rec *server);
server_rec *ch_config_dbd_owner(server_rec *main_server, server_rec *server);

/* The DBDParams that hold for this server, in pool. */
const char *ch_config_dbd_params(apr_pool_t *pool, server_rec *main_server,
                                 server_rec *server);

/* Adds "kid:secret" to a list of ch_secret_t; an error text or NULL. */
const char *ch_config_add_jwt(apr_pool_t *pool, apr_array_header_t **list,
                              const char *value);

/* Bytes, or with K, M or G; -1 for what is neither. */
apr_int64_t ch_config_size(const char *text);

/* A variable of the environment; NULL when it is empty, too. */
const char *ch_config_variable(apr_pool_t *pool, const char *name);

/* The mail server of a URL, NULL for "off"; an error text or NULL. */
const char *ch_config_smtp(apr_pool_t *pool, const char *text,
                           const struct ch_smtp_t **out);

/* Fills what conf has to know about mail; an error text or NULL. */
const char *ch_config_mail(apr_pool_t *pool, server_rec *server,
                           ch_settings_t *settings);

/* A secret's value: itself, or what file:, env: or exec: lead to. Returns an
 * error text or NULL. The value is never logged. */
const char *ch_secret_read(apr_pool_t *pool, const char *text,
                           const char **out);

/* Checks what ChronicleRedis names, or its variable: an error text or NULL.
 * *out is NULL for "off". */
const char *ch_config_redis(apr_pool_t *pool, const char *text,
                            const struct ch_redis_url_t **out);

extern const command_rec ch_directives[];

#endif
