/* Acts on what is published: sends events to those whom they concern, the
 * events of one room in the order of their numbers. */
#include <string.h>

#include <apr_strings.h>

#include "base/heap.h"
#include "base/uuid.h"
#include "realtime/hands.h"
#include "realtime/hub.h"
#include "realtime/typing.h"

#define GAP_AFTER (APR_USEC_PER_SEC / 4)

/* --- sending ---------------------------------------------------------- */

static ch_chunk_t *chunk_of(const ch_record_t *record)
{
    char name[64];

    if (!record->name.len || record->name.len >= sizeof(name)) {
        return NULL;
    }
    memcpy(name, record->name.data, record->name.len);
    name[record->name.len] = '\0';
    return ch_sio_emit(name, record->data);
}

/* Whether nothing is to follow it. */
static int is_last(const ch_sub_t *sub, const ch_record_t *record)
{
    return record->what == CH_PUB_GONE
           || (record->what == CH_PUB_LEFT
               && memcmp(record->user, sub->sock->user->key, 16) == 0);
}

static void hold_back(ch_sub_t *sub, ch_chunk_t *chunk,
                      const ch_record_t *record)
{
    ch_held_t *held = ch_heap_take(sizeof(*held));

    held->chunk = ch_chunk_hold(chunk);
    held->number = record->number;
    held->ends = is_last(sub, record) ? 1 : 0;
    *sub->held_end = held;
    sub->held_end = &held->next;
}

static void to_room(ch_room_t *room, const ch_record_t *record)
{
    ch_chunk_t *chunk = room->subs ? chunk_of(record) : NULL;
    ch_sub_t *sub;

    for (sub = chunk ? room->subs : NULL; sub; sub = sub->next_sock) {
        if (record->number && record->number <= sub->base) {
            continue;
        }
        if (record->id && record->id == sub->sock->id) {
            continue;
        }
        if (sub->holds) {
            hold_back(sub, chunk, record);
        }
        else {
            ch_engine_send(sub->sock->engine, chunk);
        }
    }
    ch_chunk_drop(chunk);
}

void ch_deliver_to_user(ch_user_t *user, ch_chunk_t *chunk)
{
    ch_sock_t *sock;

    for (sock = user->socks; sock; sock = sock->next) {
        ch_engine_send(sock->engine, chunk);
    }
}

/* --- unread ----------------------------------------------------------- */

/* Most members have the same count, so the last ones' are kept. */
#define COUNTS 8

typedef struct {
    const ch_room_t *room;
    apr_int64_t count[COUNTS];
    ch_chunk_t *chunk[COUNTS];
} counts_t;

static ch_chunk_t *unread_chunk(const ch_room_t *room, apr_int64_t count)
{
    char id[CH_UUID_LEN + 1], data[128];

    ch_uuid_text(room->key, id);
    apr_snprintf(data, sizeof(data),
                 "{\"roomId\":\"%s\",\"unreadCount\":%" APR_INT64_T_FMT "}",
                 id, count);
    return ch_sio_emit("unread", (ch_bytes_t){ data, strlen(data) });
}

static void tell_unread(counts_t *counts, const ch_member_t *member)
{
    apr_int64_t count = member->room->last_seq - member->mark;
    int at = (int)(count % COUNTS);

    if (count < 0 || !member->user->socks) {
        return;
    }
    if (!counts->chunk[at] || counts->count[at] != count) {
        ch_chunk_drop(counts->chunk[at]);
        counts->chunk[at] = unread_chunk(counts->room, count);
        counts->count[at] = count;
    }
    ch_deliver_to_user(member->user, counts->chunk[at]);
}

static void drop_counts(counts_t *counts)
{
    int i;

    for (i = 0; i < COUNTS; i++) {
        ch_chunk_drop(counts->chunk[i]);
    }
}

/* --- what each kind does ---------------------------------------------- */

static ch_member_t *member_of(ch_room_t *room, const unsigned char id[16])
{
    ch_user_t *user = ch_hub_user(room->conf->site, id);
    ch_member_t *member = user ? user->members : NULL;

    while (member && member->room != room) {
        member = member->next_room;
    }
    return member;
}

/* The sender has read what he wrote, and all before it. */
static void new_message(ch_room_t *room, const ch_record_t *record)
{
    counts_t counts = { .room = room };
    ch_member_t *sender, *member;
    apr_int64_t before;

    if (record->seq <= room->last_seq) {
        return; /* it was made good already */
    }
    to_room(room, record);
    before = room->last_seq;
    room->last_seq = record->seq;
    sender = member_of(room, record->user);
    for (member = room->members; member; member = member->next_user) {
        if (member != sender) {
            tell_unread(&counts, member);
        }
    }
    if (sender) {
        apr_int64_t mark = sender->mark;

        sender->mark = record->seq;
        if (mark < before) {
            tell_unread(&counts, sender);
        }
    }
    drop_counts(&counts);
}

static void marker_moved(ch_room_t *room, const ch_record_t *record)
{
    counts_t counts = { .room = room };
    ch_member_t *member = member_of(room, record->user);

    to_room(room, record);
    if (member && member->mark < record->seq) {
        member->mark = record->seq;
        tell_unread(&counts, member);
    }
    drop_counts(&counts);
}

static void enters(const ch_record_t *record)
{
    ch_user_t *user = ch_hub_moved(record->site, record->user);
    ch_membership_t as = { .mark = record->seq, .number = record->number,
                           .seq = record->seq };

    if (user) {
        memcpy(as.room, record->room, 16);
        ch_hub_member(user, &as);
    }
}

static void left(ch_room_t *room, const ch_record_t *record)
{
    ch_user_t *user = ch_hub_moved(record->site, record->user);

    to_room(room, record);
    if (user) {
        ch_hub_no_member(user, room, record->number);
    }
}

static void gone(ch_room_t *room, const ch_record_t *record)
{
    ch_sub_t *sub, *next;

    to_room(room, record);
    for (sub = room->subs; sub; sub = next) {
        next = sub->next_sock;
        if (!sub->holds) {
            ch_hub_unsubscribe(sub);
        }
    }
    while (room->members) {
        ch_hub_no_member(room->members->user, room, APR_INT64_MAX);
    }
}

static void act(ch_room_t *room, const ch_record_t *record)
{
    switch (record->what) {
    case CH_PUB_AGAIN:
        if (room->last_seq < record->seq) {
            ch_mend_look(room);
        }
        break;
    case CH_PUB_MESSAGE:
        new_message(room, record);
        break;
    case CH_PUB_READ:
        marker_moved(room, record);
        break;
    case CH_PUB_JOINED:
        to_room(room, record);
        enters(record);
        break;
    case CH_PUB_LEFT:
        left(room, record);
        break;
    case CH_PUB_GONE:
        gone(room, record);
        break;
    default:
        to_room(room, record);
        break;
    }
}

/* --- order ------------------------------------------------------------ */

/* What is missing may be lost. */
static void watch_gap(ch_room_t *room)
{
    if (!room->timer.link) {
        ch_loop_timer_set(ch_core.loop, &room->timer,
                          ch_loop_now(ch_core.loop) + GAP_AFTER);
    }
}

static void keep_early(ch_room_t *room, const ch_record_t *record)
{
    ch_early_t **at = &room->early;
    size_t size = sizeof(**at) + record->name.len + record->data.len;
    ch_early_t *early;
    char *text;

    while (*at && (*at)->record.number < record->number) {
        at = &(*at)->next;
    }
    if (*at && (*at)->record.number == record->number) {
        return;
    }
    early = ch_heap_take(size);
    text = (char *)(early + 1);
    early->at = ch_loop_now(ch_core.loop);
    early->record = *record;
    early->record.name.data = memcpy(text, record->name.data,
                                     record->name.len);
    text += record->name.len;
    early->record.data.data = memcpy(text, record->data.data,
                                     record->data.len);
    early->next = *at;
    *at = early;
    watch_gap(room);
}

void ch_deliver_early(ch_room_t *room)
{
    ch_early_t *early;

    while ((early = room->early) != NULL
           && early->record.number <= room->next) {
        room->early = early->next;
        if (early->record.number == room->next) {
            room->next++;
            act(room, &early->record);
        }
        else if (early->record.what != CH_PUB_MESSAGE) {
            act(room, &early->record); /* messages were caught up */
        }
        ch_heap_give(early);
    }
    if (room->early || room->next <= room->behind) {
        watch_gap(room);
    }
    else {
        ch_loop_timer_clear(&room->timer);
    }
}

void ch_deliver_behind(ch_room_t *room, apr_int64_t number)
{
    if (room->next && room->next <= number && room->behind < number) {
        room->behind = number;
        watch_gap(room);
    }
}

/* An event of before the moment at which we began: the database knew of it
 * then, but was not asked about this user. */
static void look_again(const ch_record_t *record)
{
    ch_user_t *user;

    if (record->what == CH_PUB_JOINED || record->what == CH_PUB_LEFT) {
        user = ch_hub_moved(record->site, record->user);
        if (user) {
            ch_tend_sessions(user->conf, user);
        }
    }
}

static void in_order(ch_room_t *room, const ch_record_t *record)
{
    if (!record->number) {
        act(room, record);
    }
    else if (!room->next || record->number > room->next) {
        keep_early(room, record);
    }
    else if (record->number == room->next) {
        room->next++;
        act(room, record);
        ch_deliver_early(room);
    }
    else {
        look_again(record);
    }
}

void ch_deliver_missed(ch_room_t *room, const unsigned char user[16],
                       apr_int64_t seq, ch_bytes_t data)
{
    ch_record_t record = {
        .what = CH_PUB_MESSAGE,
        .seq = seq,
        .name = { "message:new", 11 },
        .data = data,
    };

    memcpy(record.user, user, 16);
    act(room, &record);
}

/* --- records ---------------------------------------------------------- */

static int is_set(const unsigned char id[16])
{
    static const unsigned char none[16];

    return memcmp(id, none, 16) != 0;
}

/* To each socket once, however many of the rooms it is in. */
static void to_rooms(const ch_record_t *record)
{
    static apr_uint32_t stamp;
    ch_chunk_t *chunk = chunk_of(record);
    size_t at;

    stamp++;
    for (at = 0; chunk && at + 16 <= record->more.len; at += 16) {
        const unsigned char *id =
            (const unsigned char *)record->more.data + at;
        ch_room_t *room = ch_hub_room(record->site, id);
        ch_sub_t *sub;

        for (sub = room ? room->subs : NULL; sub; sub = sub->next_sock) {
            if (sub->sock->stamp != stamp) {
                sub->sock->stamp = stamp;
                ch_engine_send(sub->sock->engine, chunk);
            }
        }
    }
    ch_chunk_drop(chunk);
}

/* A room of which nobody here is a member, or was: somebody may become one. */
static void elsewhere(const ch_record_t *record)
{
    if (record->what == CH_PUB_JOINED) {
        enters(record);
    }
    else if (record->what == CH_PUB_LEFT) {
        ch_hub_moved(record->site, record->user);
    }
}

void ch_deliver(const ch_record_t *record)
{
    ch_user_t *user;
    ch_room_t *room;
    ch_chunk_t *chunk;

    if (record->what == CH_PUB_PRESENCE) {
        to_rooms(record);
        return;
    }
    if (record->what == CH_PUB_TYPING) {
        ch_typing_set(record->site, record->room, record->user,
                      record->seq != 0);
    }
    if (is_set(record->room)) {
        room = ch_hub_room(record->site, record->room);
        if (room) {
            in_order(room, record);
            ch_hub_tidy(room);
        }
        else {
            elsewhere(record);
        }
        return;
    }
    user = ch_hub_user(record->site, record->user);
    if (!user) {
        return;
    }
    if (record->what == CH_PUB_SYNC) {
        ch_tend_sync(user);
        return;
    }
    chunk = chunk_of(record);
    if (chunk) {
        ch_deliver_to_user(user, chunk);
        ch_chunk_drop(chunk);
    }
}

/* --- telling ---------------------------------------------------------- */

typedef struct {
    ch_task_t task;
    ch_record_t record;
} tell_t;

static void tell(ch_task_t *task)
{
    ch_record_send(task->pool, task->conf, &((tell_t *)(void *)task)->record);
}

static void told(ch_task_t *task)
{
}

static ch_bytes_t copy(apr_pool_t *pool, ch_bytes_t bytes)
{
    return (ch_bytes_t){ apr_pmemdup(pool, bytes.data, bytes.len),
                         bytes.len };
}

void ch_deliver_tell(const ch_conf_t *conf, const ch_record_t *record)
{
    tell_t *t = ch_hands_task(sizeof(*t), conf);

    t->record = *record;
    t->record.name = copy(t->task.pool, record->name);
    t->record.data = copy(t->task.pool, record->data);
    t->record.more = copy(t->task.pool, record->more);
    t->task.work = tell;
    t->task.done = told;
    ch_hands_give(&t->task);
}
