/* Reads what comes, and writes what is sent, without waiting for either. */
#include "realtime/conn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap.h"
#include "realtime/wire.h"

#define READ_MAX 262144 /* bytes of one connection in one turn */
#define PARTS 64        /* chunks of one call */
#define COUNT_MAX 32768 /* chunks that wait: small ones cost more than bytes */
#define ROOM_MIN 4      /* places of a new queue */
#define LINGER (2 * APR_USEC_PER_SEC)
#define REST APR_USEC_PER_SEC /* before a carrier is closed */

enum {
    QUEUED = 1,   /* something is to be done at the end of the turn */
    RUNNING = 2,  /* it is being done */
    READ = 4,     /* there may be more to read */
    BLOCKED = 8,  /* nothing can be written now */
    BROKEN = 16,  /* writing failed, or too much waits */
    CLOSING = 32, /* the owner has left */
    SHUT = 64,    /* all is sent, and that was said */
    ENDED = 128,  /* the other side has said so */
    GONE = 256,   /* nothing is left but this memory */
    HELD = 512    /* the owner wants nothing for now */
};

/* Chunks that wait. There is none for a connection that is idle. */
typedef struct {
    size_t bytes;
    size_t done; /* bytes of the first that are written */
    int first, count, room;
    ch_chunk_t *parts[];
} queue_t;

struct ch_conn_t {
    ch_watch_t watch;
    ch_post_t post;
    ch_timer_t linger;
    ch_loop_t *loop;
    const ch_carrier_t *carrier;
    void *ctx;
    const ch_conn_owner_t *owner;
    void *owned;
    queue_t *queue;
    unsigned int flags;
};

static int connections; /* atomic */

static void count(int by)
{
    __atomic_add_fetch(&connections, by, __ATOMIC_SEQ_CST);
    ch_wire_hold(ch_wire_slot(), by);
}

static void schedule(ch_conn_t *conn)
{
    if (!(conn->flags & (QUEUED | RUNNING))) {
        conn->flags |= QUEUED;
        ch_loop_later(conn->loop, &conn->post);
    }
}

/* --- what waits ------------------------------------------------------- */

static void queue_end(ch_conn_t *conn)
{
    queue_t *queue = conn->queue;
    int i;

    for (i = 0; queue && i < queue->count; i++) {
        ch_chunk_drop(queue->parts[queue->first + i]);
    }
    ch_heap_give(queue);
    conn->queue = NULL;
}

/* Makes room for another chunk at the end. */
static queue_t *queue_widen(queue_t *queue)
{
    int room = queue ? queue->room * 2 : ROOM_MIN;

    if (queue && queue->first > queue->count) {
        memmove(queue->parts, queue->parts + queue->first,
                (size_t)queue->count * sizeof(*queue->parts));
        queue->first = 0;
        return queue;
    }
    if (!queue) {
        queue =
            ch_heap_take(sizeof(*queue) + ROOM_MIN * sizeof(*queue->parts));
    }
    else {
        queue = ch_heap_resize(
            queue, sizeof(*queue) + (size_t)room * sizeof(*queue->parts));
    }
    queue->room = room;
    return queue;
}

static void queue_add(ch_conn_t *conn, ch_chunk_t *chunk)
{
    queue_t *queue = conn->queue;

    if (!queue || queue->first + queue->count == queue->room) {
        queue = conn->queue = queue_widen(queue);
    }
    queue->parts[queue->first + queue->count++] = ch_chunk_hold(chunk);
    queue->bytes += chunk->len;
}

/* What was written is no more to be written. */
static void queue_advance(ch_conn_t *conn, size_t written)
{
    queue_t *queue = conn->queue;
    ch_chunk_t *chunk;

    queue->bytes -= written;
    queue->done += written;
    while (queue->count > 0
           && queue->done >= queue->parts[queue->first]->len) {
        chunk = queue->parts[queue->first++];
        queue->count--;
        queue->done -= chunk->len;
        ch_chunk_drop(chunk);
    }
    if (queue->count == 0) {
        queue_end(conn);
    }
}

static int queue_parts(const queue_t *queue, struct iovec parts[PARTS])
{
    int count = queue->count < PARTS ? queue->count : PARTS;
    ch_chunk_t *chunk;
    int i;

    for (i = 0; i < count; i++) {
        chunk = queue->parts[queue->first + i];
        parts[i].iov_base = chunk->data;
        parts[i].iov_len = chunk->len;
    }
    parts[0].iov_base = (char *)parts[0].iov_base + queue->done;
    parts[0].iov_len -= queue->done;
    return count;
}

/* --- in and out ------------------------------------------------------- */

/* What the system's calls return, as a carrier's do. */
static ssize_t said(ssize_t result)
{
    if (result >= 0) {
        return result;
    }
    return errno == EAGAIN ? -1 : -2;
}

static ssize_t bytes_in(ch_conn_t *conn, char *data, size_t size)
{
    ssize_t got;

    if (conn->carrier && !(conn->flags & SHUT)) {
        return conn->carrier->read(conn->ctx, data, size);
    }
    do {
        got = recv(conn->watch.fd, data, size, 0);
    } while (got < 0 && errno == EINTR);
    return said(got);
}

static ssize_t bytes_out(ch_conn_t *conn, struct iovec *parts, int count)
{
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = (size_t)count };
    ssize_t put;

    if (conn->carrier) {
        return conn->carrier->write(conn->ctx, parts, count);
    }
    do {
        put = sendmsg(conn->watch.fd, &message, MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    return said(put);
}

/* The end of it, but for its memory. */
static void bury(ch_conn_t *conn)
{
    conn->flags |= GONE;
    ch_loop_timer_clear(&conn->linger);
    if (conn->carrier) {
        ch_loop_timer_set(conn->loop, &conn->linger,
                          ch_loop_now(conn->loop) + REST);
    }
    else {
        close(conn->watch.fd);
        schedule(conn);
    }
}

static void release(ch_conn_t *conn)
{
    ch_loop_unwatch(conn->loop, &conn->watch);
    queue_end(conn);
    bury(conn);
}

static void lose(ch_conn_t *conn)
{
    const ch_conn_owner_t *owner = conn->owner;
    int is_owned = !(conn->flags & CLOSING);

    release(conn);
    if (is_owned) {
        owner->lost(conn, conn->owned);
    }
}

static void flush(ch_conn_t *conn)
{
    struct iovec parts[PARTS];
    ssize_t put;

    while (conn->queue && !(conn->flags & (BLOCKED | BROKEN))) {
        put = bytes_out(conn, parts, queue_parts(conn->queue, parts));
        if (put == -2) {
            conn->flags |= BROKEN;
        }
        else if (put < 0) {
            conn->flags |= BLOCKED;
        }
        else {
            queue_advance(conn, (size_t)put);
        }
    }
}

/* The owner has left: says so to the other side once all is sent, and waits
 * for its answer, or what was sent last might be lost with it. */
static void part(ch_conn_t *conn)
{
    if (conn->queue) {
        return;
    }
    if (conn->flags & ENDED) {
        release(conn);
    }
    else if (!(conn->flags & SHUT)) {
        conn->flags |= SHUT;
        if (conn->carrier) {
            conn->carrier->finish(conn->ctx);
        }
        else {
            shutdown(conn->watch.fd, SHUT_WR);
        }
    }
}

/* The end of what comes in, or worse. */
static void end(ch_conn_t *conn, int is_broken)
{
    if (is_broken || !(conn->flags & CLOSING)) {
        lose(conn);
        return;
    }
    conn->flags |= ENDED;
    part(conn);
}

static void take(ch_conn_t *conn)
{
    char *buffer = ch_loop_buffer(conn->loop);
    ssize_t total = 0;
    ssize_t got = 1;

    conn->flags &= ~(unsigned int)READ;
    while (total < READ_MAX && !(conn->flags & (GONE | ENDED | HELD))) {
        got = bytes_in(conn, buffer, CH_LOOP_BUFFER);
        if (got == -1) {
            return;
        }
        if (got <= 0) {
            end(conn, got != 0);
            return;
        }
        total += got;
        if (!(conn->flags & CLOSING)) {
            conn->owner->data(conn, conn->owned, buffer, (size_t)got);
        }
    }
    if (!(conn->flags & (GONE | ENDED))) {
        conn->flags |= READ; /* others first */
        if (!(conn->flags & HELD)) {
            schedule(conn);
        }
    }
}

static void ready(ch_watch_t *watch, int readable, int writable)
{
    ch_conn_t *conn =
        (ch_conn_t *)((char *)watch - offsetof(ch_conn_t, watch));

    if (writable && (conn->flags & BLOCKED)) {
        conn->flags &= ~(unsigned int)BLOCKED;
        schedule(conn);
    }
    if (readable && !(conn->flags & READ)) {
        take(conn);
    }
}

/* What is left to do at the end of a turn. */
static void run(ch_post_t *post)
{
    ch_conn_t *conn = (ch_conn_t *)((char *)post - offsetof(ch_conn_t, post));

    conn->flags = (conn->flags & ~(unsigned int)QUEUED) | RUNNING;
    if ((conn->flags & (READ | GONE | HELD)) == READ) {
        take(conn);
    }
    if (!(conn->flags & GONE)) {
        flush(conn);
        if (conn->flags & BROKEN) {
            lose(conn);
        }
        else if (conn->flags & CLOSING) {
            part(conn);
        }
        else if (!conn->queue && conn->owner->drained) {
            conn->owner->drained(conn, conn->owned);
        }
    }
    conn->flags &= ~(unsigned int)RUNNING;
    if (conn->flags & GONE) {
        if (!conn->linger.link) {
            ch_heap_give(conn);
            count(-1);
        }
    }
    else if ((conn->flags & (READ | HELD)) == READ) {
        schedule(conn);
    }
}

/* --- the owner's ------------------------------------------------------ */

static void linger_over(ch_timer_t *timer)
{
    ch_conn_t *conn =
        (ch_conn_t *)((char *)timer - offsetof(ch_conn_t, linger));

    if (conn->flags & GONE) {
        conn->carrier->close(conn->ctx);
        schedule(conn);
    }
    else {
        release(conn);
    }
}

ch_conn_t *ch_conn_make(ch_loop_t *loop, int fd, const ch_carrier_t *carrier,
                        void *ctx, const ch_conn_owner_t *owner, void *owned)
{
    ch_conn_t *conn = ch_heap_take(sizeof(*conn));

    conn->watch.fd = fd;
    conn->watch.ready = ready;
    conn->post.run = run;
    conn->linger.due = linger_over;
    conn->loop = loop;
    conn->carrier = carrier;
    conn->ctx = ctx;
    conn->owner = owner;
    conn->owned = owned;
    count(1);
    if (!ch_loop_watch(loop, &conn->watch)) {
        bury(conn);
        return NULL;
    }
    if (carrier) {
        conn->flags |= READ; /* it may hold what the descriptor has not */
        schedule(conn);
    }
    return conn;
}

void ch_conn_own(ch_conn_t *conn, const ch_conn_owner_t *owner, void *owned)
{
    conn->owner = owner;
    conn->owned = owned;
}

static int is_full(const ch_conn_t *conn)
{
    return ch_conn_backlog(conn) > CH_CONN_BACKLOG_MAX
           || (conn->queue && conn->queue->count > COUNT_MAX);
}

void ch_conn_send(ch_conn_t *conn, ch_chunk_t *chunk)
{
    if (conn->flags & (BROKEN | CLOSING | GONE) || chunk->len == 0) {
        return;
    }
    queue_add(conn, chunk);
    if (is_full(conn)) {
        flush(conn);
        if (is_full(conn)) {
            conn->flags |= BROKEN;
        }
    }
    schedule(conn);
}

size_t ch_conn_backlog(const ch_conn_t *conn)
{
    return conn->queue ? conn->queue->bytes : 0;
}

void ch_conn_hold(ch_conn_t *conn, int on)
{
    if (conn->flags & (CLOSING | GONE) || !on == !(conn->flags & HELD)) {
        return;
    }
    conn->flags ^= HELD;
    if (!on && conn->flags & READ) {
        schedule(conn);
    }
}

void ch_conn_close(ch_conn_t *conn)
{
    if (conn->flags & (CLOSING | GONE)) {
        return;
    }
    ch_conn_hold(conn, 0); /* the other side's end is waited for */
    conn->flags |= CLOSING;
    ch_loop_timer_set(conn->loop, &conn->linger,
                      ch_loop_now(conn->loop) + LINGER);
    schedule(conn);
}

void ch_conn_drop(ch_conn_t *conn)
{
    if (!(conn->flags & GONE)) {
        release(conn);
    }
}

int ch_conn_count(void)
{
    return __atomic_load_n(&connections, __ATOMIC_SEQ_CST);
}
