/* Keeps Engine.IO sessions: opens and closes them, sends their packets, and
 * hears whether their clients are still there. */
#include "realtime/engine.h"

#include <string.h>

#include <apr_strings.h>

#include "base/heap.h"
#include "realtime/socket.h"
#include "realtime/wire.h"

#define CONNECT_WITHIN apr_time_from_sec(45)
#define TOKEN_GRACE apr_time_from_sec(30)
#define LINGER apr_time_from_sec(3)
#define LINGER_ENDING apr_time_from_sec(1) /* the child is about to go */

/* --- memory ----------------------------------------------------------- */

static char *copy(const char *text)
{
    size_t size = text ? strlen(text) + 1 : 0;

    return text ? memcpy(ch_heap_take(size), text, size) : NULL;
}

/* When nothing holds on to it any more. */
static void dispose(ch_engine_t *engine)
{
    ch_loop_timer_clear(&engine->timer);
    ch_ws_end(&engine->half);
    ch_heap_give(engine->client_ip);
    ch_heap_give(engine->cookie);
    ch_heap_give(engine);
}

void ch_engine_idle(ch_engine_t *engine)
{
    engine->busy = 0;
    if (engine->over && !engine->poll) {
        dispose(engine);
    }
}

/* --- times ------------------------------------------------------------ */

static void set_timer(ch_engine_t *engine)
{
    apr_time_t next = 0;
    int i;

    for (i = 0; i < CH_DUE__COUNT; i++) {
        if (engine->due[i] && (!next || engine->due[i] < next)) {
            next = engine->due[i];
        }
    }
    if (next) {
        ch_loop_timer_set(ch_core.loop, &engine->timer, next);
    }
    else {
        ch_loop_timer_clear(&engine->timer);
    }
}

void ch_engine_due(ch_engine_t *engine, ch_due_e what, apr_time_t at)
{
    engine->due[what] = at;
    set_timer(engine);
}

static apr_time_t after_ms(int ms)
{
    return ch_loop_now(ch_core.loop) + (apr_time_t)ms * 1000;
}

static void rest(ch_engine_t *engine)
{
    engine->awaits_pong = 0;
    ch_engine_due(engine, CH_DUE_BEAT,
                  after_ms(engine->conf->socketio_ping_ms));
}

static void send_type(ch_engine_t *engine, char type)
{
    ch_chunk_t *packet = ch_chunk_packet(type, "", 0);

    ch_engine_send(engine, packet);
    ch_chunk_drop(packet);
}

/* 0: the client is gone. */
static int beat(ch_engine_t *engine)
{
    if (engine->awaits_pong || engine->deaf) {
        engine->deaf = 1;
        return 0;
    }
    engine->awaits_pong = 1;
    engine->due[CH_DUE_BEAT] = after_ms(engine->conf->socketio_pong_ms);
    send_type(engine, CH_EIO_PING);
    return 1;
}

static void on_time(ch_timer_t *timer)
{
    ch_engine_t *engine =
        (ch_engine_t *)(void *)((char *)timer - offsetof(ch_engine_t, timer));
    apr_time_t now = ch_loop_now(ch_core.loop);
    int good = 1;

    if (engine->over) {
        ch_engine_end(engine);
        return;
    }
    if (engine->due[CH_DUE_BEAT] && engine->due[CH_DUE_BEAT] <= now) {
        good = beat(engine);
    }
    if (engine->due[CH_DUE_CONNECT] && engine->due[CH_DUE_CONNECT] <= now) {
        engine->due[CH_DUE_CONNECT] = 0;
        good = good && (engine->sock || engine->echo);
    }
    if (good && engine->due[CH_DUE_TOKEN]
        && engine->due[CH_DUE_TOKEN] <= now) {
        good = ch_socket_expired(engine);
        engine->due[CH_DUE_TOKEN] = good ? now + TOKEN_GRACE : 0;
    }
    if (good) {
        set_timer(engine);
    }
    else {
        ch_engine_close(engine, CH_WS_NORMAL);
    }
}

/* --- packets ---------------------------------------------------------- */

int ch_engine_packet(ch_engine_t *engine, const ch_eio_packet_t *packet)
{
    switch (packet->type) {
    case CH_EIO_PONG:
        rest(engine);
        return 1;
    case CH_EIO_MESSAGE:
        return ch_socket_message(engine, packet->binary, packet->data,
                                 packet->len);
    case CH_EIO_NOOP:
        return 1;
    default:
        return 0;
    }
}

void ch_engine_message(ch_engine_t *engine, int binary, const char *data,
                       size_t len)
{
    ch_eio_packet_t packet;

    if (!engine->over
        && (!ch_eio_message(binary, data, len, &packet)
            || !ch_engine_packet(engine, &packet))) {
        ch_engine_close(engine, CH_WS_NORMAL);
    }
}

static void on_message(void *ctx, int binary, const char *data, size_t len)
{
    ch_engine_message(ctx, binary, data, len);
}

static void on_reply(void *ctx, const char *data, size_t len)
{
    ch_engine_t *engine = ctx;
    ch_chunk_t *frame;

    if (engine->conn) {
        frame = ch_chunk_raw(data, len);
        ch_conn_send(engine->conn, frame);
        ch_chunk_drop(frame);
    }
}

static void on_data(ch_conn_t *conn, void *owner, const char *data, size_t len)
{
    static const ch_ws_user_t user = { on_message, on_reply };
    ch_engine_t *engine = owner;
    int good;

    engine->busy = 1;
    good = ch_ws_feed(&engine->half,
                      (size_t)engine->conf->socketio_max_payload, &user,
                      engine, data, len);
    if (!good) {
        ch_engine_close(engine, 0);
    }
    ch_engine_idle(engine);
}

static void on_lost(ch_conn_t *conn, void *owner)
{
    ch_engine_t *engine = owner;

    engine->conn = NULL;
    ch_engine_close(engine, 0);
}

static void on_drained(ch_conn_t *conn, void *owner)
{
    ch_socket_read(owner);
}

static const ch_conn_owner_t owner = {
    .data = on_data, .lost = on_lost, .drained = on_drained
};

/* --- life ------------------------------------------------------------- */

static ch_engine_t *make(const ch_engine_in_t *in)
{
    ch_engine_t *engine = ch_heap_take(sizeof(*engine));

    apr_cpystrn(engine->sid, in->sid, sizeof(engine->sid));
    engine->conf = in->conf;
    engine->client_ip = copy(in->client_ip);
    engine->cookie = copy(in->cookie);
    engine->timer.due = on_time;
    engine->due[CH_DUE_CONNECT] =
        ch_loop_now(ch_core.loop) + CONNECT_WITHIN;
    apr_hash_set(ch_core.engines, engine->sid, CH_SID_LEN, engine);
    ch_wire_listen(1);
    rest(engine);
    return engine;
}

ch_engine_t *ch_engine_open(const ch_engine_in_t *in)
{
    ch_engine_t *engine = make(in);

    engine->poll = ch_poll_make(engine);
    ch_wire_count(CH_EIO_POLLING, 1);
    return engine;
}

const char *ch_engine_hello(apr_pool_t *pool, const ch_conf_t *conf,
                            const char *sid, int can_upgrade)
{
    return apr_psprintf(pool,
                        "{\"sid\":\"%s\",\"upgrades\":[%s],"
                        "\"pingInterval\":%d,\"pingTimeout\":%d,"
                        "\"maxPayload\":%d}",
                        sid, can_upgrade ? "\"websocket\"" : "",
                        conf->socketio_ping_ms, conf->socketio_pong_ms,
                        conf->socketio_max_payload);
}

static void say_hello(ch_engine_t *engine)
{
    ch_chunk_t *packet;
    apr_pool_t *pool;
    const char *text;

    apr_pool_create(&pool, ch_core.pool);
    text = ch_engine_hello(pool, engine->conf, engine->sid, 0);
    packet = ch_chunk_packet(CH_EIO_OPEN, text, strlen(text));
    ch_engine_send(engine, packet);
    ch_chunk_drop(packet);
    apr_pool_destroy(pool);
}

void ch_engine_open_socket(const ch_engine_in_t *in,
                           const ch_door_conn_t *from)
{
    ch_engine_t *engine = make(in);

    ch_wire_count(CH_EIO_WEBSOCKET, 1);
    engine->conn = ch_conn_make(ch_core.loop, from->fd, from->carrier,
                                from->ctx, &owner, engine);
    if (!engine->conn) {
        ch_engine_close(engine, 0);
        return;
    }
    say_hello(engine);
    if (from->early.len) {
        on_data(engine->conn, engine, from->early.data, from->early.len);
    }
}

void ch_engine_take(ch_engine_t *engine, ch_conn_t *conn)
{
    engine->conn = conn;
    ch_conn_own(conn, &owner, engine);
    ch_wire_count(CH_EIO_POLLING, -1);
    ch_wire_count(CH_EIO_WEBSOCKET, 1);
}

ch_engine_t *ch_engine_find(const char *sid, size_t len)
{
    return len == CH_SID_LEN
               ? apr_hash_get(ch_core.engines, sid, CH_SID_LEN)
               : NULL;
}

void ch_engine_send(ch_engine_t *engine, ch_chunk_t *packet)
{
    if (engine->over) {
        return;
    }
    if (engine->conn) {
        ch_conn_send(engine->conn, packet);
    }
    else if (engine->poll) {
        ch_poll_send(engine->poll, packet);
    }
}

size_t ch_engine_backlog(const ch_engine_t *engine)
{
    if (engine->conn) {
        return ch_conn_backlog(engine->conn);
    }
    return engine->poll ? ch_poll_backlog(engine->poll) : 0;
}

static void close_socket(ch_conn_t *conn, int code)
{
    unsigned char frame[4];
    ch_chunk_t *chunk;

    if (code) {
        ch_ws_close_frame(frame, code);
        chunk = ch_chunk_raw((const char *)frame, sizeof(frame));
        ch_conn_send(conn, chunk);
        ch_chunk_drop(chunk);
    }
    ch_conn_close(conn);
}

void ch_engine_end(ch_engine_t *engine)
{
    apr_hash_set(ch_core.engines, engine->sid, CH_SID_LEN, NULL);
    ch_wire_listen(apr_hash_count(ch_core.engines) != 0);
    if (engine->poll) {
        ch_poll_end(engine->poll);
        engine->poll = NULL;
    }
    if (!engine->busy) {
        dispose(engine);
    }
}

/* Nobody asks for what waits who is not heard, or breaks the protocol. */
static int may_linger(const ch_engine_t *engine, int code)
{
    return code != CH_WS_PROTOCOL && !engine->deaf;
}

static apr_time_t linger_until(void)
{
    int ends = __atomic_load_n(&ch_core.ending, __ATOMIC_SEQ_CST);

    return ch_loop_now(ch_core.loop) + (ends ? LINGER_ENDING : LINGER);
}

/* What waits for a poll is kept for one that comes soon. */
void ch_engine_close(ch_engine_t *engine, int code)
{
    if (engine->over) {
        return;
    }
    engine->over = 1;
    ch_wire_count(engine->poll ? CH_EIO_POLLING : CH_EIO_WEBSOCKET, -1);
    if (engine->conn) {
        close_socket(engine->conn, code);
        engine->conn = NULL;
    }
    ch_socket_over(engine);
    ch_loop_timer_clear(&engine->timer);
    if (code && engine->poll && ch_poll_linger(engine->poll)
        && may_linger(engine, code)) {
        ch_loop_timer_set(ch_core.loop, &engine->timer, linger_until());
    }
    else {
        ch_engine_end(engine);
    }
}
