/* What clients of Socket.IO may send about rooms: the same as over REST, by
 * the same functions. */
#include <apr_strings.h>

#include "api/api.h"
#include "api/chat.h"
#include "realtime/event.h"
#include "realtime/presence.h"
#include "web/reply.h"

#define MISSED_MAX 200 /* messages of an ack of room:join */
#define MISSED_BYTES                                                          \
    262144 /* when these are written no more are begun: a fourth of what may  \
            * wait for a client before it counts as one that doesn't read */

/* --- inputs ----------------------------------------------------------- */

#define ROOM_ID(T)                                                            \
    { .name = "roomId", CH_IN(T, room_id, CH_T_UUID), .flags = CH_REQUIRED,   \
      .doc = "The room" }

#define MESSAGE_ID(T)                                                         \
    { .name = "messageId", CH_IN(T, message_id, CH_T_UUID),                   \
      .flags = CH_REQUIRED, .doc = "The message" }

typedef struct {
    const char *room_id;
} room_in_t;

static const ch_field_t room_rows[] = { ROOM_ID(room_in_t) };

static const ch_fields_t room_in = CH_FIELDS(room_in_t, room_rows);

typedef struct {
    const char *room_id;
    apr_int64_t since_seq;
} join_in_t;

static const ch_field_t join_rows[] = {
    ROOM_ID(join_in_t),
    { .name = "sinceSeq", CH_IN(join_in_t, since_seq, CH_T_INT), .min = 0,
      .max = APR_INT64_MAX, .doc = "The last message that the client has" },
};

static const ch_fields_t join_in = CH_FIELDS(join_in_t, join_rows);

typedef struct {
    const char *room_id;
    int membership;
} leave_in_t;

static const ch_field_t leave_rows[] = {
    ROOM_ID(leave_in_t),
    { .name = "membership", CH_IN(leave_in_t, membership, CH_T_BOOL),
      .def = "false", .doc = "true: leave the room for good" },
};

static const ch_fields_t leave_in = CH_FIELDS(leave_in_t, leave_rows);

typedef struct {
    const char *message_id;
    const char *content;
} edit_in_t;

static const ch_field_t edit_rows[] = { MESSAGE_ID(edit_in_t),
                                        CH_MESSAGE_CONTENT(edit_in_t) };

static const ch_fields_t edit_in = CH_FIELDS(edit_in_t, edit_rows);

typedef struct {
    const char *message_id;
} message_in_t;

static const ch_field_t message_rows[] = { MESSAGE_ID(message_in_t) };

static const ch_fields_t message_in = CH_FIELDS(message_in_t, message_rows);

typedef struct {
    const char *message_id;
    const char *emoji;
} reaction_in_t;

static const ch_field_t reaction_rows[] = { MESSAGE_ID(reaction_in_t),
                                            CH_REACTION_EMOJI(reaction_in_t) };

static const ch_fields_t reaction_in = CH_FIELDS(reaction_in_t, reaction_rows);

typedef struct {
    const char *room_id;
    const char *message_id;
} read_in_t;

static const ch_field_t read_rows[] = {
    ROOM_ID(read_in_t),
    { .name = "messageId", CH_IN(read_in_t, message_id, CH_T_UUID),
      .doc = "The last one that was read; absent: the newest" },
};

static const ch_fields_t read_in = CH_FIELDS(read_in_t, read_rows);

static const char *const states[] = { "online", "away", "busy" };

typedef struct {
    int status;
} presence_in_t;

static const ch_field_t presence_rows[] = {
    { .name = "status", CH_IN(presence_in_t, status, CH_T_ENUM),
      CH_CHOICES(states), .flags = CH_REQUIRED, .doc = "How the user is" },
};

static const ch_fields_t presence_in = CH_FIELDS(presence_in_t, presence_rows);

/* --- acks ------------------------------------------------------------- */

static ch_err_t *ack_room(ch_event_t *event, const char *room)
{
    ch_buf_printf(event->data, "{\"roomId\":\"%s\"}", room);
    return NULL;
}

static ch_err_t *ack_row(ch_event_t *event, const ch_fields_t *out,
                         const ch_rows_t *rows)
{
    ch_reply_write_row(event->data, out, rows, 0);
    return NULL;
}

static ch_err_t *ack_message(ch_event_t *event, const ch_rows_t *rows)
{
    CH_BUF_LIT(event->data, "{\"message\":");
    ch_reply_write_row(event->data, &ch_message_out, rows, 0);
    ch_buf_putc(event->data, '}');
    return NULL;
}

/* --- rooms ------------------------------------------------------------ */

/* What was there at one moment: `state` first, then the room, which may be a
 * little newer. So whatever happens behind `state` is told behind the ack, and
 * what the room shows of it already comes once more, which does no harm; the
 * other way round something would never be told. */
static ch_err_t *look(ch_req_t *rq, const join_in_t *in, int since,
                      ch_rows_t **state, ch_rows_t **room)
{
    const sql_room_state_t look = { .user_id = rq->who->user_id,
                                    .room_id = in->room_id,
                                    .admin = CH_CHAT_ADMIN(rq),
                                    .since = since ? in->since_seq : 0,
                                    .fetch = since ? MISSED_MAX + 1 : 0 };
    ch_err_t *err;

    ch_db_gather(rq->db);
    err = sql_room_state(rq->db, &look, state);
    err = err ? err : ch_room_get(rq, in->room_id, room);
    err = ch_room_end(rq, err);
    err = err ? err : ch_reply_fault(rq, *state, CH_E_ROOM_NOT_FOUND);
    if (!err && !ch_rows_count(*room)) { /* deleted between the two */
        err = ch_err_make(rq->pool, CH_E_ROOM_NOT_FOUND, NULL);
    }
    return err;
}

/* {room,online,missed,hasMore}. */
static void write_joined(ch_buf_t *buf, const ch_rows_t *state,
                         const ch_rows_t *room)
{
    const char *online = ch_rows_text(state, 0, "online");
    int count = ch_rows_text(state, 0, "message_id") ? ch_rows_count(state)
                                                     : 0;
    size_t from;
    int i;

    CH_BUF_LIT(buf, "{\"room\":");
    ch_reply_write_row(buf, &ch_room_out, room, 0);
    ch_buf_printf(buf, ",\"online\":%s,\"missed\":[", online ? online : "[]");
    from = buf->len;
    for (i = 0; i < count && i < MISSED_MAX; i++) {
        if (buf->len - from > MISSED_BYTES) {
            break;
        }
        if (i) {
            ch_buf_putc(buf, ',');
        }
        ch_reply_write_row(buf, &ch_message_out, state, i);
    }
    ch_buf_printf(buf, "],\"hasMore\":%s}", i < count ? "true" : "false");
}

/* First the subscription, then the database: what is committed behind the look
 * is published behind the subscription, and kept for the socket until the ack
 * is out. `seen` is where the room was at the look, also when not all that was
 * missed fits into the ack (hasMore): live messages then go on from there, and
 * the client gets what lies between by asking again, or by REST. */
static ch_err_t *join(ch_event_t *event)
{
    const join_in_t *in = event->rq->body;
    int row = ch_field_at(&join_in, offsetof(join_in_t, since_seq));
    int since = (int)(event->rq->given >> row & 1);
    ch_rows_t *state = NULL, *room = NULL;
    ch_err_t *err;

    ch_event_subscribe(event, in->room_id);
    err = look(event->rq, in, since, &state, &room);
    if (err && err->code == CH_E_NOT_ROOM_MEMBER) {
        err = ch_room_join(event->rq, in->room_id);
        err = err ? err : look(event->rq, in, since, &state, &room);
    }
    if (err) {
        return err;
    }
    ch_event_seen(event, in->room_id, ch_rows_int(state, 0, "event_seq"),
                  ch_rows_int(state, 0, "last_seq"));
    write_joined(event->data, state, room);
    return NULL;
}

static ch_err_t *leave(ch_event_t *event)
{
    const leave_in_t *in = event->rq->body;
    ch_err_t *err =
        in->membership ? ch_room_leave(event->rq, in->room_id) : NULL;

    if (err) {
        return err;
    }
    ch_event_unsubscribe(event, in->room_id);
    return ack_room(event, in->room_id);
}

/* --- messages --------------------------------------------------------- */

static ch_err_t *send_message(ch_event_t *event)
{
    ch_rows_t *rows = NULL;
    int again;
    ch_err_t *err =
        ch_message_send(event->rq, event->rq->body, &rows, &again);

    return err ? err : ack_message(event, rows);
}

static ch_err_t *edit_message(ch_event_t *event)
{
    const edit_in_t *in = event->rq->body;
    ch_rows_t *rows = NULL;
    ch_err_t *err =
        ch_message_edit(event->rq, in->message_id, in->content, &rows);

    return err ? err : ack_message(event, rows);
}

static ch_err_t *delete_message(ch_event_t *event)
{
    const message_in_t *in = event->rq->body;
    ch_rows_t *rows = NULL;
    ch_err_t *err = ch_message_delete(event->rq, in->message_id, &rows);

    return err ? err : ack_row(event, &ch_message_deleted_out, rows);
}

static ch_err_t *add_reaction(ch_event_t *event)
{
    const reaction_in_t *in = event->rq->body;
    ch_rows_t *rows = NULL;
    int again;
    ch_err_t *err = ch_reaction_add(event->rq, in->message_id, in->emoji,
                                    &rows, &again);

    return err ? err : ack_row(event, &ch_reactions_out, rows);
}

static ch_err_t *remove_reaction(ch_event_t *event)
{
    const reaction_in_t *in = event->rq->body;
    ch_rows_t *rows = NULL;
    ch_err_t *err =
        ch_reaction_remove(event->rq, in->message_id, in->emoji, &rows);

    return err ? err : ack_row(event, &ch_reactions_out, rows);
}

static ch_err_t *mark_read(ch_event_t *event)
{
    const read_in_t *in = event->rq->body;
    ch_rows_t *rows = NULL;
    ch_err_t *err =
        ch_read_mark(event->rq, in->room_id, in->message_id, &rows);

    return err ? err : ack_row(event, &ch_read_out, rows);
}

/* --- typing and presence ---------------------------------------------- */

/* Who is subscribed is a member: nothing is asked of the database for him. An
 * administrator may be subscribed to nothing that he is no member of. */
static ch_err_t *type(ch_event_t *event, int on)
{
    const room_in_t *in = event->rq->body;
    ch_err_t *err = NULL;

    if (!ch_event_is_subscribed(event, in->room_id)) {
        err = ch_room_check_member(event->rq, in->room_id);
    }
    if (err) {
        return err;
    }
    ch_event_typing(event, in->room_id, on);
    return ack_room(event, in->room_id);
}

static ch_err_t *start_typing(ch_event_t *event)
{
    return type(event, 1);
}

static ch_err_t *stop_typing(ch_event_t *event)
{
    return type(event, 0);
}

static ch_err_t *get_presence(ch_event_t *event)
{
    const room_in_t *in = event->rq->body;
    ch_rows_t *rows = NULL;
    ch_err_t *err = ch_presence_fetch(event->rq, in->room_id, &rows);

    if (!err) {
        ch_presence_write(event->rq, in->room_id, rows, event->data);
    }
    return err;
}

static ch_err_t *set_presence(ch_event_t *event)
{
    const presence_in_t *in = event->rq->body;
    ch_err_t *err = ch_presence_set(event->rq, event->rq->who->user_id,
                                    states[in->status]);

    if (!err) {
        ch_buf_printf(event->data, "{\"status\":\"%s\"}", states[in->status]);
    }
    return err;
}

/* --- rows ------------------------------------------------------------- */

#define CHAT .feature = CH_FEATURE_CHAT

static const ch_event_row_t rows[] = {
    { .name = "room:join", CHAT, .in = &join_in, .handler = join },
    { .name = "room:leave", CHAT, .in = &leave_in, .handler = leave },
    { .name = "message:send", CHAT, .rate = CH_RATE_CHAT,
      .in = &ch_message_to_in, .handler = send_message },
    { .name = "message:edit", CHAT, .in = &edit_in,
      .handler = edit_message },
    { .name = "message:delete", CHAT, .in = &message_in,
      .handler = delete_message },
    { .name = "reaction:add", CHAT, .in = &reaction_in,
      .handler = add_reaction },
    { .name = "reaction:remove", CHAT, .in = &reaction_in,
      .handler = remove_reaction },
    { .name = "read:mark", CHAT, .in = &read_in, .handler = mark_read },
    { .name = "typing:start", CHAT, .in = &room_in,
      .handler = start_typing },
    { .name = "typing:stop", CHAT, .in = &room_in, .handler = stop_typing },
    { .name = "presence:get", CHAT, .in = &room_in,
      .handler = get_presence },
    { .name = "presence:set", CHAT, .in = &presence_in,
      .handler = set_presence },
};

const ch_events_t ch_chat_events = CH_EVENTS(rows);
