/* Tests of realtime/deliver: who hears what, and in which order; what a client
 * is told is read from the other end of its websocket. */
#include "ch_realtime.h"

#define ROOM 1

/* --- what the database would say -------------------------------------- */

/* Any thread; set before anybody can ask. */
static struct {
    int asked;
    apr_int64_t after; /* the last question */
    apr_int64_t number;
    int fails, no_room, count;
    int most; /* messages of an answer */
    ch_missed_t messages[16];
} database;

static ch_err_t *missed(ch_req_t *rq, const char *room, apr_int64_t seq,
                        apr_int64_t *number, apr_array_header_t **out)
{
    ch_err_t *err;
    int i;

    ck_assert_str_eq(room, text_of(ROOM));
    __atomic_store_n(&database.after, seq, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&database.asked, 1, __ATOMIC_SEQ_CST);
    *out = NULL;
    if (database.fails) {
        err = ch_err_make(rq->pool, CH_E_SERVICE_UNAVAILABLE, NULL);
        err->cause = "it is away";
        return err;
    }
    if (database.no_room) {
        return NULL;
    }
    *number = database.number;
    *out = apr_array_make(rq->pool, 16, sizeof(ch_missed_t));
    for (i = 0; i < database.count && (*out)->nelts < database.most; i++) {
        if (database.messages[i].seq > seq) {
            APR_ARRAY_PUSH(*out, ch_missed_t) = database.messages[i];
        }
    }
    if ((*out)->nelts == database.most) {
        *number = 0;
    }
    return NULL;
}

static int asked(void)
{
    return __atomic_load_n(&database.asked, __ATOMIC_SEQ_CST);
}

static void keep_message(apr_int64_t seq, const char *user)
{
    database.messages[database.count++] = (ch_missed_t){
        .user = user,
        .seq = seq,
        .data = bytes_of(apr_psprintf(pool, "\"kept%" APR_INT64_T_FMT "\"",
                                      seq)),
    };
}

static client_t a, b, c;

static void begin(void)
{
    database.most = 16;
    begin_realtime(missed);
    open_user(&a, 'a');
    open_user(&b, 'b');
}

#define EVENT(n) DELIVER(.room = ROOM, .number = (n))

/* --- order ------------------------------------------------------------ */

#define EVENTS 20

static const char all_in_order[] =
    "[\"e\",1] [\"e\",2] [\"e\",3] [\"e\",4] [\"e\",5] [\"e\",6] [\"e\",7] "
    "[\"e\",8] [\"e\",9] [\"e\",10] [\"e\",11] [\"e\",12] [\"e\",13] "
    "[\"e\",14] [\"e\",15] [\"e\",16] [\"e\",17] [\"e\",18] [\"e\",19] "
    "[\"e\",20]";

static void as_it_is(int *order)
{
}

static void backwards(int *order)
{
    int i;

    for (i = 0; i < EVENTS; i++) {
        order[i] = EVENTS - i;
    }
}

static void last_first(int *order)
{
    int i;

    for (i = 0; i < EVENTS; i++) {
        order[i] = i ? i : EVENTS;
    }
}

static void first_last(int *order)
{
    int i;

    for (i = 0; i < EVENTS; i++) {
        order[i] = (i + 1) % EVENTS + 1;
    }
}

static void in_pairs(int *order)
{
    int i;

    for (i = 0; i < EVENTS; i++) {
        order[i] = (i ^ 1) + 1;
    }
}

static void evens_first(int *order)
{
    int i;

    for (i = 0; i < EVENTS; i++) {
        order[i] = i < EVENTS / 2 ? 2 * i + 2 : 2 * (i - EVENTS / 2) + 1;
    }
}

static void at_random(int *order)
{
    static apr_uint32_t state = 1;
    int i, other, kept;

    for (i = EVENTS - 1; i > 0; i--) {
        state = state * 1664525u + 1013904223u;
        other = (int)(state >> 8) % (i + 1);
        kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

static const struct {
    void (*shuffle)(int *order);
    int times;
} kinds[] = {
    { as_it_is, 1 },    { backwards, 1 },   { last_first, 1 },
    { first_last, 1 },  { in_pairs, 1 },    { evens_first, 1 },
    { at_random, 200 },
};

static void shuffled(void (*shuffle)(int *order), int *order)
{
    int i;

    for (i = 0; i < EVENTS; i++) {
        order[i] = i + 1;
    }
    shuffle(order);
}

static void leave_room(const client_t *client)
{
    ch_room_t *room = client->sock->subs->room;

    ch_hub_unsubscribe(client->sock->subs);
    ch_hub_tidy(room);
}

START_TEST(any_order_comes_out_in_order)
{
    int order[EVENTS];
    int time, i;

    begin();
    for (time = 1; time <= kinds[_i].times; time++) {
        subscribe(&a, time, 0);
        shuffled(kinds[_i].shuffle, order);
        for (i = 0; i < EVENTS; i++) {
            DELIVER(.room = time, .number = order[i]);
            DELIVER(.room = time, .number = order[i]);
            DELIVER(.room = time, .number = order[i / 2]);
        }
        ck_heard(&a, all_in_order);
        ck_assert_ptr_null(find_room(time)->early);
        ck_assert_ptr_null(find_room(time)->timer.link);
        leave_room(&a);
    }
    end_realtime();
}
END_TEST

/* Nobody knows yet where the room is: all is kept until somebody does. */
START_TEST(any_order_before_it_is_known)
{
    int order[EVENTS];
    int time, i;
    ch_sub_t *sub;

    begin();
    for (time = 1; time <= kinds[_i].times; time++) {
        sub = ch_hub_hold(a.sock->id, id_of(time));
        shuffled(kinds[_i].shuffle, order);
        for (i = 0; i < EVENTS; i++) {
            DELIVER(.room = time, .number = order[i]);
        }
        ck_heard(&a, "");
        ch_hub_release(sub, 17, 0);
        ck_heard(&a, "[\"e\",18] [\"e\",19] [\"e\",20]");
        leave_room(&a);
    }
    end_realtime();
}
END_TEST

START_TEST(what_was_told_is_not_told_again)
{
    begin();
    subscribe(&a, ROOM, 7);
    EVENT(7);
    EVENT(1);
    EVENT(8);
    EVENT(8);
    EVENT(7);
    ck_heard(&a, "[\"e\",8]");
    end_realtime();
}
END_TEST

START_TEST(without_a_number_at_once)
{
    begin();
    subscribe(&a, ROOM, 0);
    EVENT(2);
    DELIVER(.room = ROOM, .name = "x");
    ck_heard(&a, "[\"x\",0]");
    DELIVER(.room = ROOM, .name = "y");
    EVENT(1);
    ck_heard(&a, "[\"y\",0] [\"e\",1] [\"e\",2]");
    end_realtime();
}
END_TEST

/* Rooms, and sites, have nothing to do with each other. */
START_TEST(others_hear_nothing)
{
    begin();
    subscribe(&a, ROOM, 0);
    subscribe(&b, 2, 0);
    EVENT(1);
    DELIVER(.room = 3, .number = 1);
    ck_heard(&b, "");
    ck_heard(&a, "[\"e\",1]");
    ck_assert_ptr_null(find_room(3));
    ck_assert_ptr_null(ch_hub_room(SITE + 1, id_of(ROOM)));
    end_realtime();
}
END_TEST

/* --- gaps ------------------------------------------------------------- */

static void open_gap(void)
{
    begin();
    ch_hub_release(ch_hub_hold(a.sock->id, id_of(ROOM)), 0, 4);
    EVENT(1);
    EVENT(3);
    ck_heard(&a, "[\"e\",1]");
}

START_TEST(a_gap_is_filled_after_a_while)
{
    apr_time_t start = apr_time_now();

    database.number = 2;
    open_gap();
    keep_message(4, NULL); /* it is known already */
    keep_message(5, text_of('b'));
    run_for(MS(150));
    ck_assert_int_eq(asked(), 0);
    wait_for(asked());
    ck_assert_int_lt(apr_time_now() - start, MS(8000));
    ck_assert_int_eq(database.after, 4);
    wait_for(!find_room(ROOM)->catching);
    ck_heard(&a, "[\"message:new\",\"kept5\"] [\"e\",3]");
    ck_assert_int_eq(find_room(ROOM)->last_seq, 5);
    /* it goes on, and what was late is none any more */
    EVENT(2);
    EVENT(4);
    ck_heard(&a, "[\"e\",4]");
    run_for(MS(400));
    ck_assert_int_eq(asked(), 1);
    end_realtime();
}
END_TEST

START_TEST(a_gap_that_closes_by_itself_asks_nobody)
{
    open_gap();
    run_for(MS(100));
    EVENT(2);
    ck_heard(&a, "[\"e\",2] [\"e\",3]");
    run_for(MS(500));
    ck_assert_int_eq(asked(), 0);
    end_realtime();
}
END_TEST

/* What is missing is not committed yet, or the database is away: it is asked
 * again every second. */
START_TEST(a_gap_that_stays_is_looked_at_again)
{
    database.number = 1;
    database.fails = _i == 1;
    open_gap();
    wait_for(asked() == 1);
    wait_for(!find_room(ROOM)->catching);
    run_for(MS(600));
    ck_assert_int_eq(asked(), 1);
    ck_assert_int_eq(complained(), _i == 1);
    wait_for(asked() == 2);
    wait_for(!find_room(ROOM)->catching);
    ck_heard(&a, "");
    EVENT(2);
    ck_heard(&a, "[\"e\",2] [\"e\",3]");
    ck_assert_ptr_null(find_room(ROOM)->timer.link);
    end_realtime();
}
END_TEST

static const int ways[] = { 0, 1 };

/* What would close the gap never comes. */
START_TEST(a_gap_of_a_room_that_is_gone)
{
    database.no_room = 1;
    open_gap();
    DELIVER(.what = CH_PUB_GONE, .room = ROOM, .number = 5);
    wait_for(!find_room(ROOM));
    ck_heard(&a, "[\"e\",3] [\"e\",5]");
    ck_assert_ptr_null(a.sock->subs);
    run_for(MS(1300));
    ck_assert_int_eq(asked(), 1);
    end_realtime();
}
END_TEST

/* The event that was passed over may have been that somebody left: it is
 * looked who still is a member (by a database that is away). */
START_TEST(a_gap_that_may_hide_who_left)
{
    database.number = 1 + _i;
    begin();
    add_member('a', ROOM, (ch_membership_t){ .number = 0 });
    EVENT(1);
    EVENT(3);
    wait_for(asked());
    run_for(MS(100));
    ck_assert_int_eq(complained(), _i);
    end_realtime();
}
END_TEST

/* The database knew more than one gap: a message that came early is told once,
 * and what else came early still is told. */
START_TEST(what_came_early_is_told_once)
{
    database.number = 8;
    begin();
    ch_hub_release(ch_hub_hold(a.sock->id, id_of(ROOM)), 0, 0);
    keep_message(1, NULL);
    keep_message(2, NULL);
    DELIVER(.what = CH_PUB_MESSAGE, .room = ROOM, .number = 3, .seq = 2);
    EVENT(5);
    EVENT(9);
    EVENT(11);
    wait_for(asked());
    wait_for(!find_room(ROOM)->catching);
    ck_heard(&a, "[\"message:new\",\"kept1\"] [\"message:new\",\"kept2\"] "
                 "[\"e\",5] [\"e\",9]");
    EVENT(10);
    ck_heard(&a, "[\"e\",10] [\"e\",11]");
    end_realtime();
}
END_TEST

/* More was missed than one answer holds: it is asked at once for the rest. */
START_TEST(a_gap_that_is_wide)
{
    apr_time_t start;
    int i;

    database.number = 7;
    open_gap();
    database.most = 2;
    for (i = 5; i <= 9; i++) {
        keep_message(i, NULL);
    }
    DELIVER(.what = CH_PUB_MESSAGE, .room = ROOM, .number = 7, .seq = 9);
    wait_for(asked());
    start = apr_time_now();
    wait_for(asked() == 3);
    wait_for(!find_room(ROOM)->catching);
    ck_assert_int_lt(apr_time_now() - start, MS(800));
    ck_heard(&a, "[\"message:new\",\"kept5\"] [\"message:new\",\"kept6\"] "
                 "[\"message:new\",\"kept7\"] [\"message:new\",\"kept8\"] "
                 "[\"message:new\",\"kept9\"] [\"e\",3]");
    EVENT(8);
    ck_heard(&a, "[\"e\",8]");
    end_realtime();
}
END_TEST

/* Nobody is left when the answer comes. */
START_TEST(a_gap_of_which_nobody_is_left)
{
    open_gap();
    wait_for(find_room(ROOM)->catching);
    leave_room(&a);
    ck_assert_ptr_nonnull(find_room(ROOM));
    wait_for(!find_room(ROOM));
    end_realtime();
}
END_TEST

/* --- who is left out -------------------------------------------------- */

START_TEST(the_sender_is_left_out)
{
    begin();
    open_user(&c, 'a');
    subscribe(&a, ROOM, 0);
    subscribe(&b, ROOM, 0);
    subscribe(&c, ROOM, 0);
    DELIVER(.room = ROOM, .number = 1, .except = a.sock->id);
    DELIVER(.room = ROOM, .number = 2, .except = b.sock->id);
    ck_heard(&a, "[\"e\",2]");
    ck_heard(&b, "[\"e\",1]");
    ck_heard(&c, "[\"e\",1] [\"e\",2]");
    end_realtime();
}
END_TEST

START_TEST(to_all_sockets_of_a_user)
{
    begin();
    open_user(&c, 'a');
    DELIVER(.user = 'a', .data = "{}");
    DELIVER(.user = 'z', .data = "{}");
    ck_heard(&a, "[\"e\",{}]");
    ck_heard(&b, "");
    ck_heard(&c, "[\"e\",{}]");
    end_realtime();
}
END_TEST

/* A name that is none, or too long, is no event; what it does is done. */
START_TEST(without_a_name)
{
    const char *longest = apr_psprintf(pool, "%063d", 0);
    const char *too_long = apr_psprintf(pool, "%064d", 0);

    begin();
    subscribe(&a, ROOM, 0);
    DELIVER(.room = ROOM, .number = 1, .name = "");
    DELIVER(.room = ROOM, .number = 2, .name = too_long);
    DELIVER(.room = ROOM, .number = 3, .name = longest);
    DELIVER(.user = 'a', .name = "");
    ck_heard(&a, apr_psprintf(pool, "[\"%s\",3]", longest));
    end_realtime();
}
END_TEST

/* In two rooms of three that are named, and in one twice. */
START_TEST(presence_is_told_once)
{
    static const int rooms[] = { 1, 2, 9, 2, 0 };

    begin();
    open_user(&c, 'c');
    subscribe(&a, 1, 0);
    subscribe(&a, 2, 0);
    subscribe(&b, 2, 0);
    subscribe(&c, 3, 0);
    DELIVER(.what = CH_PUB_PRESENCE, .rooms = rooms, .name = "presence");
    ck_heard(&a, "[\"presence\",0]");
    ck_heard(&b, "[\"presence\",0]");
    ck_heard(&c, "");
    DELIVER(.what = CH_PUB_PRESENCE, .rooms = rooms, .name = "presence");
    ck_heard(&a, "[\"presence\",0]");
    end_realtime();
}
END_TEST

/* --- who is gone ------------------------------------------------------ */

/* The one in the middle is gone when the room is told. */
START_TEST(one_leaves_while_others_are_told)
{
    begin();
    open_user(&c, 'c');
    subscribe(&a, ROOM, 0);
    subscribe(&b, ROOM, 0);
    subscribe(&c, ROOM, 0);
    close(b.fd);
    EVENT(1);
    turn();
    EVENT(2);
    ck_heard(&a, "[\"e\",1] [\"e\",2]");
    ck_heard(&c, "[\"e\",1] [\"e\",2]");
    ck_assert_ptr_null(ch_socket_find(2));
    ck_assert_ptr_nonnull(ch_hub_user(SITE, id_of('b'))->timer.link);
    end_realtime();
}
END_TEST

/* It takes nothing: it is lost, and nobody else. */
START_TEST(one_that_is_slow_is_lost)
{
    char *big = apr_pcalloc(pool, 60003);
    int i;

    memset(big, '1', 60000);
    begin();
    subscribe(&a, ROOM, 0);
    subscribe(&b, ROOM, 0);
    for (i = 1; i <= 40; i++) {
        DELIVER(.room = ROOM, .number = i, .data = big);
        pull(&b);
        ck_assert_uint_gt(strlen(heard(&b)), 60000);
    }
    EVENT(41);
    ck_heard(&b, "[\"e\",41]");
    ck_assert_ptr_null(ch_socket_find(1));
    end_realtime();
}
END_TEST

CH_SUITE_MAIN("realtime/deliver",
              CH_EACH(any_order_comes_out_in_order, kinds),
              CH_EACH(any_order_before_it_is_known, kinds),
              CH_ONCE(what_was_told_is_not_told_again),
              CH_ONCE(without_a_number_at_once), CH_ONCE(others_hear_nothing),
              CH_ONCE(a_gap_is_filled_after_a_while),
              CH_ONCE(a_gap_that_closes_by_itself_asks_nobody),
              CH_EACH(a_gap_that_stays_is_looked_at_again, ways),
              CH_ONCE(a_gap_of_a_room_that_is_gone),
              CH_EACH(a_gap_that_may_hide_who_left, ways),
              CH_ONCE(what_came_early_is_told_once),
              CH_ONCE(a_gap_that_is_wide),
              CH_ONCE(a_gap_of_which_nobody_is_left),
              CH_ONCE(the_sender_is_left_out),
              CH_ONCE(to_all_sockets_of_a_user), CH_ONCE(without_a_name),
              CH_ONCE(presence_is_told_once),
              CH_ONCE(one_leaves_while_others_are_told),
              CH_ONCE(one_that_is_slow_is_lost))
