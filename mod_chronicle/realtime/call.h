/* Questions of one thread or connection to the owner of a session, which may
 * be another child or another server. */
#ifndef CH_REALTIME_CALL_H
#define CH_REALTIME_CALL_H

#include "realtime/core.h"
#include "realtime/door.h"
#include "realtime/engineio.h"

typedef enum {
    CH_CALL_POLL,    /* what is there for the client; may wait */
    CH_CALL_POSTING, /* the client begins to say something: post or spoil is
                      * to follow */
    CH_CALL_POST,    /* what the client says */
    CH_CALL_SPOIL,   /* it said too much, or not all of it; no answer */
    CH_CALL_UPGRADE, /* whether a websocket may come */
    CH_CALL_GONE,    /* the client of the poll `id` is gone; no answer */
    CH_CALL_LOOK     /* a poll that does not wait */
} ch_call_e;

/* Where an answer goes. */
typedef struct {
    apr_uint64_t id;
    int slot;
    int site;
    char server[33]; /* "" = this one */
} ch_caller_t;

/* In the child, before anything else. */
void ch_call_open(void);

/* --- any thread --------------------------------------------------------- */

/* A new sid, which names its owner: this child. In pool. */
const char *ch_call_sid(apr_pool_t *pool, const ch_conf_t *conf,
                        int slot);

/* The owner of a sid: 1 and its server ("" = this one) and slot; 0 when the
 * sid is none of ours, or its owner lives no more. */
int ch_call_owner(const ch_conf_t *conf, const char *sid, char server[33],
                  int *slot);

/* A question under way, of one thread. */
typedef struct ch_call_t ch_call_t;

/* Asks. body: of a post. NULL when there is no such owner. */
ch_call_t *ch_call_ask(ch_req_t *rq, ch_call_e what, const char *sid,
                       ch_bytes_t body);

/* Waits up to ms. 1: *fault and *body (in rq's pool) are there, and the call
 * is no more. */
int ch_call_wait(ch_req_t *rq, ch_call_t *call, int ms, ch_eio_fault_e *fault,
                 ch_bytes_t *body);

/* Tells the owner something to which there is no answer. */
void ch_call_tell(ch_req_t *rq, ch_call_e what, const char *sid);

/* Nobody waits any more; the owner of a poll is told. */
void ch_call_leave(ch_call_t *call);

/* --- loop thread -------------------------------------------------------- */

/* A connection waits on for the answer of a poll; head as ch_door_conn_t has
 * it. */
void ch_call_hand_over(ch_call_t *call, const ch_door_conn_t *from);

/* Answers. */
void ch_call_answer(const ch_caller_t *caller, ch_eio_fault_e fault,
                    ch_bytes_t body);

/* An answer that came. */
void ch_call_answered(const ch_record_t *answer);

#endif
