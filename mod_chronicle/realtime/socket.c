/* Reads Socket.IO packets: connects and disconnects sockets, and passes their
 * events on. */
#include "realtime/socket.h"

#include <string.h>

#include "base/heap.h"
#include "realtime/hub.h"

/* --- attachments ------------------------------------------------------ */

static void drop_partial(ch_engine_t *engine)
{
    ch_partial_t *partial = engine->partial;
    int i;

    if (!partial) {
        return;
    }
    for (i = 0; i < partial->count; i++) {
        ch_chunk_drop(partial->parts[i]);
    }
    ch_heap_give(partial->parts);
    ch_heap_give(partial->text);
    ch_heap_give(partial);
    engine->partial = NULL;
}

static int begin_partial(ch_engine_t *engine, const char *data, size_t len)
{
    ch_partial_t *partial = ch_heap_take(sizeof(*partial));

    partial->text = memcpy(ch_heap_take(len + 1), data, len);
    partial->bytes = len;
    ch_sio_read(partial->text, len, &partial->packet);
    partial->parts = ch_heap_take((size_t)partial->packet.attachments
                                  * sizeof(*partial->parts));
    engine->partial = partial;
    return 1;
}

/* --- packets ---------------------------------------------------------- */

static int is_nsp(const ch_sio_packet_t *packet, const char *name)
{
    return packet->nsp.len == strlen(name)
           && memcmp(packet->nsp.data, name, packet->nsp.len) == 0;
}

static int refuse_nsp(ch_engine_t *engine, const ch_sio_packet_t *packet)
{
    static const char text[] = "{\"message\":\"Invalid namespace\"}";
    char name[256];
    ch_chunk_t *chunk;

    if (packet->nsp.len >= sizeof(name)) {
        return 0;
    }
    memcpy(name, packet->nsp.data, packet->nsp.len);
    name[packet->nsp.len] = '\0';
    chunk = ch_sio_packet(CH_SIO_CONNECT_ERROR, name, 0, -1,
                          (ch_bytes_t){ text, sizeof(text) - 1 });
    ch_engine_send(engine, chunk);
    ch_chunk_drop(chunk);
    return 1;
}

static int take_connect(ch_engine_t *engine, const ch_sio_packet_t *packet)
{
    if (is_nsp(packet, "/")) {
        return ch_connect(engine, packet);
    }
    if (is_nsp(packet, "/echo") && engine->conf->socketio_echo) {
        return ch_echo_connect(engine, packet);
    }
    return refuse_nsp(engine, packet);
}

static int is_connected(const ch_engine_t *engine,
                        const ch_sio_packet_t *packet)
{
    return (is_nsp(packet, "/") && engine->sock)
           || (is_nsp(packet, "/echo") && engine->echo);
}

/* When nothing is connected any more, something is to be soon. */
static int take_disconnect(ch_engine_t *engine, const ch_sio_packet_t *packet)
{
    if (is_nsp(packet, "/")) {
        ch_socket_over(engine);
    }
    else {
        engine->echo = 0;
    }
    if (!engine->sock && !engine->echo) {
        ch_engine_due(engine, CH_DUE_CONNECT,
                      ch_loop_now(ch_core.loop) + apr_time_from_sec(45));
    }
    return 1;
}

static int take_event(ch_engine_t *engine, const ch_sio_packet_t *packet,
                      const ch_partial_t *partial)
{
    if (!is_nsp(packet, "/")) {
        return ch_echo_event(engine, packet, partial);
    }
    ch_event_take(engine->sock, packet);
    return 1;
}

static int take_packet(ch_engine_t *engine, const ch_sio_packet_t *packet,
                       const ch_partial_t *partial)
{
    if (packet->type == CH_SIO_CONNECT) {
        return take_connect(engine, packet);
    }
    if (!is_connected(engine, packet)) {
        return 0;
    }
    switch (packet->type) {
    case CH_SIO_DISCONNECT:
        return take_disconnect(engine, packet);
    case CH_SIO_EVENT:
    case CH_SIO_BINARY_EVENT:
        return take_event(engine, packet, partial);
    case CH_SIO_ACK:
    case CH_SIO_BINARY_ACK:
        return 1; /* we ask for none */
    case CH_SIO_CONNECT:
    case CH_SIO_CONNECT_ERROR:
        break;
    }
    return 0;
}

static int take_attachment(ch_engine_t *engine, const char *data, size_t len)
{
    ch_partial_t *partial = engine->partial;
    int good;

    partial->bytes += len;
    if (partial->bytes > (size_t)engine->conf->socketio_max_payload * 4) {
        return 0;
    }
    partial->parts[partial->count++] = ch_chunk_binary(data, len);
    if (partial->count < partial->packet.attachments) {
        return 1;
    }
    good = take_packet(engine, &partial->packet, partial);
    drop_partial(engine);
    return good;
}

int ch_socket_message(ch_engine_t *engine, int binary, const char *data,
                      size_t len)
{
    ch_sio_packet_t packet;

    if (binary || engine->partial) {
        return binary && engine->partial
               && take_attachment(engine, data, len);
    }
    if (!ch_sio_read(data, len, &packet)) {
        return 0;
    }
    return packet.attachments ? begin_partial(engine, data, len)
                              : take_packet(engine, &packet, NULL);
}

/* --- sockets ---------------------------------------------------------- */

ch_sock_t *ch_socket_find(apr_uint64_t id)
{
    return apr_hash_get(ch_core.socks, &id, sizeof(id));
}

void ch_socket_emit(ch_sock_t *sock, const char *event, const char *data)
{
    ch_chunk_t *chunk =
        ch_sio_emit(event, (ch_bytes_t){ data, strlen(data) });

    ch_engine_send(sock->engine, chunk);
    ch_chunk_drop(chunk);
}

static void send_disconnect(ch_sock_t *sock)
{
    ch_chunk_t *chunk = ch_sio_packet(CH_SIO_DISCONNECT, "/", 0, -1,
                                      (ch_bytes_t){ "", 0 });

    ch_engine_send(sock->engine, chunk);
    ch_chunk_drop(chunk);
}

void ch_socket_revoke(ch_sock_t *sock)
{
    ch_socket_emit(sock, "session:revoked", "{}");
    send_disconnect(sock);
    ch_engine_close(sock->engine, CH_WS_NORMAL);
}

int ch_socket_expired(ch_engine_t *engine)
{
    ch_sock_t *sock = engine->sock;

    if (!sock) {
        return 1;
    }
    if (sock->told_expired) {
        send_disconnect(sock);
        return 0;
    }
    sock->told_expired = 1;
    ch_socket_emit(sock, "auth:expired", "{}");
    return 1;
}

void ch_socket_read(ch_engine_t *engine)
{
    if (engine->sock) {
        ch_event_resume(engine->sock);
    }
}

void ch_socket_over(ch_engine_t *engine)
{
    ch_sock_t *sock = engine->sock;

    if (engine->over) {
        drop_partial(engine);
    }
    if (!sock) {
        return;
    }
    engine->sock = NULL;
    ch_engine_due(engine, CH_DUE_TOKEN, 0);
    apr_hash_set(ch_core.socks, &sock->id, sizeof(sock->id), NULL);
    ch_event_drop(sock);
    ch_hub_leave(sock);
    ch_heap_give(sock);
}
