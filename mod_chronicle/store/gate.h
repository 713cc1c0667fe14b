/* A gate with room for so many at once; the others queue before it, first
 * come first served. mod_dbd's pool would let them wait for ever. */
#ifndef CH_STORE_GATE_H
#define CH_STORE_GATE_H

#include "chronicle.h"

typedef struct ch_gate_t ch_gate_t;

/* A gate in pool for `max` at once; NULL when the system has no mutex. */
ch_gate_t *ch_gate_make(apr_pool_t *pool, int max);

/* Goes in, waiting at most wait_ms: 1, or 0 when it took too long. */
int ch_gate_enter(ch_gate_t *gate, int wait_ms);

/* Goes out: the place is handed to the first in the queue. */
void ch_gate_leave(ch_gate_t *gate);

/* How many are in. */
int ch_gate_busy(const ch_gate_t *gate);

#endif
