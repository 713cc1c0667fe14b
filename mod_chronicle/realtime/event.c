/* What handlers of events ask of the loop. */
#include "realtime/event.h"

void ch_event_subscribe(ch_event_t *event, const char *room)
{
}

void ch_event_seen(ch_event_t *event, const char *room, apr_int64_t number,
                   apr_int64_t seq)
{
}

void ch_event_unsubscribe(ch_event_t *event, const char *room)
{
}

int ch_event_is_subscribed(ch_event_t *event, const char *room)
{
    return 1;
}

void ch_event_typing(ch_event_t *event, const char *room, int on)
{
}

void ch_event_renew(ch_event_t *event, apr_int64_t expires)
{
}
