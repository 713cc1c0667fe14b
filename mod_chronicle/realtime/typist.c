/* Tells a room who is typing, and takes it back when nothing more is heard. */
#include <string.h>

#include <apr_strings.h>

#include "base/heap.h"
#include "base/uuid.h"
#include "realtime/hub.h"
#include "realtime/typing.h"

typedef struct {
    ch_timer_t timer;
    ch_sub_t *sub;
} typist_t;

static void tell(ch_sub_t *sub, int on)
{
    char room[CH_UUID_LEN + 1], user[CH_UUID_LEN + 1], data[160];
    ch_record_t record = {
        .kind = CH_RECORD_PUB,
        .what = CH_PUB_TYPING,
        .site = sub->room->conf->site,
        .id = sub->sock->id,
        .seq = on,
        .name = { "typing", 6 },
    };

    ch_uuid_text(sub->room->key, room);
    ch_uuid_text(sub->sock->user->key, user);
    memcpy(record.room, sub->room->key, 16);
    memcpy(record.user, sub->sock->user->key, 16);
    apr_snprintf(data, sizeof(data),
                 "{\"roomId\":\"%s\",\"userId\":\"%s\",\"isTyping\":%s}", room,
                 user, on ? "true" : "false");
    record.data = (ch_bytes_t){ data, strlen(data) };
    ch_deliver_tell(sub->room->conf, &record);
}

static void stop(ch_sub_t *sub)
{
    ch_loop_timer_clear(sub->typing);
    ch_heap_give(sub->typing);
    sub->typing = NULL;
    tell(sub, 0);
}

static void on_time(ch_timer_t *timer)
{
    stop(((typist_t *)(void *)timer)->sub);
}

void ch_typist(ch_sub_t *sub, int on)
{
    typist_t *typist;

    if (!on) {
        if (sub->typing) {
            stop(sub);
        }
        return;
    }
    if (!sub->typing) {
        typist = ch_heap_take(sizeof(*typist));
        typist->sub = sub;
        typist->timer.due = on_time;
        sub->typing = &typist->timer;
    }
    ch_loop_timer_set(ch_core.loop, sub->typing,
                      ch_loop_now(ch_core.loop)
                          + apr_time_from_sec(CH_TYPING_SECONDS));
    tell(sub, 1);
}
