/* Messages of rooms: send, list, edit, delete. */
#include <string.h>

#include <apr_strings.h>

#include "api/api.h"
#include "api/chat.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "base/uuid.h"
#include "web/reply.h"

#define HERE CH_CHAT "/messages"
#define OF_ROOM CH_CHAT "/rooms/{id}/messages"

/* --- inputs ----------------------------------------------------------- */

int ch_message_has_text(const char *text, size_t len)
{
    return ch_text_trim(text, len).len > 0;
}

#define ROOM_ROW(T)                                                           \
    { .name = "roomId", CH_IN(T, room_id, CH_T_UUID), .flags = CH_REQUIRED,   \
      .doc = "The room" }

#define MESSAGE_ROWS                                                          \
    CH_MESSAGE_CONTENT(ch_message_in_t),                                      \
    { .name = "replyToId", CH_IN(ch_message_in_t, reply_to_id, CH_T_UUID),    \
      .doc = "A message of the same room" },                                  \
    { .name = "clientId", CH_IN(ch_message_in_t, client_id, CH_T_STR),        \
      .min = 1, .max = 64,                                                    \
      .doc = "The client's own name of it: the same one twice is one message" }

static const ch_field_t in_rows[] = { MESSAGE_ROWS };

const ch_fields_t ch_message_in = CH_FIELDS(ch_message_in_t, in_rows);

static const ch_field_t to_rows[] = { ROOM_ROW(ch_message_in_t),
                                      MESSAGE_ROWS };

const ch_fields_t ch_message_to_in = CH_FIELDS(ch_message_in_t, to_rows);

typedef struct {
    const char *content;
} edit_in_t;

static const ch_field_t edit_rows[] = { CH_MESSAGE_CONTENT(edit_in_t) };

static const ch_fields_t edit_in = CH_FIELDS(edit_in_t, edit_rows);

typedef struct {
    const char *room_id;
    const char *after;
    apr_int64_t since_seq;
    ch_page_in_t page;
} list_query_t;

static void check_list(ch_req_t *rq, void *fields, ch_err_t **faults)
{
    const list_query_t *query = fields;
    int since = ch_req_query_given(rq, offsetof(list_query_t, since_seq));

    if ((query->page.cursor != NULL) + (query->after != NULL) + since > 1) {
        ch_err_fault(rq->pool, faults, CH_D_INVALID_VALUE,
                     query->page.cursor ? "cursor" : "after",
                     "only one of cursor, after and sinceSeq may be given");
    }
}

#define LIST_ROWS                                                             \
    { .name = "after", CH_IN(list_query_t, after, CH_T_UUID),                 \
      .doc = "A message: those behind it, oldest first" },                    \
    { .name = "sinceSeq", CH_IN(list_query_t, since_seq, CH_T_INT), .min = 0, \
      .max = APR_INT64_MAX,                                                   \
      .doc = "Those with a greater number, oldest first" },                   \
    { .name = "limit", CH_IN(list_query_t, page.limit, CH_T_INT), .min = 1,   \
      .max = 100, .def = "50", .doc = "Items of a page" },                    \
    { .name = "cursor", CH_IN(list_query_t, page.cursor, CH_T_SECRET),        \
      .flags = CH_KEEP_EMPTY, .max = CH_CURSOR_MAX,                           \
      .doc = "nextCursor of the page before; empty = the first page" }

static const ch_field_t query_rows[] = { LIST_ROWS };

static const ch_fields_t list_query = {
    .rows = query_rows, .count = (int)CH_COUNT(query_rows),
    .size = sizeof(list_query_t), .check = check_list,
};

static const ch_field_t of_query_rows[] = { ROOM_ROW(list_query_t),
                                            LIST_ROWS };

static const ch_fields_t list_of_query = {
    .rows = of_query_rows, .count = (int)CH_COUNT(of_query_rows),
    .size = sizeof(list_query_t), .check = check_list,
};

/* --- outputs ---------------------------------------------------------- */

static const ch_field_t author_rows[] = {
    { .name = "id", .type = CH_T_UUID, .column = "author_id", .doc = "Id" },
    { .name = "fullName", .type = CH_T_STR, .column = "author_name",
      .flags = CH_NULLABLE, .doc = "Name" },
    { .name = "avatarUrl", .type = CH_T_URL, .column = "author_avatar",
      .flags = CH_NULLABLE, .doc = "Picture" },
};

static const ch_fields_t author_out = {
    .name = "MessageAuthor", .rows = author_rows,
    .count = (int)CH_COUNT(author_rows),
};

static const ch_field_t reply_rows[] = {
    { .name = "id", .type = CH_T_UUID, .column = "reply_id", .doc = "Id" },
    { .name = "userId", .type = CH_T_UUID, .column = "reply_user",
      .flags = CH_NULLABLE, .doc = "Its author" },
    { .name = "content", .type = CH_T_TEXT, .column = "reply_content",
      .doc = "Its first 200 characters" },
};

static const ch_fields_t reply_out = {
    .name = "MessageRepliedTo", .rows = reply_rows,
    .count = (int)CH_COUNT(reply_rows),
};

static const ch_field_t reaction_rows[] = {
    { .name = "emoji", .type = CH_T_STR, .doc = "The reaction" },
    { .name = "count", .type = CH_T_INT, .min = 1, .doc = "Of so many" },
    { .name = "me", .type = CH_T_BOOL, .doc = "The caller among them" },
};

const ch_fields_t ch_reaction_out = {
    .name = "Reaction", .rows = reaction_rows,
    .count = (int)CH_COUNT(reaction_rows),
};

#define MESSAGE_HEAD                                                          \
    { .name = "id", .type = CH_T_UUID, .column = "message_id", .doc = "Id" }, \
    { .name = "roomId", .type = CH_T_UUID, .column = "room_id",               \
      .doc = "Its room" },                                                    \
    { .name = "seq", .type = CH_T_INT, .min = 1,                              \
      .doc = "Its number in the room, without gaps" },                        \
    { .name = "userId", .type = CH_T_UUID, .column = "user_id",               \
      .flags = CH_NULLABLE, .doc = "Its author while the account is there" }, \
    { .name = "user", .type = CH_T_NEST, .nested = &author_out,               \
      .column = "author_id", .flags = CH_NULLABLE, .doc = "Its author" },     \
    { .name = "content", .type = CH_T_TEXT,                                   \
      .doc = "Its text; empty when deleted" },                                \
    { .name = "replyToId", .type = CH_T_UUID, .column = "reply_to_id",        \
      .flags = CH_NULLABLE, .doc = "What it replies to" },                    \
    { .name = "replyTo", .type = CH_T_NEST, .nested = &reply_out,             \
      .column = "reply_id", .flags = CH_NULLABLE, .doc = "The same" },        \
    { .name = "clientId", .type = CH_T_STR, .column = "client_id",            \
      .flags = CH_NULLABLE, .doc = "The sender's own name of it" }

#define MESSAGE_REACTIONS(of)                                                 \
    { .name = "reactions", .type = CH_T_JSON, .nested = &ch_reaction_out,     \
      .column = of, .doc = "In order of first use" }

#define MESSAGE_TAIL                                                          \
    { .name = "editedAt", .type = CH_T_TIME, .column = "edited_at",           \
      .flags = CH_NULLABLE, .doc = "Last edited" },                           \
    { .name = "deletedAt", .type = CH_T_TIME, .column = "deleted_at",         \
      .flags = CH_NULLABLE, .doc = "Deleted: a placeholder" },                \
    { .name = "createdAt", .type = CH_T_TIME, .column = "sent_at",            \
      .doc = "Sent" }

static const ch_field_t out_rows[] = { MESSAGE_HEAD,
                                       MESSAGE_REACTIONS("reactions"),
                                       MESSAGE_TAIL };

const ch_fields_t ch_message_out = {
    .name = "Message", .rows = out_rows, .count = (int)CH_COUNT(out_rows),
};

static const ch_field_t told_rows[] = { MESSAGE_HEAD,
                                        MESSAGE_REACTIONS("reactions_told"),
                                        MESSAGE_TAIL };

const ch_fields_t ch_message_told_out = {
    .rows = told_rows, .count = (int)CH_COUNT(told_rows),
};

static const ch_field_t found_rows[] = {
    MESSAGE_HEAD,
    MESSAGE_REACTIONS("reactions"),
    MESSAGE_TAIL,
    { .name = "highlight", .type = CH_T_MARKED, .flags = CH_NULLABLE,
      .doc = "HTML: hits between <mark> and </mark>" },
};

const ch_fields_t ch_message_found_out = {
    .name = "FoundMessage", .rows = found_rows,
    .count = (int)CH_COUNT(found_rows),
};

static const ch_field_t deleted_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
    { .name = "deletedAt", .type = CH_T_TIME, .column = "deleted_at",
      .doc = "Deleted" },
};

const ch_fields_t ch_message_deleted_out = {
    .name = "DeletedMessage", .rows = deleted_rows,
    .count = (int)CH_COUNT(deleted_rows),
};

/* --- send ------------------------------------------------------------- */

static ch_err_t *check_words(ch_req_t *rq, const char *content)
{
    const apr_array_header_t *words = rq->conf->blocked_words;
    const char *text;
    int i;

    if (!content || !words || !words->nelts) {
        return NULL;
    }
    text = ch_text_fold(rq->pool, content, strlen(content));
    for (i = 0; text && i < words->nelts; i++) {
        const char *word = APR_ARRAY_IDX(words, i, const char *);

        word = ch_text_fold(rq->pool, word, strlen(word));
        if (word && *word && ch_text_has_word(text, word)) {
            return ch_err_make(rq->pool, CH_E_CONTENT_REJECTED, NULL);
        }
    }
    return NULL;
}

static void tell_new(ch_req_t *rq, const ch_rows_t *rows)
{
    ch_publish(rq, &(ch_pub_t){
        .what = CH_PUB_MESSAGE, .room = ch_rows_text(rows, 0, "room_id"),
        .user = rq->who->user_id, .number = ch_rows_int(rows, 0, "number"),
        .seq = ch_rows_int(rows, 0, "seq"), .event = "message:new",
        .data = ch_publish_row(rq, "message", &ch_message_out, rows) });
}

/* A statement can't see what was committed while it waited for the lock, so a
 * clientId that was used meanwhile, or a sender who was removed, makes it
 * fail: then it sees it the next time. Inside a transaction (of an
 * Idempotency-Key) nothing can be done after a failure, so there the lock
 * comes first. */
static ch_err_t *send_once(ch_req_t *rq, const sql_message_send_t *row,
                      ch_rows_t **rows)
{
    const sql_room_lock_t lock = { .id = row->room_id };
    ch_rows_t *locked;
    ch_err_t *err = NULL;

    if (rq->idem_key) {
        err = sql_room_lock(rq->db, &lock, &locked);
        return err ? err : sql_message_send(rq->db, row, rows);
    }
    err = sql_message_send(rq->db, row, rows);
    if (err && (err->code == CH_E_CONFLICT
                || err->code == CH_E_NOT_ROOM_MEMBER)) {
        err = sql_message_send(rq->db, row, rows);
    }
    return err;
}

ch_err_t *ch_message_send(ch_req_t *rq, const ch_message_in_t *in,
                          ch_rows_t **rows, int *again)
{
    const sql_message_send_t row = { .user_id = rq->who->user_id,
                                     .room_id = in->room_id,
                                     .admin = CH_CHAT_ADMIN(rq),
                                     .id = ch_uuid_make(rq->pool),
                                     .content = in->content,
                                     .reply_to = in->reply_to_id,
                                     .client_id = in->client_id };
    ch_err_t *err = check_words(rq, in->content);

    err = err ? err : send_once(rq, &row, rows);
    err = err ? err : ch_reply_fault(rq, *rows, CH_E_ROOM_NOT_FOUND);
    if (err) {
        return err;
    }
    *again = !ch_rows_text(*rows, 0, "number");
    if (*again) {
        ch_publish(rq, &(ch_pub_t){
            .what = CH_PUB_AGAIN,
            .room = ch_rows_text(*rows, 0, "room_id"),
            .seq = ch_rows_int(*rows, 0, "seq") });
    }
    else {
        tell_new(rq, *rows);
    }
    return NULL;
}

static ch_err_t *reply_sent(ch_req_t *rq, const ch_message_in_t *in)
{
    ch_rows_t *rows = NULL;
    int again = 0;
    ch_err_t *err = ch_message_send(rq, in, &rows, &again);

    if (err) {
        return err;
    }
    if (again) {
        rq->reply.status = 200;
        return ch_reply_row(rq, rows, "The message had been sent");
    }
    apr_table_setn(rq->out, "Location",
                   apr_pstrcat(rq->pool, HERE "/",
                               ch_rows_text(rows, 0, "message_id"), NULL));
    return ch_reply_row(rq, rows, "Message sent");
}

static ch_err_t *send_message(ch_req_t *rq)
{
    ch_message_in_t *in = rq->body;

    in->room_id = rq->match.param[0];
    return reply_sent(rq, in);
}

static ch_err_t *send_message_to(ch_req_t *rq)
{
    const ch_message_in_t *in = rq->body;

    ch_room_alias(rq, in->room_id, "/messages");
    return reply_sent(rq, in);
}

/* --- list ------------------------------------------------------------- */

static ch_err_t *fetch_since(ch_req_t *rq, const list_query_t *query,
                             const apr_int64_t *since, ch_rows_t **rows)
{
    const sql_message_since_t in = { .user_id = rq->who->user_id,
                                     .room_id = query->room_id,
                                     .admin = CH_CHAT_ADMIN(rq),
                                     .after = query->after,
                                     .since = since,
                                     .fetch = ch_page_fetch(&query->page) };
    ch_err_t *err = sql_message_since(rq->db, &in, rows);

    err = err ? err : ch_reply_fault(rq, *rows, CH_E_ROOM_NOT_FOUND);
    if (!err && ch_rows_bool(*rows, 0, "lost")) {
        ch_err_fault(rq->pool, &err, CH_D_NOT_FOUND, "after",
                     "is no message of this room");
    }
    return err;
}

static ch_err_t *fetch_before(ch_req_t *rq, const list_query_t *query,
                              const apr_int64_t *before, ch_rows_t **rows)
{
    const sql_message_page_t in = { .user_id = rq->who->user_id,
                                    .room_id = query->room_id,
                                    .admin = CH_CHAT_ADMIN(rq),
                                    .before = before,
                                    .fetch = ch_page_fetch(&query->page) };
    ch_err_t *err = sql_message_page(rq->db, &in, rows);

    return err ? err : ch_reply_fault(rq, *rows, CH_E_ROOM_NOT_FOUND);
}

/* A cursor holds its direction ('a' or 'd') and a number, and belongs to the
 * room alone, because it is given without what the first page was asked by. */
static ch_err_t *fetch_page(ch_req_t *rq, list_query_t *query,
                            ch_rows_t **rows)
{
    const char *cursor[2];
    apr_int64_t place;
    int after;
    ch_err_t *err;

    rq->filter_key = apr_pstrcat(rq->pool, OF_ROOM "\n", rq->who->user_id,
                                 "\n", query->room_id, NULL);
    err = ch_page_open_cursor(rq, &query->page, cursor, &after);
    if (err) {
        return err;
    }
    if (after) {
        place = apr_atoi64(cursor[0] + 1);
        return cursor[0][0] == 'a' ? fetch_since(rq, query, &place, rows)
                                   : fetch_before(rq, query, &place, rows);
    }
    if (ch_req_query_given(rq, offsetof(list_query_t, since_seq))) {
        return fetch_since(rq, query, &query->since_seq, rows);
    }
    return query->after ? fetch_since(rq, query, NULL, rows)
                        : fetch_before(rq, query, NULL, rows);
}

static ch_err_t *reply_page(ch_req_t *rq, list_query_t *query)
{
    ch_list_t list = { .sort_column = "place", .id_column = "message_id" };
    ch_rows_t *rows = NULL;
    ch_err_t *err;

    if (!query->page.cursor) {
        query->page.cursor = "";
    }
    err = fetch_page(rq, query, &rows);
    if (err) {
        return err;
    }
    list.rows = rows;
    return ch_reply_list(rq, &query->page, &list, "Messages of the room");
}

static ch_err_t *list_messages(ch_req_t *rq)
{
    list_query_t *query = rq->query;

    query->room_id = rq->match.param[0];
    return reply_page(rq, query);
}

static ch_err_t *list_messages_of(ch_req_t *rq)
{
    list_query_t *query = rq->query;

    ch_room_alias(rq, query->room_id, "/messages");
    return reply_page(rq, query);
}

/* --- one message ------------------------------------------------------ */

static ch_err_t *get_message(ch_req_t *rq)
{
    const sql_message_get_t in = { .user_id = rq->who->user_id,
                                   .id = rq->match.param[0],
                                   .admin = CH_CHAT_ADMIN(rq) };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_message_get(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_MESSAGE_NOT_FOUND, "Message");
}

ch_err_t *ch_message_begin(ch_req_t *rq, const char *id)
{
    const sql_message_lock_t lock = { .id = id };
    ch_rows_t *locked;

    ch_db_gather(rq->db);
    return sql_message_lock(rq->db, &lock, &locked);
}

ch_err_t *ch_message_edit(ch_req_t *rq, const char *id, const char *content,
                          ch_rows_t **rows)
{
    const sql_message_edit_t in = { .user_id = rq->who->user_id,
                                    .id = id,
                                    .admin = CH_CHAT_ADMIN(rq),
                                    .content = content };
    ch_err_t *err = check_words(rq, content);

    err = err ? err : ch_message_begin(rq, id);
    err = err ? err : sql_message_edit(rq->db, &in, rows);
    err = ch_room_end(rq, err);
    err = err ? err : ch_reply_fault(rq, *rows, CH_E_MESSAGE_NOT_FOUND);
    if (err) {
        return err;
    }
    if (ch_rows_text(*rows, 0, "number")) {
        ch_publish(rq, &(ch_pub_t){
            .what = CH_PUB_EMIT, .room = ch_rows_text(*rows, 0, "room_id"),
            .number = ch_rows_int(*rows, 0, "number"),
            .event = "message:updated",
            .data = ch_publish_row(rq, "message", &ch_message_told_out,
                                   *rows) });
    }
    return NULL;
}

static ch_err_t *edit_message(ch_req_t *rq)
{
    const edit_in_t *in = rq->body;
    ch_rows_t *rows = NULL;
    ch_err_t *err =
        ch_message_edit(rq, rq->match.param[0], in->content, &rows);

    return err ? err : ch_reply_row(rq, rows, "Message edited");
}

ch_err_t *ch_message_delete(ch_req_t *rq, const char *id, ch_rows_t **rows)
{
    const sql_message_delete_t in = { .user_id = rq->who->user_id,
                                      .id = id,
                                      .admin = CH_CHAT_ADMIN(rq) };
    ch_buf_t *buf = ch_publish_buf(rq);
    ch_err_t *err = ch_message_begin(rq, id);
    const char *room, *at;

    err = err ? err : sql_message_delete(rq->db, &in, rows);
    err = ch_room_end(rq, err);
    err = err ? err : ch_reply_fault(rq, *rows, CH_E_MESSAGE_NOT_FOUND);
    if (err) {
        return err;
    }
    room = ch_rows_text(*rows, 0, "room_id");
    at = ch_rows_text(*rows, 0, "deleted_at");
    ch_buf_printf(buf, "{\"roomId\":\"%s\",\"messageId\":\"%s\",", room, id);
    CH_BUF_LIT(buf, "\"deletedAt\":");
    ch_jsonw_pg_time(buf, at, strlen(at));
    ch_buf_printf(buf, ",\"deletedBy\":\"%s\"}", in.user_id);
    ch_publish(rq, &(ch_pub_t){
        .what = CH_PUB_EMIT, .room = room,
        .number = ch_rows_int(*rows, 0, "number"),
        .event = "message:deleted", .data = { buf->data, buf->len } });
    return NULL;
}

static ch_err_t *delete_message(ch_req_t *rq)
{
    ch_rows_t *rows = NULL;
    ch_err_t *err = ch_message_delete(rq, rq->match.param[0], &rows);

    return err ? err : ch_reply_row(rq, rows, "Message deleted");
}

/* --- routes ----------------------------------------------------------- */

#define SENT                                                                  \
    .ok = 201, .out = &ch_message_out,                                        \
    CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND, CH_E_NOT_ROOM_MEMBER,                 \
                   CH_E_MESSAGE_NOT_FOUND, CH_E_CONTENT_REJECTED)

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = OF_ROOM, CH_CHAT_ROUTE(API),
      .flags = CH_LIST, .ok = 200, .query = &list_query,
      .out = &ch_message_out,
      CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND, CH_E_NOT_ROOM_MEMBER),
      .handler = list_messages,
      .summary = "Messages, newest first, or behind a place oldest first" },
    { .method = CH_POST, .path = OF_ROOM, CH_CHAT_ROUTE(CHAT),
      .flags = CH_IDEMPOTENT | CH_AGAIN, .body = &ch_message_in, SENT,
      .handler = send_message, .summary = "Send a message" },
    { .method = CH_GET, .path = HERE, CH_CHAT_ROUTE(API),
      .flags = CH_LIST | CH_OLD_PATH, .ok = 200, .query = &list_of_query,
      .out = &ch_message_out,
      CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND, CH_E_NOT_ROOM_MEMBER),
      .handler = list_messages_of,
      .summary = "Messages of a room; an old form" },
    { .method = CH_POST, .path = HERE, CH_CHAT_ROUTE(CHAT),
      .flags = CH_IDEMPOTENT | CH_AGAIN | CH_OLD_PATH,
      .body = &ch_message_to_in, SENT, .handler = send_message_to,
      .summary = "Send a message; an old form" },
    { .method = CH_GET, .path = HERE "/{id}", CH_CHAT_ROUTE(API), .ok = 200,
      .out = &ch_message_out, CH_ROUTE_CODES(CH_E_MESSAGE_NOT_FOUND),
      .handler = get_message, .summary = "One message" },
    { .method = CH_PUT, .path = HERE "/{id}", CH_CHAT_ROUTE(API), .ok = 200,
      .body = &edit_in, .out = &ch_message_out,
      CH_ROUTE_CODES(CH_E_MESSAGE_NOT_FOUND, CH_E_FORBIDDEN,
                     CH_E_CONTENT_REJECTED),
      .handler = edit_message, .summary = "Edit one's own message" },
    { .method = CH_DELETE, .path = HERE "/{id}", CH_CHAT_ROUTE(API),
      .ok = 200, .out = &ch_message_deleted_out,
      CH_ROUTE_CODES(CH_E_MESSAGE_NOT_FOUND, CH_E_FORBIDDEN),
      .handler = delete_message,
      .summary = "Delete a message; its place stays" },
};

const ch_routes_t ch_message_routes = CH_ROUTES(routes);
