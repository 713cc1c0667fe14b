/* Socket.IO sockets: who is connected to which namespace, and what they say.
 * Loop thread only. */
#ifndef CH_REALTIME_SOCKET_H
#define CH_REALTIME_SOCKET_H

#include "realtime/engine.h"
#include "realtime/socketio.h"

typedef struct ch_user_t ch_user_t;
typedef struct ch_sub_t ch_sub_t;
typedef struct ch_waiting_t ch_waiting_t;

/* In the namespace "/". */
struct ch_sock_t {
    apr_uint64_t id; /* tells it from all others, of other children too */
    ch_engine_t *engine;
    ch_user_t *user;
    ch_sock_t *next; /* of the same user */
    ch_sub_t *subs;  /* rooms it is subscribed to */
    unsigned char session[16];
    apr_int64_t expires; /* seconds */
    ch_role_e role;
    int verified;
    apr_uint32_t stamp; /* of deliver.c */
    unsigned told_expired : 1;
    ch_waiting_t *waiting, **last; /* events, in their order */
    size_t bytes;         /* of those that wait */
    unsigned running : 1; /* one is being handled */
    apr_uint32_t counted; /* events in this minute */
    apr_time_t minute;    /* when it began */
};

/* A message of a session's client; 0: it is to be closed. */
int ch_socket_message(ch_engine_t *engine, int binary, const char *data,
                      size_t len);

/* The token of its socket has expired: 1 the first time. */
int ch_socket_expired(ch_engine_t *engine);

/* The session is over. */
void ch_socket_over(ch_engine_t *engine);

/* Less waits to be read by the session's client, or nothing. */
void ch_socket_read(ch_engine_t *engine);

/* NULL when there is none (any more). */
ch_sock_t *ch_socket_find(apr_uint64_t id);

/* Sends an event with one argument. */
void ch_socket_emit(ch_sock_t *sock, const char *event, const char *data);

/* Tells it that its session has ended, and ends it. */
void ch_socket_revoke(ch_sock_t *sock);

/* A payload whole, with its attachments: of "/echo". echo.c */
int ch_echo_connect(ch_engine_t *engine, const ch_sio_packet_t *packet);
int ch_echo_event(ch_engine_t *engine, const ch_sio_packet_t *packet,
                  const ch_partial_t *partial);

/* What came of a packet so far. */
struct ch_partial_t {
    ch_sio_packet_t packet; /* its texts point into `text` */
    char *text;
    ch_chunk_t **parts; /* the attachments */
    int count;
    size_t bytes;
};

/* --- connect.c --------------------------------------------------------- */

/* Finds out who connects to "/", and answers. 0: it is to be closed. */
int ch_connect(ch_engine_t *engine, const ch_sio_packet_t *packet);

/* Who is behind a token, or (NULL) a session cookie: rq->who, and until when
 * that is good, in seconds. In a hand. */
ch_err_t *ch_connect_identify(ch_req_t *rq, const char *token,
                              const char *cookie, apr_int64_t *expires);

/* --- event.c ------------------------------------------------------------ */

/* An event of a socket, to be handled after those before it. */
void ch_event_take(ch_sock_t *sock, const ch_sio_packet_t *packet);

/* Some of what was sent to it was read: the next event may have waited for
 * that. */
void ch_event_resume(ch_sock_t *sock);

/* The socket is over: what waits is forgotten. */
void ch_event_drop(ch_sock_t *sock);

#endif
