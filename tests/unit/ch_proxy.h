/* Stands between libpq and the PostgreSQL of the tests, as a pooler, a
 * firewall or a network does, and does what they do at their worst. */
#ifndef CH_TESTS_PROXY_H
#define CH_TESTS_PROXY_H

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ch_database.h"

/* Shared with the proxy's process; a test sets what it wants. */
typedef struct {
    int refuse;   /* connections are closed at once */
    int silent;   /* they are taken, and that is all */
    int swallow;  /* what the client sends after its first words is lost */
    int deaf;     /* notifications are not handed on */
    int cut;      /* once: closes the connection that is there */
    int connects; /* counted */
} ch_proxy_t;

static struct {
    ch_proxy_t *set;
    char dir[64];
    char conninfo[256];
    pid_t pid;
} proxy;

typedef struct {
    int client, server;
    int greeted;                 /* the startup packet went through */
    unsigned char frames[65536]; /* of the server, not whole yet */
    size_t len;
} ch_proxy_line_t;

static inline int ch_proxy_get(const int *flag)
{
    return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static inline void ch_proxy_put(int *flag, int value)
{
    __atomic_store_n(flag, value, __ATOMIC_SEQ_CST);
}

static inline int ch_proxy_socket(const char *dir, struct sockaddr_un *to)
{
    memset(to, 0, sizeof(*to));
    to->sun_family = AF_UNIX;
    snprintf(to->sun_path, sizeof(to->sun_path), "%.64s/.s.PGSQL.5432", dir);
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static inline int ch_proxy_send(int to, const unsigned char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(to, data, len, MSG_NOSIGNAL);

        if (n <= 0) {
            return 0;
        }
        data += n;
        len -= (size_t)n;
    }
    return 1;
}

static inline int ch_proxy_up(ch_proxy_line_t *line)
{
    unsigned char data[8192];
    ssize_t n = recv(line->client, data, sizeof(data), 0);
    int lost = line->greeted && ch_proxy_get(&proxy.set->swallow);

    if (n <= 0) {
        return 0;
    }
    line->greeted = 1;
    return lost || ch_proxy_send(line->server, data, (size_t)n);
}

/* The server speaks in frames: a letter, a length that counts itself. */
static inline int ch_proxy_down(ch_proxy_line_t *line)
{
    ssize_t n = recv(line->server, line->frames + line->len,
                     sizeof(line->frames) - line->len, 0);
    size_t at = 0;

    if (n <= 0) {
        return 0;
    }
    line->len += (size_t)n;
    while (line->len - at >= 5) {
        const unsigned char *frame = line->frames + at;
        size_t size = 1
                      + ((size_t)frame[1] << 24 | (size_t)frame[2] << 16
                         | (size_t)frame[3] << 8 | frame[4]);

        if (line->len - at < size) {
            break;
        }
        if (!(*frame == 'A' && ch_proxy_get(&proxy.set->deaf))
            && !ch_proxy_send(line->client, frame, size)) {
            return 0;
        }
        at += size;
    }
    memmove(line->frames, line->frames + at, line->len - at);
    line->len -= at;
    return 1;
}

static inline void ch_proxy_serve(ch_proxy_line_t *line)
{
    struct pollfd ends[2] = { { .fd = line->client, .events = POLLIN },
                              { .fd = line->server, .events = POLLIN } };
    int goes_on = 1;

    while (goes_on && !ch_proxy_get(&proxy.set->cut)) {
        if (poll(ends, 2, 20) <= 0) {
            continue;
        }
        if (ends[0].revents) {
            goes_on = ch_proxy_up(line);
        }
        if (goes_on && ends[1].revents) {
            goes_on = ch_proxy_down(line);
        }
    }
    ch_proxy_put(&proxy.set->cut, 0);
}

static inline void ch_proxy_handle(int client)
{
    static ch_proxy_line_t line;
    struct sockaddr_un to;
    unsigned char byte;

    if (ch_proxy_get(&proxy.set->refuse)) {
        return;
    }
    if (ch_proxy_get(&proxy.set->silent)) {
        while (recv(client, &byte, 1, 0) > 0) {
        }
        return;
    }
    memset(&line, 0, sizeof(line));
    line.client = client;
    line.server = ch_proxy_socket(cluster.dir, &to);
    if (connect(line.server, (struct sockaddr *)&to, sizeof(to)) == 0) {
        ch_proxy_serve(&line);
    }
    close(line.server);
}

/* One connection after the other, until the test's process is gone. */
static inline void ch_proxy_live(int listener)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        int client = accept(listener, NULL, NULL);

        __atomic_fetch_add(&proxy.set->connects, 1, __ATOMIC_SEQ_CST);
        ch_proxy_handle(client);
        close(client);
    }
}

static inline void ch_proxy_stop(void)
{
    char path[96];

    kill(proxy.pid, SIGKILL);
    waitpid(proxy.pid, NULL, 0);
    snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", proxy.dir);
    unlink(path);
    rmdir(proxy.dir);
}

/* A proxy before the database of the test; it ends with the test. */
static inline void ch_proxy_start(void)
{
    struct sockaddr_un at;
    int listener;

    snprintf(proxy.dir, sizeof(proxy.dir), "/tmp/chronicle-px.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(proxy.dir));
    proxy.set = mmap(NULL, sizeof(*proxy.set), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(proxy.set, MAP_FAILED);
    listener = ch_proxy_socket(proxy.dir, &at);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(listener, 8), 0);
    proxy.pid = fork();
    if (proxy.pid == 0) {
        ch_proxy_live(listener);
    }
    close(listener);
    snprintf(proxy.conninfo, sizeof(proxy.conninfo),
             "host=%s user=tester dbname=%s", proxy.dir, database.name);
}

#endif
