/* The caller's own account: profile, settings, sessions. */
#include <string.h>

#include <apr_strings.h>

#include "api/account.h"
#include "api/api.h"
#include "auth/auth.h"
#include "store/sql_gen.h"
#include "web/reply.h"

/* --- profile ---------------------------------------------------------- */

typedef struct {
    const char *full_name;
    const char *avatar_url;
} profile_in_t;

static const ch_field_t profile_rows[] = {
    { .name = "fullName", CH_IN(profile_in_t, full_name, CH_T_STR), .min = 1,
      .max = 255, .flags = CH_NULLABLE, .doc = "Shown to others" },
    { .name = "avatarUrl", CH_IN(profile_in_t, avatar_url, CH_T_URL),
      .flags = CH_NULLABLE, .doc = "Picture" },
};

static const ch_fields_t profile_in = CH_FIELDS(profile_in_t, profile_rows);

/* --- settings --------------------------------------------------------- */

static const char *const themes[] = { "system", "light", "dark" };
static const char *const note_sorts[] = { "updatedAt", "createdAt", "title",
                                          "wordCount" };
static const char *const orders[] = { "asc", "desc" };
static const char *const strategies[] = { "manual", "server-wins",
                                          "client-wins", "merge" };

typedef struct {
    int theme;
    const char *language;
    const char *timezone;
    int email_notifications;
    int push_notifications;
    const char *default_folder_id;
    int auto_save;
    int ai_enabled;
    const char *ai_model;
    int notes_sort_by;
    int notes_sort_order;
    int conflict_strategy;
    const char *custom;
} settings_in_t;

/* The shape of a BCP 47 tag: parts of 1 to 8 letters or digits, the first of
 * 2 or more letters, joined by "-". */
static int is_language(const char *text, size_t len)
{
    size_t i, part = 0;
    int first = 1;

    for (i = 0; i <= len; i++) {
        char c = i < len ? (char)(text[i] | 0x20) : '-';

        if (i == len || text[i] == '-') {
            if (part < (first ? 2u : 1u) || part > 8) {
                return 0;
            }
            part = 0;
            first = 0;
        }
        else if ((c >= 'a' && c <= 'z')
                 || (!first && text[i] >= '0' && text[i] <= '9')) {
            part++;
        }
        else {
            return 0;
        }
    }
    return 1;
}

#define SETTING(member, type) CH_IN(settings_in_t, member, type)

static const ch_field_t settings_rows[] = {
    { .name = "theme", SETTING(theme, CH_T_ENUM), CH_CHOICES(themes),
      .doc = "Look" },
    { .name = "language", SETTING(language, CH_T_STR), .min = 2, .max = 35,
      .valid = is_language,
      .pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$",
      .doc = "BCP 47 tag" },
    { .name = "timezone", SETTING(timezone, CH_T_STR), .min = 1, .max = 64,
      .doc = "IANA name" },
    { .name = "emailNotifications",
      SETTING(email_notifications, CH_T_BOOL),
      .column = "email_notifications", .doc = "Mails wanted" },
    { .name = "pushNotifications", SETTING(push_notifications, CH_T_BOOL),
      .column = "push_notifications", .doc = "Push messages wanted" },
    { .name = "defaultFolderId", SETTING(default_folder_id, CH_T_UUID),
      .column = "default_folder_id", .flags = CH_NULLABLE,
      .doc = "Where new notes go" },
    { .name = "autoSave", SETTING(auto_save, CH_T_BOOL),
      .column = "auto_save", .doc = "Save while typing" },
    { .name = "aiEnabled", SETTING(ai_enabled, CH_T_BOOL),
      .column = "ai_enabled", .doc = "false: no AI for this account" },
    { .name = "aiModel", SETTING(ai_model, CH_T_STR), .min = 1, .max = 50,
      .column = "ai_model", .flags = CH_NULLABLE, .doc = "Preferred model" },
    { .name = "notesSortBy", SETTING(notes_sort_by, CH_T_ENUM),
      CH_CHOICES(note_sorts), .column = "notes_sort_by",
      .doc = "Order of notes" },
    { .name = "notesSortOrder", SETTING(notes_sort_order, CH_T_ENUM),
      CH_CHOICES(orders), .column = "notes_sort_order",
      .doc = "Direction of it" },
    { .name = "conflictStrategy", SETTING(conflict_strategy, CH_T_ENUM),
      CH_CHOICES(strategies), .column = "conflict_strategy",
      .doc = "A hint for clients" },
    { .name = "custom", SETTING(custom, CH_T_OBJECT), .max = 8192,
      .doc = "Any JSON object, replaced whole" },
    /* of answers */
    { .name = "version", .type = CH_T_INT, .min = 1, .doc = "Counts changes" },
    { .name = "updatedAt", .type = CH_T_TIME, .column = "updated_at",
      .doc = "Last change" },
};

#define SETTINGS_WRITABLE 13

/* A time zone must be known to the database, which alone can tell. */
static void check_settings(ch_req_t *rq, void *fields, ch_err_t **faults)
{
    const settings_in_t *in = fields;
    const sql_settings_timezone_known_t row = { .name = in->timezone };
    ch_rows_t *rows;

    if (!in->timezone) {
        return;
    }
    if (sql_settings_timezone_known(rq->db, &row, &rows) == NULL
        && !ch_rows_bool(rows, 0, "known")) {
        ch_err_fault(rq->pool, faults, CH_D_INVALID_VALUE, "timezone",
                     "must be the IANA name of a time zone");
    }
}

static const ch_fields_t settings_in = {
    .rows = settings_rows, .count = SETTINGS_WRITABLE,
    .size = sizeof(settings_in_t), .check = check_settings,
};

const ch_fields_t ch_settings_out = {
    .name = "Settings", .rows = settings_rows,
    .count = (int)CH_COUNT(settings_rows),
};

/* --- sessions --------------------------------------------------------- */

static const char *const kinds[] = { "token", "cookie" };

typedef struct {
    ch_page_in_t page;
} sessions_query_t;

static const ch_field_t sessions_query_rows[] = {
    CH_PAGE_ROWS(sessions_query_t, page, "20"),
};

static const ch_fields_t sessions_query =
    CH_FIELDS(sessions_query_t, sessions_query_rows);

static const ch_field_t session_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
    { .name = "deviceName", .type = CH_T_STR, .column = "device_name",
      .flags = CH_NULLABLE, .doc = "As given at login" },
    { .name = "deviceType", .type = CH_T_STR, .column = "device_type",
      .doc = "As given at login" },
    { .name = "kind", .type = CH_T_ENUM, CH_CHOICES(kinds),
      .doc = "How its credential travels" },
    { .name = "ipAddress", .type = CH_T_IP, .column = "ip_address",
      .flags = CH_NULLABLE, .doc = "Where it began" },
    { .name = "userAgent", .type = CH_T_STR, .column = "user_agent",
      .flags = CH_NULLABLE, .doc = "What began it" },
    { .name = "lastActiveAt", .type = CH_T_TIME, .column = "last_active_at",
      .doc = "To the minute" },
    { .name = "expiresAt", .type = CH_T_TIME, .column = "expires_at",
      .doc = "Its end, unless it is used before" },
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",
      .doc = "Login" },
    { .name = "current", .type = CH_T_BOOL, .column = "is_current",
      .doc = "Whether it is the caller's own" },
};

const ch_fields_t ch_session_out = {
    .name = "Session", .rows = session_rows,
    .count = (int)CH_COUNT(session_rows),
};

static const ch_field_t id_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
};

static const ch_fields_t id_out = {
    .name = "Id", .rows = id_rows, .count = (int)CH_COUNT(id_rows),
};

/* --- handlers --------------------------------------------------------- */

static ch_err_t *get_profile(ch_req_t *rq)
{
    const sql_user_get_t in = { .id = rq->who->user_id };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_user_get(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_INVALID_TOKEN, "Your profile");
}

static ch_err_t *put_profile(ch_req_t *rq)
{
    const profile_in_t *in = rq->body;
    const sql_user_update_t row = {
        .id = rq->who->user_id,
        .match = rq->if_match,
        .name_given = CH_GIVEN(rq, profile_in_t, full_name),
        .full_name = in->full_name,
        .avatar_given = CH_GIVEN(rq, profile_in_t, avatar_url),
        .avatar_url = in->avatar_url,
        .ip = rq->client_ip,
        .request_id = rq->request_id,
    };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_user_update(rq->db, &row, &rows);

    return ch_reply_found(rq, err, rows, CH_E_INVALID_TOKEN,
                          "Profile updated");
}

static ch_err_t *get_settings(ch_req_t *rq)
{
    const sql_settings_get_t in = { .user_id = rq->who->user_id };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_settings_get(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_INVALID_TOKEN, "Your settings");
}

/* The chosen word, NULL when the member was not given. */
#define CHOSEN(rq, member, names)                                             \
    (CH_GIVEN(rq, settings_in_t, member)                                      \
         ? (names)[((const settings_in_t *)(rq)->body)->member]               \
         : NULL)

static ch_err_t *put_settings(ch_req_t *rq)
{
    const settings_in_t *in = rq->body;
    const sql_settings_update_t row = {
        .user_id = rq->who->user_id,
        .match = rq->if_match,
        .theme = CHOSEN(rq, theme, themes),
        .language = in->language,
        .timezone = in->timezone,
        .email_notifications =
            CH_OPT(rq, settings_in_t, email_notifications),
        .push_notifications = CH_OPT(rq, settings_in_t, push_notifications),
        .folder_given = CH_GIVEN(rq, settings_in_t, default_folder_id),
        .default_folder_id = in->default_folder_id,
        .auto_save = CH_OPT(rq, settings_in_t, auto_save),
        .ai_enabled = CH_OPT(rq, settings_in_t, ai_enabled),
        .model_given = CH_GIVEN(rq, settings_in_t, ai_model),
        .ai_model = in->ai_model,
        .notes_sort_by = CHOSEN(rq, notes_sort_by, note_sorts),
        .notes_sort_order = CHOSEN(rq, notes_sort_order, orders),
        .conflict_strategy = CHOSEN(rq, conflict_strategy, strategies),
        .custom = in->custom,
    };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_settings_update(rq->db, &row, &rows);

    return ch_reply_found(rq, err, rows, CH_E_INVALID_TOKEN,
                          "Settings updated");
}

static ch_err_t *list_sessions(ch_req_t *rq)
{
    const sessions_query_t *query = rq->query;
    const ch_page_in_t *page = &query->page;
    const char *cursor[2];
    ch_list_t list = { .sort_column = "last_active_at" };
    ch_rows_t *rows;
    int after;
    ch_err_t *err = ch_page_open_cursor(rq, page, cursor, &after);

    if (err) {
        return err;
    }
    if (after) {
        const sql_session_after_t in = {
            .user_id = rq->who->user_id,
            .current = rq->who->session_id,
            .after = cursor[0],
            .after_id = cursor[1],
            .fetch = ch_page_fetch(page),
        };

        err = sql_session_after(rq->db, &in, &rows);
    }
    else {
        const sql_session_page_t in = {
            .user_id = rq->who->user_id,
            .current = rq->who->session_id,
            .want_total = ch_page_wants_total(page),
            .fetch = ch_page_fetch(page),
            .skip = ch_page_offset(page),
        };

        err = sql_session_page(rq->db, &in, &rows);
    }
    if (err) {
        return err;
    }
    list.rows = rows;
    return ch_reply_list(rq, page, &list, "Your sessions");
}

static ch_err_t *delete_session(ch_req_t *rq)
{
    const char *id = rq->match.param[0];
    const sql_session_revoke_t in = {
        .user_id = rq->who->user_id,
        .id = id,
        .action = "session.revoke",
        .ip = rq->client_ip,
        .request_id = rq->request_id,
    };
    ch_rows_t *rows;
    ch_err_t *err = sql_session_revoke(rq->db, &in, &rows);

    if (err) {
        return err;
    }
    if (!ch_rows_int(rows, 0, "revoked")) {
        return ch_err_make(rq->pool, CH_E_SESSION_NOT_FOUND, NULL);
    }
    ch_session_forget(rq, id);
    ch_buf_printf(ch_reply_begin(rq, 64), "{\"id\":\"%s\"}", id);
    return ch_reply_end(rq, "Session ended");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = "/api/v1/user/profile",
      .alias = { "/api/v1/users/profile" }, .auth = CH_USER,
      .rate = CH_RATE_API, .flags = CH_VERSIONED | CH_NO_304, .ok = 200,
      .out = &ch_user_out, .handler = get_profile, .tag = "User",
      .summary = "The caller's profile" },
    { .method = CH_PUT, .path = "/api/v1/user/profile",
      .alias = { "/api/v1/users/profile", "/api/v1/auth/profile" },
      .auth = CH_USER, .rate = CH_RATE_API,
      .flags = CH_VERSIONED | CH_AUTHORS,
      .ok = 200, .body = &profile_in, .out = &ch_user_out,
      .handler = put_profile, .tag = "User", .summary = "Change the profile" },
    { .method = CH_GET, .path = "/api/v1/user/settings", .auth = CH_USER,
      .rate = CH_RATE_API, .flags = CH_VERSIONED, .ok = 200,
      .out = &ch_settings_out, .handler = get_settings, .tag = "User",
      .summary = "The caller's settings" },
    { .method = CH_PUT, .path = "/api/v1/user/settings", .auth = CH_USER,
      .rate = CH_RATE_API, .flags = CH_VERSIONED, .ok = 200,
      .body = &settings_in, .out = &ch_settings_out,
      CH_ROUTE_CODES(CH_E_FOLDER_NOT_FOUND), .handler = put_settings,
      .tag = "User", .summary = "Change the settings" },
    { .method = CH_GET, .path = "/api/v1/user/sessions", .auth = CH_USER,
      .rate = CH_RATE_API, .flags = CH_LIST, .ok = 200,
      .query = &sessions_query, .out = &ch_session_out,
      .handler = list_sessions, .tag = "User",
      .summary = "Sessions of the account" },
    { .method = CH_DELETE, .path = "/api/v1/user/sessions/{id}",
      .auth = CH_USER, .rate = CH_RATE_API, .ok = 200, .out = &id_out,
      CH_ROUTE_CODES(CH_E_SESSION_NOT_FOUND), .handler = delete_session,
      .tag = "User", .summary = "End a session" },
};

const ch_routes_t ch_user_routes = CH_ROUTES(routes);
