/* The door of realtime/: what the server opens and closes. */
#ifndef CH_REALTIME_REALTIME_H
#define CH_REALTIME_REALTIME_H

#include "realtime/event.h"

/* A message that was missed: its sender, and the payload of "message:new". */
typedef struct {
    const char *user; /* NULL = nobody any more */
    apr_int64_t seq;
    ch_bytes_t data;
} ch_missed_t;

/* What the room borrows from the server. */
typedef struct {
    const ch_conf_t *const *confs; /* of each database, its first server's */
    int conf_count;
    const ch_conf_t *const *servers; /* all that have Socket.IO */
    int server_count;
    int generation; /* of these settings */
    const ch_events_t *const *events; /* tables of the product */
    int event_count;
    /* {"cursor":…} of "sync:changed" for rq->who, into data. */
    ch_err_t *(*sync_event)(ch_req_t *rq, ch_buf_t *data);
    /* Messages of a room after seq, oldest first, some 500 at most: an array
     * of ch_missed_t; and the room's event_seq of that moment, 0 when there
     * may be more of them. No room: *out is NULL. */
    ch_err_t *(*missed)(ch_req_t *rq, const char *room, apr_int64_t seq,
                        apr_int64_t *number, apr_array_header_t **out);
    const ch_io_t *io; /* of events; ch_req_t.io_ctx is conf's owner */
    void (*log)(void *ctx, char level, int number, const char *text);
    void *ctx; /* of log */
    int (*is_stopping)(void); /* the child takes no new connections */
    apr_time_t spread; /* of ch_realtime_end, begun as soon as that is so */
    int threads; /* that wait for the database */
    int sockets_max; /* descriptors that it may hold */
    int detaches; /* a connection in the clear is nothing but a descriptor */
} ch_realtime_t;

/* In a child, before its first request: threads and loop. 0 when the system
 * refuses: then there is no realtime in this child. */
int ch_realtime_begin(apr_pool_t *pool, const ch_realtime_t *conf);

/* The child ends: no new connections. Those that are there are told to come
 * back, over `spread`; returns when all are closed, and the threads have
 * ended. */
void ch_realtime_end(apr_time_t spread);

/* What the bus heard, from any thread: a letter of the bus ('s', 'u', 'r') and
 * its text. */
void ch_realtime_hear(const ch_conf_t *conf, char letter, const char *text,
                      size_t len);

/* Announcements may have been missed: sessions, rooms and members are looked
 * at anew. */
void ch_realtime_doubt(const ch_conf_t *conf);

#endif
