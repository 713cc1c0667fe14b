/* Connections on their way from the server to the loop. */
#ifndef CH_HTTPD_UPGRADE_H
#define CH_HTTPD_UPGRADE_H

#include "httpd/server.h"
#include "realtime/door.h"

/* What we know of a connection; in its pool. */
typedef struct {
    conn_rec *c;
    int inside;     /* its requests are being processed, inside of our hook */
    int is_wanted;  /* the loop is to have it, by this ticket */
    void *ticket;
    const char *head; /* of ch_door_conn_t */
    int suspending; /* it goes to the loop when the MPM has let go of it */
    apr_bucket_brigade *in, *out;
    int owed; /* a byte of the last write is with a filter */
    int waiting; /* of ch_door_ask */
} ch_link_t;

/* Over the connection's filters; ctx is a ch_link_t. Closing it ends the
 * connection and its pool. */
extern const ch_carrier_t ch_carrier_filters;

/* Its read. */
ssize_t ch_carrier_read(ch_link_t *link, char *data, size_t size);

/* Carries bytes between the client (a descriptor that tells when to ask the
 * filters) and the loop's end of a pair, until one of them ends: the loop's
 * does when the server stops. Keeps the thread. */
void ch_carrier_work(ch_link_t *link, int client, int loop);

#endif
