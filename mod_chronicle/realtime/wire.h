/* Records from child to child of one server: each child has a slot with an
 * inbox, a socket that keeps records apart and in order. A record is some
 * bytes, which this file doesn't look at, and perhaps a descriptor. */
#ifndef CH_REALTIME_WIRE_H
#define CH_REALTIME_WIRE_H

#include "chronicle.h"

#define CH_WIRE_SLOTS_MAX 512
#define CH_WIRE_ALL (-1)

/* --- parent ----------------------------------------------------------- */

/* Makes the inboxes, once in the life of the server: `kept` is what an earlier
 * call returned (NULL = there was none) and is then used as it is. Lives with
 * pool. NULL when the system refuses. */
typedef struct ch_wire_kept_t ch_wire_kept_t;
ch_wire_kept_t *ch_wire_make(apr_pool_t *pool, ch_wire_kept_t *kept,
                             int slots);

/* Memory shared by all processes, zeroed when new: who has which slot. Call
 * after ch_wire_make. */
void ch_wire_open(void *memory);
size_t ch_wire_size(void);

/* --- child ------------------------------------------------------------ */

/* Takes a free slot (nobody's, or of a process that is dead) and empties its
 * inbox: 1, or 0 when there is none. Registers that it is given back with
 * pool. */
int ch_wire_claim(apr_pool_t *pool);

/* The slot of this child, -1 = none; and what tells this life of the slot from
 * earlier ones. */
int ch_wire_slot(void);
apr_uint32_t ch_wire_life(int slot);

/* Whether the process that has the slot is there. */
int ch_wire_lives(int slot);

/* Whether this child wants what is told to all: it has sockets. */
void ch_wire_listen(int on);

/* Whether any child of this server does. */
int ch_wire_heard(void);

/* Numbers that each child keeps of itself, by ch_eio_transport_e: 0 when it
 * claims its slot. Gives the new one; 0 without a slot. From any thread. */
#define CH_WIRE_COUNTS 2
int ch_wire_count(int what, int by);

/* Their sums over the children that live: what a dead one had is gone with
 * it. From any process. */
void ch_wire_counts(apr_int64_t out[CH_WIRE_COUNTS]);

/* How many descriptors of clients this child may hold: 0 until it is said, and
 * for one that takes nobody. */
void ch_wire_limit(int most);

/* A child holds so many more, or some are on their way to it. From any
 * thread. */
void ch_wire_hold(int slot, int by);

/* The other child of this server with the most room for more, -1 = none has
 * room for `least`. From any thread. */
int ch_wire_roomiest(int least);

/* The descriptor of the own inbox, to be watched. */
int ch_wire_fd(void);

/* The next record of the own inbox: 1 and its bytes, in pool, and *fd (-1 =
 * none; the caller closes it); 0 when there is none. One thread reads. A
 * record whose descriptor does not come through is passed over. */
int ch_wire_next(apr_pool_t *pool, ch_bytes_t *out, int *fd);

/* From any thread. Sends a record to one slot, or (CH_WIRE_ALL) to all
 * children that listen, this one included. Long ones go through a file that
 * has no name. fd: a duplicate is sent along, -1 = none. An inbox that is
 * full is waited for, up to a second in all; but not by the thread that reads,
 * which others may be waiting for, and not when its child is dead. The number
 * of children that got it. */
int ch_wire_tell(int slot, const void *data, size_t len, int fd);

#endif
