/* Carries bytes between a connection that can't leave its process and a pair
 * of sockets, one end of which can. */
#ifndef CH_REALTIME_PUMP_H
#define CH_REALTIME_PUMP_H

#include "realtime/door.h"

/* The end for somebody else, who closes it; -1 when the system refuses (the
 * connection is then closed). Any thread. */
int ch_pump_make(const ch_door_conn_t *conn);

#endif
