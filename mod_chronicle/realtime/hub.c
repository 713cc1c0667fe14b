/* Keeps rooms, users, memberships and subscriptions of this child. */
#include "realtime/hub.h"

#include <string.h>

#include "base/heap.h"
#include "base/uuid.h"

#define OFFLINE_AFTER apr_time_from_sec(5)

static apr_hash_t *users;
static apr_hash_t *rooms;

/* When something happened last to users who are not here, and to sessions, by
 * the last byte of their ids. */
static apr_time_t strangers[256];

void ch_hub_open(void)
{
    users = apr_hash_make(ch_core.pool);
    rooms = apr_hash_make(ch_core.pool);
}

static void make_key(unsigned char key[CH_KEY_LEN], int site,
                     const unsigned char id[16])
{
    memcpy(key, id, 16);
    key[16] = (unsigned char)site;
}

ch_user_t *ch_hub_user(int site, const unsigned char id[16])
{
    unsigned char key[CH_KEY_LEN];

    make_key(key, site, id);
    return apr_hash_get(users, key, CH_KEY_LEN);
}

void ch_hub_note(const unsigned char id[16])
{
    strangers[id[15]] = ch_loop_now(ch_core.loop);
}

ch_user_t *ch_hub_moved(int site, const unsigned char id[16])
{
    ch_user_t *user = ch_hub_user(site, id);

    if (user) {
        user->moved = ch_loop_now(ch_core.loop);
    }
    else {
        ch_hub_note(id);
    }
    return user;
}

int ch_hub_is_late(int site, const unsigned char id[16], apr_time_t since)
{
    const ch_user_t *user = ch_hub_user(site, id);

    return strangers[id[15]] >= since || (user && user->moved >= since);
}

ch_room_t *ch_hub_room(int site, const unsigned char id[16])
{
    unsigned char key[CH_KEY_LEN];

    make_key(key, site, id);
    return apr_hash_get(rooms, key, CH_KEY_LEN);
}

void ch_hub_each_user(void (*call)(ch_user_t *user, void *ctx), void *ctx)
{
    apr_hash_index_t *at = apr_hash_first(NULL, users);

    while (at) {
        ch_user_t *user = apr_hash_this_val(at);

        at = apr_hash_next(at);
        call(user, ctx);
    }
}

void ch_hub_each_room(void (*call)(ch_room_t *room, void *ctx), void *ctx)
{
    apr_hash_index_t *at = apr_hash_first(NULL, rooms);

    while (at) {
        ch_room_t *room = apr_hash_this_val(at);

        at = apr_hash_next(at);
        call(room, ctx);
    }
}

/* --- rooms ------------------------------------------------------------ */

static void on_gap(ch_timer_t *timer)
{
    ch_mend_room((ch_room_t *)(void *)((char *)timer
                                       - offsetof(ch_room_t, timer)));
}

static ch_room_t *get_room(const ch_conf_t *conf, const unsigned char id[16])
{
    ch_room_t *room = ch_hub_room(conf->site, id);

    if (!room) {
        room = ch_heap_take(sizeof(*room));
        make_key(room->key, conf->site, id);
        room->conf = conf;
        room->timer.due = on_gap;
        apr_hash_set(rooms, room->key, CH_KEY_LEN, room);
    }
    return room;
}

static void drop_early(ch_room_t *room)
{
    ch_early_t *early;

    while ((early = room->early) != NULL) {
        room->early = early->next;
        ch_heap_give(early);
    }
}

void ch_hub_tidy(ch_room_t *room)
{
    if (room->subs || room->members || room->catching) {
        return;
    }
    ch_loop_timer_clear(&room->timer);
    drop_early(room);
    apr_hash_set(rooms, room->key, CH_KEY_LEN, NULL);
    ch_heap_give(room);
}

/* What the database knew of the room is where we begin, unless we have begun:
 * then events of before are on their way to somebody here. */
static void begin_room(ch_room_t *room, apr_int64_t number, apr_int64_t seq)
{
    if (room->next) {
        return;
    }
    room->next = number + 1;
    room->last_seq = seq;
    ch_deliver_early(room);
}

/* --- memberships ------------------------------------------------------ */

static ch_member_t *find_member(const ch_user_t *user, const ch_room_t *room)
{
    ch_member_t *member = user->members;

    while (member && member->room != room) {
        member = member->next_room;
    }
    return member;
}

static ch_member_t *add_member(ch_user_t *user, ch_room_t *room)
{
    ch_member_t *member = ch_heap_take(sizeof(*member));

    member->user = user;
    member->room = room;
    member->next_room = user->members;
    user->members = member;
    member->next_user = room->members;
    member->link = &room->members;
    if (room->members) {
        room->members->link = &member->next_user;
    }
    room->members = member;
    return member;
}

void ch_hub_member(ch_user_t *user, const ch_membership_t *as)
{
    ch_room_t *room = get_room(user->conf, as->room);
    ch_member_t *member = find_member(user, room);

    if (!member) {
        member = add_member(user, room);
    }
    if (member->mark < as->mark) {
        member->mark = as->mark;
    }
    begin_room(room, as->number, as->seq);
}

static void unlink_member(ch_member_t *member)
{
    ch_member_t **at = &member->user->members;

    while (*at != member) {
        at = &(*at)->next_room;
    }
    *at = member->next_room;
    *member->link = member->next_user;
    if (member->next_user) {
        member->next_user->link = member->link;
    }
    ch_heap_give(member);
}

void ch_hub_no_member(ch_user_t *user, ch_room_t *room, apr_int64_t number)
{
    ch_member_t *member = find_member(user, room);
    ch_sock_t *sock;
    ch_sub_t *sub;

    if (member) {
        unlink_member(member);
    }
    for (sock = user->socks; sock; sock = sock->next) {
        sub = ch_hub_sub(sock, room->key);
        if (sub && (!number || (!sub->holds && sub->base < number))) {
            ch_hub_unsubscribe(sub);
        }
    }
}

/* --- users ------------------------------------------------------------ */

static void forget_user(ch_user_t *user)
{
    while (user->members) {
        ch_room_t *room = user->members->room;

        unlink_member(user->members);
        ch_hub_tidy(room);
    }
    ch_loop_timer_clear(&user->timer);
    apr_hash_set(users, user->key, CH_KEY_LEN, NULL);
    ch_heap_give(user);
}

static void forget_idle(ch_user_t *user, void *unused)
{
    if (!user->socks) {
        forget_user(user);
    }
}

void ch_hub_close(void)
{
    ch_hub_each_user(forget_idle, NULL);
}

static void on_offline(ch_timer_t *timer)
{
    ch_user_t *user =
        (ch_user_t *)(void *)((char *)timer - offsetof(ch_user_t, timer));
    char id[CH_UUID_LEN + 1];

    ch_uuid_text(user->key, id);
    ch_attend_gone(user->conf, id);
    forget_user(user);
}

ch_user_t *ch_hub_enter(ch_sock_t *sock, const unsigned char id[16])
{
    const ch_conf_t *conf = sock->engine->conf;
    ch_user_t *user = ch_hub_user(conf->site, id);

    if (!user) {
        user = ch_heap_take(sizeof(*user));
        make_key(user->key, conf->site, id);
        user->conf = conf;
        user->timer.due = on_offline;
        user->moved = strangers[id[15]];
        apr_hash_set(users, user->key, CH_KEY_LEN, user);
    }
    ch_loop_timer_clear(&user->timer);
    sock->user = user;
    sock->next = user->socks;
    user->socks = sock;
    return user;
}

void ch_hub_leave(ch_sock_t *sock)
{
    ch_user_t *user = sock->user;
    ch_sock_t **at = &user->socks;

    while (sock->subs) {
        ch_sub_t *sub = sock->subs;
        ch_room_t *room = sub->room;

        ch_hub_unsubscribe(sub);
        ch_hub_tidy(room);
    }
    while (*at != sock) {
        at = &(*at)->next;
    }
    *at = sock->next;
    if (!user->socks) {
        ch_loop_timer_set(ch_core.loop, &user->timer,
                          ch_loop_now(ch_core.loop) + OFFLINE_AFTER);
    }
}

/* --- subscriptions ---------------------------------------------------- */

ch_sub_t *ch_hub_sub(const ch_sock_t *sock, const unsigned char room[16])
{
    ch_sub_t *sub = sock->subs;

    while (sub && memcmp(sub->room->key, room, 16) != 0) {
        sub = sub->next_room;
    }
    return sub;
}

static ch_sub_t *add_sub(ch_sock_t *sock, ch_room_t *room)
{
    ch_sub_t *sub = ch_heap_take(sizeof(*sub));

    sub->sock = sock;
    sub->room = room;
    sub->fresh = 1;
    sub->next_room = sock->subs;
    sock->subs = sub;
    sub->next_sock = room->subs;
    sub->link = &room->subs;
    if (room->subs) {
        room->subs->link = &sub->next_sock;
    }
    room->subs = sub;
    return sub;
}

ch_sub_t *ch_hub_hold(apr_uint64_t id, const unsigned char room[16])
{
    ch_sock_t *sock = ch_socket_find(id);
    ch_sub_t *sub;

    if (!sock) {
        return NULL;
    }
    sub = ch_hub_sub(sock, room);
    if (!sub) {
        sub = add_sub(sock, get_room(sock->engine->conf, room));
    }
    if (!sub->holds) {
        sub->holds = 1;
        sub->held_end = &sub->held;
    }
    return sub;
}

/* Sends what was held back, or forgets it. Gives whether the subscription ends
 * with that: then what came behind it is forgotten too. */
static int empty(ch_sub_t *sub, int forget)
{
    int over = forget;
    ch_held_t *held;

    sub->holds = 0;
    while ((held = sub->held) != NULL) {
        sub->held = held->next;
        if (!over && (!held->number || held->number > sub->base)) {
            ch_engine_send(sub->sock->engine, held->chunk);
            over = held->ends;
        }
        ch_chunk_drop(held->chunk);
        ch_heap_give(held);
    }
    return over;
}

void ch_hub_release(ch_sub_t *sub, apr_int64_t number, apr_int64_t seq)
{
    ch_room_t *room = sub->room;
    int over;

    if (number >= 0) {
        sub->fresh = 0;
    }
    if (sub->base < number) {
        sub->base = number;
    }
    over = empty(sub, sub->fresh);
    if (over) {
        ch_hub_unsubscribe(sub);
    }
    if (number >= 0) {
        begin_room(room, number, seq);
    }
    ch_hub_tidy(room); /* it may have ended with what came early */
}

void ch_hub_unsubscribe(ch_sub_t *sub)
{
    ch_sub_t **at = &sub->sock->subs;

    ch_typist(sub, 0);
    while (*at != sub) {
        at = &(*at)->next_room;
    }
    *at = sub->next_room;
    *sub->link = sub->next_sock;
    if (sub->next_sock) {
        sub->next_sock->link = sub->link;
    }
    empty(sub, 1);
    ch_heap_give(sub);
}
