/* Tests of realtime/hub and realtime/typist: subscriptions and memberships,
 * what is unread, who is gone, who types. */
#include "ch_realtime.h"

#define ROOM 1

static client_t a, b, c;

static void begin(void)
{
    begin_realtime(NULL);
    open_user(&a, 'a');
    open_user(&b, 'b');
}

#define EVENT(n) DELIVER(.room = ROOM, .number = (n))
#define UNREAD(n)                                                             \
    "[\"unread\",{\"roomId\":\"01000000-0000-0000-0000-000000000001\","       \
    "\"unreadCount\":" #n "}]"

/* --- holding back ----------------------------------------------------- */

START_TEST(held_until_the_ack_is_out)
{
    ch_sub_t *sub;

    begin();
    subscribe(&b, ROOM, 0);
    EVENT(1);
    sub = ch_hub_hold(a.sock->id, id_of(ROOM));
    EVENT(2);
    DELIVER(.room = ROOM, .name = "x");
    EVENT(4);
    EVENT(3);
    EVENT(5);
    ck_heard(&a, "");
    ck_heard(&b, "[\"e\",1] [\"e\",2] [\"x\",0] [\"e\",3] [\"e\",4] [\"e\",5]");
    ch_hub_release(sub, 3, 0);
    ck_heard(&a, "[\"x\",0] [\"e\",4] [\"e\",5]");
    EVENT(6);
    ck_heard(&a, "[\"e\",6]");
    end_realtime();
}
END_TEST

/* The database knew of events that are still on their way. */
START_TEST(what_the_ack_tells_is_not_told_again)
{
    begin();
    subscribe(&b, ROOM, 0);
    subscribe(&a, ROOM, 2);
    EVENT(1);
    EVENT(2);
    EVENT(3);
    ck_heard(&a, "[\"e\",3]");
    ck_heard(&b, "[\"e\",1] [\"e\",2] [\"e\",3]");
    end_realtime();
}
END_TEST

START_TEST(a_failed_ack_takes_a_fresh_one_away)
{
    ch_sub_t *sub;

    begin();
    subscribe(&b, ROOM, 0);
    sub = ch_hub_hold(a.sock->id, id_of(ROOM));
    EVENT(1);
    ch_hub_release(sub, -1, 0);
    EVENT(2);
    ck_heard(&a, "");
    ck_heard(&b, "[\"e\",1] [\"e\",2]");
    ck_assert_ptr_null(a.sock->subs);
    /* and with it the room of which nobody else is */
    sub = ch_hub_hold(a.sock->id, id_of(2));
    ck_assert_ptr_nonnull(find_room(2));
    ch_hub_release(sub, -1, 0);
    ck_assert_ptr_null(find_room(2));
    end_realtime();
}
END_TEST

START_TEST(a_failed_ack_leaves_an_old_one)
{
    ch_sub_t *sub;

    begin();
    sub = subscribe(&a, ROOM, 0);
    EVENT(1);
    ck_heard(&a, "[\"e\",1]");
    ck_assert_ptr_eq(ch_hub_hold(a.sock->id, id_of(ROOM)), sub);
    EVENT(2);
    EVENT(3);
    ck_heard(&a, "");
    ch_hub_release(sub, -1, 0);
    ck_heard(&a, "[\"e\",2] [\"e\",3]");
    /* a second one that says less than is known takes nothing back */
    ch_hub_hold(a.sock->id, id_of(ROOM));
    EVENT(4);
    ch_hub_release(sub, 3, 0);
    ck_heard(&a, "[\"e\",4]");
    end_realtime();
}
END_TEST

START_TEST(a_socket_that_is_gone_holds_nothing)
{
    begin();
    ck_assert_ptr_null(ch_hub_hold(99, id_of(ROOM)));
    ck_assert_ptr_null(find_room(ROOM));
    ch_hub_hold(a.sock->id, id_of(ROOM));
    EVENT(1);
    ch_engine_close(a.engine, 0);
    ck_assert_ptr_null(find_room(ROOM));
    end_realtime();
}
END_TEST

/* Until it was known where the room begins, his end and that of the room were
 * kept: it is forgotten at once. */
START_TEST(a_room_that_ends_as_it_begins)
{
    static const ch_pub_e last[] = { CH_PUB_LEFT, CH_PUB_GONE };
    ch_sub_t *sub;

    begin();
    sub = ch_hub_hold(a.sock->id, id_of(ROOM));
    DELIVER(.what = last[_i], .room = ROOM, .user = 'a', .number = 8);
    ch_hub_release(sub, 7, 0);
    ck_heard(&a, "[\"e\",8]");
    ck_assert_ptr_null(a.sock->subs);
    ck_assert_ptr_null(find_room(ROOM));
    end_realtime();
}
END_TEST

/* What ends it while it is held follows the ack, and nothing follows that. */
START_TEST(an_end_is_held_like_all_else)
{
    static const ch_pub_e last[] = { CH_PUB_LEFT, CH_PUB_GONE };
    ch_sub_t *sub;

    begin();
    subscribe(&b, ROOM, 7);
    sub = ch_hub_hold(a.sock->id, id_of(ROOM));
    DELIVER(.what = last[_i], .room = ROOM, .user = 'a', .number = 8);
    EVENT(9);
    ck_heard(&a, "");
    ch_hub_release(sub, 7, 0);
    ck_heard(&a, "[\"e\",8]");
    ck_assert_ptr_null(a.sock->subs);
    ck_heard(&b, _i ? "[\"e\",8]" : "[\"e\",8] [\"e\",9]");
    end_realtime();
}
END_TEST

/* The same of one that was there, when its ack fails. */
START_TEST(an_end_is_one_whatever_the_ack_says)
{
    ch_sub_t *sub;

    begin();
    subscribe(&b, ROOM, 7);
    sub = subscribe(&a, ROOM, 7);
    ck_assert_ptr_eq(ch_hub_hold(a.sock->id, id_of(ROOM)), sub);
    DELIVER(.what = CH_PUB_LEFT, .room = ROOM, .user = 'a', .number = 8);
    EVENT(9);
    ch_hub_release(sub, -1, 0);
    ck_heard(&a, "[\"e\",8]");
    ck_assert_ptr_null(a.sock->subs);
    end_realtime();
}
END_TEST

/* He was removed, came back, and it was seen that he is there: that he had
 * left is told to this server while it is held, behind that, or only when the
 * room begins here. */
START_TEST(who_came_back_stays)
{
    ch_sub_t *sub;

    begin();
    if (_i != 2) {
        subscribe(&b, ROOM, 7);
    }
    sub = ch_hub_hold(a.sock->id, id_of(ROOM));
    if (_i != 1) {
        DELIVER(.what = CH_PUB_LEFT, .room = ROOM, .user = 'a', .number = 8);
    }
    ch_hub_release(sub, 9, 0);
    if (_i == 1) {
        DELIVER(.what = CH_PUB_LEFT, .room = ROOM, .user = 'a', .number = 8);
    }
    DELIVER(.what = CH_PUB_JOINED, .room = ROOM, .user = 'a', .number = 9);
    EVENT(10);
    ck_heard(&a, "[\"e\",10]");
    DELIVER(.what = CH_PUB_LEFT, .room = ROOM, .user = 'a', .number = 11);
    ck_heard(&a, "[\"e\",11]");
    ck_assert_ptr_null(a.sock->subs);
    end_realtime();
}
END_TEST

static const int both[] = { 0, 1 };

/* --- unread ----------------------------------------------------------- */

static void message(int user, apr_int64_t number, apr_int64_t seq)
{
    DELIVER(.what = CH_PUB_MESSAGE, .room = ROOM, .user = user,
            .number = number, .seq = seq);
}

static void are_members(apr_int64_t mark_a, apr_int64_t mark_b,
                        apr_int64_t mark_c)
{
    open_user(&c, 'c');
    add_member('a', ROOM, (ch_membership_t){ .mark = mark_a, .seq = 4 });
    add_member('b', ROOM, (ch_membership_t){ .mark = mark_b });
    add_member('c', ROOM, (ch_membership_t){ .mark = mark_c });
}

START_TEST(each_member_has_his_own_count)
{
    begin();
    are_members(4, 4, 0);
    message('a', 1, 5);
    ck_heard(&a, "");
    ck_heard(&b, UNREAD(1));
    ck_heard(&c, UNREAD(5));
    message('c', 2, 6); /* and with it he has read all */
    ck_heard(&a, UNREAD(1));
    ck_heard(&b, UNREAD(2));
    ck_heard(&c, UNREAD(0));
    message('c', 3, 7);
    ck_heard(&a, UNREAD(2));
    ck_heard(&b, UNREAD(3));
    ck_heard(&c, "");
    /* of nobody who is here */
    message(0, 4, 8);
    ck_heard(&a, UNREAD(3));
    ck_heard(&b, UNREAD(4));
    ck_heard(&c, UNREAD(1));
    end_realtime();
}
END_TEST

/* More counts than are kept, and some that share a place with another. */
START_TEST(many_counts)
{
    static client_t many[24];
    const char *want;
    int i;

    begin_realtime(NULL);
    for (i = 0; i < 24; i++) {
        open_user(&many[i], 100 + i);
        add_member(100 + i, ROOM,
                   (ch_membership_t){ .mark = i * 7 % 19, .seq = 20 });
    }
    message(0, 1, 21);
    for (i = 0; i < 24; i++) {
        want = apr_psprintf(pool, "\"unreadCount\":%d}]", 21 - i * 7 % 19);
        ck_assert_ptr_nonnull(strstr(heard(&many[i]), want));
    }
    end_realtime();
}
END_TEST

/* To all sockets of a member, and to none when he has none. */
START_TEST(all_sockets_of_a_member)
{
    begin();
    open_user(&c, 'b');
    add_member('a', ROOM, (ch_membership_t){ .mark = 0 });
    add_member('b', ROOM, (ch_membership_t){ .mark = 0 });
    ch_engine_close(a.engine, 0);
    message(0, 1, 1);
    ck_heard(&b, UNREAD(1));
    ck_heard(&c, UNREAD(1));
    /* a message that is known already changes no count */
    message(0, 2, 1);
    ck_heard(&b, "");
    end_realtime();
}
END_TEST

START_TEST(a_marker_moves_forward_only)
{
    begin();
    add_member('a', ROOM, (ch_membership_t){ .mark = 2, .seq = 9 });
    subscribe(&b, ROOM, 0);
    DELIVER(.what = CH_PUB_READ, .room = ROOM, .user = 'a', .number = 1,
            .seq = 6);
    ck_heard(&a, UNREAD(3));
    DELIVER(.what = CH_PUB_READ, .room = ROOM, .user = 'a', .number = 2,
            .seq = 5);
    DELIVER(.what = CH_PUB_READ, .room = ROOM, .user = 'a', .number = 3,
            .seq = 6);
    DELIVER(.what = CH_PUB_READ, .room = ROOM, .user = 'z', .number = 4,
            .seq = 9);
    ck_heard(&a, "");
    message(0, 5, 10);
    ck_heard(&a, UNREAD(4));
    ck_heard(&b, "[\"e\",1] [\"e\",2] [\"e\",3] [\"e\",4] [\"e\",5]");
    /* nor does the database take it back */
    add_member('a', ROOM, (ch_membership_t){ .mark = 1, .seq = 9 });
    message(0, 6, 11);
    ck_heard(&a, UNREAD(5));
    end_realtime();
}
END_TEST

/* --- who is a member -------------------------------------------------- */

START_TEST(joined_where_nobody_was)
{
    begin();
    DELIVER(.what = CH_PUB_JOINED, .room = ROOM, .user = 'z', .number = 5,
            .seq = 3);
    ck_assert_ptr_null(find_room(ROOM));
    DELIVER(.what = CH_PUB_JOINED, .room = ROOM, .user = 'a', .number = 5,
            .seq = 3);
    message(0, 6, 4);
    ck_heard(&a, UNREAD(1));
    /* and another one, in a room that is known */
    DELIVER(.what = CH_PUB_JOINED, .room = ROOM, .user = 'b', .number = 7,
            .seq = 4);
    message('a', 8, 5);
    ck_heard(&a, UNREAD(0));
    ck_heard(&b, UNREAD(1));
    end_realtime();
}
END_TEST

START_TEST(left)
{
    begin();
    open_user(&c, 'a');
    add_member('a', ROOM, (ch_membership_t){ .mark = 0 });
    add_member('b', ROOM, (ch_membership_t){ .mark = 0 });
    subscribe(&a, ROOM, 0);
    subscribe(&b, ROOM, 0);
    subscribe(&c, ROOM, 0);
    DELIVER(.what = CH_PUB_LEFT, .room = ROOM, .user = 'a', .number = 1);
    message(0, 2, 1);
    ck_heard(&a, "[\"e\",1]");
    ck_heard(&c, "[\"e\",1]");
    ck_heard(&b, "[\"e\",1] [\"e\",2] " UNREAD(1));
    ck_assert_ptr_null(ch_hub_user(SITE, id_of('a'))->members);
    DELIVER(.what = CH_PUB_LEFT, .room = ROOM, .user = 'b', .number = 3);
    ck_assert_ptr_null(find_room(ROOM));
    end_realtime();
}
END_TEST

START_TEST(gone)
{
    begin();
    add_member('a', ROOM, (ch_membership_t){ .mark = 0 });
    add_member('b', ROOM, (ch_membership_t){ .mark = 0 });
    subscribe(&a, ROOM, 0);
    subscribe(&b, 2, 0);
    DELIVER(.what = CH_PUB_GONE, .room = ROOM, .number = 1);
    ck_assert_ptr_null(find_room(ROOM));
    ck_assert_ptr_null(a.sock->subs);
    ck_assert_ptr_nonnull(b.sock->subs);
    message(0, 2, 1);
    ck_heard(&a, "[\"e\",1]");
    ck_heard(&b, "");
    end_realtime();
}
END_TEST

/* --- who is here ------------------------------------------------------ */

/* The database (which is away) is told after five seconds, once. */
START_TEST(gone_after_a_while)
{
    begin();
    add_member('a', ROOM, (ch_membership_t){ .mark = 0 });
    open_user(&c, 'a');
    close(a.fd);
    wait_for(!ch_socket_find(1));
    ck_assert_ptr_null(ch_hub_user(SITE, id_of('a'))->timer.link);
    close(c.fd);
    wait_for(!ch_socket_find(3));
    run_for(MS(4600));
    ck_assert_ptr_nonnull(ch_hub_user(SITE, id_of('a')));
    ck_assert_ptr_nonnull(find_room(ROOM));
    wait_for(!ch_hub_user(SITE, id_of('a')));
    ck_assert_ptr_null(find_room(ROOM));
    wait_for(complained() == 1);
    end_realtime();
}
END_TEST

START_TEST(back_within_a_while)
{
    begin();
    add_member('a', ROOM, (ch_membership_t){ .mark = 0 });
    close(a.fd);
    wait_for(!ch_socket_find(1));
    run_for(MS(3000));
    open_user(&a, 'a');
    run_for(MS(3000));
    message(0, 1, 1);
    ck_heard(&a, UNREAD(1));
    ck_assert_int_eq(complained(), 0);
    end_realtime();
}
END_TEST

/* --- who types -------------------------------------------------------- */

#define TYPING(on)                                                            \
    "[\"typing\",{\"roomId\":\"01000000-0000-0000-0000-000000000001\","       \
    "\"userId\":\"01000000-0000-0000-0000-000000000061\",\"isTyping\":" on    \
    "}]"

static int typists(void)
{
    unsigned char users[4][16];

    return ch_typing_list(SITE, id_of(ROOM), users, 4);
}

static const char *soon_heard(client_t *client)
{
    const char *text;

    wait_for(*(text = heard(client)));
    return text;
}

START_TEST(typing_is_taken_back)
{
    ch_sub_t *sub;
    apr_time_t start;

    begin();
    open_user(&c, 'a');
    sub = subscribe(&a, ROOM, 0);
    subscribe(&b, ROOM, 0);
    subscribe(&c, ROOM, 0);
    ch_typist(sub, 0); /* he doesn't */
    ch_typist(sub, 1);
    ck_assert_str_eq(soon_heard(&b), TYPING("true"));
    ck_assert_int_eq(typists(), 1);
    run_for(MS(2000));
    ck_heard(&b, "");
    start = apr_time_now();
    ch_typist(sub, 1);
    ck_assert_str_eq(soon_heard(&b), TYPING("true"));
    run_for(MS(4500));
    ck_heard(&b, "");
    ck_assert_str_eq(soon_heard(&b), TYPING("false"));
    ck_assert_int_ge(apr_time_now() - start, MS(4900));
    ck_assert_int_eq(typists(), 0);
    ck_assert_ptr_null(sub->typing);
    /* his own other socket hears of it, the one that types does not */
    ck_heard(&c, TYPING("true") " " TYPING("true") " " TYPING("false"));
    ck_heard(&a, "");
    end_realtime();
}
END_TEST

/* Who says so, leaves the room, or goes, types no more. */
START_TEST(typing_ends)
{
    ch_sub_t *sub;

    begin();
    sub = subscribe(&a, ROOM, 0);
    subscribe(&b, ROOM, 0);
    ch_typist(sub, 1);
    ck_assert_str_eq(soon_heard(&b), TYPING("true"));
    if (_i == 0) {
        ch_typist(sub, 0);
    }
    else if (_i == 1) {
        ch_hub_unsubscribe(sub);
    }
    else {
        close(a.fd);
    }
    ck_assert_str_eq(soon_heard(&b), TYPING("false"));
    ck_assert_int_eq(typists(), 0);
    end_realtime();
}
END_TEST

static const int ends[] = { 0, 1, 2 };

CH_SUITE_MAIN("realtime/hub", CH_ONCE(held_until_the_ack_is_out),
              CH_ONCE(what_the_ack_tells_is_not_told_again),
              CH_ONCE(a_failed_ack_takes_a_fresh_one_away),
              CH_ONCE(a_failed_ack_leaves_an_old_one),
              CH_ONCE(a_socket_that_is_gone_holds_nothing),
              CH_EACH(a_room_that_ends_as_it_begins, both),
              CH_EACH(an_end_is_held_like_all_else, both),
              CH_ONCE(an_end_is_one_whatever_the_ack_says),
              CH_EACH(who_came_back_stays, ends),
              CH_ONCE(each_member_has_his_own_count), CH_ONCE(many_counts),
              CH_ONCE(all_sockets_of_a_member),
              CH_ONCE(a_marker_moves_forward_only),
              CH_ONCE(joined_where_nobody_was), CH_ONCE(left), CH_ONCE(gone),
              CH_ONCE(gone_after_a_while), CH_ONCE(back_within_a_while),
              CH_ONCE(typing_is_taken_back), CH_EACH(typing_ends, ends))
