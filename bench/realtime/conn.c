/* Connections: opening, bytes in and out, websocket frames. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PER_ADDRESS 20000 /* connections: fewer than there are free ports */

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

static void watch(worker_t *w, conn_t *c, int how, unsigned events)
{
    struct epoll_event event = { .events = events, .data = { .ptr = c } };

    epoll_ctl(w->epoll, how, c->fd, &event);
}

static int is_opening(const conn_t *c)
{
    return c->state > CONN_NEW && c->state < CONN_READY;
}

void conn_end(worker_t *w, conn_t *c, const char *why)
{
    if (c->state == CONN_GONE) {
        return;
    }
    if (is_opening(c)) {
        atomic_fetch_add(&w->sh->refused, 1);
        w->opening--;
    }
    else if (atomic_load(&w->sh->phase) != PHASE_END) {
        atomic_fetch_add(&w->sh->dropped, 1);
    }
    if (why) {
        fault(w->sh, why, strerror(errno), strlen(strerror(errno)));
    }
    if (c->ssl) {
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    close(c->fd);
    c->state = CONN_GONE;
}

void conn_ready(worker_t *w, conn_t *c)
{
    c->state = CONN_READY;
    w->opening--;
    atomic_fetch_add(&w->sh->opened, 1);
}

/* --- bytes --------------------------------------------------------------- */

/* As read(): 0 at the end; -1 with EAGAIN when there is nothing now. */
static ssize_t take_bytes(conn_t *c, char *data, size_t size)
{
    int n, error;

    if (!c->ssl) {
        return read(c->fd, data, size);
    }
    n = SSL_read(c->ssl, data, (int)size);
    if (n > 0) {
        return n;
    }
    error = SSL_get_error(c->ssl, n);
    errno = error == SSL_ERROR_WANT_READ ? EAGAIN : EPROTO;
    return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

/* What is sent is small and answered before more is sent: it always fits into
 * the socket's buffer, or the connection is dead. */
static void give_bytes(worker_t *w, conn_t *c, const char *data, size_t len)
{
    ssize_t n;

    if (c->ssl) {
        n = SSL_write(c->ssl, data, (int)len);
    }
    else {
        n = send(c->fd, data, len, MSG_NOSIGNAL);
    }
    if (n != (ssize_t)len) {
        conn_end(w, c, "cannot send");
    }
}

static void give_frame(worker_t *w, conn_t *c, int opcode, const char *text,
                       size_t len)
{
    char frame[CONTENT_MAX + 2048];
    size_t head = 2;

    if (len + 8 > sizeof(frame)) {
        fault(w->sh, "too long", text, 40);
        return;
    }
    frame[0] = (char)(0x80 | opcode);
    if (len < 126) {
        frame[1] = (char)(0x80 | len);
    }
    else {
        frame[1] = (char)(0x80 | 126);
        frame[2] = (char)(len >> 8);
        frame[3] = (char)len;
        head = 4;
    }
    /* masked with zeros, which changes nothing and is a mask all the same */
    memset(frame + head, 0, 4);
    memcpy(frame + head + 4, text, len);
    give_bytes(w, c, frame, head + 4 + len);
}

void conn_send(worker_t *w, conn_t *c, const char *text, size_t len)
{
    give_frame(w, c, 1, text, len);
}

/* --- opening ------------------------------------------------------------- */

void conn_open(worker_t *w, conn_t *c)
{
    struct sockaddr_in from = { .sin_family = AF_INET };
    struct sockaddr_in to = { .sin_family = AF_INET };
    int one = 1;

    w->opening++;
    c->state = CONN_TCP;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        conn_end(w, c, "no socket");
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    from.sin_addr.s_addr =
        htonl(INADDR_LOOPBACK + 1 + (unsigned)(c->index / PER_ADDRESS));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)w->opt->port);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)) != 0
        || (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0
            && errno != EINPROGRESS)) {
        conn_end(w, c, "cannot connect");
        return;
    }
    watch(w, c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void ask_upgrade(worker_t *w, conn_t *c)
{
    char text[512];
    int len = snprintf(text, sizeof(text),
                       "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                       "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                       "Sec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                       w->opt->path, w->opt->port);

    c->state = CONN_HTTP;
    give_bytes(w, c, text, (size_t)len);
}

static void shake_hands(worker_t *w, conn_t *c)
{
    int rc = SSL_connect(c->ssl);

    if (rc == 1) {
        ask_upgrade(w, c);
    }
    else if (SSL_get_error(c->ssl, rc) != SSL_ERROR_WANT_READ) {
        errno = EPROTO;
        conn_end(w, c, "TLS handshake");
    }
}

static void connected(worker_t *w, conn_t *c)
{
    socklen_t size = sizeof(int);
    int error = 0;

    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        errno = error;
        conn_end(w, c, "cannot connect");
        return;
    }
    watch(w, c, EPOLL_CTL_MOD, EPOLLIN);
    if (!w->ssl) {
        ask_upgrade(w, c);
        return;
    }
    c->state = CONN_TLS;
    c->ssl = SSL_new(w->ssl);
    if (!c->ssl) {
        conn_end(w, c, "no SSL");
        return;
    }
    SSL_set_fd(c->ssl, c->fd);
    shake_hands(w, c);
}

/* The answer to the upgrade: how much of it was used, 0 = not all is here. */
static size_t read_answer(worker_t *w, conn_t *c, const char *data, size_t len)
{
    const char *end = memmem(data, len, "\r\n\r\n", 4);

    if (!end) {
        if (len >= CARRY) {
            conn_end(w, c, "long answer");
        }
        return 0;
    }
    if (len < 12 || memcmp(data, "HTTP/1.1 101", 12) != 0) {
        fault(w->sh, "no upgrade", data, len);
        conn_end(w, c, NULL);
        return 0;
    }
    talk_begin(w, c);
    return (size_t)(end - data) + 4;
}

/* --- frames -------------------------------------------------------------- */

static void control(worker_t *w, conn_t *c, int opcode, const char *data,
                    size_t len)
{
    if (opcode == 8) {
        fault(w->sh, "closed by the server", len > 2 ? data + 2 : "",
              len > 2 ? len - 2 : 0);
        conn_end(w, c, NULL);
    }
    else if (opcode == 9) {
        atomic_fetch_add(&w->sh->pings, 1);
        give_frame(w, c, 10, data, len);
    }
}

/* Length of a frame's head, 0 = not all of it is here; *size is that of what
 * follows. */
static size_t read_head(const unsigned char *p, size_t have, uint64_t *size)
{
    size_t head = have < 2              ? 0
                  : (p[1] & 127) == 127 ? 10
                  : (p[1] & 127) == 126 ? 4
                                        : 2;
    size_t i;

    if (head == 0 || have < head) {
        return 0;
    }
    *size = head == 2 ? p[1] & 127u : 0;
    for (i = 2; i < head; i++) {
        *size = *size << 8 | p[i];
    }
    return head;
}

/* One frame: how much was used, 0 = not all is here. Of one that is longer
 * than what is kept only the beginning is looked at. */
static size_t read_frame(worker_t *w, conn_t *c, const char *data, size_t have)
{
    const unsigned char *p = (const unsigned char *)data;
    uint64_t size = 0;
    size_t head = read_head(p, have, &size);
    size_t len;

    if (head == 0 || (have < head + size && have < CARRY)) {
        return 0;
    }
    len = have < head + size ? have - head : (size_t)size;
    c->skip = size - len;
    if ((p[0] & 15) >= 8) {
        control(w, c, p[0] & 15, data + head, len);
    }
    else if ((p[0] & 15) == 1) {
        talk_message(w, c, data + head, len);
    }
    return head + len;
}

static size_t read_some(worker_t *w, conn_t *c, const char *data, size_t have)
{
    if (c->skip > 0) {
        size_t used = have < c->skip ? have : (size_t)c->skip;

        c->skip -= used;
        return used;
    }
    return c->state == CONN_HTTP ? read_answer(w, c, data, have)
                                 : read_frame(w, c, data, have);
}

/* 1 = there may be more to read. */
static int read_all(worker_t *w, conn_t *c)
{
    size_t have = c->carried, at = 0, used;
    ssize_t n;

    memcpy(w->buffer, c->carry, have);
    n = take_bytes(c, w->buffer + have, BUFFER - have);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            conn_end(w, c, n == 0 ? NULL : "cannot read");
        }
        return 0;
    }
    w->now = now_ns();
    have += (size_t)n;
    while (at < have && c->state != CONN_GONE
           && (used = read_some(w, c, w->buffer + at, have - at)) > 0) {
        at += used;
    }
    if (c->state == CONN_GONE) {
        return 0;
    }
    c->carried = have - at;
    memcpy(c->carry, w->buffer + at, c->carried);
    return c->ssl != NULL;
}

void conn_event(worker_t *w, conn_t *c, unsigned events)
{
    (void)events;
    if (c->state == CONN_TCP) {
        connected(w, c);
        return;
    }
    if (c->state == CONN_TLS) {
        shake_hands(w, c);
        return;
    }
    while (c->state != CONN_GONE && c->state != CONN_TLS && read_all(w, c)) {
        /* OpenSSL may hold more than the descriptor tells of */
    }
}
