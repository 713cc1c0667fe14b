/* Engine.IO sessions: their transports, heartbeats and upgrades. Loop thread
 * only, but where said. */
#ifndef CH_REALTIME_ENGINE_H
#define CH_REALTIME_ENGINE_H

#include "realtime/core.h"
#include "realtime/door.h"
#include "realtime/engineio.h"
#include "realtime/ws.h"

#define CH_SID_LEN 48

/* Times at which something is due. */
typedef enum {
    CH_DUE_BEAT,    /* a ping, or the pong that has not come */
    CH_DUE_CONNECT, /* nobody has connected to a namespace */
    CH_DUE_TOKEN,   /* the token expires, or has for long enough */
    CH_DUE__COUNT
} ch_due_e;

typedef struct ch_poll_t ch_poll_t;
typedef struct ch_partial_t ch_partial_t;

struct ch_engine_t {
    char sid[CH_SID_LEN + 1];
    const ch_conf_t *conf;
    ch_conn_t *conn;       /* its websocket, NULL while it polls */
    ch_ws_t *half;         /* what is half read of it */
    ch_poll_t *poll;       /* of a session that polls */
    ch_timer_t timer;      /* the next of `due` */
    apr_time_t due[CH_DUE__COUNT]; /* 0 = never */
    char *client_ip;
    char *cookie;          /* the session cookie, NULL = none */
    ch_sock_t *sock;       /* in "/", NULL = not connected */
    ch_partial_t *partial; /* a packet whose attachments are to come */
    unsigned awaits_pong : 1;
    unsigned connecting : 1; /* to "/" */
    unsigned deaf : 1;     /* it takes nothing, or does not answer: it ends */
    unsigned echo : 1;     /* connected to "/echo" */
    unsigned busy : 1;     /* inside a call: it is not freed */
    unsigned over : 1;
};

/* Who began a session. Copied. */
typedef struct {
    const ch_conf_t *conf;
    const char *sid;
    const char *client_ip;
    const char *cookie; /* NULL = none */
} ch_engine_in_t;

/* A session that polls, and one that begins with its websocket (whose open
 * packet is sent). */
ch_engine_t *ch_engine_open(const ch_engine_in_t *in);
void ch_engine_open_socket(const ch_engine_in_t *in,
                           const ch_door_conn_t *from);

/* The open packet's payload, in pool. Any thread. */
const char *ch_engine_hello(apr_pool_t *pool, const ch_conf_t *conf,
                            const char *sid, int can_upgrade);

/* NULL when there is none. */
ch_engine_t *ch_engine_find(const char *sid, size_t len);

/* The session has its websocket now. */
void ch_engine_take(ch_engine_t *engine, ch_conn_t *conn);

/* Sends a packet; the caller keeps its reference. */
void ch_engine_send(ch_engine_t *engine, ch_chunk_t *packet);

/* Bytes that wait for its client to read them. */
size_t ch_engine_backlog(const ch_engine_t *engine);

/* Ends it, after what waits was sent; code: of the websocket's close frame. */
void ch_engine_close(ch_engine_t *engine, int code);

void ch_engine_due(ch_engine_t *engine, ch_due_e what, apr_time_t at);

/* --- polls.c ----------------------------------------------------------- */

/* A poll or a post for a session that is here, or the question whether it may
 * be upgraded, or that a poll's client is gone; answered by ch_call_answer. */
void ch_poll_call(const ch_record_t *call);

/* A websocket for a session that polls. */
void ch_poll_upgrade(ch_engine_t *engine, const ch_door_conn_t *from);

ch_poll_t *ch_poll_make(ch_engine_t *engine);
void ch_poll_send(ch_poll_t *poll, ch_chunk_t *packet);

/* Bytes that wait for the next poll. */
size_t ch_poll_backlog(const ch_poll_t *poll);

/* The session is no more. */
void ch_poll_end(ch_poll_t *poll);

/* The session is over: what waits is for the next poll, and for the one after
 * it that it is closed. 0: all is said. */
int ch_poll_linger(ch_poll_t *poll);

/* --- engine.c, for polls.c ---------------------------------------------- */

/* A packet of a client, by any transport. 0: close. */
int ch_engine_packet(ch_engine_t *engine, const ch_eio_packet_t *packet);

/* The same of a websocket's message, which closes it where needed. */
void ch_engine_message(ch_engine_t *engine, int binary, const char *data,
                       size_t len);

/* A session that is over and lingers is no more. */
void ch_engine_end(ch_engine_t *engine);

/* When it was busy and is over: it is freed. */
void ch_engine_idle(ch_engine_t *engine);

#endif
