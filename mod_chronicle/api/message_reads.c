/* How far members have read, and who is there. */
#include "api/api.h"
#include "api/chat.h"
#include "base/jsonw.h"
#include "base/uuid.h"
#include "realtime/typing.h"
#include "web/reply.h"

#define HERE CH_CHAT "/rooms/{id}"
#define TYPING_MAX 100 /* users that are named */

/* --- inputs and outputs ----------------------------------------------- */

typedef struct {
    const char *message_id;
} read_in_t;

static const ch_field_t read_rows[] = {
    { .name = "messageId", CH_IN(read_in_t, message_id, CH_T_UUID),
      .doc = "The last one that was read; absent: the newest" },
};

static const ch_fields_t read_in = CH_FIELDS(read_in_t, read_rows);

static const ch_field_t out_rows[] = {
    { .name = "roomId", .type = CH_T_UUID, .column = "room_id",
      .doc = "The room" },
    { .name = "lastReadMessageId", .type = CH_T_UUID,
      .column = "last_read_message_id", .flags = CH_NULLABLE,
      .doc = "The last one that was read" },
    { .name = "unreadCount", .type = CH_T_INT, .column = "unread_count",
      .doc = "Messages behind it" },
};

const ch_fields_t ch_read_out = {
    .name = "ReadMarker", .rows = out_rows, .count = (int)CH_COUNT(out_rows),
};

static const ch_field_t unread_rows[] = {
    { .name = "total", .type = CH_T_INT, .doc = "Of all rooms" },
    { .name = "rooms", .type = CH_T_JSON, .nested = &ch_read_out,
      .doc = "All rooms of the caller" },
};

static const ch_fields_t unread_out = {
    .name = "Unread", .rows = unread_rows,
    .count = (int)CH_COUNT(unread_rows),
};

static const char *const states[] = { "online", "away", "busy", "offline" };

static const ch_field_t online_rows[] = {
    { .name = "userId", .type = CH_T_UUID, .column = "user_id",
      .doc = "Who" },
    { .name = "status", .type = CH_T_ENUM, CH_CHOICES(states),
      .doc = "How" },
    { .name = "lastSeenAt", .type = CH_T_TIME, .column = "seen_at",
      .doc = "When there was last a sign" },
};

static const ch_fields_t online_out = {
    .name = "Online", .rows = online_rows,
    .count = (int)CH_COUNT(online_rows),
};

static const ch_field_t presence_rows[] = {
    { .name = "roomId", .type = CH_T_UUID, .doc = "The room" },
    { .name = "online", .type = CH_T_JSON, .nested = &online_out,
      .doc = "Members who are there" },
    { .name = "typing", .type = CH_T_STRS, .doc = "Who is typing" },
};

static const ch_fields_t presence_out = {
    .name = "Presence", .rows = presence_rows,
    .count = (int)CH_COUNT(presence_rows),
};

/* --- read ------------------------------------------------------------- */

ch_err_t *ch_read_mark(ch_req_t *rq, const char *room, const char *message,
                       ch_rows_t **rows)
{
    const sql_room_read_t in = { .user_id = rq->who->user_id,
                                 .room_id = room,
                                 .admin = CH_CHAT_ADMIN(rq),
                                 .message_id = message };
    ch_buf_t *buf = ch_publish_buf(rq);
    ch_err_t *err = sql_room_read(rq->db, &in, rows);

    err = err ? err : ch_reply_fault(rq, *rows, CH_E_ROOM_NOT_FOUND);
    if (err || !ch_rows_bool(*rows, 0, "moved")) {
        return err;
    }
    ch_buf_printf(buf,
                  "{\"roomId\":\"%s\",\"userId\":\"%s\","
                  "\"messageId\":\"%s\"}",
                  room, in.user_id,
                  ch_rows_text(*rows, 0, "last_read_message_id"));
    ch_publish(rq, &(ch_pub_t){
        .what = CH_PUB_READ, .room = room, .user = in.user_id,
        .seq = ch_rows_int(*rows, 0, "seq"), .event = "read:updated",
        .data = { buf->data, buf->len } });
    return NULL;
}

static ch_err_t *mark_read(ch_req_t *rq)
{
    const read_in_t *in = rq->body;
    ch_rows_t *rows = NULL;
    ch_err_t *err =
        ch_read_mark(rq, rq->match.param[0], in->message_id, &rows);

    return err ? err : ch_reply_row(rq, rows, "Read");
}

static void write_all(ch_buf_t *buf, const ch_fields_t *out,
                      const ch_rows_t *rows, int count)
{
    int i;

    ch_buf_putc(buf, '[');
    for (i = 0; i < count; i++) {
        if (i) {
            ch_buf_putc(buf, ',');
        }
        ch_reply_write_row(buf, out, rows, i);
    }
    ch_buf_putc(buf, ']');
}

static ch_err_t *get_unread(ch_req_t *rq)
{
    const sql_room_unread_t in = { .user_id = rq->who->user_id };
    apr_int64_t total = 0;
    ch_rows_t *rows;
    ch_buf_t *buf;
    int i;
    ch_err_t *err = sql_room_unread(rq->db, &in, &rows);

    if (err) {
        return err;
    }
    for (i = 0; i < ch_rows_count(rows); i++) {
        total += ch_rows_int(rows, i, "unread_count");
    }
    buf = ch_reply_begin(rq, 2 * ch_rows_size(rows));
    ch_buf_printf(buf, "{\"total\":%" APR_INT64_T_FMT ",\"rooms\":", total);
    write_all(buf, &ch_read_out, rows, ch_rows_count(rows));
    ch_buf_putc(buf, '}');
    return ch_reply_end(rq, "What is unread");
}

/* --- presence --------------------------------------------------------- */

ch_err_t *ch_presence_fetch(ch_req_t *rq, const char *room, ch_rows_t **rows)
{
    const sql_room_presence_t in = { .user_id = rq->who->user_id,
                                     .room_id = room,
                                     .admin = CH_CHAT_ADMIN(rq) };
    ch_err_t *err = sql_room_presence(rq->db, &in, rows);

    return err ? err : ch_reply_fault(rq, *rows, CH_E_ROOM_NOT_FOUND);
}

static void write_typing(ch_req_t *rq, const char *room, ch_buf_t *buf)
{
    unsigned char users[TYPING_MAX][16];
    unsigned char id[16];
    char text[CH_UUID_LEN + 1];
    int count = 0, i;

    if (ch_uuid_bytes(room, id)) {
        count = ch_typing_list(rq->conf->site, id, users, TYPING_MAX);
    }
    ch_buf_putc(buf, '[');
    for (i = 0; i < count; i++) {
        ch_uuid_text(users[i], text);
        ch_buf_printf(buf, "%s\"%s\"", i ? "," : "", text);
    }
    ch_buf_putc(buf, ']');
}

void ch_presence_write(ch_req_t *rq, const char *room, const ch_rows_t *rows,
                       ch_buf_t *buf)
{
    int none = !ch_rows_text(rows, 0, "user_id");

    ch_buf_printf(buf, "{\"roomId\":\"%s\",\"online\":", room);
    write_all(buf, &online_out, rows, none ? 0 : ch_rows_count(rows));
    CH_BUF_LIT(buf, ",\"typing\":");
    write_typing(rq, room, buf);
    ch_buf_putc(buf, '}');
}

static ch_err_t *get_presence(ch_req_t *rq)
{
    ch_rows_t *rows = NULL;
    ch_err_t *err = ch_presence_fetch(rq, rq->match.param[0], &rows);

    if (err) {
        return err;
    }
    ch_presence_write(rq, rq->match.param[0], rows,
                      ch_reply_begin(rq, 2 * ch_rows_size(rows) + 1024));
    return ch_reply_end(rq, "Who is there");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_POST, .path = HERE "/read", CH_CHAT_ROUTE(API), .ok = 200,
      .body = &read_in, .out = &ch_read_out,
      CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND, CH_E_NOT_ROOM_MEMBER,
                     CH_E_MESSAGE_NOT_FOUND),
      .handler = mark_read, .summary = "Mark messages as read" },
    { .method = CH_GET, .path = CH_CHAT "/unread", CH_CHAT_ROUTE(API),
      .ok = 200, .out = &unread_out, .handler = get_unread,
      .summary = "What is unread, by room" },
    { .method = CH_GET, .path = HERE "/presence", CH_CHAT_ROUTE(API),
      .ok = 200, .out = &presence_out,
      CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND, CH_E_NOT_ROOM_MEMBER),
      .handler = get_presence, .summary = "Who is in a room now" },
};

const ch_routes_t ch_message_read_routes = CH_ROUTES(routes);
