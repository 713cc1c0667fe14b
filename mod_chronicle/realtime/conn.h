/* A connection that the loop holds: bytes in and out, without waiting. What is
 * sent is written at the end of the turn, all of it in one call; what does not
 * go is kept, up to a bound. Loop thread only. */
#ifndef CH_REALTIME_CONN_H
#define CH_REALTIME_CONN_H

#include <sys/uio.h>

#include "realtime/chunk.h"
#include "realtime/loop.h"

#define CH_CONN_BACKLOG_MAX 1048576 /* bytes kept for a slow reader */

/* How bytes come and go, where they are not simply a descriptor's. */
typedef struct {
    /* Bytes read; 0 = the end; -1 = nothing now; -2 = it is broken. */
    ssize_t (*read)(void *ctx, char *data, size_t size);
    /* Bytes taken; -1 = none now; -2 = it is broken. */
    ssize_t (*write)(void *ctx, const struct iovec *parts, int count);
    /* All is written: tells the other side that this is the end. What is
     * called after this is close. */
    void (*finish)(void *ctx);
    /* The loop lets go of it: nothing of it is called after this. ctx may
     * only now be disposed of. Whoever handed it over may still have been
     * about it for a moment: this comes a second later than all else. */
    void (*close)(void *ctx);
} ch_carrier_t;

typedef struct ch_conn_t ch_conn_t;

/* Who owns it. Inside the calls the owner may send and close. */
typedef struct {
    void (*data)(ch_conn_t *conn, void *owner, const char *data, size_t len);
    /* It ended, broke, or was closed for being slow; it is gone after this.
     * Not called when the owner closed it. */
    void (*lost)(ch_conn_t *conn, void *owner);
    /* Nothing waits to be written, as at the end of many turns. May be
     * NULL. */
    void (*drained)(ch_conn_t *conn, void *owner);
} ch_conn_owner_t;

/* Takes over fd, which is closed at the end. carrier NULL: read and written
 * as it is; else fd only tells when (and belongs to the carrier, which closes
 * it). Non-blocking. NULL (and it is closed) when the system refuses. */
ch_conn_t *ch_conn_make(ch_loop_t *loop, int fd, const ch_carrier_t *carrier,
                        void *ctx, const ch_conn_owner_t *owner, void *owned);

/* Another owner from now on. */
void ch_conn_own(ch_conn_t *conn, const ch_conn_owner_t *owner, void *owned);

/* Sends a chunk, of which it takes a reference. When the backlog is full the
 * connection is lost at the end of the turn. */
void ch_conn_send(ch_conn_t *conn, ch_chunk_t *chunk);

/* Bytes that wait to be sent. */
size_t ch_conn_backlog(const ch_conn_t *conn);

/* Whether nothing is read of it for now: the other side has to wait. */
void ch_conn_hold(ch_conn_t *conn, int on);

/* Sends what waits, tells the other side, and closes once that has closed, or
 * after two seconds. conn is not to be used any more. */
void ch_conn_close(ch_conn_t *conn);

/* Closes at once. */
void ch_conn_drop(ch_conn_t *conn);

/* How many there are in this process, those that are still closing included.
 * Any thread. */
int ch_conn_count(void);

#endif
