/* Who is online, in the database that all servers share. Each of these is one
 * round trip, for any number of users; what changed for others to see is noted
 * by ch_publish: rq needs pool, conf, db, and `after` called in the end.
 *
 * Of several children that drop a user's sockets at the same moment, exactly
 * one tells that he went. */
#ifndef CH_REALTIME_PRESENCE_H
#define CH_REALTIME_PRESENCE_H

#include "web/request.h"

/* So often a place beats. After 20 s without it is late: it doesn't keep those
 * online who leave elsewhere; after 30 s it is none (presence.sql). */
#define CH_PRESENCE_BEAT apr_time_from_sec(10)

/* The place of a child: "<server>:<slot>:<life>", in pool. */
const char *ch_presence_place(apr_pool_t *pool, const char *server, int slot,
                              apr_uint32_t life);

/* A place has sockets of these users (const char *), which also is a beat; or
 * (down) not any more. */
ch_err_t *ch_presence_up(ch_req_t *rq, const char *place,
                         const apr_array_header_t *users);

/* One who comes: the same, and the rows of sql_hub_members as of then. */
ch_err_t *ch_presence_enter(ch_req_t *rq, const char *place, const char *user,
                            ch_rows_t **members);

ch_err_t *ch_presence_down(ch_req_t *rq, const char *place,
                           const apr_array_header_t *users);

/* status: online, away or busy. Nothing happens to one who is not online. */
ch_err_t *ch_presence_set(ch_req_t *rq, const char *user, const char *status);

/* The place is there. *lost: it had been forgotten, or is new, and all who are
 * there are to be told by ch_presence_up. */
ch_err_t *ch_presence_beat(ch_req_t *rq, const char *place, int *lost);

/* Places that are silent end: one of the servers that call this finds them. */
ch_err_t *ch_presence_sweep(ch_req_t *rq);

#endif
