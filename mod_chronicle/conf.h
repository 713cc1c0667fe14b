/* The settings of one virtual host, as every room reads them. Filled by
 * httpd/directives.c from httpd.conf, checked in post_config. */
#ifndef CH_CONF_H
#define CH_CONF_H

#include <apr.h>

#include "chronicle.h"

/* Rate classes (API.md 1.9): name, requests, seconds. */
#define CH_RATES(X)                                                           \
    X(NONE, "none", 0, 0)                                                     \
    X(API, "api", 100, 900)                                                   \
    X(AUTH, "auth", 5, 900)                                                   \
    X(SEARCH, "search", 30, 60)                                               \
    X(UPLOAD, "upload", 10, 3600)                                             \
    X(AI, "ai", 50, 3600)                                                     \
    X(PROVISION, "provision", 10, 900)                                        \
    X(PROVGEN, "provgen", 60, 60)                                             \
    X(CHAT, "chat", 60, 60)                                                   \
    X(FORMS, "forms", 10, 3600)                                               \
    X(WEBHOOK, "webhook", 600, 60)

typedef enum {
#define X(name, text, limit, seconds) CH_RATE_##name,
    CH_RATES(X)
#undef X
    CH_RATE__COUNT
} ch_rate_e;

/* Areas that ChronicleFeature turns off (API.md 19). */
#define CH_FEATURES(X)                                                        \
    X(NOTES, "notes")                                                         \
    X(AI, "ai")                                                               \
    X(ATTACHMENTS, "attachments")                                             \
    X(CONVERSATIONS, "conversations")                                         \
    X(CHAT, "chat")                                                           \
    X(FORMS, "forms")                                                         \
    X(INTEGRATIONS, "integrations")                                           \
    X(PROVISIONING, "provisioning")

typedef enum {
    CH_FEATURE_ALWAYS = 0,
#define X(name, text) CH_FEATURE_##name,
    CH_FEATURES(X)
#undef X
    CH_FEATURE__COUNT
} ch_feature_e;

typedef struct {
    int limit; /* 0 = off */
    int seconds;
} ch_rate_limit_t;

typedef struct {
    const char *kid;
    const char *secret;
    size_t len;
} ch_secret_t;

struct ch_conf_t {
    int enabled;
    int id; /* of the virtual host, for keys in shared memory */

    const ch_secret_t *jwt_keys; /* the first signs */
    int jwt_key_count;
    unsigned char refresh_key[32]; /* derived from the refresh secret */
    unsigned char cursor_key[32];  /* derived from the session secret */

    const apr_array_header_t *origins; /* of const char *, exact */
    const char *frontend_url;          /* NULL = own host */
    const char *public_url;            /* NULL = own host */
    const char *admin_email;           /* lower case, NULL = none */
    const char *contact_email;         /* the same; of forms */
    const char *metrics_token;         /* NULL = open */
    const char *docs_dir;              /* Swagger UI's files */
    const char *storage_dir;           /* of files that are kept */
    int require_verified_email;
    int trust_remote_user;
    int db_wait_ms;
    int job_workers; /* runners of jobs in this server */
    int cache_size;  /* bytes, of the whole server */
    unsigned char db_key[32]; /* of its DBDParams, for keys that databases
                               * might share */
    int site; /* number of its database, -1 = one too many; servers that share
               * a database share it */
    apr_off_t import_limit; /* bytes of a file of conversations */
    int api_log_rate; /* rows per second, 0 = off */

    int socketio;                 /* Socket.IO is served */
    int socketio_echo;            /* with its namespace /echo */
    int socketio_ping_ms;         /* between two pings */
    int socketio_pong_ms;         /* within which a pong must come */
    int socketio_max_payload;     /* bytes of a message, or of a poll */
    int socketio_upgrade_ms;      /* within which an upgrade must end */
    const apr_array_header_t *blocked_words; /* of const char *, of chat */

    const struct ch_smtp_t *smtp;         /* NULL = mail stays queued */
    const struct ch_mailbox_t *mail_from; /* set where smtp is */
    const char *mail_host; /* our name among mail servers; NULL = the host's */

    ch_rate_limit_t rate[CH_RATE__COUNT];
    char feature[CH_FEATURE__COUNT];

    const struct ch_redis_url_t *redis_url; /* NULL = none */
    unsigned char redis_key[32]; /* of the keys there; derived from the
                                  * refresh secret: the same on all hosts */

    struct ch_db_home_t *db;  /* set in each child */
    struct ch_redis_t *redis; /* the same; NULL = none */
    struct ch_blob_store_t *blob; /* NULL = no files can be kept */
    int db_id; /* id of the first server with this database */
};

extern const char *const ch_rate_names[CH_RATE__COUNT];
extern const char *const ch_feature_names[CH_FEATURE__COUNT];

#endif
