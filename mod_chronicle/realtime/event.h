/* Events that clients may send over Socket.IO: rows, like those of routes. A
 * handler runs in a thread that may wait for the database, for one event of a
 * socket after the other. */
#ifndef CH_REALTIME_EVENT_H
#define CH_REALTIME_EVENT_H

#include "web/request.h"

typedef struct {
    /* As of a request: pool, conf, db, who (sure), body by the row's table,
     * given, nulls. There are no headers, and nothing is replied by it. */
    ch_req_t *rq;
    apr_uint64_t socket; /* the sender's; for ch_pub_t.except */
    ch_buf_t *data;      /* the handler writes the ack's data: one value */
    void *task;          /* of realtime/ */
} ch_event_t;

typedef ch_err_t *ch_event_handler_t(ch_event_t *event);

typedef struct {
    const char *name;
    ch_feature_e feature;
    ch_rate_e rate; /* CHAT, or NONE: what a socket may send in all */
    const ch_fields_t *in;
    ch_event_handler_t *handler;
} ch_event_row_t;

typedef struct {
    const ch_event_row_t *rows;
    int count;
} ch_events_t;

#define CH_EVENTS(table_rows)                                                 \
    { .rows = table_rows, .count = (int)CH_COUNT(table_rows) }

/* Subscribes the sender's socket to a room. What is published from now on is
 * kept for it until the ack is out, so a look at the database after this
 * misses nothing. When the handler fails it is undone. */
void ch_event_subscribe(ch_event_t *event, const char *room);

/* What the database said when it was looked at: events of the room up to this
 * number (chat_rooms.event_seq) and messages up to seq are in the ack. */
void ch_event_seen(ch_event_t *event, const char *room, apr_int64_t number,
                   apr_int64_t seq);

/* Ends the subscription once the handler has succeeded. */
void ch_event_unsubscribe(ch_event_t *event, const char *room);

/* Whether the sender's socket is subscribed to the room. */
int ch_event_is_subscribed(ch_event_t *event, const char *room);

/* The user types in the room, or stopped: the event "typing" is told to its
 * other sockets, and taken back after 5 s. */
void ch_event_typing(ch_event_t *event, const char *room, int on);

/* The socket is of this session now, and until when its token is good,
 * seconds. */
void ch_event_renew(ch_event_t *event, const char *session,
                    apr_int64_t expires);

#endif
