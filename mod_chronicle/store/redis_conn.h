/* Inside store/: one connection to Redis. Nothing here waits longer than it
 * is told to, and nothing rests on what the other side claims. */
#ifndef CH_STORE_REDIS_CONN_H
#define CH_STORE_REDIS_CONN_H

#include <sys/socket.h>

#include "base/buf.h"
#include "store/redis.h"

typedef enum {
    CH_REDIS_FINE,
    CH_REDIS_CLOSED,  /* the other side ended the connection */
    CH_REDIS_SLOW,    /* the time is over; what came so far is kept */
    CH_REDIS_REFUSED, /* no connection can be made, or of no use */
    CH_REDIS_GARBAGE, /* this is no Redis */
    CH_REDIS_LARGE    /* the reply is larger than we take */
} ch_redis_fault_e;

/* What went wrong, and its text for the log, which is ours alone: what a
 * server says may quote a password. */
typedef struct {
    ch_redis_fault_e kind;
    char text[128];
} ch_redis_fault_t;

#define CH_REDIS_PEERS 4

/* Where the host is, as it was looked up. */
typedef struct {
    int count;
    struct {
        struct sockaddr_storage address;
        socklen_t len;
        int family;
    } peer[CH_REDIS_PEERS];
} ch_redis_peers_t;

/* Where replies are made. */
typedef struct {
    apr_pool_t *pool;
    int items;    /* still allowed */
    size_t bytes; /* still allowed */
} ch_redis_sink_t;

typedef struct ch_redis_conn_t ch_redis_conn_t;

struct ch_redis_conn_t {
    struct redisReader *reader;
    ch_redis_conn_t *next; /* for whoever keeps them */
    ch_redis_sink_t sink;
    int fd;
    apr_uint64_t generation;
    apr_time_t idle_since;
};

/* Looks the host up; the system's own patience applies. */
int ch_redis_look_up(const ch_redis_url_t *url, ch_redis_peers_t *out,
                     ch_redis_fault_t *fault);

/* Connects and logs in: 1, or 0 and nothing is open. *run tells one process
 * from another, 0 when it does not say. */
int ch_redis_conn_open(apr_pool_t *pool, const ch_redis_url_t *url,
                       const ch_redis_peers_t *peers, ch_redis_conn_t *conn,
                       apr_uint64_t *run, ch_redis_fault_t *fault);
void ch_redis_conn_close(ch_redis_conn_t *conn);

/* An idle connection has nothing to read; if there is something, it is the
 * server's farewell. */
int ch_redis_conn_is_idle(const ch_redis_conn_t *conn);

/* Adds a command in the protocol's form; plain: a script by its text. */
void ch_redis_format(ch_buf_t *buf, const ch_redis_command_t *command,
                     int plain);

/* Replies that are read next are made in pool. */
void ch_redis_conn_aim(ch_redis_conn_t *conn, apr_pool_t *pool);

/* Until ch_redis_now() is `deadline`: 1, or 0 and a fault. */
int ch_redis_conn_send(ch_redis_conn_t *conn, const ch_buf_t *data,
                       apr_time_t deadline, ch_redis_fault_t *fault);
int ch_redis_conn_read(ch_redis_conn_t *conn, apr_time_t deadline,
                       const ch_redis_reply_t **out, ch_redis_fault_t *fault);

/* Why a Redis that says this is of no use at all, NULL for an error of the
 * command itself. */
const char *ch_redis_useless(const ch_redis_reply_t *reply);

#endif
