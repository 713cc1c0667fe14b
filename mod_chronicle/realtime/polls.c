/* Serves sessions that poll: keeps what waits for the next poll, takes posts,
 * and lets a websocket take over. */
#include <string.h>

#include "base/heap.h"
#include "realtime/call.h"
#include "realtime/socket.h"

struct ch_poll_t {
    ch_engine_t *engine; /* NULL: it is over, and `flush` frees this */
    ch_chunk_t **queue;
    int count, size;
    size_t bytes;
    ch_caller_t waiter; /* the poll that waits */
    int waits;
    ch_post_t flush;
    int planned;
    ch_conn_t *probe;   /* the websocket that is to take over */
    ch_ws_t *half;
    ch_timer_t timer;   /* within which it must */
    int max;            /* bytes of its messages */
    ch_engine_t *heir;  /* whose it has become, while data is read */
    unsigned lingers : 1; /* the session is over but for what waits */
    unsigned posting : 1; /* a post is on its way */
    unsigned probed : 1;
    unsigned busy : 1;
    unsigned over : 1;  /* of the probe */
};

/* --- what waits ------------------------------------------------------- */

static void answer(ch_poll_t *poll, ch_bytes_t body)
{
    poll->waits = 0;
    ch_call_answer(&poll->waiter, CH_EIO_GOOD, body);
}

static void answer_noop(ch_poll_t *poll)
{
    static const char noop[] = { CH_EIO_NOOP };

    answer(poll, (ch_bytes_t){ noop, sizeof(noop) });
}

static void forget(ch_poll_t *poll, int count)
{
    int i;

    if (!count) {
        return; /* there may be no queue at all */
    }
    for (i = 0; i < count; i++) {
        poll->bytes -= poll->queue[i]->len;
        ch_chunk_drop(poll->queue[i]);
    }
    poll->count -= count;
    if (poll->count) { /* else there may be no queue */
        memmove(poll->queue, poll->queue + count,
                (size_t)poll->count * sizeof(*poll->queue));
    }
}

/* As many as one answer may hold, but at least one. */
static void answer_queue(ch_poll_t *poll)
{
    size_t max = (size_t)poll->engine->conf->socketio_max_payload;
    size_t size = 0;
    ch_buf_t *body;
    apr_pool_t *pool;
    int count = 0;
    int i;

    while (count < poll->count) {
        size += ch_eio_size(poll->queue[count]) + 1;
        if (count && size > max) {
            break;
        }
        count++;
    }
    apr_pool_create(&pool, ch_core.pool);
    body = ch_buf_make(pool, size, size + max);
    for (i = 0; i < count; i++) {
        ch_eio_add(body, poll->queue[i]);
    }
    forget(poll, count);
    answer(poll, (ch_bytes_t){ body->data, body->len });
    apr_pool_destroy(pool);
    ch_socket_read(poll->engine);
}

static void give(ch_poll_t *poll)
{
    if (!poll->waits) {
        return;
    }
    if (poll->count) {
        answer_queue(poll);
    }
    else if (poll->probed) {
        answer_noop(poll);
    }
}

static void on_flush(ch_post_t *post)
{
    ch_poll_t *poll =
        (ch_poll_t *)(void *)((char *)post - offsetof(ch_poll_t, flush));

    poll->planned = 0;
    if (poll->engine) {
        give(poll);
    }
    else if (!poll->busy) {
        ch_heap_give(poll);
    }
}

void ch_poll_send(ch_poll_t *poll, ch_chunk_t *packet)
{
    if (poll->bytes + packet->len > CH_CONN_BACKLOG_MAX) {
        poll->engine->deaf = 1;
        ch_engine_due(poll->engine, CH_DUE_BEAT, ch_loop_now(ch_core.loop));
        return;
    }
    if (poll->count == poll->size) {
        poll->size = poll->size ? poll->size * 2 : 4;
        poll->queue = ch_heap_resize(
            poll->queue, (size_t)poll->size * sizeof(*poll->queue));
    }
    poll->queue[poll->count++] = ch_chunk_hold(packet);
    poll->bytes += packet->len;
    if (poll->waits && !poll->planned) {
        poll->planned = 1;
        poll->flush.run = on_flush;
        ch_loop_later(ch_core.loop, &poll->flush);
    }
}

size_t ch_poll_backlog(const ch_poll_t *poll)
{
    return poll->bytes;
}

ch_poll_t *ch_poll_make(ch_engine_t *engine)
{
    ch_poll_t *poll = ch_heap_take(sizeof(*poll));

    poll->engine = engine;
    return poll;
}

/* --- the websocket that is to take over ------------------------------- */

static void end_probe(ch_poll_t *poll)
{
    ch_loop_timer_clear(&poll->timer);
    poll->over = 1;
    poll->probed = 0;
    if (!poll->busy) {
        ch_ws_end(&poll->half);
    }
    if (poll->probe) {
        ch_conn_close(poll->probe);
        poll->probe = NULL;
    }
}

/* What waits is dropped, and the whole when nobody is inside of it. */
static void dispose(ch_poll_t *poll)
{
    forget(poll, poll->count);
    ch_heap_give(poll->queue);
    poll->queue = NULL;
    poll->engine = NULL;
    if (!poll->planned && !poll->busy) {
        ch_heap_give(poll);
    }
}

void ch_poll_end(ch_poll_t *poll)
{
    if (poll->waits) {
        ch_call_answer(&poll->waiter, CH_EIO_SID_UNKNOWN,
                       (ch_bytes_t){ "", 0 });
    }
    end_probe(poll);
    dispose(poll);
}

/* The packet that closes comes alone: clients forget what came along. */
static int say_goodbye(ch_poll_t *poll)
{
    static const char close_packet[] = { CH_EIO_CLOSE };

    if (poll->waits && poll->count) {
        answer_queue(poll);
    }
    else if (poll->waits) {
        answer(poll, (ch_bytes_t){ close_packet, sizeof(close_packet) });
        return 0;
    }
    return 1;
}

int ch_poll_linger(ch_poll_t *poll)
{
    end_probe(poll);
    poll->lingers = 1;
    return say_goodbye(poll);
}

/* The probe is the session's websocket from here on. */
static void take_over(ch_poll_t *poll)
{
    ch_engine_t *engine = poll->engine;
    int i;

    ch_loop_timer_clear(&poll->timer);
    if (poll->waits) {
        answer_noop(poll);
    }
    engine->poll = NULL;
    engine->busy = 1; /* until all that came with it is read */
    ch_engine_take(engine, poll->probe);
    poll->probe = NULL;
    poll->heir = engine;
    for (i = 0; i < poll->count; i++) {
        ch_engine_send(engine, poll->queue[i]);
    }
    dispose(poll);
}

static void send_probe(ch_poll_t *poll)
{
    ch_chunk_t *pong = ch_chunk_packet(CH_EIO_PONG, "probe", 5);

    ch_conn_send(poll->probe, pong);
    ch_chunk_drop(pong);
    poll->probed = 1;
    give(poll);
}

static void on_message(void *ctx, int binary, const char *data, size_t len)
{
    ch_poll_t *poll = ctx;

    if (poll->heir) {
        ch_engine_message(poll->heir, binary, data, len);
    }
    else if (poll->over) {
        return;
    }
    else if (!binary && len == 6 && memcmp(data, "2probe", 6) == 0) {
        send_probe(poll);
    }
    else if (!binary && len == 1 && *data == CH_EIO_UPGRADE && poll->probed) {
        take_over(poll);
    }
    else {
        end_probe(poll);
    }
}

static void on_reply(void *ctx, const char *data, size_t len)
{
    ch_poll_t *poll = ctx;
    ch_conn_t *conn = poll->heir ? poll->heir->conn : poll->probe;
    ch_chunk_t *frame;

    if (conn) {
        frame = ch_chunk_raw(data, len);
        ch_conn_send(conn, frame);
        ch_chunk_drop(frame);
    }
}

/* What is half read goes with the connection. */
static void bequeath(ch_poll_t *poll, int good)
{
    ch_engine_t *engine = poll->heir;

    poll->heir = NULL;
    if (good && !engine->over) {
        engine->half = poll->half;
        poll->half = NULL;
    }
    else if (!good) {
        ch_engine_close(engine, 0);
    }
    ch_engine_idle(engine);
}

static void on_data(ch_conn_t *conn, void *owned, const char *data,
                    size_t len)
{
    static const ch_ws_user_t user = { on_message, on_reply };
    ch_poll_t *poll = owned;
    int good;

    poll->busy = 1;
    good = ch_ws_feed(&poll->half, (size_t)poll->max, &user, poll, data, len);
    poll->busy = 0;
    if (poll->heir) {
        bequeath(poll, good);
    }
    else if (!good && poll->engine) {
        end_probe(poll);
    }
    if (poll->over || !poll->engine) {
        ch_ws_end(&poll->half);
    }
    if (!poll->engine && !poll->planned) {
        ch_heap_give(poll);
    }
}

static void on_lost(ch_conn_t *conn, void *owned)
{
    ch_poll_t *poll = owned;

    poll->probe = NULL;
    end_probe(poll);
}

static void on_time(ch_timer_t *timer)
{
    end_probe((ch_poll_t *)(void *)((char *)timer
                                    - offsetof(ch_poll_t, timer)));
}

static void refuse_socket(const ch_door_conn_t *from)
{
    static const ch_conn_owner_t nobody = { 0 };
    ch_conn_t *conn = ch_conn_make(ch_core.loop, from->fd, from->carrier,
                                   from->ctx, &nobody, NULL);

    if (conn) {
        ch_conn_close(conn);
    }
}

/* A second websocket for a session is closed; so is one that comes again. */
void ch_poll_upgrade(ch_engine_t *engine, const ch_door_conn_t *from)
{
    static const ch_conn_owner_t owner = { .data = on_data, .lost = on_lost };
    ch_poll_t *poll = engine ? engine->poll : NULL;

    if (!poll || poll->probe || poll->busy || poll->lingers) {
        refuse_socket(from);
        return;
    }
    poll->over = 0;
    poll->max = engine->conf->socketio_max_payload;
    poll->probe = ch_conn_make(ch_core.loop, from->fd, from->carrier,
                               from->ctx, &owner, poll);
    if (!poll->probe) {
        return;
    }
    poll->timer.due = on_time;
    ch_loop_timer_set(ch_core.loop, &poll->timer,
                      ch_loop_now(ch_core.loop)
                          + (apr_time_t)engine->conf->socketio_upgrade_ms
                                * 1000);
    if (from->early.len) {
        on_data(poll->probe, poll, from->early.data, from->early.len);
    }
}

/* --- polls and posts -------------------------------------------------- */

static const ch_bytes_t nothing = { "", 0 };

static void take_poll(ch_engine_t *engine, const ch_caller_t *caller,
                      int stays)
{
    ch_poll_t *poll = engine->poll;

    if (poll->waits) {
        ch_call_answer(caller, CH_EIO_BAD_REQUEST, nothing);
        ch_engine_close(engine, CH_WS_PROTOCOL);
        return;
    }
    poll->waiter = *caller;
    poll->waits = 1;
    if (!poll->lingers) {
        give(poll);
        if (!stays && poll->waits) {
            answer_noop(poll);
        }
    }
    else if (!say_goodbye(poll)) {
        ch_engine_end(engine);
    }
}

static void take_post(ch_engine_t *engine, const ch_caller_t *caller,
                      ch_bytes_t body)
{
    const char *at = body.data, *end = body.data + body.len;
    ch_eio_packet_t packet;
    apr_pool_t *pool;
    int more = body.len ? 1 : -1;
    int good;

    apr_pool_create(&pool, ch_core.pool);
    engine->poll->posting = 0;
    engine->busy = 1;
    while (more > 0 && !engine->over) {
        more = ch_eio_next(pool, &at, end, &packet);
        if (more > 0 && !ch_engine_packet(engine, &packet)) {
            ch_engine_close(engine, CH_WS_NORMAL);
        }
    }
    if (more < 0) {
        ch_engine_close(engine, CH_WS_PROTOCOL);
    }
    good = more >= 0;
    ch_engine_idle(engine);
    apr_pool_destroy(pool);
    ch_call_answer(caller, good ? CH_EIO_GOOD : CH_EIO_BAD_REQUEST, nothing);
}

/* One at a time. */
static void begin_post(ch_engine_t *engine, const ch_caller_t *caller)
{
    if (engine->poll->posting) {
        ch_call_answer(caller, CH_EIO_BAD_REQUEST, nothing);
        ch_engine_close(engine, CH_WS_PROTOCOL);
        return;
    }
    engine->poll->posting = 1;
    ch_call_answer(caller, CH_EIO_GOOD, nothing);
}

static void client_gone(ch_engine_t *engine, apr_uint64_t id)
{
    if (engine->poll->waits && engine->poll->waiter.id == id) {
        engine->poll->waits = 0;
        ch_engine_close(engine, CH_WS_NORMAL);
    }
}

void ch_poll_call(const ch_record_t *call)
{
    ch_engine_t *engine = ch_engine_find(call->name.data, call->name.len);
    ch_caller_t caller = { .id = call->id, .slot = call->slot,
                           .site = call->site };

    if (call->more.len < sizeof(caller.server)) {
        memcpy(caller.server, call->more.data, call->more.len);
    }
    if (!engine) {
        ch_call_answer(&caller, CH_EIO_SID_UNKNOWN, nothing);
        return;
    }
    if (!engine->poll) { /* it has a websocket */
        ch_call_answer(&caller, CH_EIO_BAD_REQUEST, nothing);
        return;
    }
    if (call->what == CH_CALL_POLL || call->what == CH_CALL_LOOK) {
        take_poll(engine, &caller, call->what == CH_CALL_POLL);
        return;
    }
    if (engine->poll->lingers) {
        ch_call_answer(&caller, CH_EIO_SID_UNKNOWN, nothing);
        return;
    }
    switch (call->what) {
    case CH_CALL_POSTING:
        begin_post(engine, &caller);
        break;
    case CH_CALL_SPOIL:
        ch_engine_close(engine, CH_WS_PROTOCOL);
        break;
    case CH_CALL_POST:
        take_post(engine, &caller, call->data);
        break;
    case CH_CALL_GONE:
        client_gone(engine, call->id);
        break;
    default:
        ch_call_answer(&caller, CH_EIO_GOOD, nothing);
        break;
    }
}
