/* Connects, logs in, sends and reads, each with a deadline. The sockets are
 * ours, because hiredis' own time-outs are per system call, so that a server
 * that sends a byte now and then would never be late; the parser is hiredis',
 * and makes our replies right in their pool. */
#include "store/redis_conn.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_errno.h>
#include <apr_strings.h>
#include <hiredis/hiredis.h>

#include "base/steady.h"
#include "store/redis_state.h"
#include "store/redis_url.h"

#define ITEMS_MAX 65536                 /* of all replies of a pipeline */
#define BYTES_MAX ((size_t)16 << 20)    /* the same */
#define COMMANDS_MAX ((size_t)64 << 20) /* bytes of a pipeline */
#define CHUNK 6144

static int fault_is(ch_redis_fault_t *fault, ch_redis_fault_e kind,
                    const char *text)
{
    fault->kind = kind;
    apr_cpystrn(fault->text, text, sizeof(fault->text));
    return 0;
}

static int fault_errno(ch_redis_fault_t *fault, ch_redis_fault_e kind)
{
    fault->kind = kind;
    apr_strerror(errno, fault->text, sizeof(fault->text));
    return 0;
}

/* --- the parser's objects -------------------------------------------------
 */

static ch_redis_reply_t *make_reply(const redisReadTask *task,
                                    ch_redis_kind_e kind)
{
    ch_redis_sink_t *sink = task->privdata;
    ch_redis_reply_t *reply;

    if (task->parent) {
        reply = &((ch_redis_reply_t *)task->parent->obj)->items[task->idx];
    }
    else {
        reply = apr_pcalloc(sink->pool, sizeof(*reply));
    }
    reply->kind = kind;
    return reply;
}

static void *make_text(const redisReadTask *task, char *text, size_t len)
{
    const ch_redis_sink_t *sink = task->privdata;
    ch_redis_reply_t *reply =
        make_reply(task, task->type == REDIS_REPLY_ERROR ? CH_REDIS_ERROR
                                                         : CH_REDIS_TEXT);

    reply->text.data = apr_pstrmemdup(sink->pool, text, len);
    reply->text.len = len;
    return reply;
}

#if HIREDIS_MAJOR >= 1
typedef size_t elements_t;
#else
typedef int elements_t;
#endif

/* A server may claim what it likes: room is made for so many at most. */
static void *make_array(const redisReadTask *task, elements_t elements)
{
    ch_redis_sink_t *sink = task->privdata;
    ch_redis_reply_t *reply;

    if (elements > (elements_t)sink->items) {
        return NULL;
    }
    sink->items -= (int)elements;
    reply = make_reply(task, CH_REDIS_ARRAY);
    reply->count = (int)elements;
    reply->items =
        apr_pcalloc(sink->pool, ((size_t)elements + 1) * sizeof(*reply));
    return reply;
}

static void *make_int(const redisReadTask *task, long long number)
{
    ch_redis_reply_t *reply = make_reply(task, CH_REDIS_INT);

    reply->number = number;
    return reply;
}

static void *make_nil(const redisReadTask *task)
{
    return make_reply(task, CH_REDIS_NIL);
}

#if HIREDIS_MAJOR >= 1
/* RESP3 is never asked for; a server that sends it anyway gets no further
 * than this. */
static void *make_double(const redisReadTask *task, double number, char *text,
                         size_t len)
{
    return make_text(task, text, len);
}

static void *make_bool(const redisReadTask *task, int value)
{
    return make_int(task, value);
}
#endif

static void free_nothing(void *reply)
{
}

static redisReplyObjectFunctions makers = {
    .createString = make_text,
    .createArray = make_array,
    .createInteger = make_int,
    .createNil = make_nil,
    .freeObject = free_nothing,
#if HIREDIS_MAJOR >= 1
    .createDouble = make_double,
    .createBool = make_bool,
#endif
};

/* --- time -----------------------------------------------------------------
 */

static apr_time_t in_ms(int ms)
{
    return ch_steady_now() + apr_time_from_msec(ms);
}

/* Waits until the socket is ready or the time is over. */
static int is_ready(int fd, short events, apr_time_t deadline)
{
    struct pollfd at = { .fd = fd, .events = events };
    int got;

    do {
        apr_time_t left = deadline - ch_steady_now();

        got = poll(&at, 1, left > 0 ? (int)((left + 999) / 1000) : 0);
    } while (got < 0 && errno == EINTR);
    return got > 0;
}

static int is_late(ch_redis_fault_t *fault)
{
    return fault_is(fault, CH_REDIS_SLOW, "it does not answer in time");
}

/* --- bytes ----------------------------------------------------------------
 */

int ch_redis_conn_send(ch_redis_conn_t *conn, const ch_buf_t *data,
                       apr_time_t deadline, ch_redis_fault_t *fault)
{
    size_t done = 0;

    if (data->overflow) {
        return fault_is(fault, CH_REDIS_LARGE, "the commands are too large");
    }
    while (done < data->len) {
        ssize_t n =
            send(conn->fd, data->data + done, data->len - done, MSG_NOSIGNAL);

        if (n >= 0) {
            done += (size_t)n;
        }
        else if (errno == EAGAIN) {
            if (!is_ready(conn->fd, POLLOUT, deadline)) {
                return is_late(fault);
            }
        }
        else if (errno != EINTR) {
            return fault_errno(fault, CH_REDIS_CLOSED);
        }
    }
    return 1;
}

/* Feeds the parser with what there is; 0 with a fault. */
static int feed(ch_redis_conn_t *conn, apr_time_t deadline,
                ch_redis_fault_t *fault)
{
    char chunk[CHUNK];
    ssize_t n;

    while ((n = recv(conn->fd, chunk, sizeof(chunk), 0)) < 0) {
        if (errno == EAGAIN) {
            if (!is_ready(conn->fd, POLLIN, deadline)) {
                return is_late(fault);
            }
        }
        else if (errno != EINTR) {
            return fault_errno(fault, CH_REDIS_CLOSED);
        }
    }
    if (n == 0) {
        return fault_is(fault, CH_REDIS_CLOSED, "it ended the connection");
    }
    if ((size_t)n > conn->sink.bytes) {
        return fault_is(fault, CH_REDIS_LARGE, "its reply is too large");
    }
    conn->sink.bytes -= (size_t)n;
    /* what goes wrong here, the parser tells when it is asked for a reply */
    redisReaderFeed(conn->reader, chunk, (size_t)n);
    return 1;
}

void ch_redis_conn_aim(ch_redis_conn_t *conn, apr_pool_t *pool)
{
    conn->sink.pool = pool;
    conn->sink.items = ITEMS_MAX;
    conn->sink.bytes = BYTES_MAX;
}

int ch_redis_conn_read(ch_redis_conn_t *conn, apr_time_t deadline,
                       const ch_redis_reply_t **out, ch_redis_fault_t *fault)
{
    for (;;) {
        void *reply = NULL;

        if (redisReaderGetReply(conn->reader, &reply) != REDIS_OK) {
            return conn->reader->err == REDIS_ERR_OOM
                       ? fault_is(fault, CH_REDIS_LARGE,
                                  "its reply is too large")
                       : fault_is(fault, CH_REDIS_GARBAGE,
                                  "it does not speak Redis' protocol");
        }
        if (reply) {
            *out = reply;
            return 1;
        }
        if (!feed(conn, deadline, fault)) {
            return 0;
        }
    }
}

int ch_redis_conn_is_idle(const ch_redis_conn_t *conn)
{
    char byte;

    return recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0
           && errno == EAGAIN;
}

void ch_redis_conn_close(ch_redis_conn_t *conn)
{
    if (conn->reader) {
        redisReaderFree(conn->reader);
        conn->reader = NULL;
    }
    if (conn->fd >= 0) {
        close(conn->fd);
        conn->fd = -1;
    }
}

/* --- connecting -----------------------------------------------------------
 */

static int path_peer(const char *path, ch_redis_peers_t *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->peer[0].address;

    memset(&out->peer[0], 0, sizeof(out->peer[0]));
    un->sun_family = AF_UNIX;
    apr_cpystrn(un->sun_path, path, sizeof(un->sun_path));
    out->peer[0].family = AF_UNIX;
    out->peer[0].len = sizeof(*un);
    out->count = 1;
    return 1;
}

int ch_redis_look_up(const ch_redis_url_t *url, ch_redis_peers_t *out,
                     ch_redis_fault_t *fault)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *all, *one;
    char port[12];
    int error;

    if (!url->host) {
        return path_peer(url->path, out);
    }
    apr_snprintf(port, sizeof(port), "%d", url->port);
    error = getaddrinfo(url->host, port, &hints, &all);
    if (error) {
        return fault_is(fault, CH_REDIS_REFUSED, gai_strerror(error));
    }
    out->count = 0;
    for (one = all; one && out->count < CH_REDIS_PEERS; one = one->ai_next) {
        if (one->ai_addrlen <= sizeof(out->peer[0].address)) {
            memcpy(&out->peer[out->count].address, one->ai_addr,
                   one->ai_addrlen);
            out->peer[out->count].len = one->ai_addrlen;
            out->peer[out->count].family = one->ai_family;
            out->count++;
        }
    }
    freeaddrinfo(all);
    return out->count > 0;
}

static int finish_connect(int fd, apr_time_t deadline, ch_redis_fault_t *fault)
{
    socklen_t len = sizeof(errno);
    int error = 0;

    if (!is_ready(fd, POLLOUT, deadline)) {
        return fault_is(fault, CH_REDIS_REFUSED,
                        "it does not take the connection in time");
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error) {
        errno = error ? error : errno;
        return fault_errno(fault, CH_REDIS_REFUSED);
    }
    return 1;
}

/* A socket that is connected to this peer, or -1. */
static int connect_to(const ch_redis_peers_t *peers, int i,
                      apr_time_t deadline, ch_redis_fault_t *fault)
{
    int family = peers->peer[i].family;
    int on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int good;

    if (fd < 0) {
        fault_errno(fault, CH_REDIS_REFUSED);
        return -1;
    }
    if (family != AF_UNIX) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    good = connect(fd, (const struct sockaddr *)&peers->peer[i].address,
                   peers->peer[i].len)
           == 0;
    if (!good) {
        good = errno == EINPROGRESS ? finish_connect(fd, deadline, fault)
                                    : fault_errno(fault, CH_REDIS_REFUSED);
    }
    if (!good) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The time is shared out among the addresses: the first may be a hole. */
static int connect_any(const ch_redis_peers_t *peers, ch_redis_fault_t *fault)
{
    apr_time_t deadline = in_ms(CH_REDIS_CONNECT_MS);
    int fd = -1;
    int i;

    for (i = 0; i < peers->count && fd < 0; i++) {
        apr_time_t now = ch_steady_now();

        fd = connect_to(peers, i, now + (deadline - now) / (peers->count - i),
                        fault);
    }
    return fd;
}

/* --- logging in -----------------------------------------------------------
 */

static const char *judge_info(const ch_redis_reply_t *reply, apr_uint64_t *run)
{
    const char *at;
    char id[16];

    if (reply->kind != CH_REDIS_TEXT) {
        return ch_redis_useless(reply); /* else: not allowed to ask */
    }
    if (strstr(reply->text.data, "redis_mode:cluster")) {
        return "it is a node of a cluster, which is not supported";
    }
    if (strstr(reply->text.data, "redis_mode:sentinel")) {
        return "it is a sentinel";
    }
    at = strstr(reply->text.data, "run_id:");
    if (at) {
        apr_cpystrn(id, at + 7, sizeof(id));
        *run = (apr_uint64_t)apr_strtoi64(id, NULL, 16);
    }
    return NULL;
}

static int add_login(apr_pool_t *pool, const ch_redis_url_t *url,
                     ch_redis_command_t commands[3])
{
    int count = 0;

    if (url->password) {
        ch_redis_arg_text(&commands[count], "AUTH");
        if (url->user) {
            ch_redis_arg_text(&commands[count], url->user);
        }
        ch_redis_arg_text(&commands[count++], url->password);
    }
    if (url->db) {
        ch_redis_arg_text(&commands[count], "SELECT");
        ch_redis_arg_int(pool, &commands[count++], url->db);
    }
    ch_redis_arg_text(&commands[count], "INFO");
    ch_redis_arg_text(&commands[count++], "server");
    return count;
}

/* What stands in the way according to one reply, or NULL. */
static const char *judge_login(const ch_redis_command_t *command,
                               const ch_redis_reply_t *reply,
                               apr_uint64_t *run)
{
    const char *why;

    if (command->args[0].data[0] == 'I') {
        return judge_info(reply, run);
    }
    if (reply->kind != CH_REDIS_ERROR) {
        return NULL;
    }
    why = ch_redis_useless(reply);
    if (why) {
        return why;
    }
    return command->args[0].data[0] == 'A' ? "it refuses the password"
                                           : "it has no such database";
}

static int log_in(apr_pool_t *pool, const ch_redis_url_t *url,
                  ch_redis_conn_t *conn, apr_uint64_t *run,
                  ch_redis_fault_t *fault)
{
    ch_redis_command_t commands[3] = { { 0 }, { 0 }, { 0 } };
    apr_time_t deadline = in_ms(CH_REDIS_COMMAND_MS);
    ch_buf_t *buf = ch_buf_make(pool, 256, COMMANDS_MAX);
    int count = add_login(pool, url, commands);
    int i;

    for (i = 0; i < count; i++) {
        ch_redis_format(buf, &commands[i], 0);
    }
    ch_redis_conn_aim(conn, pool);
    if (!ch_redis_conn_send(conn, buf, deadline, fault)) {
        return 0;
    }
    for (i = 0; i < count; i++) {
        const ch_redis_reply_t *reply;
        const char *why;

        if (!ch_redis_conn_read(conn, deadline, &reply, fault)) {
            return 0;
        }
        why = judge_login(&commands[i], reply, run);
        if (why) {
            return fault_is(fault, CH_REDIS_REFUSED, why);
        }
    }
    return 1;
}

int ch_redis_conn_open(apr_pool_t *pool, const ch_redis_url_t *url,
                       const ch_redis_peers_t *peers, ch_redis_conn_t *conn,
                       apr_uint64_t *run, ch_redis_fault_t *fault)
{
    *run = 0;
    conn->fd = connect_any(peers, fault);
    if (conn->fd < 0) {
        return 0;
    }
    conn->reader = redisReaderCreateWithFunctions(&makers);
    if (!conn->reader) {
        ch_redis_conn_close(conn);
        return fault_is(fault, CH_REDIS_REFUSED, "no memory");
    }
    conn->reader->privdata = &conn->sink;
    if (!log_in(pool, url, conn, run, fault)) {
        ch_redis_conn_close(conn);
        return 0;
    }
    return 1;
}
