/* Tests of realtime/polls: what waits for a poll, what a post may do, and how
 * a websocket takes over. */
#include "ch_realtime.h"

static ch_req_t *rq;
static const char *sid;
static ch_engine_t *engine;
static ch_eio_fault_e fault;
static client_t socket_; /* of an upgrade */

static void begin(void)
{
    ch_engine_in_t in;

    begin_realtime(NULL);
    rq = apr_pcalloc(pool, sizeof(*rq));
    rq->pool = pool;
    rq->conf = &conf;
    in = new_session();
    sid = in.sid;
    engine = ch_engine_open(&in);
    ck_assert_ptr_nonnull(engine);
}

static int is_there(void)
{
    return ch_engine_find(sid, CH_SID_LEN) != NULL;
}

static void send_text(const char *text)
{
    ch_chunk_t *chunk = ch_chunk_packet(CH_EIO_MESSAGE, text, strlen(text));

    ch_engine_send(engine, chunk);
    ch_chunk_drop(chunk);
}

static ch_call_t *ask(ch_call_e what, const char *text)
{
    ch_call_t *call = ch_call_ask(rq, what, sid, bytes_of(text));

    ck_assert_ptr_nonnull(call);
    turn();
    return call;
}

/* What came of it; NULL while it waits. A fault is "fault <n>". */
static const char *answer_to(ch_call_t *call)
{
    ch_bytes_t body;

    turn();
    if (!ch_call_wait(rq, call, 0, &fault, &body)) {
        return NULL;
    }
    return fault == CH_EIO_GOOD ? apr_pstrmemdup(pool, body.data, body.len)
                                : apr_psprintf(pool, "fault %d", fault);
}

#define ck_call(what, text, want)                                             \
    ck_assert_str_eq(answer_to(ask(what, text)), want)
#define ck_poll(want) ck_call(CH_CALL_POLL, "", want)

#define SID_UNKNOWN "fault 1"
#define BAD_REQUEST "fault 3"

/* --- what waits ------------------------------------------------------- */

START_TEST(what_was_sent_before)
{
    begin();
    send_text("a");
    send_text("b");
    ck_poll("4a\x1e""4b");
    end_realtime();
}
END_TEST

/* All that is sent in one turn is one answer. */
START_TEST(what_is_sent_while_it_waits)
{
    ch_call_t *poll;

    begin();
    poll = ask(CH_CALL_POLL, "");
    ck_assert_ptr_null(answer_to(poll));
    send_text("a");
    send_text("b");
    ck_assert_str_eq(answer_to(poll), "4a\x1e""4b");
    send_text("c");
    ck_poll("4c");
    end_realtime();
}
END_TEST

/* An answer holds what a client takes, but one packet at least. */
START_TEST(more_than_one_answer_holds)
{
    begin();
    conf.socketio_max_payload = 30;
    send_text("0123456789");
    send_text("0123456789");
    send_text("0123456789");
    send_text("012345678901234567890123456789012345678901234567890123456789");
    ck_poll("40123456789\x1e""40123456789");
    ck_poll("40123456789");
    ck_poll("4012345678901234567890123456789012345678901234567890123456789");
    end_realtime();
}
END_TEST

/* More waits for it than is good. */
START_TEST(one_that_does_not_come)
{
    char *big = apr_pcalloc(pool, 60001);
    int i;

    memset(big, 'x', 60000);
    begin();
    for (i = 0; i < 40; i++) {
        send_text(big);
    }
    ck_assert_int_eq(engine->deaf, 1);
    wait_for(!is_there());
    end_realtime();
}
END_TEST

START_TEST(a_second_poll)
{
    ch_call_t *first;

    begin();
    first = ask(CH_CALL_POLL, "");
    ck_poll(BAD_REQUEST);
    ck_assert_str_eq(answer_to(first), "1");
    ck_assert_int_eq(is_there(), 0);
    end_realtime();
}
END_TEST

/* --- after the end ---------------------------------------------------- */

/* What waited comes first, the end alone after it. */
START_TEST(packets_before_the_end)
{
    begin();
    conf.socketio_max_payload = 30;
    send_text("0123456789");
    send_text("0123456789");
    send_text("last");
    send_text("very last.......");
    ch_engine_close(engine, CH_WS_NORMAL);
    send_text("too late");
    ck_poll("40123456789\x1e""40123456789");
    ck_call(CH_CALL_POST, "4x", SID_UNKNOWN);
    ck_call(CH_CALL_POSTING, "", SID_UNKNOWN);
    ck_call(CH_CALL_UPGRADE, "", SID_UNKNOWN);
    ck_poll("4last\x1e""4very last.......");
    ck_poll("1");
    ck_assert_int_eq(is_there(), 0);
    ck_poll(SID_UNKNOWN);
    end_realtime();
}
END_TEST

START_TEST(the_end_while_one_waits)
{
    ch_call_t *poll;

    begin();
    poll = ask(CH_CALL_POLL, "");
    if (_i) {
        send_text("last");
    }
    ch_engine_close(engine, CH_WS_NORMAL);
    ck_assert_str_eq(answer_to(poll), _i ? "4last" : "1");
    if (_i) {
        ck_poll("1");
    }
    ck_assert_int_eq(is_there(), 0);
    end_realtime();
}
END_TEST

static const int both[] = { 0, 1 };

START_TEST(nobody_comes_for_the_rest)
{
    begin();
    send_text("last");
    ch_engine_close(engine, CH_WS_NORMAL);
    run_for(MS(2700));
    ck_assert_int_eq(is_there(), 1);
    wait_for(!is_there());
    end_realtime();
}
END_TEST

START_TEST(an_end_without_a_word)
{
    ch_call_t *poll;

    begin();
    poll = ask(CH_CALL_POLL, "");
    ch_engine_close(engine, 0);
    ck_assert_str_eq(answer_to(poll), SID_UNKNOWN);
    ck_assert_int_eq(is_there(), 0);
    end_realtime();
}
END_TEST

/* --- posts ------------------------------------------------------------ */

START_TEST(posts)
{
    begin();
    ck_call(CH_CALL_POSTING, "", "");
    ck_call(CH_CALL_POST, "3\x1e""6", "");
    ck_call(CH_CALL_POSTING, "", "");
    ck_call(CH_CALL_POSTING, "", BAD_REQUEST);
    ck_assert_int_eq(is_there(), 0);
    end_realtime();
}
END_TEST

/* All end the session; what is no packet is a bad request, too. */
static const struct {
    const char *body, *want;
} bodies[] = {
    { "", BAD_REQUEST },       { "x", BAD_REQUEST },
    { "3\x1e", BAD_REQUEST },  { "3\x1e\x1e""3", BAD_REQUEST },
    { "b!", BAD_REQUEST },     { "1", "" },
    { "1\x1e""x", "" },        { "4no packet", "" },
    { "42[\"e\"]", "" },       { "5", "" },
};

START_TEST(a_post_that_ends_it)
{
    ch_call_t *poll;

    begin();
    poll = ask(CH_CALL_POLL, "");
    ck_call(CH_CALL_POST, bodies[_i].body, bodies[_i].want);
    ck_assert_str_eq(answer_to(poll), "1");
    ck_assert_int_eq(is_there(), 0);
    end_realtime();
}
END_TEST

START_TEST(a_post_that_was_spoilt)
{
    begin();
    ck_call(CH_CALL_POSTING, "", "");
    ch_call_tell(rq, CH_CALL_SPOIL, sid);
    turn();
    ck_assert_int_eq(is_there(), 0);
    end_realtime();
}
END_TEST

/* --- upgrades --------------------------------------------------------- */

static void upgrade(client_t *client, const char *early)
{
    ch_door_conn_t from;

    make_ends(client, &from);
    from.early = *early ? frame(early) : bytes_of("");
    ch_poll_upgrade(ch_engine_find(sid, CH_SID_LEN), &from);
}

/* What waits when it takes over comes over the websocket, in order. */
START_TEST(an_upgrade)
{
    ch_call_t *poll;

    begin();
    ck_call(CH_CALL_UPGRADE, "", "");
    poll = ask(CH_CALL_POLL, "");
    upgrade(&socket_, _i ? "2probe" : "");
    if (!_i) {
        turn();
        ck_assert_ptr_null(answer_to(poll));
        say(&socket_, "2probe");
    }
    ck_heard(&socket_, "3probe");
    ck_assert_str_eq(answer_to(poll), "6");
    send_text("a");
    send_text("b");
    say(&socket_, "5");
    ck_heard(&socket_, "4a 4b");
    send_text("c");
    ck_heard(&socket_, "4c");
    ck_assert_ptr_null(engine->poll);
    ck_poll(BAD_REQUEST); /* it has a websocket */
    ck_assert_int_eq(engine->over, 0);
    end_realtime();
}
END_TEST

/* A poll that comes after the probe does not wait. */
START_TEST(an_upgrade_while_polls_go_on)
{
    begin();
    upgrade(&socket_, "2probe");
    send_text("a");
    ck_poll("4a");
    ck_poll("6");
    say(&socket_, "5");
    ck_heard(&socket_, "3probe");
    end_realtime();
}
END_TEST

/* Frames one behind the other, without the last `less` bytes. */
static ch_bytes_t glue(const char *const *texts, size_t less)
{
    char *all = apr_palloc(pool, 4096);
    size_t len = 0;

    for (; *texts; texts++) {
        ch_bytes_t bytes = frame(*texts);

        ck_assert_uint_lt(len + bytes.len, 4096);
        memcpy(all + len, bytes.data, bytes.len);
        len += bytes.len;
    }
    return (ch_bytes_t){ all, len - less };
}

/* Behind the "5" more comes in the same bytes: it is the session's. */
START_TEST(more_behind_the_upgrade)
{
    static const char *const texts[] = { "2probe", "5", "3", "40/none,",
                                         NULL };
    ch_bytes_t bytes;
    size_t less;

    begin();
    send_text("queued");
    bytes = glue(texts, 0);
    less = _i ? 4 : 0;
    if (_i == 2) {
        ch_door_conn_t from;

        make_ends(&socket_, &from);
        from.early = glue(texts, less);
        ch_poll_upgrade(engine, &from);
    }
    else {
        upgrade(&socket_, "");
        say_bytes(&socket_, glue(texts, less));
    }
    turn();
    /* and what is half read goes along */
    say_bytes(&socket_,
              (ch_bytes_t){ bytes.data + bytes.len - less, less });
    ck_heard(&socket_, "3probe 4queued "
                       "44/none,{\"message\":\"Invalid namespace\"}");
    ck_assert_int_eq(engine->awaits_pong, 0);
    ck_assert_int_eq(engine->over, 0);
    end_realtime();
}
END_TEST

static const int ways[] = { 0, 1, 2 };

/* What is glued behind the "5" ends the session: nothing is left of it. */
START_TEST(an_end_behind_the_upgrade)
{
    static const char *const texts[][5] = {
        { "2probe", "5", "1", "3", NULL },
        { "2probe", "5", "9", "3", NULL },
        { "2probe", "5", "42[\"e\"]", "3", NULL },
    };

    begin();
    send_text("queued");
    upgrade(&socket_, "");
    say_bytes(&socket_, glue(texts[_i], 0));
    ck_heard(&socket_, "3probe 4queued close 1000");
    ck_assert_int_eq(is_there(), 0);
    ck_assert(is_closed(&socket_));
    end_realtime();
}
END_TEST

/* The websocket breaks the protocol after it took over, in the same bytes. */
START_TEST(a_fault_behind_the_upgrade)
{
    static const char *const texts[] = { "2probe", "5", NULL };
    ch_bytes_t bytes = glue(texts, 0);
    char *all = apr_palloc(pool, bytes.len + 16);

    begin();
    upgrade(&socket_, "");
    memcpy(all, bytes.data, bytes.len);
    memset(all + bytes.len, 0xff, 16);
    say_bytes(&socket_, (ch_bytes_t){ all, bytes.len + 16 });
    ck_heard(&socket_, "3probe close 1002");
    ck_assert_int_eq(is_there(), 0);
    end_realtime();
}
END_TEST

/* What is not an upgrade: it is closed, and the session goes on polling. */
static const char *const no_upgrades[] = { "5",  "2",    "2probes", "4x",
                                           "3probe", "1" };

START_TEST(what_is_no_upgrade)
{
    begin();
    upgrade(&socket_, "");
    say(&socket_, no_upgrades[_i]);
    ck_heard(&socket_, "");
    ck_assert(is_closed(&socket_));
    send_text("a");
    ck_poll("4a");
    /* it may be tried again */
    close(socket_.fd);
    upgrade(&socket_, "2probe");
    say(&socket_, "5");
    ck_heard(&socket_, "3probe");
    ck_assert_ptr_null(engine->poll);
    end_realtime();
}
END_TEST

/* 0: before the probe; 1: after it; 2: it is lost. */
START_TEST(an_upgrade_that_does_not_come)
{
    ch_call_t *poll;

    begin();
    upgrade(&socket_, _i ? "2probe" : "");
    turn();
    if (_i == 2) {
        close(socket_.fd);
        turn();
    }
    else {
        run_for(MS(300));
        ck_assert(!is_closed(&socket_));
        wait_for(is_closed(&socket_));
    }
    poll = ask(CH_CALL_POLL, "");
    ck_assert_ptr_null(answer_to(poll));
    send_text("a");
    ck_assert_str_eq(answer_to(poll), "4a");
    ck_assert_int_eq(engine->over, 0);
    end_realtime();
}
END_TEST

START_TEST(a_second_websocket)
{
    client_t second;

    begin();
    upgrade(&socket_, "2probe");
    upgrade(&second, "2probe");
    turn();
    ck_assert(is_closed(&second));
    ck_assert_uint_eq(second.len, 0);
    say(&socket_, "5");
    send_text("a");
    ck_heard(&socket_, "3probe 4a");
    /* nor later */
    upgrade(&second, "2probe");
    turn();
    ck_assert(is_closed(&second));
    send_text("b");
    ck_heard(&socket_, "4b");
    end_realtime();
}
END_TEST

/* Of a session that is over, and of one that there is not. */
START_TEST(a_websocket_of_nobody)
{
    begin();
    send_text("last");
    ch_engine_close(engine, CH_WS_NORMAL);
    if (_i) {
        ck_poll("4last");
        ck_poll("1");
    }
    upgrade(&socket_, "2probe");
    turn();
    ck_assert(is_closed(&socket_));
    end_realtime();
}
END_TEST

/* The session ends while its websocket is on its way. */
START_TEST(an_end_before_the_upgrade)
{
    begin();
    upgrade(&socket_, "2probe");
    ck_heard(&socket_, "3probe");
    ch_engine_close(engine, _i ? CH_WS_NORMAL : 0);
    say(&socket_, "5");
    turn();
    turn();
    ck_assert(is_closed(&socket_));
    ck_assert_int_eq(is_there(), _i);
    end_realtime();
}
END_TEST

CH_SUITE_MAIN("realtime/polls", CH_ONCE(what_was_sent_before),
              CH_ONCE(what_is_sent_while_it_waits),
              CH_ONCE(more_than_one_answer_holds),
              CH_ONCE(one_that_does_not_come), CH_ONCE(a_second_poll),
              CH_ONCE(packets_before_the_end),
              CH_EACH(the_end_while_one_waits, both),
              CH_ONCE(nobody_comes_for_the_rest),
              CH_ONCE(an_end_without_a_word), CH_ONCE(posts),
              CH_EACH(a_post_that_ends_it, bodies),
              CH_ONCE(a_post_that_was_spoilt), CH_EACH(an_upgrade, both),
              CH_ONCE(an_upgrade_while_polls_go_on),
              CH_EACH(more_behind_the_upgrade, ways),
              CH_EACH(an_end_behind_the_upgrade, ways),
              CH_ONCE(a_fault_behind_the_upgrade),
              CH_EACH(what_is_no_upgrade, no_upgrades),
              CH_EACH(an_upgrade_that_does_not_come, ways),
              CH_ONCE(a_second_websocket),
              CH_EACH(a_websocket_of_nobody, both),
              CH_EACH(an_end_before_the_upgrade, both))
