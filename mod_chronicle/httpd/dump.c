/* Writes the settings of each host to standard output, for
 * "httpd -t -D DUMP_CHRONICLE": what holds, and where it comes from. */
#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include <httpd.h>
#include <http_config.h>
#include <http_core.h>

#include "httpd/jsonlog.h"
#include "httpd/server.h"

#ifndef CH_DATADIR
#define CH_DATADIR "/usr/share/chronicle"
#endif

#ifndef CH_STATEDIR
#define CH_STATEDIR "/var/lib/chronicle"
#endif

static const char from_file[] = "httpd.conf";
static const char from_default[] = "default";
static const char hidden[] = "(set)";

/* --- what the directives' pages say ------------------------------------ */

/* The default in words where it is no value, and the variable; the guard of
 * directives compares them with docs/directives. */
static const struct {
    const char *name, *preset, *variable;
} facts[] = {
    { "Chronicle", "Off", NULL },
    { "ChronicleAdminEmail", "none", NULL },
    { "ChronicleAllowedOrigins", "none", "ALLOWED_ORIGINS" },
    { "ChronicleApiLogRate", "200", NULL },
    { "ChronicleBlockedWords", "none", NULL },
    { "ChronicleCacheSize", "32M", NULL },
    { "ChronicleContactEmail", "the value of ChronicleAdminEmail", NULL },
    { "ChronicleDbWait", "1000", NULL },
    { "ChronicleDocsDir", CH_DATADIR "/swagger-ui", NULL },
    { "ChronicleFeature", "every area is `On`", NULL },
    { "ChronicleFrontendUrl", "this server itself", "FRONTEND_URL" },
    { "ChronicleImportLimit", "10M", NULL },
    { "ChronicleJobWorkers", "2", NULL },
    { "ChronicleJwtSecret", "none", "JWT_SECRET" },
    { "ChronicleLog", "none", NULL },
    { "ChronicleMailFrom", "`noreply@` and the server's name", NULL },
    { "ChronicleMetricsToken", "none", NULL },
    { "ChroniclePublicUrl",
      "scheme and port of the connection, and "
      "`ServerName`",
      NULL },
    { "ChronicleRateLimit", "see below", "RATE_LIMIT_MAX_REQUESTS" },
    { "ChronicleRedis", "off", "REDIS_URL" },
    { "ChronicleRefreshSecret", "none", "JWT_REFRESH_SECRET" },
    { "ChronicleRequireVerifiedEmail", "Off", NULL },
    { "ChronicleStorage", "fs " CH_STATEDIR, NULL },
    { "ChronicleTrustRemoteUser", "Off", NULL },
    { "ChronicleSessionSecret", "the value of ChronicleRefreshSecret",
      "SESSION_SECRET" },
    { "ChronicleSmtp", "off", "SMTP_HOST" },
    { "ChronicleSocketIo", "On", NULL },
    { "ChronicleSocketIoEcho", "Off", NULL },
    { "ChronicleSocketIoMaxPayload", "1000000", NULL },
    { "ChronicleSocketIoPing", "25000 20000", NULL },
    { "ChronicleSocketIoUpgradeTimeout", "10000", NULL },
};

static const char *preset_of(const char *name)
{
    size_t i;

    for (i = 0; i < CH_COUNT(facts); i++) {
        if (strcmp(facts[i].name, name) == 0) {
            return facts[i].preset;
        }
    }
    return "none";
}

static const char *variable_of(const char *name)
{
    size_t i;

    for (i = 0; i < CH_COUNT(facts); i++) {
        if (strcmp(facts[i].name, name) == 0 && facts[i].variable) {
            return facts[i].variable;
        }
    }
    return "environment";
}

/* --- values ----------------------------------------------------------- */

/* One host's dump under way. */
typedef struct {
    apr_pool_t *pool;
    apr_file_t *out;
    const ch_settings_t *settings;
    const ch_settings_t *written;
} dump_t;

static void write_row(const dump_t *dump, const char *name, const char *value,
                      const char *source)
{
    apr_file_printf(dump->out, "    %-30s %-24s %s\n", name, source, value);
}

/* Of an URL, what may hold a password (all in front of the last @) or a token
 * (all behind ?) is left out. Other text is shown as it is. */
static const char *harmless(apr_pool_t *pool, const char *text)
{
    const char *scheme = strstr(text, "://");
    const char *at = scheme ? strrchr(text, '@') : NULL;
    const char *query;

    if (!scheme) {
        return text;
    }
    if (at) {
        text = apr_pstrcat(
            pool, apr_pstrmemdup(pool, text, (apr_size_t)(scheme + 3 - text)),
            hidden, at, NULL);
    }
    query = strchr(text, '?');
    if (query) {
        text = apr_pstrcat(
            pool, apr_pstrmemdup(pool, text, (apr_size_t)(query + 1 - text)),
            hidden, NULL);
    }
    return text;
}

static const char *joined(apr_pool_t *pool, const apr_array_header_t *list,
                          int keys)
{
    const char *text = "";
    int i;

    for (i = 0; i < list->nelts; i++) {
        const char *item =
            keys ? apr_pstrcat(pool, APR_ARRAY_IDX(list, i, ch_secret_t).kid,
                               ":", hidden, NULL)
                 : harmless(pool, APR_ARRAY_IDX(list, i, const char *));

        text = apr_pstrcat(pool, text, *text ? " " : "", item, NULL);
    }
    return text;
}

/* --- one value where AT() says ------------------------------------------ */

typedef enum { KIND_INT, KIND_TEXT, KIND_LIST } kind_e;

static const struct {
    size_t offset;
    kind_e kind;
} members[] = {
#define INT(member) { offsetof(ch_settings_t, member), KIND_INT },
#define TEXT(member) { offsetof(ch_settings_t, member), KIND_TEXT },
#define LIST(member) { offsetof(ch_settings_t, member), KIND_LIST },
    CH_SETTINGS(INT, TEXT, LIST)
#undef INT
#undef TEXT
#undef LIST
};

static int is_set(const ch_settings_t *settings, size_t offset, kind_e kind)
{
    const char *at = (const char *)settings + offset;

    return kind == KIND_INT ? *(const int *)(const void *)at >= 0
                            : *(const void *const *)(const void *)at != NULL;
}

static const char *size_text(apr_pool_t *pool, int bytes)
{
    if (bytes && bytes % (1024 * 1024) == 0) {
        return apr_psprintf(pool, "%dM", bytes / (1024 * 1024));
    }
    if (bytes && bytes % 1024 == 0) {
        return apr_psprintf(pool, "%dK", bytes / 1024);
    }
    return apr_itoa(pool, bytes);
}

static const char *value_of(const dump_t *dump, size_t offset, ch_show_e show)
{
    const char *at = (const char *)dump->settings + offset;
    int number = *(const int *)(const void *)at;

    switch (show) {
    case CH_SHOW_FLAG:
        return number ? "On" : "Off";
    case CH_SHOW_NUMBER:
        return apr_itoa(dump->pool, number);
    case CH_SHOW_SIZE:
        return size_text(dump->pool, number);
    case CH_SHOW_TEXT:
        return harmless(dump->pool, *(const char *const *)(const void *)at);
    case CH_SHOW_LIST:
    case CH_SHOW_KEYS:
        return joined(dump->pool,
                      *(const apr_array_header_t *const *)(const void *)at,
                      show == CH_SHOW_KEYS);
    default:
        return hidden;
    }
}

static void show_member(const dump_t *dump, const command_rec *directive)
{
    size_t offset = (size_t)directive->cmd_data;
    size_t i = 0;

    while (i < CH_COUNT(members) && members[i].offset != offset) {
        i++;
    }
    if (i == CH_COUNT(members)) {
        write_row(dump, directive->name, hidden, "unknown");
    }
    else if (!is_set(dump->settings, offset, members[i].kind)) {
        write_row(dump, directive->name, preset_of(directive->name),
                  from_default);
    }
    else {
        write_row(dump, directive->name,
                  value_of(dump, offset, ch_directive_show(directive)),
                  is_set(dump->written, offset, members[i].kind)
                      ? from_file
                      : variable_of(directive->name));
    }
}

/* --- those with several values ------------------------------------------ */

static void show_rates(const dump_t *dump, const char *name)
{
    int i;

    for (i = 1; i < CH_RATE__COUNT; i++) {
        ch_rate_limit_t rate = dump->settings->conf.rate[i];
        const char *rule = "off";

        if (rate.limit) {
            rule = apr_psprintf(dump->pool, "%d/%d", rate.limit, rate.seconds);
        }
        write_row(dump, name,
                  apr_psprintf(dump->pool, "%s %s", ch_rate_names[i], rule),
                  dump->written->rate[i].seconds    ? from_file
                  : dump->settings->rate[i].seconds ? variable_of(name)
                                                    : from_default);
    }
}

static void show_features(const dump_t *dump, const char *name)
{
    int i;

    for (i = 1; i < CH_FEATURE__COUNT; i++) {
        write_row(dump, name,
                  apr_psprintf(dump->pool, "%s %s", ch_feature_names[i],
                               dump->settings->conf.feature[i] ? "On" : "Off"),
                  dump->written->feature[i] >= 0 ? from_file : from_default);
    }
}

static void show_logs(const dump_t *dump, const char *name)
{
    int i;

    for (i = 0; i < CH_JSONLOG__COUNT; i++) {
        const char *target = dump->settings->log[i];

        write_row(dump, name,
                  apr_psprintf(dump->pool, "%s %s", ch_jsonlog_names[i],
                               target && *target ? harmless(dump->pool, target)
                                                 : "off"),
                  target ? from_file : from_default);
    }
}

static void show_storage(const dump_t *dump, const char *name)
{
    const char *place = dump->settings->storage_dir;

    write_row(dump, name,
              place ? apr_pstrcat(dump->pool, "fs ", place, NULL)
                    : preset_of(name),
              place ? from_file : from_default);
}

static void show_ping(const dump_t *dump, const char *name)
{
    const ch_conf_t *conf = &dump->settings->conf;

    write_row(dump, name,
              apr_psprintf(dump->pool, "%d %d", conf->socketio_ping_ms,
                           conf->socketio_pong_ms),
              dump->written->socketio_ping_ms > 0 ? from_file : from_default);
}

static const struct {
    const char *name;
    void (*show)(const dump_t *dump, const char *name);
} own_ways[] = {
    { "ChronicleFeature", show_features },
    { "ChronicleLog", show_logs },
    { "ChronicleRateLimit", show_rates },
    { "ChronicleSocketIoPing", show_ping },
    { "ChronicleStorage", show_storage },
};

static void show_directive(const dump_t *dump, const command_rec *directive)
{
    size_t i;

    for (i = 0; i < CH_COUNT(own_ways); i++) {
        if (strcmp(own_ways[i].name, directive->name) == 0) {
            own_ways[i].show(dump, directive->name);
            return;
        }
    }
    show_member(dump, directive);
}

/* --- the dump --------------------------------------------------------- */

static void dump_host(apr_pool_t *pool, apr_file_t *out, server_rec *server)
{
    const ch_settings_t *settings = ch_config_of(server);
    const dump_t dump = {
        .pool = pool,
        .out = out,
        .settings = settings,
        .written = settings->written,
    };
    const command_rec *directive;

    if (server->is_virtual) {
        apr_file_printf(out, "%s (%s:%u)\n", server->server_hostname,
                        server->defn_name, server->defn_line_number);
    }
    else {
        apr_file_printf(out, "main server\n");
    }
    for (directive = ch_directives; directive->name; directive++) {
        show_directive(&dump, directive);
    }
}

void ch_dump_config(apr_pool_t *pool, server_rec *main_server)
{
    server_rec *server;
    apr_file_t *out;
    int count = 0;

    if (!ap_exists_config_define("DUMP_CHRONICLE")) {
        return;
    }
    apr_file_open_stdout(&out, pool);
    apr_file_printf(out, "mod_chronicle " CH_VERSION " configuration:\n");
    for (server = main_server; server; server = server->next) {
        if (ch_config_of(server)->conf.enabled) {
            dump_host(pool, out, server);
            count++;
        }
    }
    if (!count) {
        apr_file_printf(out, "Chronicle is On nowhere\n");
    }
}
