/* A load client for rooms that stay open: Socket.IO 5 over Engine.IO 4 over
 * websocket (or bare websocket), many connections from few processes. What it
 * does, and what it prints: ../README.md.
 *
 * Worker processes own the connections; what they share lies in one mapping.
 * Processes and not threads, because the limit of descriptors is a process's.
 * All memory is mapped once at the start and given back by the end of the
 * process. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define WORKERS_MAX 8
#define SLOTS_MAX (4 * 1024 * 1024) /* messages of a run */
#define CARRY 4096    /* bytes kept of a frame that has not come whole */
#define BUFFER 262144 /* bytes of one read */
#define CONTENT_MAX 4000

typedef enum { MODE_IDLE, MODE_BROADCAST, MODE_SEND } mode_e;

/* Lines of a file: tokens, or rooms. */
typedef struct {
    const char **lines;
    int *lengths;
    int count;
} lines_t;

typedef struct {
    mode_e mode;
    int total;    /* connections, the trigger's among them */
    int members;  /* of a room, in MODE_SEND */
    int rooms;    /* in MODE_SEND */
    int senders;  /* of all rooms together */
    int window;   /* messages that a sender has under way */
    int count;    /* of broadcasts */
    int interval; /* ms from one broadcast to the next, at least */
    int seconds, warm;
    int size;    /* bytes of a message's content */
    int by_edit; /* broadcasts are edits of one message */
    int users;   /* that the connections are spread over */
    int workers;
    int ramp;     /* connections that a worker opens at a time */
    int patience; /* s for all of them to be open */
    int port;
    int tls, raw, step;
    const char *path;
    lines_t tokens, room_ids;
} options_t;

typedef enum { PHASE_OPEN, PHASE_RUN, PHASE_DRAIN, PHASE_END } phase_e;

/* A message on its way; times are of CLOCK_MONOTONIC in ns, 0 = not yet. */
typedef struct {
    int64_t sent;
    _Atomic int64_t acked;
    _Atomic int64_t done; /* the last of its receivers has it */
    atomic_uint got;
} slot_t;

/* What one worker has counted; on a cache line of its own. */
typedef struct {
    _Alignas(64) double cpu;        /* seconds of this process while running */
    size_t samples;                 /* that it took: worker_t.samples */
    uint64_t frames, bytes, unread; /* while running */
} share_t;

typedef struct {
    atomic_int phase;
    atomic_uint opened, refused, dropped, pings, nacks, unordered, unknown;
    atomic_uint repeated;
    atomic_uint slots; /* used so far */
    unsigned first;    /* slot of the run: what is before it was preparation */
    unsigned receivers;  /* that each message has */
    atomic_int finished; /* all broadcasts are made */
    atomic_int fault_taken;
    char fault[240]; /* the first thing that went wrong */
    share_t shares[WORKERS_MAX];
    slot_t slot[SLOTS_MAX];
} shared_t;

typedef enum {
    CONN_NEW,
    CONN_TCP,
    CONN_TLS,
    CONN_HTTP,
    CONN_ENGINE, /* waits for Engine.IO's open packet */
    CONN_NSP,    /* … for the answer to CONNECT */
    CONN_JOIN,   /* … for that to room:join */
    CONN_MAKE,   /* … for that to the message that will be edited */
    CONN_READY,
    CONN_GONE
} state_e;

typedef struct {
    int fd;
    int index; /* among all connections of all workers */
    state_e state;
    SSL *ssl;
    char *carry;
    size_t carried;
    uint64_t skip; /* bytes of a long frame that nobody wants */
    int64_t seq;   /* of the room; broadcast: of the slot due next */
    int under_way; /* messages sent and not acknowledged */
    int stopped;   /* a sender that was refused */
} conn_t;

typedef struct {
    int id;
    const options_t *opt;
    shared_t *sh;
    int epoll;
    SSL_CTX *ssl;
    conn_t *conns;
    int count, next, opening;
    int64_t now;    /* when the bytes in hand were read */
    float *samples; /* ms, one for each delivery of a broadcast */
    size_t samples_max;
    /* of the trigger: its message, its broadcast, when the next is due */
    char message_id[40];
    int made;
    int64_t current; /* -1 = none */
    int64_t due;
    double cpu_before;
    char *buffer;
} worker_t;

/* load.c */
int64_t now_ns(void);
double cpu_seconds(void);
void *map(size_t bytes, int shared);
void fault(shared_t *sh, const char *what, const char *text, size_t len);

/* worker.c: the life of a worker process. */
void worker_run(worker_t *w);

/* conn.c: connections and frames. */
void conn_open(worker_t *w, conn_t *c);
void conn_event(worker_t *w, conn_t *c, unsigned events);
void conn_send(worker_t *w, conn_t *c, const char *text, size_t len);
void conn_end(worker_t *w, conn_t *c, const char *why);
void conn_ready(worker_t *w, conn_t *c);

/* talk.c: what is said over them. */
void talk_begin(worker_t *w, conn_t *c);
void talk_message(worker_t *w, conn_t *c, const char *text, size_t len);
void talk_start(worker_t *w); /* the run begins */
void talk_tick(worker_t *w);

/* report.c: one line of JSON on stdout. */
void report(const options_t *opt, shared_t *sh, worker_t *workers,
            const int64_t window[3]);

#endif
