/* Carries bytes from one connection to another and back. */
#include "realtime/pump.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap.h"
#include "realtime/core.h"

/* When that many bytes wait for one side the other is not read. */
#define HOLD_AT (CH_CONN_BACKLOG_MAX / 2)

typedef struct {
    ch_post_t post;
    ch_door_conn_t from;
    int fd;
    ch_conn_t *ends[2]; /* NULL = it is over */
} pump_t;

static void on_data(ch_conn_t *conn, void *owner, const char *data, size_t len)
{
    pump_t *pump = owner;
    ch_conn_t *other = pump->ends[pump->ends[0] == conn];
    ch_chunk_t *chunk = ch_chunk_raw(data, len);

    ch_conn_send(other, chunk);
    ch_chunk_drop(chunk);
    if (ch_conn_backlog(other) > HOLD_AT) {
        ch_conn_hold(conn, 1);
    }
}

/* Who is slow is for the session's owner to judge, not for this. */
static void on_drained(ch_conn_t *conn, void *owner)
{
    pump_t *pump = owner;

    ch_conn_hold(pump->ends[pump->ends[0] == conn], 0);
}

static void on_lost(ch_conn_t *conn, void *owner)
{
    pump_t *pump = owner;

    ch_conn_close(pump->ends[pump->ends[0] == conn]);
    ch_heap_give(pump);
}

static const ch_conn_owner_t owner = { .data = on_data,
                                       .lost = on_lost,
                                       .drained = on_drained };

static void begin(ch_post_t *post)
{
    pump_t *pump = (pump_t *)(void *)post;

    pump->ends[0] = ch_conn_make(ch_core.loop, pump->from.fd,
                                 pump->from.carrier, pump->from.ctx, &owner,
                                 pump);
    pump->ends[1] =
        ch_conn_make(ch_core.loop, pump->fd, NULL, NULL, &owner, pump);
    if (pump->ends[0] && pump->ends[1]) {
        return;
    }
    if (pump->ends[0]) {
        ch_conn_drop(pump->ends[0]);
    }
    if (pump->ends[1]) {
        ch_conn_drop(pump->ends[1]);
    }
    ch_heap_give(pump);
}

static void refuse(ch_post_t *post)
{
    static const ch_conn_owner_t nobody = { 0 };
    pump_t *pump = (pump_t *)(void *)post;
    ch_conn_t *conn =
        ch_conn_make(ch_core.loop, pump->from.fd, pump->from.carrier,
                     pump->from.ctx, &nobody, NULL);

    if (conn) {
        ch_conn_drop(conn);
    }
    ch_heap_give(pump);
}

int ch_pump_make(const ch_door_conn_t *conn)
{
    pump_t *pump = ch_heap_take(sizeof(*pump));
    int pair[2] = { -1, -1 };

    pump->from = *conn;
    pump->post.run = begin;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   pair)
        != 0) {
        pump->post.run = refuse;
    }
    pump->fd = pair[0];
    ch_loop_req_post(ch_core.loop, &pump->post);
    return pair[1];
}
