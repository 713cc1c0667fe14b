/* Tests of realtime/call: sids name their owners, and answers come to whoever
 * asked, a thread or a connection that waits in its place. */
#include "ch_realtime.h"

#include <time.h>

#include <apr_date.h>
#include <apr_thread_proc.h>

#include "base/seal.h"
#include "realtime/far.h"

/* Somebody sets the clock of the wall. */
static apr_time_t wall_is_ahead;

apr_time_t apr_time_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000 + wall_is_ahead;
}

static ch_req_t *request(void)
{
    ch_req_t *rq = apr_pcalloc(pool, sizeof(*rq));

    rq->pool = pool;
    rq->conf = &conf;
    return rq;
}

/* --- sids ------------------------------------------------------------- */

#define SERVER_LEN 16
#define MAC_LEN 6
#define SID_BYTES 36

static void take_apart(const char *sid, unsigned char bytes[SID_BYTES])
{
    size_t len;
    const unsigned char *read =
        ch_seal_b64url_decode(pool, sid, strlen(sid), &len);

    ck_assert_ptr_nonnull(read);
    ck_assert_uint_eq(len, SID_BYTES);
    memcpy(bytes, read, len);
}

START_TEST(a_sid_names_its_owner)
{
    char server[33] = "before";
    const char *sid, *other;
    int slot = -1;

    begin_wire();
    sid = ch_call_sid(pool, &conf, ch_wire_slot());
    other = ch_call_sid(pool, &conf, ch_wire_slot());
    ck_assert_str_ne(sid, other);
    ck_assert_int_eq(ch_call_owner(&conf, sid, server, &slot), 1);
    ck_assert_str_eq(server, "");
    ck_assert_int_eq(slot, ch_wire_slot());
    ck_assert_uint_eq(strspn(sid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghij"
                                  "klmnopqrstuvwxyz0123456789-_"),
                      CH_SID_LEN);
}
END_TEST

/* Every bit counts: a sid that we have not made is none. */
START_TEST(another_owner)
{
    unsigned char bytes[SID_BYTES];
    char server[33];
    const char *sid;
    int bit, slot;

    begin_wire();
    take_apart(ch_call_sid(pool, &conf, ch_wire_slot()), bytes);
    for (bit = 0; bit < SID_BYTES * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        sid = ch_seal_b64url(pool, bytes, sizeof(bytes));
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        ck_assert_int_eq(ch_call_owner(&conf, sid, server, &slot), 0);
    }
}
END_TEST

/* A slot that nobody ever had, and one that there is not. */
START_TEST(a_slot_without_a_life)
{
    static const apr_uint16_t slots[] = { 3, 4, 65535 };
    unsigned char bytes[SID_BYTES];
    char server[33];
    size_t i;
    int slot;

    begin_wire();
    take_apart(ch_call_sid(pool, &conf, ch_wire_slot()), bytes);
    memset(bytes + SERVER_LEN + 2, 0, 4);
    for (i = 0; i < CH_COUNT(slots); i++) {
        memcpy(bytes + SERVER_LEN, &slots[i], 2);
        ck_assert_int_eq(
            ch_call_owner(&conf, ch_seal_b64url(pool, bytes, sizeof(bytes)), server,
                          &slot),
            0);
    }
}
END_TEST

/* The slot is somebody else's by now. */
START_TEST(a_dead_life)
{
    apr_pool_t *life;
    char server[33];
    const char *sid, *again;
    int slot;

    begin_wire();
    apr_pool_create(&life, pool);
    ck_assert_int_eq(ch_wire_claim(life), 1);
    sid = ch_call_sid(pool, &conf, ch_wire_slot());
    ck_assert_int_eq(ch_call_owner(&conf, sid, server, &slot), 1);
    apr_pool_destroy(life);
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    again = ch_call_sid(pool, &conf, ch_wire_slot());
    ck_assert_int_eq(ch_call_owner(&conf, sid, server, &slot), 0);
    ck_assert_int_eq(ch_call_owner(&conf, again, server, &slot), 1);
}
END_TEST

START_TEST(garbage_of_every_length)
{
    static const char bad[] = "+/=. \n%\x80\xff\x01@[`{";
    const char *sid;
    char server[33], *text;
    size_t i, len;
    int slot;

    begin_wire();
    sid = ch_call_sid(pool, &conf, ch_wire_slot());
    for (len = 0; len < 200; len++) {
        text = apr_palloc(pool, len + 1);
        for (i = 0; i < len; i++) {
            text[i] = sid[i % CH_SID_LEN];
        }
        text[len] = '\0';
        ck_assert_int_eq(
            ch_call_owner(&conf, ch_check_copy(text, len + 1), server, &slot),
            len == CH_SID_LEN);
    }
    for (i = 0; i < CH_SID_LEN * (sizeof(bad) - 1); i++) {
        text = ch_check_copy(sid, CH_SID_LEN + 1);
        text[i % CH_SID_LEN] = bad[i / CH_SID_LEN];
        ck_assert_int_eq(ch_call_owner(&conf, text, server, &slot), 0);
    }
}
END_TEST

/* --- asking ----------------------------------------------------------- */

static ch_req_t *rq;
static const char *sid;
static ch_eio_fault_e fault;
static ch_bytes_t body;

static void begin(void)
{
    const ch_engine_in_t in = { .conf = &conf, .client_ip = "192.0.2.1" };
    ch_engine_in_t session = in;

    begin_realtime(NULL);
    rq = request();
    sid = session.sid = ch_call_sid(pool, &conf, ch_wire_slot());
    ck_assert_ptr_nonnull(ch_engine_open(&session));
}

static void send_text(const char *text)
{
    ch_chunk_t *chunk = ch_chunk_packet(CH_EIO_MESSAGE, text, strlen(text));

    ch_engine_send(ch_engine_find(sid, CH_SID_LEN), chunk);
    ch_chunk_drop(chunk);
}

static ch_call_t *ask(ch_call_e what, const char *text)
{
    ch_call_t *call = ch_call_ask(rq, what, sid, bytes_of(text));

    ck_assert_ptr_nonnull(call);
    return call;
}

#define ck_body(text)                                                         \
    do {                                                                      \
        ck_assert_uint_eq(body.len, strlen(text));                            \
        ck_assert_mem_eq(body.data, text, strlen(text));                      \
    } while (0)

START_TEST(an_answer_that_is_there)
{
    ch_call_t *call;

    begin();
    send_text("one");
    send_text("two");
    call = ask(CH_CALL_POLL, "");
    ck_assert_int_eq(ch_call_wait(rq, call, 0, &fault, &body), 0);
    turn();
    ck_assert_int_eq(ch_call_wait(rq, call, 0, &fault, &body), 1);
    ck_assert_int_eq(fault, CH_EIO_GOOD);
    ck_body("4one\x1e""4two");
    end_realtime();
}
END_TEST

/* A sid of these bytes, made as ours are. */
static const char *sealed(const unsigned char *bytes)
{
    unsigned char said[4 + SID_BYTES] = "sid:", mac[CH_SHA256_LEN];

    memcpy(said + 4, bytes, SID_BYTES);
    ch_seal_hmac(conf.redis_key, sizeof(conf.redis_key), said,
                 sizeof(said) - MAC_LEN, mac);
    memcpy(said + sizeof(said) - MAC_LEN, mac, MAC_LEN);
    return ch_seal_b64url(pool, said + 4, SID_BYTES);
}

START_TEST(nobody_to_ask)
{
    unsigned char bytes[SID_BYTES];
    ch_call_t *call;

    begin();
    ck_assert_ptr_null(ch_call_ask(rq, CH_CALL_POLL, "x", bytes_of("")));
    take_apart(sid, bytes);
    bytes[SERVER_LEN + 2] ^= 1; /* another life */
    ck_assert_ptr_null(
        ch_call_ask(rq, CH_CALL_POLL, sealed(bytes), bytes_of("")));
    ch_call_tell(rq, CH_CALL_SPOIL, "x");
    bytes[SERVER_LEN + 2] ^= 1;
    bytes[SID_BYTES - MAC_LEN - 1] ^= 1; /* another session */
    call = ch_call_ask(rq, CH_CALL_POLL, sealed(bytes), bytes_of(""));
    turn();
    ck_assert_int_eq(ch_call_wait(rq, call, 0, &fault, &body), 1);
    ck_assert_int_eq(fault, CH_EIO_SID_UNKNOWN);
    /* another server: nobody carries it there */
    bytes[0] ^= 1;
    call = ch_call_ask(rq, CH_CALL_POLL, sealed(bytes), bytes_of(""));
    ck_assert_ptr_nonnull(call);
    turn();
    wall_is_ahead = apr_time_from_sec(3600); /* which is no reason to wait */
    ck_assert_int_eq(ch_call_wait(rq, call, 50, &fault, &body), 0);
    ch_call_leave(call);
    end_realtime();
}
END_TEST

/* A poll whose client is gone ends its session; another question doesn't. */
START_TEST(whoever_leaves)
{
    ch_call_t *call;

    begin();
    call = ask(CH_CALL_UPGRADE, "");
    ch_call_leave(call);
    turn();
    ck_assert_ptr_nonnull(ch_engine_find(sid, CH_SID_LEN));
    call = ask(CH_CALL_POLL, "");
    turn();
    ch_call_leave(call);
    turn();
    ck_assert_ptr_null(ch_socket_find(1));
    ck_assert_int_eq(ch_engine_find(sid, CH_SID_LEN)->over, 1);
    /* what was answered before it left is dropped */
    end_realtime();
}
END_TEST

START_TEST(whoever_leaves_after_the_answer)
{
    ch_call_t *call;

    begin();
    send_text("lost");
    call = ask(CH_CALL_POLL, "");
    turn();
    ch_call_leave(call);
    turn();
    ck_assert_int_eq(ch_engine_find(sid, CH_SID_LEN)->over, 0);
    end_realtime();
}
END_TEST

/* --- connections that wait -------------------------------------------- */

#define HEAD "HTTP/1.1 200 OK\r\nX-Test: 1\r\n"

static client_t waiting;

static void hand_over(ch_call_t *call)
{
    ch_door_conn_t from;

    make_ends(&waiting, &from);
    from.head = ch_check_copy(HEAD, sizeof(HEAD));
    ch_call_hand_over(call, &from);
}

/* What came, but for the line of its date, which has to be there. */
static const char *undated(void)
{
    static const char name[] = "\r\nDate: ";
    const char *text = apr_pstrmemdup(pool, waiting.in, waiting.len);
    const char *line = strstr(text, name);
    const char *end = line ? strstr(line + 2, "\r\n") : NULL;
    apr_time_t age;

    ck_assert_ptr_nonnull(end);
    age = apr_time_now() - apr_date_parse_rfc(line + sizeof(name) - 1);
    ck_assert(age >= 0 && age < apr_time_from_sec(60));
    return apr_pstrcat(pool, apr_pstrmemdup(pool, text, line - text), end,
                       NULL);
}

#define ck_answer(text)                                                       \
    do {                                                                      \
        turn();                                                               \
        pull(&waiting);                                                       \
        ck_assert_str_eq(undated(), text);                                    \
        ck_assert(is_closed(&waiting));                                       \
    } while (0)

START_TEST(an_answer_before_it_is_handed_over)
{
    ch_call_t *call;

    begin();
    send_text("early");
    call = ask(CH_CALL_POLL, "");
    turn();
    hand_over(call);
    ck_answer(HEAD "Content-Length: 6\r\n\r\n4early");
    end_realtime();
}
END_TEST

START_TEST(an_answer_after_it_was_handed_over)
{
    ch_call_t *call;

    begin();
    call = ask(CH_CALL_POLL, "");
    hand_over(call);
    turn();
    pull(&waiting);
    ck_assert_uint_eq(waiting.len, 0);
    /* what the client says before is not heard */
    ck_assert_int_eq(send(waiting.fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    turn();
    send_text("late");
    turn();
    ck_answer(HEAD "Content-Length: 5\r\n\r\n4late");
    send_text("for the next one");
    turn();
    ck_assert_int_eq(ch_engine_find(sid, CH_SID_LEN)->over, 0);
    end_realtime();
}
END_TEST

START_TEST(a_fault_for_a_connection)
{
    ch_call_t *call, *second;

    begin();
    call = ask(CH_CALL_POLL, "");
    turn();
    second = ask(CH_CALL_POLL, "");
    hand_over(second);
    turn();
    ck_answer("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
              "Content-Type: application/json\r\nContent-Length: 34\r\n\r\n"
              "{\"code\":3,\"message\":\"Bad request\"}");
    ck_assert_int_eq(ch_call_wait(rq, call, 0, &fault, &body), 1);
    ck_body("1");
    end_realtime();
}
END_TEST

START_TEST(a_client_that_is_gone)
{
    begin();
    hand_over(ask(CH_CALL_POLL, ""));
    turn();
    close(waiting.fd);
    turn();
    turn();
    ck_assert_int_eq(ch_engine_find(sid, CH_SID_LEN)->over, 1);
    end_realtime();
}
END_TEST

/* Its owner never answers: ten seconds more than a beat takes. */
START_TEST(an_owner_that_is_silent)
{
    unsigned char bytes[SID_BYTES];

    begin();
    conf.socketio_ping_ms = -9000;
    conf.socketio_pong_ms = 200;
    take_apart(sid, bytes);
    bytes[0] ^= 1;
    hand_over(
        ch_call_ask(rq, CH_CALL_POLL, sealed(bytes), bytes_of("")));
    run_for(MS(1000));
    ck_assert_int_eq(is_closed(&waiting), 0);
    wait_for(is_closed(&waiting));
    end_realtime();
}
END_TEST

START_TEST(a_connection_that_cannot_be_watched)
{
    const ch_door_conn_t from = { .fd = -1, .head = HEAD };

    begin();
    ch_call_hand_over(ask(CH_CALL_POLL, ""), &from);
    turn();
    turn();
    ck_assert_int_eq(ch_engine_find(sid, CH_SID_LEN)->over, 1);
    end_realtime();
}
END_TEST

/* An answer to nobody, and a second one. */
START_TEST(answers_to_nobody)
{
    const ch_record_t unknown = { .kind = CH_RECORD_ANSWER, .id = 1 };
    const ch_caller_t far = { .id = 1, .site = SITE, .server = "far away" };
    const ch_caller_t lost = { .id = 1, .site = SITE + 1, .server = "x" };
    const ch_caller_t dead = { .id = 1, .slot = 3, .site = SITE };

    begin();
    ch_call_answered(&unknown);
    ch_call_answer(&far, CH_EIO_GOOD, bytes_of("x"));
    ch_call_answer(&lost, CH_EIO_GOOD, bytes_of("x"));
    ch_call_answer(&dead, CH_EIO_GOOD, bytes_of("x"));
    turn();
    end_realtime();
}
END_TEST

/* --- threads ---------------------------------------------------------- */

#define ASKERS 4
#define QUESTIONS 100

static int asked; /* any thread */

static void *APR_THREAD_FUNC ask_often(apr_thread_t *unused, void *data)
{
    ch_eio_fault_e what;
    ch_bytes_t got;
    ch_req_t own = { .conf = &conf };
    ch_call_t *call;
    int i;

    apr_pool_create(&own.pool, NULL);
    for (i = 0; i < QUESTIONS; i++) {
        call = ch_call_ask(&own, CH_CALL_UPGRADE, sid, bytes_of(""));
        ck_assert_ptr_nonnull(call);
        if (i % 4 == 3) {
            ch_call_leave(call); /* the answer may come just now */
        }
        else {
            ck_assert_int_eq(ch_call_wait(&own, call, 20000, &what, &got), 1);
            ck_assert_int_eq(what, CH_EIO_GOOD);
        }
        apr_pool_clear(own.pool);
    }
    apr_pool_destroy(own.pool);
    __atomic_add_fetch(&asked, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

START_TEST(many_threads_ask)
{
    apr_thread_t *threads[ASKERS];
    apr_status_t rv;
    int i;

    begin();
    for (i = 0; i < ASKERS; i++) {
        apr_thread_create(&threads[i], NULL, ask_often, NULL, pool);
    }
    wait_for(__atomic_load_n(&asked, __ATOMIC_SEQ_CST) == ASKERS);
    for (i = 0; i < ASKERS; i++) {
        apr_thread_join(&rv, threads[i]);
    }
    turn();
    end_realtime();
}
END_TEST

CH_SUITE_MAIN("realtime/call", CH_ONCE(a_sid_names_its_owner),
              CH_ONCE(another_owner), CH_ONCE(a_slot_without_a_life),
              CH_ONCE(a_dead_life),
              CH_ONCE(garbage_of_every_length),
              CH_ONCE(an_answer_that_is_there), CH_ONCE(nobody_to_ask),
              CH_ONCE(whoever_leaves),
              CH_ONCE(whoever_leaves_after_the_answer),
              CH_ONCE(an_answer_before_it_is_handed_over),
              CH_ONCE(an_answer_after_it_was_handed_over),
              CH_ONCE(a_fault_for_a_connection),
              CH_ONCE(a_client_that_is_gone),
              CH_ONCE(an_owner_that_is_silent),
              CH_ONCE(a_connection_that_cannot_be_watched),
              CH_ONCE(answers_to_nobody), CH_ONCE(many_threads_ask))
