/* What goes from child to child and from server to server, as bytes. */
#ifndef CH_REALTIME_RECORD_H
#define CH_REALTIME_RECORD_H

#include "realtime/publish.h"

typedef enum {
    CH_RECORD_PUB,     /* a ch_pub_t */
    CH_RECORD_CALL,    /* a request of a client for the owner of its session */
    CH_RECORD_ANSWER,  /* the answer to a call */
    CH_RECORD_SOCKET,  /* a websocket for a session, with its descriptor */
    CH_RECORD_COMER,   /* a websocket that begins a session, with the same */
    CH_RECORD_SESSION, /* the session of `user` (its id) has ended */
    CH_RECORD_USER,    /* `user` has changed */
    CH_RECORD_DOUBT    /* announcements may have been missed */
} ch_record_e;

/* One shape for all; who reads it knows which members his kind has. */
typedef struct {
    ch_record_e kind;
    int what;        /* ch_pub_e, ch_call_e; of a comer: ch_conf_t's id */
    int site;        /* ch_conf_t's */
    int slot;        /* of the sender of a call */
    int fault;       /* of an answer: ch_eio_fault_e */
    apr_uint64_t id; /* of a call; the socket that is left out; of a comer:
                      * the server's generation */
    apr_int64_t number, seq;
    unsigned char room[16], user[16]; /* zero = none */
    ch_bytes_t name; /* of the event; the sid */
    ch_bytes_t data; /* payload, body */
    ch_bytes_t more; /* rooms, 16 bytes each; the calling server's name; a
                      * comer's address and cookie, each with its NUL */
} ch_record_t;

/* In pool. */
ch_bytes_t ch_record_write(apr_pool_t *pool, const ch_record_t *record);

/* 0 when it is none of this release. Texts point into bytes. */
int ch_record_read(ch_bytes_t bytes, ch_record_t *out);

/* ch_req_t's `after`: tells all that was noted. */
void ch_record_send_all(ch_req_t *rq);

/* Tells one thing at once, to all children of this server and to others. */
void ch_record_send(apr_pool_t *pool, const ch_conf_t *conf,
                    const ch_record_t *record);

/* Tells at once that notes or folders of the user (his id) have changed: to be
 * called after the commit, by whoever wrote them, a request or a job. */
void ch_record_send_sync(apr_pool_t *pool, const ch_conf_t *conf,
                         const char *user);

/* The record of something published, in pool. */
void ch_record_of(apr_pool_t *pool, const ch_conf_t *conf,
                  const ch_pub_t *pub, ch_record_t *out);

#endif
