/* Where requests for /socket.io/ come in: what a worker's thread answers at
 * once, and which connections are handed to the loop. */
#ifndef CH_REALTIME_DOOR_H
#define CH_REALTIME_DOOR_H

#include "realtime/conn.h"
#include "realtime/ws.h"
#include "web/request.h"

typedef enum {
    CH_DOOR_ANSWER,    /* send this answer as usual */
    CH_DOOR_WEBSOCKET, /* send 101 and hand the connection over */
    CH_DOOR_POLL       /* hand it over: the loop writes the answer */
} ch_door_e;

typedef struct {
    ch_door_e kind;
    int status;               /* of ANSWER; headers are in rq->out */
    const char *content_type; /* the same */
    ch_bytes_t body;          /* the same; in the request's pool */
    char accept[CH_WS_ACCEPT_LEN + 1]; /* of WEBSOCKET */
    void *ticket; /* for exactly one of take and leave */
} ch_door_t;

/* Looks at a request: method, query, Origin, upgrade headers, and the body of
 * a POST. waiting NULL: the connection may be handed over. Else it is no
 * socket of its own (a stream of HTTP/2): a poll then waits in this thread,
 * there are no websockets, and *waiting counts the polls that wait so on the
 * same connection (0 at first). */
void ch_door_ask(ch_req_t *rq, int *waiting, ch_door_t *out);

/* A connection for the loop. Non-blocking. */
typedef struct {
    int fd;
    const ch_carrier_t *carrier; /* NULL = fd is all there is to it */
    void *ctx;
    ch_bytes_t early; /* what was read of it beyond the request */
    /* Of a poll: status line and headers of its answer, but for Date,
     * Content-Length and the empty line. */
    const char *head;
} ch_door_conn_t;

/* Hands it over; fd (or carrier) is the loop's from now on. */
void ch_door_take(void *ticket, const ch_door_conn_t *conn);

/* It could not be handed over. */
void ch_door_leave(void *ticket);

#endif
