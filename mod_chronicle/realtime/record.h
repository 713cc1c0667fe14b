/* What happened, as bytes that go from child to child and server to server. */
#ifndef CH_REALTIME_RECORD_H
#define CH_REALTIME_RECORD_H

#include "realtime/publish.h"

/* ch_req_t's `after`: tells all that was noted. */
void ch_record_send_all(ch_req_t *rq);

#endif
