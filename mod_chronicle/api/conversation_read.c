/* Reads conversations: one with a page of its messages, or the whole of it as
 * a file. */
#include <string.h>

#include <apr_strings.h>

#include "api/api.h"
#include "api/conversations.h"
#include "api/transcript.h"
#include "base/jsonw.h"
#include "base/page.h"
#include "base/seal.h"
#include "base/uuid.h"
#include "store/cache.h"
#include "web/reply.h"

#define HERE CH_CONVERSATIONS
#define VIEW_SECONDS 3600
#define FILE_MAX (64u * 1024 * 1024) /* of a file, in memory at once */

/* --- inputs ----------------------------------------------------------- */

typedef struct {
    int messages;
    apr_int64_t limit;
    const char *cursor;
} get_query_t;

static const ch_field_t get_query_rows[] = {
    { .name = "messages", CH_IN(get_query_t, messages, CH_T_BOOL),
      .def = "true", .doc = "false: without them" },
    { .name = "messagesLimit", CH_IN(get_query_t, limit, CH_T_INT), .min = 1,
      .max = CH_CONVERSATION_PAGE, .def = "500",
      .doc = "Messages of a page" },
    { .name = "messagesCursor", CH_IN(get_query_t, cursor, CH_T_SECRET),
      .flags = CH_KEEP_EMPTY, .max = CH_CURSOR_MAX,
      .doc = "messagesNextCursor of the page before" },
};

static const ch_fields_t get_query = CH_FIELDS(get_query_t, get_query_rows);

static const char *const formats[] = { "markdown", "json" };

typedef struct {
    int format;
} export_query_t;

static const ch_field_t export_query_rows[] = {
    { .name = "format", CH_IN(export_query_t, format, CH_T_ENUM),
      CH_CHOICES(formats), .def = "\"markdown\"", .doc = "Of the file" },
};

static const ch_fields_t export_query =
    CH_FIELDS(export_query_t, export_query_rows);

/* --- outputs ---------------------------------------------------------- */

static const ch_field_t author_rows[] = {
    { .name = "id", .type = CH_T_UUID, .column = "author_id", .doc = "Id" },
    { .name = "fullName", .type = CH_T_STR, .column = "full_name",
      .flags = CH_NULLABLE, .doc = "Name" },
    { .name = "avatarUrl", .type = CH_T_URL, .column = "avatar_url",
      .flags = CH_NULLABLE, .doc = "Picture" },
};

const ch_fields_t ch_conversation_author_out = {
    .name = "Author", .rows = author_rows,
    .count = (int)CH_COUNT(author_rows),
};

static const ch_field_t item_rows[] = { CH_CONVERSATION_ROWS };

const ch_fields_t ch_conversation_item_out = {
    .name = "ConversationItem", .rows = item_rows,
    .count = (int)CH_COUNT(item_rows),
};

static const ch_field_t said_rows[] = {
    { .name = "id", .type = CH_T_UUID, .column = "message_id", .doc = "Id" },
    { .name = "position", .type = CH_T_INT, .doc = "Counts from 0" },
    { .name = "role", .type = CH_T_ENUM, CH_CHOICES(ch_conversation_roles),
      .doc = "Who says it" },
    { .name = "content", .type = CH_T_TEXT, .doc = "What is said" },
    { .name = "model", .type = CH_T_STR, .column = "message_model",
      .flags = CH_NULLABLE, .doc = "The model" },
    { .name = "createdAt", .type = CH_T_TIME, .column = "said_at",
      .flags = CH_NULLABLE, .doc = "When it was said" },
};

static const ch_fields_t said_out = {
    .name = "ConversationMessage", .rows = said_rows,
    .count = (int)CH_COUNT(said_rows),
};

static const ch_field_t out_rows[] = {
    CH_CONVERSATION_ROWS,
    { .name = "messages", .type = CH_T_JSON, .nested = &said_out,
      .flags = CH_MAY_LACK, .max = CH_CONVERSATION_PAGE,
      .doc = "A page of them" },
    { .name = "messagesNextCursor", .type = CH_T_STR,
      .flags = CH_NULLABLE | CH_MAY_LACK, .doc = "For the next page" },
};

const ch_fields_t ch_conversation_out = {
    .name = "Conversation", .rows = out_rows,
    .count = (int)CH_COUNT(out_rows),
};

/* --- who reads what --------------------------------------------------- */

const char *ch_conversation_viewer(const ch_req_t *rq)
{
    return rq->who ? rq->who->user_id : NULL;
}

int ch_conversation_admin(const ch_req_t *rq)
{
    return rq->who && rq->who->role == CH_ROLE_ADMIN;
}

int ch_conversation_is_slug(const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        int dash = text[i] == '-';

        if (!dash && !(text[i] >= 'a' && text[i] <= 'z')
            && !(text[i] >= '0' && text[i] <= '9')) {
            return 0;
        }
        if (dash && (i == 0 || i + 1 == len || text[i - 1] == '-')) {
            return 0;
        }
    }
    return len > 0 && len <= CH_CONVERSATION_SLUG_MAX;
}

ch_err_t *ch_conversation_named(ch_req_t *rq, const char **id,
                                const char **slug)
{
    const char *text = rq->match.param[0];
    char *lower = apr_palloc(rq->pool, CH_UUID_LEN + 1);
    ch_err_t *err = NULL;

    *id = *slug = NULL;
    if (ch_uuid_parse(text, strlen(text), lower)) {
        *id = lower;
    }
    else if (ch_conversation_is_slug(text, strlen(text))) {
        *slug = text;
    }
    else {
        ch_err_fault(rq->pool, &err, CH_D_INVALID_FORMAT, "idOrSlug",
                     "must be a UUID or a slug");
    }
    return err;
}

/* --- one conversation ------------------------------------------------- */

#define CURSOR_BINDING "messages of a conversation"

static const char *cursor_behind(const ch_req_t *rq, const ch_rows_t *rows,
                                 int row)
{
    const char *values[] = { ch_rows_text(rows, 0, "id"),
                             ch_rows_text(rows, row, "position") };

    return ch_page_seal(rq->pool, rq->conf->cursor_key, CURSOR_BINDING,
                        values, (int)CH_COUNT(values));
}

static ch_err_t *bad_cursor(ch_req_t *rq)
{
    ch_err_t *err = NULL;

    ch_err_fault(rq->pool, &err, CH_D_INVALID_VALUE, "messagesCursor",
                 "is damaged or belongs to another conversation");
    return err;
}

/* The position behind which a page begins, and whose messages it is of. */
static ch_err_t *open_cursor(ch_req_t *rq, const char *cursor,
                             const char **id, apr_int64_t *after)
{
    const char *values[2];

    *id = NULL;
    *after = -1;
    if (!cursor || !*cursor) {
        return NULL;
    }
    if (!ch_page_open(rq->pool, rq->conf->cursor_key, CURSOR_BINDING, cursor,
                      values, (int)CH_COUNT(values))
        || !values[0] || !values[1]) {
        return bad_cursor(rq);
    }
    *id = values[0];
    *after = apr_atoi64(values[1]);
    return NULL;
}

ch_err_t *ch_conversation_reply(ch_req_t *rq, const ch_rows_t *rows,
                                int limit, const char *message)
{
    size_t size = ch_rows_size(rows);
    int count = ch_rows_text(rows, 0, "message_id") ? ch_rows_count(rows) : 0;
    ch_buf_t *buf;
    int i;

    if (ch_reply_not_modified(rq, rows)) {
        return NULL;
    }
    buf = ch_reply_begin(rq, size + size / 8 + 2048);
    ch_reply_write_members(buf, &ch_conversation_item_out, rows, 0);
    if (limit) {
        CH_BUF_LIT(buf, ",\"messages\":[");
        for (i = 0; i < count && i < limit; i++) {
            if (i) {
                ch_buf_putc(buf, ',');
            }
            ch_reply_write_row(buf, &said_out, rows, i);
        }
        CH_BUF_LIT(buf, "],\"messagesNextCursor\":");
        ch_jsonw_cstr(buf, count > limit ? cursor_behind(rq, rows, limit - 1)
                                         : NULL);
    }
    ch_buf_putc(buf, '}');
    return ch_reply_end(rq, message);
}

/* The id of the conversation that is answered; NULL when none is. Its answer
 * begins with it, kept or not. The name that it was asked by may have been
 * another's a moment ago. */
static const char *shown_id(const ch_req_t *rq)
{
    static const char before[] = "{\"success\":true,\"data\":{\"id\":\"";
    const ch_buf_t *body = rq->reply.body;
    size_t len = sizeof(before) - 1;

    if (rq->reply.status != 200 || !body || body->len < len + CH_UUID_LEN
        || memcmp(body->data, before, len) != 0) {
        return NULL;
    }
    return apr_pstrmemdup(rq->pool, body->data + len, CH_UUID_LEN);
}

/* Counts that somebody looks, once an hour. What is seen first is asked in the
 * server's memory: a page that many read costs the database nothing. */
static void count_view(ch_req_t *rq)
{
    const char *viewer = ch_conversation_viewer(rq);
    const char *name = viewer ? viewer : rq->client_ip;
    unsigned char hash[CH_SHA256_LEN], key[CH_SHA256_LEN];
    sql_conversation_viewed_t in = { .viewer = viewer, .id = shown_id(rq) };
    const ch_kept_t seen = { .head = { "", 0 }, .body = { "1", 1 } };
    const char *text;
    ch_kept_t old;

    if (rq->method == CH_HEAD || !in.id) {
        return;
    }
    text = apr_psprintf(rq->pool, "view %d %s %s %" APR_TIME_T_FMT,
                        rq->conf->site, in.id, name,
                        apr_time_sec(rq->start) / VIEW_SECONDS);
    ch_seal_sha256(text, strlen(text), key);
    if (ch_cache_get(rq->pool, key, &old)) {
        return;
    }
    ch_seal_hmac(rq->conf->redis_key, sizeof(rq->conf->redis_key), name,
                 strlen(name), hash);
    in.viewer_hash = ch_seal_hex(rq->pool, hash, sizeof(hash));
    if (!sql_conversation_viewed(rq->db, &in)) {
        ch_cache_put(key, &seen, VIEW_SECONDS);
    }
}

static ch_err_t *get_conversation(ch_req_t *rq)
{
    const get_query_t *query = rq->query;
    sql_conversation_get_t in = {
        .viewer = ch_conversation_viewer(rq),
        .admin = ch_conversation_admin(rq),
        .fetch = query->messages ? query->limit + 1 : 0,
    };
    const char *of;
    ch_rows_t *rows;
    ch_err_t *err = ch_conversation_named(rq, &in.id, &in.slug);

    err = err ? err : open_cursor(rq, query->cursor, &of, &in.after);
    err = err ? err : sql_conversation_get(rq->db, &in, &rows);
    if (err) {
        return err;
    }
    if (!ch_rows_count(rows)) {
        return ch_err_make(rq->pool, CH_E_CONVERSATION_NOT_FOUND, NULL);
    }
    if (of && strcmp(of, ch_rows_text(rows, 0, "id")) != 0) {
        return bad_cursor(rq);
    }
    rq->reply.whole = ch_rows_bool(rows, 0, "author_newer");
    err = ch_conversation_reply(
        rq, rows, query->messages ? (int)query->limit : 0, "Conversation");
    if (!err) {
        count_view(rq);
    }
    return err;
}

/* --- files ------------------------------------------------------------ */

static ch_err_t *write_json(ch_req_t *rq, const ch_rows_t *rows,
                            ch_buf_t *buf)
{
    ch_err_t *err = NULL;
    int i;

    ch_reply_write_members(buf, &ch_conversation_item_out, rows, 0);
    CH_BUF_LIT(buf, ",\"messages\":[");
    for (i = 0; i < ch_rows_count(rows) && !err; i++) {
        if (i) {
            ch_buf_putc(buf, ',');
        }
        ch_reply_write_row(buf, &said_out, rows, i);
        err = ch_reply_spill(rq);
    }
    CH_BUF_LIT(buf, "]}");
    return err;
}

static ch_err_t *write_markdown(ch_req_t *rq, const ch_rows_t *rows,
                                ch_buf_t *buf)
{
    ch_err_t *err = NULL;
    int i;

    ch_transcript_head(buf, rows, 0);
    for (i = 0; i < ch_rows_count(rows) && !err; i++) {
        ch_transcript_message(buf, rows, i);
        err = ch_reply_spill(rq);
    }
    return err;
}

static const struct {
    ch_err_t *(*write)(ch_req_t *rq, const ch_rows_t *rows, ch_buf_t *buf);
    const char *media;
    const char *extension;
} files[] = {
    { .write = write_markdown, .media = "text/markdown; charset=utf-8",
      .extension = "md" },
    { .write = write_json, .media = "application/json; charset=utf-8",
      .extension = "json" },
};

static ch_err_t *export_conversation(ch_req_t *rq)
{
    const export_query_t *query = rq->query;
    sql_conversation_get_t in = {
        .viewer = ch_conversation_viewer(rq),
        .admin = ch_conversation_admin(rq),
        .after = -1,
        .fetch = CH_CONVERSATION_MESSAGES_MAX,
    };
    ch_rows_t *rows;
    ch_err_t *err = ch_conversation_named(rq, &in.id, &in.slug);

    err = err ? err : sql_conversation_get(rq->db, &in, &rows);
    if (err) {
        return err;
    }
    if (!ch_rows_count(rows)) {
        return ch_err_make(rq->pool, CH_E_CONVERSATION_NOT_FOUND, NULL);
    }
    rq->reply.body = ch_buf_make(rq->pool, 65536, FILE_MAX);
    err = files[query->format].write(rq, rows, rq->reply.body);
    if (err) {
        return err;
    }
    apr_table_setn(rq->out, "Content-Disposition",
                   apr_psprintf(rq->pool, "attachment; filename=\"%s.%s\"",
                                ch_rows_text(rows, 0, "slug"),
                                files[query->format].extension));
    return ch_reply_raw(rq, 200, files[query->format].media, rq->reply.body);
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = HERE "/{id:str}", CH_CONVERSATION_ROUTE,
      .auth = CH_OPTIONAL, .flags = CH_VERSIONED, .cache = CH_CACHE_PUBLIC,
      .ok = 200, .query = &get_query, .out = &ch_conversation_out,
      CH_ROUTE_CODES(CH_E_CONVERSATION_NOT_FOUND),
      .handler = get_conversation, .kept = count_view,
      .summary = "One conversation, by id or slug, with a page of its "
                 "messages" },
    { .method = CH_GET, .path = HERE "/{id:str}/export",
      CH_CONVERSATION_ROUTE, .auth = CH_OPTIONAL, .flags = CH_FILE,
      .ok = 200, .query = &export_query,
      CH_ROUTE_CODES(CH_E_CONVERSATION_NOT_FOUND),
      .media = "text/markdown application/json",
      .handler = export_conversation,
      .summary = "The whole of a conversation as a file" },
};

const ch_routes_t ch_conversation_read_routes = CH_ROUTES(routes);
