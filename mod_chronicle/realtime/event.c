/* Handles events of sockets: one after the other of a socket, in a hand, by
 * the rows of the product. */
#include "realtime/event.h"

#include <string.h>

#include <apr_strings.h>

#include "auth/auth.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/jsonw.h"
#include "base/steady.h"
#include "base/uuid.h"
#include "realtime/hands.h"
#include "realtime/hub.h"
#include "web/reply.h"

#define WAITING_MAX 1048576 /* bytes of events that wait, of one socket */
#define UNREAD_MAX 262144   /* bytes of answers before the next event waits */
#define EVENTS_MAX 300      /* of a socket in a minute (API.md 12.2) */
#define DATA_MAX (64u * 1024 * 1024)
#define ROOMS_MAX 2 /* that one event subscribes to, or leaves */

/* An event that waits for its turn. */
struct ch_waiting_t {
    ch_waiting_t *next;
    apr_int64_t ack;
    int attachments;
    size_t len;
    char json[];
};

/* What a handler asked for in a room. */
typedef struct {
    unsigned char room[16];
    int subscribe, unsubscribe, seen, typing; /* typing: 1 on, 2 off */
    apr_int64_t number, seq;
} wish_t;

/* One event in a hand. */
typedef struct {
    ch_task_t task;
    apr_uint64_t sock;
    ch_sio_packet_t packet;
    ch_principal_t who;
    const char *client_ip;
    apr_time_t begun;
    int expired;
    apr_uint32_t counted;
    apr_time_t minute;
    const ch_event_row_t *row;
    const char *name;
    /* what came of it */
    int bad; /* it was no event */
    int good;
    ch_chunk_t *answer;
    wish_t wishes[ROOMS_MAX];
    int wish_count;
    apr_int64_t renewed; /* 0 = not */
    unsigned char session[16]; /* by whose token */
} task_t;

/* --- what handlers ask for -------------------------------------------- */

static wish_t *wish_of(ch_event_t *event, const char *room)
{
    task_t *t = event->task;
    unsigned char id[16] = { 0 };
    int i;

    ch_uuid_bytes(room, id);
    for (i = 0; i < t->wish_count; i++) {
        if (memcmp(t->wishes[i].room, id, 16) == 0) {
            return &t->wishes[i];
        }
    }
    if (t->wish_count < ROOMS_MAX) {
        t->wish_count++;
    }
    memcpy(t->wishes[t->wish_count - 1].room, id, 16);
    return &t->wishes[t->wish_count - 1];
}

typedef struct {
    apr_uint64_t sock;
    const unsigned char *room;
    int is;
} look_t;

static void hold(void *ctx)
{
    look_t *look = ctx;

    look->is = ch_hub_hold(look->sock, look->room) != NULL;
}

void ch_event_subscribe(ch_event_t *event, const char *room)
{
    wish_t *wish = wish_of(event, room);
    look_t look = { .sock = event->socket, .room = wish->room };

    ch_hands_in_loop(hold, &look);
    wish->subscribe = look.is;
}

void ch_event_seen(ch_event_t *event, const char *room, apr_int64_t number,
                   apr_int64_t seq)
{
    wish_t *wish = wish_of(event, room);

    wish->seen = 1;
    wish->number = number;
    wish->seq = seq;
}

void ch_event_unsubscribe(ch_event_t *event, const char *room)
{
    wish_of(event, room)->unsubscribe = 1;
}

static void look_up(void *ctx)
{
    look_t *look = ctx;
    ch_sock_t *sock = ch_socket_find(look->sock);

    look->is = sock && ch_hub_sub(sock, look->room);
}

int ch_event_is_subscribed(ch_event_t *event, const char *room)
{
    unsigned char id[16] = { 0 };
    look_t look = { .sock = event->socket, .room = id };

    ch_uuid_bytes(room, id);
    ch_hands_in_loop(look_up, &look);
    return look.is;
}

void ch_event_typing(ch_event_t *event, const char *room, int on)
{
    wish_of(event, room)->typing = on ? 1 : 2;
}

void ch_event_renew(ch_event_t *event, const char *session,
                    apr_int64_t expires)
{
    task_t *t = event->task;

    t->renewed = expires;
    ch_uuid_bytes(session, t->session);
}

/* --- the room's own event --------------------------------------------- */

typedef struct {
    const char *token;
} refresh_in_t;

static const ch_field_t refresh_rows[] = {
    { .name = "token", CH_IN(refresh_in_t, token, CH_T_SECRET),
      .flags = CH_REQUIRED, .min = 1, .max = 4096,
      .doc = "An access token of the same user" },
};

static const ch_fields_t refresh_in = CH_FIELDS(refresh_in_t, refresh_rows);

static ch_err_t *refresh(ch_event_t *event)
{
    ch_req_t *rq = event->rq;
    const ch_principal_t *before = rq->who;
    apr_int64_t expires;
    ch_err_t *err = ch_connect_identify(
        rq, ((const refresh_in_t *)rq->body)->token, NULL, &expires);

    if (err) {
        return err;
    }
    if (strcmp(rq->who->user_id, before->user_id) != 0) {
        return ch_err_make(rq->pool, CH_E_INVALID_TOKEN, NULL);
    }
    ch_event_renew(event, rq->who->session_id, expires);
    CH_BUF_LIT(event->data, "{\"expiresAt\":");
    ch_jsonw_time(event->data, apr_time_from_sec(expires));
    ch_buf_putc(event->data, '}');
    return NULL;
}

static const ch_event_row_t own_rows[] = {
    { .name = "auth:refresh", .in = &refresh_in, .handler = refresh },
};

static const ch_events_t own_events = CH_EVENTS(own_rows);

/* --- handling: in a hand ---------------------------------------------- */

static const ch_event_row_t *row_in(const ch_events_t *events,
                                    const ch_conf_t *conf, const char *name)
{
    int i;

    for (i = 0; i < events->count; i++) {
        if (strcmp(events->rows[i].name, name) == 0
            && (events->rows[i].feature == CH_FEATURE_ALWAYS
                || conf->feature[events->rows[i].feature])) {
            return &events->rows[i];
        }
    }
    return NULL;
}

static const ch_event_row_t *find_row(const ch_conf_t *conf, const char *name)
{
    const ch_event_row_t *row = row_in(&own_events, conf, name);
    int i;

    for (i = 0; i < ch_core.conf->event_count && !row; i++) {
        row = row_in(ch_core.conf->events[i], conf, name);
    }
    return row;
}

/* What a socket may send in all, beside what has a class of its own. */
static ch_err_t *count(task_t *t, ch_req_t *rq)
{
    apr_time_t now = ch_steady_now();
    ch_err_t *err;

    if (t->row && t->row->rate != CH_RATE_NONE) {
        return ch_user_limit_stage(rq);
    }
    if (t->minute + apr_time_from_sec(60) <= now) {
        t->minute = now;
        t->counted = 0;
    }
    if (++t->counted <= EVENTS_MAX) {
        return NULL;
    }
    t->counted = EVENTS_MAX + 1;
    err = ch_err_make(rq->pool, CH_E_RATE_LIMIT_EXCEEDED, NULL);
    err->retry_after = (int)apr_time_sec(t->minute + apr_time_from_sec(60)
                                         - now + APR_USEC_PER_SEC - 1);
    return err;
}

static ch_err_t *check(task_t *t, ch_req_t *rq)
{
    const ch_json_t *args;
    ch_err_t *err = NULL;

    if (!t->row) {
        ch_err_fault(rq->pool, &err, CH_D_INVALID_VALUE, "event",
                     "there is no such event");
        return err;
    }
    if (t->expired && t->row->handler != refresh) {
        return ch_err_make(rq->pool, CH_E_TOKEN_EXPIRED, NULL);
    }
    err = ch_json_parse(rq->pool, t->packet.json.data, t->packet.json.len,
                        CH_JSON_DEPTH_MAX, &args);
    if (err) {
        return err;
    }
    if (ch_json_size(args) != 2 || t->packet.attachments) {
        ch_err_fault(rq->pool, &err, CH_D_WRONG_TYPE, NULL,
                     "the payload must be one object");
        return err;
    }
    rq->json = ch_json_at(args, 1);
    return ch_validate_stage(rq);
}

static ch_err_t *perform(task_t *t, ch_req_t *rq, ch_buf_t *data)
{
    ch_event_t event = { .rq = rq, .socket = t->sock, .data = data,
                         .task = t };
    ch_err_t *err = count(t, rq);

    if (!err) {
        err = check(t, rq);
    }
    if (!err) {
        err = t->row->handler(&event);
    }
    if (!err && rq->after) {
        rq->after(rq);
    }
    return err;
}

static void write_error(ch_buf_t *buf, const ch_err_t *err)
{
    ch_reply_write_error(buf, err);
    if (err->retry_after) {
        buf->len--; /* goes on before the closing brace */
        ch_buf_printf(buf, ",\"retryAfter\":%d}", err->retry_after);
    }
}

/* Without an ack a failure is an event of its own. */
static ch_chunk_t *error_event(ch_req_t *rq, const char *name,
                               const ch_err_t *err)
{
    ch_buf_t *buf = ch_buf_make(rq->pool, 512, DATA_MAX);
    size_t at;

    CH_BUF_LIT(buf, "{\"event\":");
    ch_jsonw_cstr(buf, name);
    at = buf->len;
    write_error(buf, err);
    buf->data[at] = ',';
    return ch_sio_emit("error", (ch_bytes_t){ buf->data, buf->len });
}

static ch_chunk_t *ack(ch_req_t *rq, apr_int64_t id, const ch_err_t *err,
                       const ch_buf_t *data)
{
    ch_buf_t *buf = ch_buf_make(rq->pool, data->len + 64, DATA_MAX);

    if (err) {
        CH_BUF_LIT(buf, "{\"success\":false,\"error\":");
        write_error(buf, err);
    }
    else {
        CH_BUF_LIT(buf, "{\"success\":true,\"data\":");
        ch_buf_add(buf, data->data, data->len);
    }
    ch_buf_putc(buf, '}');
    return ch_sio_ack(id, (ch_bytes_t){ buf->data, buf->len });
}

static void work(ch_task_t *task)
{
    task_t *t = (task_t *)(void *)task;
    ch_req_t *rq = ch_hands_request(task, t->client_ip);
    ch_buf_t *data = ch_buf_make(rq->pool, 512, DATA_MAX);
    ch_sio_event_t event;
    ch_route_t route = { .method = CH_POST, .path = "/socket.io/",
                         .auth = CH_USER };
    ch_err_t *err;

    if (!ch_sio_event(task->pool, &t->packet, &event)) {
        t->bad = 1;
        return;
    }
    t->name = event.name;
    t->row = find_row(task->conf, event.name);
    if (t->row) {
        route.rate = t->row->rate;
        route.feature = t->row->feature;
        route.body = t->row->in;
    }
    rq->route = &route;
    rq->who = &t->who;
    err = perform(t, rq, data);
    t->good = !err;
    ch_hands_complain(rq, err);
    if (t->packet.ack >= 0) {
        t->answer = ack(rq, t->packet.ack, err, data);
    }
    else if (err) {
        t->answer = error_event(rq, t->name, err);
    }
}

/* --- in the loop ------------------------------------------------------ */

static void grant(const task_t *t, ch_sock_t *sock, const wish_t *wish)
{
    ch_sub_t *sub = ch_hub_sub(sock, wish->room);
    ch_room_t *room;

    if (!sub) {
        return;
    }
    room = sub->room;
    if (wish->subscribe) {
        int whole = t->good && wish->seen;

        ch_hub_release(sub, whole ? wish->number : -1, wish->seq);
        return;
    }
    if (t->good && wish->typing) {
        ch_typist(sub, wish->typing == 1);
    }
    if (t->good && wish->unsubscribe) {
        ch_hub_unsubscribe(sub);
        ch_hub_tidy(room);
    }
}

static void renew(const task_t *t, ch_sock_t *sock)
{
    const ch_conf_t *conf = t->task.conf;

    sock->expires = t->renewed;
    sock->told_expired = 0;
    memcpy(sock->session, t->session, sizeof(sock->session));
    ch_engine_due(
        sock->engine, CH_DUE_TOKEN,
        ch_loop_when(ch_core.loop, apr_time_from_sec(t->renewed)));
    if (ch_hub_is_late(conf->site, t->session, t->begun)
        || ch_hub_is_late(conf->site, sock->user->key, t->begun)) {
        ch_tend_sessions(conf, sock->user);
    }
}

static void begin(ch_sock_t *sock);

static void done(ch_task_t *task)
{
    task_t *t = (task_t *)(void *)task;
    ch_sock_t *sock = ch_socket_find(t->sock);
    int i;

    if (!sock) {
        ch_chunk_drop(t->answer);
        return;
    }
    sock->running = 0;
    sock->counted = t->counted;
    sock->minute = t->minute;
    if (t->bad || !t->name) {
        ch_engine_close(sock->engine, CH_WS_PROTOCOL);
        return;
    }
    if (t->answer) {
        ch_engine_send(sock->engine, t->answer);
        ch_chunk_drop(t->answer);
    }
    for (i = 0; i < t->wish_count; i++) {
        grant(t, sock, &t->wishes[i]);
    }
    if (t->good && t->renewed) {
        renew(t, sock);
    }
    begin(sock);
}

static void set_principal(task_t *t, const ch_sock_t *sock)
{
    char *user = apr_palloc(t->task.pool, CH_UUID_LEN + 1);
    char *session = apr_palloc(t->task.pool, CH_UUID_LEN + 1);

    ch_uuid_text(sock->user->key, user);
    ch_uuid_text(sock->session, session);
    t->who = (ch_principal_t){ .user_id = user,
                               .session_id = session,
                               .role = sock->role,
                               .verified = sock->verified,
                               .sure = 1 };
}

/* Hands on the next event that waits. Who asks for more than the line carries
 * (who joins all rooms again, say) is answered as fast as he reads, and not
 * sent away for a backlog that he couldn't help. */
static void begin(ch_sock_t *sock)
{
    ch_waiting_t *waiting = sock->waiting;
    task_t *t;

    if (!waiting || sock->running
        || ch_engine_backlog(sock->engine) > UNREAD_MAX) {
        return;
    }
    t = ch_hands_task(sizeof(*t), sock->engine->conf);
    t->sock = sock->id;
    t->begun = ch_loop_now(ch_core.loop);
    t->packet.type = CH_SIO_EVENT;
    t->packet.ack = waiting->ack;
    t->packet.attachments = waiting->attachments;
    t->packet.json = (ch_bytes_t){
        apr_pstrmemdup(t->task.pool, waiting->json, waiting->len),
        waiting->len
    };
    t->client_ip = apr_pstrdup(t->task.pool, sock->engine->client_ip);
    t->expired = sock->expires <= apr_time_sec(apr_time_now());
    t->counted = sock->counted;
    t->minute = sock->minute;
    set_principal(t, sock);
    t->task.work = work;
    t->task.done = done;
    sock->waiting = waiting->next;
    sock->bytes -= sizeof(*waiting) + waiting->len;
    sock->running = 1;
    ch_heap_give(waiting);
    ch_hands_give(&t->task);
}

void ch_event_take(ch_sock_t *sock, const ch_sio_packet_t *packet)
{
    size_t size = sizeof(ch_waiting_t) + packet->json.len;
    ch_waiting_t *waiting;

    if (sock->bytes > WAITING_MAX) {
        ch_engine_close(sock->engine, CH_WS_TRY_LATER);
        return;
    }
    waiting = ch_heap_take(size);
    waiting->ack = packet->ack;
    waiting->attachments = packet->attachments;
    waiting->len = packet->json.len;
    memcpy(waiting->json, packet->json.data, packet->json.len);
    if (!sock->waiting) {
        sock->last = &sock->waiting;
    }
    *sock->last = waiting;
    sock->last = &waiting->next;
    sock->bytes += size;
    begin(sock);
}

void ch_event_resume(ch_sock_t *sock)
{
    begin(sock);
}

void ch_event_drop(ch_sock_t *sock)
{
    ch_waiting_t *waiting;

    while ((waiting = sock->waiting) != NULL) {
        sock->waiting = waiting->next;
        ch_heap_give(waiting);
    }
}
