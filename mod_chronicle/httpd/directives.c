/* The directives: one row each, with its setter and where it puts what. */
#include <limits.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "base/mime.h"
#include "base/text.h"
#include "httpd/config.h"
#include "httpd/jsonlog.h"
#include "store/limit.h"

#define AT(member) (void *)APR_OFFSETOF(ch_settings_t, member)
#define SCOPE RSRC_CONF

static ch_settings_t *settings_of(cmd_parms *cmd)
{
    return ap_get_module_config(cmd->server->module_config,
                                &chronicle_module);
}

static void *member_of(cmd_parms *cmd)
{
    return (char *)settings_of(cmd) + (apr_size_t)cmd->info;
}

/* --- setters ---------------------------------------------------------- */

static const char *set_flag(cmd_parms *cmd, void *dir, int on)
{
    *(int *)member_of(cmd) = on;
    return NULL;
}

static const char *set_enabled(cmd_parms *cmd, void *dir, int on)
{
    settings_of(cmd)->where = apr_psprintf(
        cmd->pool, "%s:%d", cmd->directive->filename,
        cmd->directive->line_num);
    return set_flag(cmd, dir, on);
}

static const char *set_text(cmd_parms *cmd, void *dir, const char *text)
{
    *(const char **)member_of(cmd) = text;
    return NULL;
}

static const char *wrong(cmd_parms *cmd, const char *what)
{
    return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", what, NULL);
}

static const char *set_path(cmd_parms *cmd, void *dir, const char *text)
{
    const char *path = ap_server_root_relative(cmd->pool, text);

    return path ? set_text(cmd, dir, path) : wrong(cmd, "invalid path");
}

static const char *set_url(cmd_parms *cmd, void *dir, const char *text)
{
    size_t len = strlen(text);

    while (len && text[len - 1] == '/') {
        len--;
    }
    if (!ch_text_is_url(text, len)) {
        return wrong(cmd, "must be an absolute http or https URL");
    }
    return set_text(cmd, dir, apr_pstrmemdup(cmd->pool, text, len));
}

static const char *set_email(cmd_parms *cmd, void *dir, const char *text)
{
    if (!ch_text_is_email(text, strlen(text))) {
        return wrong(cmd, "must be an e-mail address");
    }
    return set_text(cmd, dir, ch_text_lower(cmd->pool, text, strlen(text)));
}

static const char *set_secret(cmd_parms *cmd, void *dir, const char *text)
{
    const char *value;
    const char *error = ch_secret_read(cmd->pool, text, &value);

    return error ? wrong(cmd, error) : set_text(cmd, dir, value);
}

static const char *set_redis(cmd_parms *cmd, void *dir, const char *text)
{
    const struct ch_redis_url_t *url;
    const char *value;
    const char *error = ch_secret_read(cmd->pool, text, &value);

    if (!error) {
        error = ch_config_redis(cmd->temp_pool, value, &url);
    }
    return error ? wrong(cmd, error) : set_text(cmd, dir, value);
}

static const char *set_smtp(cmd_parms *cmd, void *dir, const char *text)
{
    const struct ch_smtp_t *server;
    const char *value;
    const char *error = ch_secret_read(cmd->pool, text, &value);

    if (!error) {
        error = ch_config_smtp(cmd->temp_pool, value, &server);
    }
    return error ? wrong(cmd, error) : set_text(cmd, dir, value);
}

static const char *set_mailbox(cmd_parms *cmd, void *dir, const char *text)
{
    ch_mailbox_t box;

    if (!ch_mime_mailbox(cmd->temp_pool, text, &box)) {
        return wrong(cmd, "must be an address, or a name and an address as "
                          "in \"Notes <notes@example.com>\"");
    }
    return set_text(cmd, dir, text);
}

#define SECRET_MIN 32

static const char *set_long_secret(cmd_parms *cmd, void *dir,
                                   const char *text)
{
    const char *value;
    const char *error = ch_secret_read(cmd->pool, text, &value);

    if (error) {
        return wrong(cmd, error);
    }
    if (strlen(value) < SECRET_MIN) {
        return wrong(cmd, "the secret must have 32 bytes or more");
    }
    return set_text(cmd, dir, value);
}

/* A number within bounds; `what` says which. */
static const char *set_within(cmd_parms *cmd, const char *text, int min,
                              int max, const char *what)
{
    char *end;
    apr_int64_t number = apr_strtoi64(text, &end, 10);

    if (*end || end == text || number < min || number > max) {
        return wrong(cmd, what);
    }
    *(int *)member_of(cmd) = (int)number;
    return NULL;
}

static const char *set_wait(cmd_parms *cmd, void *dir, const char *text)
{
    return set_within(cmd, text, 1, 60000, "must be 1 to 60000 milliseconds");
}

static const char *set_workers(cmd_parms *cmd, void *dir, const char *text)
{
    return set_within(cmd, text, 0, 16, "must be 0 to 16");
}

static const char *set_payload(cmd_parms *cmd, void *dir, const char *text)
{
    return set_within(cmd, text, 1000, 16000000,
                      "must be 1000 to 16000000 bytes");
}

static const char *set_upgrade(cmd_parms *cmd, void *dir, const char *text)
{
    return set_within(cmd, text, 100, 600000,
                      "must be 100 to 600000 milliseconds");
}

apr_int64_t ch_config_size(const char *text)
{
    static const char units[] = "KMG";
    char *end;
    apr_int64_t size = apr_strtoi64(text, &end, 10);
    const char *unit = *end ? strchr(units, apr_toupper(*end)) : NULL;

    if (unit && size >= 0 && size <= INT_MAX) {
        size <<= 10 * (unit - units + 1);
        end++;
    }
    return *end || end == text || size < 0 ? -1 : size;
}

static const char *set_size(cmd_parms *cmd, void *dir, const char *text)
{
    apr_int64_t size = ch_config_size(text);

    if (size < 0 || size > INT_MAX) {
        return wrong(cmd, "must be bytes, or a number with K, M or G, below "
                          "2G");
    }
    *(int *)member_of(cmd) = (int)size;
    return NULL;
}

/* The cache is the whole server's. */
static const char *set_cache_size(cmd_parms *cmd, void *dir,
                                  const char *text)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    return error ? error : set_size(cmd, dir, text);
}

#define IMPORT_MAX (APR_INT64_C(4) << 30)

static const char *set_import_limit(cmd_parms *cmd, void *dir,
                                    const char *text)
{
    apr_int64_t size = ch_config_size(text);

    if (size < 1 || size > IMPORT_MAX) {
        return wrong(cmd, "must be 1 byte to 4G");
    }
    return set_text(cmd, dir, text);
}

static const char *set_log_rate(cmd_parms *cmd, void *dir, const char *text)
{
    return set_within(cmd, text, 0, 100000,
                      "must be 0 to 100000 rows per second");
}

/* Length of the kid before a colon, 0 when there is none. */
static size_t kid_length(const char *value)
{
    size_t len = strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz0123456789_.-");

    return value[len] == ':' && len <= 64 ? len : 0;
}

/* A secret without a kid has the kid "1". The secret may be kept elsewhere
 * whole (file:/path holding kid:secret) or after its kid (kid:file:/path). */
const char *ch_config_add_jwt(apr_pool_t *pool, apr_array_header_t **list,
                              const char *value)
{
    ch_secret_t key = { .kid = "1" };
    size_t kid_len;
    const char *error = ch_secret_read(pool, value, &value);
    int i;

    kid_len = error ? 0 : kid_length(value);
    if (kid_len) {
        key.kid = apr_pstrmemdup(pool, value, kid_len);
        error = ch_secret_read(pool, value + kid_len + 1, &value);
    }
    if (error) {
        return error;
    }
    key.secret = value;
    key.len = strlen(value);
    if (key.len < SECRET_MIN) {
        return "the secret must have 32 bytes or more";
    }
    if (!*list) {
        *list = apr_array_make(pool, 2, sizeof(ch_secret_t));
    }
    for (i = 0; i < (*list)->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(*list, i, ch_secret_t).kid, key.kid) == 0) {
            return apr_psprintf(pool, "two secrets have the kid %s", key.kid);
        }
    }
    APR_ARRAY_PUSH(*list, ch_secret_t) = key;
    return NULL;
}

static const char *add_jwt(cmd_parms *cmd, void *dir, const char *text)
{
    const char *error = ch_config_add_jwt(cmd->pool, member_of(cmd), text);

    return error ? wrong(cmd, error) : NULL;
}

static void add_text(cmd_parms *cmd, const char *text)
{
    apr_array_header_t **list = member_of(cmd);

    if (!*list) {
        *list = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    APR_ARRAY_PUSH(*list, const char *) = text;
}

static const char *add_origin(cmd_parms *cmd, void *dir, const char *text)
{
    const char *scheme = strstr(text, "://");

    if (!ch_text_is_url(text, strlen(text)) || strchr(scheme + 3, '/')) {
        return wrong(cmd, "must be origins such as https://app.example.com");
    }
    add_text(cmd, ch_text_ascii_lower(cmd->pool, text, strlen(text)));
    return NULL;
}

#define WORD_MAX 100 /* characters */

static const char *add_word(cmd_parms *cmd, void *dir, const char *text)
{
    size_t len = strlen(text);
    size_t at = 0;

    while (at < len && !ch_text_space_at(text + at, len - at)) {
        at++;
    }
    if (!len || at < len || !ch_text_valid(text, len)
        || ch_text_has_control(text, len, 0)
        || ch_text_count(text, len) > WORD_MAX) {
        return wrong(cmd, "must be words of 1 to 100 characters, without "
                          "blanks");
    }
    add_text(cmd, text);
    return NULL;
}

static int index_of(const char *const *names, int count, const char *name)
{
    int i;

    for (i = 1; i < count; i++) {
        if (strcasecmp(names[i], name) == 0) {
            return i;
        }
    }
    return 0;
}

static const char *set_rate(cmd_parms *cmd, void *dir, const char *name,
                            const char *rule)
{
    int rate = index_of(ch_rate_names, CH_RATE__COUNT, name);
    apr_int64_t limit, seconds = 0;
    char *end;

    if (!rate) {
        return wrong(cmd, apr_pstrcat(cmd->pool, "unknown class ", name,
                                      NULL));
    }
    if (strcasecmp(rule, "off") == 0) {
        settings_of(cmd)->rate[rate] = (ch_rate_limit_t){ 0, 1 };
        return NULL;
    }
    limit = apr_strtoi64(rule, &end, 10);
    if (*end == '/') {
        seconds = apr_strtoi64(end + 1, &end, 10);
    }
    if (*end || limit < 1 || limit > CH_LIMIT_MAX || seconds < 1
        || seconds > 86400 * 366) {
        return wrong(cmd, "must be <requests>/<seconds> or off");
    }
    settings_of(cmd)->rate[rate] =
        (ch_rate_limit_t){ (int)limit, (int)seconds };
    return NULL;
}

static const char *set_feature(cmd_parms *cmd, void *dir, const char *name,
                               const char *value)
{
    int feature = index_of(ch_feature_names, CH_FEATURE__COUNT, name);

    if (!feature) {
        return wrong(cmd, apr_pstrcat(cmd->pool, "unknown area ", name,
                                      NULL));
    }
    if (strcasecmp(value, "on") != 0 && strcasecmp(value, "off") != 0) {
        return wrong(cmd, "must be On or Off");
    }
    settings_of(cmd)->feature[feature] = strcasecmp(value, "on") == 0;
    return NULL;
}

#define PING_MIN 100
#define PING_MAX 3600000 /* an hour */

static const char *set_ping(cmd_parms *cmd, void *dir, const char *interval,
                            const char *timeout)
{
    char *end, *other;
    apr_int64_t ping = apr_strtoi64(interval, &end, 10);
    apr_int64_t pong = apr_strtoi64(timeout, &other, 10);

    if (*end || *other || ping < PING_MIN || ping > PING_MAX || pong < PING_MIN
        || pong > PING_MAX) {
        return wrong(cmd, "must be two numbers of 100 to 3600000 "
                          "milliseconds: from ping to ping, and for its pong");
    }
    settings_of(cmd)->socketio_ping_ms = (int)ping;
    settings_of(cmd)->socketio_pong_ms = (int)pong;
    return NULL;
}

/* A program's name is as it is; a file's is below ServerRoot. */
static const char *set_log(cmd_parms *cmd, void *dir, const char *name,
                           const char *target)
{
    ch_settings_t *settings = settings_of(cmd);
    int i = 0;

    while (i < CH_JSONLOG__COUNT
           && strcasecmp(ch_jsonlog_names[i], name) != 0) {
        i++;
    }
    if (i == CH_JSONLOG__COUNT) {
        return wrong(cmd, apr_pstrcat(cmd->pool, "unknown log ", name, NULL));
    }
    if (strcasecmp(target, "off") == 0) {
        settings->log[i] = "";
        return NULL;
    }
    if (*target != '|') {
        target = ap_server_root_relative(cmd->pool, target);
    }
    if (!target || !*target || strcmp(target, "|") == 0) {
        return wrong(cmd, "must be a file, a |program or off");
    }
    settings->log[i] = target;
    return NULL;
}

static const char *set_storage(cmd_parms *cmd, void *dir, const char *kind,
                               const char *place)
{
    if (strcasecmp(kind, "s3") == 0) {
        return wrong(cmd, "s3 is not in this release; use fs <directory>");
    }
    if (strcasecmp(kind, "fs") != 0) {
        return wrong(cmd, "must be fs <directory>");
    }
    place = ap_server_root_relative(cmd->pool, place);
    settings_of(cmd)->storage_dir = place;
    return place ? NULL : wrong(cmd, "invalid path");
}

/* --- the table -------------------------------------------------------- */

const command_rec ch_directives[] = {
    AP_INIT_FLAG("Chronicle", set_enabled, AT(enabled), SCOPE,
                 "On: this server answers the API"),
    AP_INIT_TAKE1("ChronicleJwtSecret", add_jwt, AT(jwt), SCOPE,
                  "[kid:]secret of 32 bytes or more; the first signs access "
                  "tokens, all verify"),
    AP_INIT_TAKE1("ChronicleRefreshSecret", set_long_secret,
                  AT(refresh_secret), SCOPE,
                  "secret of 32 bytes or more for refresh tokens"),
    AP_INIT_TAKE1("ChronicleSessionSecret", set_long_secret,
                  AT(session_secret), SCOPE,
                  "secret of 32 bytes or more for cursors and sessions"),
    AP_INIT_ITERATE("ChronicleAllowedOrigins", add_origin, AT(origins), SCOPE,
                    "origins whose pages may use the API"),
    AP_INIT_TAKE1("ChronicleFrontendUrl", set_url, AT(frontend_url), SCOPE,
                  "where links in mails lead"),
    AP_INIT_TAKE1("ChroniclePublicUrl", set_url, AT(public_url), SCOPE,
                  "this server's own URL as clients see it"),
    AP_INIT_TAKE2("ChronicleRateLimit", set_rate, NULL, SCOPE,
                  "a class and <requests>/<seconds> or off"),
    AP_INIT_TAKE2("ChronicleFeature", set_feature, NULL, SCOPE,
                  "an area of the API and On or Off"),
    AP_INIT_FLAG("ChronicleRequireVerifiedEmail", set_flag,
                 AT(require_verified_email), SCOPE,
                 "On: an account must verify its address first"),
    AP_INIT_FLAG("ChronicleTrustRemoteUser", set_flag, AT(trust_remote_user),
                 SCOPE,
                 "On: a user that another module has authenticated is the "
                 "account of that address"),
    AP_INIT_TAKE1("ChronicleAdminEmail", set_email, AT(admin_email), SCOPE,
                  "the account that becomes administrator when it verifies "
                  "this address"),
    AP_INIT_TAKE1("ChronicleContactEmail", set_email, AT(contact_email),
                  SCOPE, "where what forms are sent is mailed to"),
    AP_INIT_TAKE1("ChronicleMetricsToken", set_secret, AT(metrics_token),
                  SCOPE, "bearer token that /metrics asks for"),
    AP_INIT_TAKE1("ChronicleDocsDir", set_path, AT(docs_dir), SCOPE,
                  "directory of the API documentation's page"),
    AP_INIT_TAKE1("ChronicleRedis", set_redis, AT(redis), SCOPE,
                  "URL of a Redis, or off"),
    AP_INIT_TAKE2("ChronicleStorage", set_storage, NULL, SCOPE,
                  "fs and the directory in which files are kept"),
    AP_INIT_TAKE1("ChronicleSmtp", set_smtp, AT(smtp), SCOPE,
                  "URL of the mail server, or off"),
    AP_INIT_TAKE1("ChronicleMailFrom", set_mailbox, AT(mail_from), SCOPE,
                  "address, perhaps with a name, that mails come from"),
    AP_INIT_TAKE1("ChronicleDbWait", set_wait, AT(db_wait_ms), SCOPE,
                  "milliseconds that a request waits for a database "
                  "connection"),
    AP_INIT_TAKE1("ChronicleCacheSize", set_cache_size, AT(cache_size),
                  SCOPE, "memory for answers that are kept, 0 for none"),
    AP_INIT_TAKE1("ChronicleImportLimit", set_import_limit, AT(import_limit),
                  SCOPE, "bytes of a file of conversations, with K, M or G"),
    AP_INIT_TAKE1("ChronicleJobWorkers", set_workers, AT(job_workers), SCOPE,
                  "background jobs that this server runs at a time"),
    AP_INIT_TAKE1("ChronicleApiLogRate", set_log_rate, AT(api_log_rate),
                  SCOPE, "requests per second that are kept in the API log; "
                  "0: none"),
    AP_INIT_FLAG("ChronicleSocketIo", set_flag, AT(socketio), SCOPE,
                 "Off: /socket.io/ is not there"),
    AP_INIT_TAKE2("ChronicleSocketIoPing", set_ping, NULL, SCOPE,
                  "milliseconds from ping to ping, and for its pong"),
    AP_INIT_TAKE1("ChronicleSocketIoMaxPayload", set_payload,
                  AT(socketio_max_payload), SCOPE,
                  "bytes that a client may send at a time"),
    AP_INIT_TAKE1("ChronicleSocketIoUpgradeTimeout", set_upgrade,
                  AT(socketio_upgrade_ms), SCOPE,
                  "milliseconds within which polling becomes a websocket"),
    AP_INIT_FLAG("ChronicleSocketIoEcho", set_flag, AT(socketio_echo), SCOPE,
                 "On: the namespace /echo sends back what it gets"),
    AP_INIT_ITERATE("ChronicleBlockedWords", add_word, AT(blocked_words),
                    SCOPE, "words that no chat message may hold"),
    AP_INIT_TAKE2("ChronicleLog", set_log, NULL, SCOPE,
                  "error, security or application, and a file, a |program "
                  "or off: a log in JSON"),
    { NULL }
};

/* --- how they are shown ----------------------------------------------- */

/* Every setter that puts one value where AT() says; those with a NULL there
 * are shown by functions of dump.c. tests/guards/directives.sh looks. */
static const struct {
    cmd_func setter;
    ch_show_e show;
} shows[] = {
    { { .flag = set_flag }, CH_SHOW_FLAG },
    { { .flag = set_enabled }, CH_SHOW_FLAG },
    { { .take1 = set_path }, CH_SHOW_TEXT },
    { { .take1 = set_url }, CH_SHOW_TEXT },
    { { .take1 = set_redis }, CH_SHOW_TEXT }, /* but for its password */
    { { .take1 = set_smtp }, CH_SHOW_TEXT },  /* likewise */
    { { .take1 = set_mailbox }, CH_SHOW_TEXT },
    { { .take1 = set_email }, CH_SHOW_TEXT },
    { { .take1 = set_wait }, CH_SHOW_NUMBER },
    { { .take1 = set_workers }, CH_SHOW_NUMBER },
    { { .take1 = set_log_rate }, CH_SHOW_NUMBER },
    { { .take1 = set_payload }, CH_SHOW_NUMBER },
    { { .take1 = set_upgrade }, CH_SHOW_NUMBER },
    { { .take1 = set_cache_size }, CH_SHOW_SIZE },
    { { .take1 = set_import_limit }, CH_SHOW_TEXT },
    { { .take1 = add_origin }, CH_SHOW_LIST },
    { { .take1 = add_word }, CH_SHOW_LIST },
    { { .take1 = add_jwt }, CH_SHOW_KEYS },
    { { .take1 = set_secret }, CH_SHOW_SECRET },
    { { .take1 = set_long_secret }, CH_SHOW_SECRET },
};

ch_show_e ch_directive_show(const command_rec *directive)
{
    size_t i;

    for (i = 0; i < CH_COUNT(shows); i++) {
        if (shows[i].setter.take1 == directive->func.take1) {
            return shows[i].show;
        }
    }
    return CH_SHOW_SECRET;
}
