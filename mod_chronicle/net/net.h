/* What everything that goes out to third parties has in common. */
#ifndef CH_NET_NET_H
#define CH_NET_NET_H

#include "chronicle.h"

/* Whether whoever waits for a third party should give up, because the server
 * stops; asked about once a second. */
typedef struct {
    int (*asked)(void *ctx); /* NULL = never */
    void *ctx;
} ch_stop_t;

/* In each child, before it has threads. */
apr_status_t ch_net_open(void);

#endif
