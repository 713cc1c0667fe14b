/* What happened, for everybody whom it concerns, wherever their sockets are:
 * in any child of this server, or on another one. From any thread. */
#ifndef CH_REALTIME_PUBLISH_H
#define CH_REALTIME_PUBLISH_H

#include "web/request.h"

typedef enum {
    /* Nothing but the event: to the subscribers of `room`, else to the
     * sockets of `user`. */
    CH_PUB_EMIT,
    /* A new message, number `seq`, by `user`: to the subscribers; members
     * whose count of unread messages changed are told ("unread"). */
    CH_PUB_MESSAGE,
    /* There is a message with this `seq`: whoever wrote it asked again, so
     * perhaps nobody was told. */
    CH_PUB_AGAIN,
    /* The user's marker is at `seq`: to the subscribers; "unread" to him. */
    CH_PUB_READ,
    /* `user` is a member now, his marker at `seq`; number 0: of a new room. */
    CH_PUB_JOINED,
    /* He is no member any more: to the subscribers, himself included, whose
     * sockets then are none any more. */
    CH_PUB_LEFT,
    /* The room is gone: to the subscribers, who then are none any more. */
    CH_PUB_GONE,
    /* Nothing but the event: to the subscribers of all `rooms`, once. */
    CH_PUB_PRESENCE,
    /* `user` types in the room (seq 1), or stopped (0). */
    CH_PUB_TYPING,
    /* Notes or folders of `user` changed; the event is made where he is. */
    CH_PUB_SYNC
} ch_pub_e;

typedef struct {
    ch_pub_e what;
    const char *room; /* NULL = none */
    const char *user; /* whom it is about, NULL = nobody */
    /* chat_rooms.event_seq, which the statement that made the change gave it
     * under the room's lock: events with a number reach every socket in its
     * order. 0 = this one may come at any time. */
    apr_int64_t number;
    apr_int64_t seq;   /* of a message */
    const char *event; /* its name; NULL = nothing is emitted */
    ch_bytes_t data;   /* its payload: one JSON value */
    apr_uint64_t except; /* the socket that does not get it, 0 = none */
    const char *rooms;   /* of PRESENCE: ids as Postgres writes uuid[] */
} ch_pub_t;

/* Notes what is to be told once the request (or event) has succeeded and is
 * committed, before it is answered. Everything is copied. */
void ch_publish(ch_req_t *rq, const ch_pub_t *pub);

/* A buffer of the request's pool for `data`. */
ch_buf_t *ch_publish_buf(ch_req_t *rq);

/* {"key":<row>} with row 0 of rows by this table, as `data` of an event. */
ch_bytes_t ch_publish_row(ch_req_t *rq, const char *key,
                          const ch_fields_t *fields, const ch_rows_t *rows);

#endif
