/* Reactions to messages. */
#include <string.h>

#include <apr_escape.h>
#include <apr_strings.h>

#include "api/api.h"
#include "api/chat.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "base/uuid.h"
#include "web/reply.h"

#define HERE CH_CHAT "/messages/{id}/reactions"
#define DIFFERENT_MAX 20 /* of a message */
#define EMOJI_BYTES_MAX 64

/* --- inputs and outputs ----------------------------------------------- */

int ch_reaction_is_emoji(const char *text, size_t len)
{
    return len > 0 && len <= EMOJI_BYTES_MAX && ch_text_valid(text, len)
           && ch_text_count(text, len) <= CH_EMOJI_POINTS
           && !ch_text_has_blank(text, len);
}

typedef struct {
    const char *emoji;
} reaction_in_t;

static const ch_field_t in_rows[] = { CH_REACTION_EMOJI(reaction_in_t) };

static const ch_fields_t reaction_in = CH_FIELDS(reaction_in_t, in_rows);

static const ch_field_t out_rows[] = {
    { .name = "messageId", .type = CH_T_UUID, .column = "message_id",
      .doc = "The message" },
    { .name = "reactions", .type = CH_T_JSON, .nested = &ch_reaction_out,
      .doc = "In order of first use" },
};

const ch_fields_t ch_reactions_out = {
    .name = "Reactions", .rows = out_rows, .count = (int)CH_COUNT(out_rows),
};

/* --- what is done ----------------------------------------------------- */

static void tell(ch_req_t *rq, const char *event, const char *emoji,
                 const ch_rows_t *rows)
{
    ch_buf_t *buf = ch_publish_buf(rq);
    const char *room = ch_rows_text(rows, 0, "room_id");

    ch_buf_printf(buf, "{\"roomId\":\"%s\",\"messageId\":\"%s\",\"emoji\":",
                  room, ch_rows_text(rows, 0, "message_id"));
    ch_jsonw_cstr(buf, emoji);
    ch_buf_printf(buf, ",\"userId\":\"%s\",\"count\":%" APR_INT64_T_FMT "}",
                  rq->who->user_id, ch_rows_int(rows, 0, "count"));
    ch_publish(rq, &(ch_pub_t){
        .what = CH_PUB_EMIT, .room = room,
        .number = ch_rows_int(rows, 0, "number"), .event = event,
        .data = { buf->data, buf->len } });
}

ch_err_t *ch_reaction_add(ch_req_t *rq, const char *message,
                          const char *emoji, ch_rows_t **rows, int *again)
{
    const sql_reaction_add_t in = { .user_id = rq->who->user_id,
                                    .message_id = message,
                                    .emoji = emoji,
                                    .id = ch_uuid_make(rq->pool),
                                    .max = DIFFERENT_MAX };
    ch_err_t *err = ch_message_begin(rq, message);

    err = err ? err : sql_reaction_add(rq->db, &in, rows);
    err = ch_room_end(rq, err);
    if (!err && !ch_rows_count(*rows)) {
        err = ch_err_make(rq->pool, CH_E_MESSAGE_NOT_FOUND, NULL);
    }
    if (!err && ch_rows_bool(*rows, 0, "too_many")) {
        ch_err_fault(rq->pool, &err, CH_D_TOO_MANY, "emoji",
                     "the message has %d different reactions already",
                     DIFFERENT_MAX);
    }
    if (err) {
        return err;
    }
    *again = !ch_rows_text(*rows, 0, "number");
    if (!*again) {
        tell(rq, "reaction:added", emoji, *rows);
    }
    return NULL;
}

ch_err_t *ch_reaction_remove(ch_req_t *rq, const char *message,
                             const char *emoji, ch_rows_t **rows)
{
    const sql_reaction_remove_t in = { .user_id = rq->who->user_id,
                                       .message_id = message,
                                       .emoji = emoji };
    ch_err_t *err = ch_message_begin(rq, message);

    err = err ? err : sql_reaction_remove(rq->db, &in, rows);
    err = ch_room_end(rq, err);
    err = err ? err : ch_reply_fault(rq, *rows, CH_E_MESSAGE_NOT_FOUND);
    if (!err) {
        tell(rq, "reaction:removed", emoji, *rows);
    }
    return err;
}

/* --- handlers --------------------------------------------------------- */

static ch_err_t *add_reaction(ch_req_t *rq)
{
    const reaction_in_t *in = rq->body;
    const char *message = rq->match.param[0];
    ch_rows_t *rows = NULL;
    int again = 0;
    ch_err_t *err = ch_reaction_add(rq, message, in->emoji, &rows, &again);

    if (err) {
        return err;
    }
    if (again) {
        rq->reply.status = 200;
        return ch_reply_row(rq, rows, "The reaction was there");
    }
    apr_table_setn(rq->out, "Location",
                   apr_pstrcat(rq->pool, CH_CHAT "/messages/", message,
                               "/reactions/",
                               apr_pescape_path_segment(rq->pool, in->emoji),
                               NULL));
    return ch_reply_row(rq, rows, "Reaction added");
}

static ch_err_t *remove_reaction(ch_req_t *rq)
{
    const char *emoji = rq->match.param[1];
    ch_rows_t *rows = NULL;
    ch_err_t *err = NULL;

    if (!ch_reaction_is_emoji(emoji, strlen(emoji))) {
        ch_err_fault(rq->pool, &err, CH_D_INVALID_FORMAT, "emoji",
                     "must be 1 to 16 characters without white space");
        return err;
    }
    err = ch_reaction_remove(rq, rq->match.param[0], emoji, &rows);
    return err ? err : ch_reply_row(rq, rows, "Reaction removed");
}

/* --- routes ----------------------------------------------------------- */

static const ch_route_t routes[] = {
    { .method = CH_POST, .path = HERE, CH_CHAT_ROUTE(API), .flags = CH_AGAIN,
      .ok = 201, .body = &reaction_in, .out = &ch_reactions_out,
      CH_ROUTE_CODES(CH_E_MESSAGE_NOT_FOUND), .handler = add_reaction,
      .summary = "React to a message" },
    { .method = CH_DELETE, .path = HERE "/{emoji:str}", CH_CHAT_ROUTE(API),
      .ok = 200, .out = &ch_reactions_out,
      CH_ROUTE_CODES(CH_E_MESSAGE_NOT_FOUND, CH_E_REACTION_NOT_FOUND),
      .handler = remove_reaction, .summary = "Take a reaction back" },
};

const ch_routes_t ch_reaction_routes = CH_ROUTES(routes);
