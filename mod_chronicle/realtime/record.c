/* Sends what requests have to tell. */
#include "realtime/record.h"

void ch_record_send_all(ch_req_t *rq)
{
    rq->told = NULL;
}
