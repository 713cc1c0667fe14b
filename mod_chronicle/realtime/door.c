/* Looks at requests for /socket.io/, answers those that can be, and makes
 * tickets for connections that are handed over. */
#include "realtime/door.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_strings.h>

#include "auth/auth.h"
#include "base/jsonw.h"
#include "realtime/call.h"
#include "realtime/engine.h"
#include "realtime/hands.h"
#include "realtime/pump.h"
#include "realtime/wire.h"

#define LOOK_MS 15        /* a poll's thread waits that long for an answer */
#define OWNER_MS 4000     /* within which the owner of a session answers */
#define WAITING_MAX 8     /* threads that wait on behalf of HTTP/2 */
#define STREAMS_MAX 3     /* of one connection, which serves few at a time */
#define FULL_MS 100
#define ROOM_LEAST 8      /* in a child that is to take others' connections */
#define POLLS_PER_SOCKET 4

/* What is to happen with a connection that comes. */
typedef struct {
    ch_post_t post;
    apr_pool_t *pool; /* its own */
    ch_engine_in_t in;
    ch_door_e kind;
    int upgrades;     /* a session that is there */
    int slot;         /* whose child has the session, or is to have it */
    int holds;        /* a descriptor in another child, which is to come */
    ch_call_t *call;  /* of a poll */
    ch_door_conn_t conn;
} ticket_t;

/* --- answers ---------------------------------------------------------- */

static void answer(ch_door_t *out, int status, const char *type,
                   ch_bytes_t body)
{
    out->kind = CH_DOOR_ANSWER;
    out->status = status;
    out->content_type = type;
    out->body = body;
}

static void refuse(ch_door_t *out, ch_eio_fault_e fault)
{
    const char *text = ch_eio_fault_text(fault);

    answer(out, ch_eio_fault_status(fault), "application/json",
           (ch_bytes_t){ text, strlen(text) });
}

static void say(ch_door_t *out, ch_bytes_t body)
{
    answer(out, 200, "text/plain; charset=UTF-8", body);
}

/* Who is told to come later finds the descriptors of others that left, or
 * another child. */
static void unavailable(ch_req_t *rq, ch_door_t *out)
{
    static const char text[] = "{\"message\":\"Too many connections\"}";

    apr_table_setn(rq->out, "Retry-After", "5");
    answer(out, 503, "application/json",
           (ch_bytes_t){ text, sizeof(text) - 1 });
}

static int tickets; /* atomic: for descriptors that are still to come */

static int add(int *number, int count)
{
    return __atomic_add_fetch(number, count, __ATOMIC_SEQ_CST);
}

static int is_full(void)
{
    return ch_conn_count() + add(&tickets, 0) >= ch_core.conf->sockets_max;
}

/* Between two polls a session holds no descriptor, but memory, for a while
 * also when nobody comes back to it. Polls over HTTP/2 share descriptors: so
 * there may be more of them than of those, but not without end. */
static int is_crowded(void)
{
    return ch_wire_count(CH_EIO_POLLING, 0) / POLLS_PER_SOCKET
           >= ch_core.conf->sockets_max;
}

/* --- tickets ---------------------------------------------------------- */

static ticket_t *make_ticket(ch_req_t *rq, ch_door_e kind, const char *sid)
{
    apr_pool_t *pool;
    ticket_t *ticket;

    apr_pool_create(&pool, NULL);
    ticket = apr_pcalloc(pool, sizeof(*ticket));
    ticket->pool = pool;
    ticket->kind = kind;
    ticket->in.conf = rq->conf;
    ticket->in.sid = apr_pstrdup(pool, sid);
    ticket->in.client_ip = apr_pstrdup(pool, rq->client_ip);
    ticket->in.cookie =
        apr_pstrdup(pool, ch_req_cookie(rq, CH_SESSION_COOKIE));
    add(&tickets, 1);
    return ticket;
}

static void end_ticket(ticket_t *ticket)
{
    add(&tickets, -1);
    ch_wire_hold(ticket->slot, -ticket->holds);
    apr_pool_destroy(ticket->pool);
}

/* In the loop. */
static void enter(ch_post_t *post)
{
    ticket_t *ticket = (ticket_t *)(void *)post;

    if (ticket->kind == CH_DOOR_POLL) {
        ch_call_hand_over(ticket->call, &ticket->conn);
    }
    else if (ticket->upgrades) {
        ch_poll_upgrade(
            ch_engine_find(ticket->in.sid, strlen(ticket->in.sid)),
            &ticket->conn);
    }
    else {
        ch_engine_open_socket(&ticket->in, &ticket->conn);
    }
    end_ticket(ticket);
}

static void describe(const ticket_t *ticket, ch_record_t *out)
{
    const ch_engine_in_t *in = &ticket->in;
    ch_buf_t *who = ch_buf_make(ticket->pool, 256, 65536);

    *out = (ch_record_t){
        .kind = ticket->upgrades ? CH_RECORD_SOCKET : CH_RECORD_COMER,
        .site = in->conf->site,
        .what = in->conf->id,
        .id = (apr_uint64_t)ch_core.conf->generation,
        .name = { in->sid, strlen(in->sid) },
        .data = ticket->conn.early,
    };
    ch_buf_add(who, in->client_ip, strlen(in->client_ip) + 1);
    ch_buf_add(who, in->cookie ? in->cookie : "",
               in->cookie ? strlen(in->cookie) + 1 : 1);
    out->more = (ch_bytes_t){ who->data, who->len };
}

/* The child gets the socket itself, or one end of a pair whose other end the
 * loop here connects with it. */
static void pass_on(ticket_t *ticket)
{
    ch_record_t record;
    ch_bytes_t bytes;
    int fd = ticket->conn.carrier ? ch_pump_make(&ticket->conn)
                                  : ticket->conn.fd;

    describe(ticket, &record);
    bytes = ch_record_write(ticket->pool, &record);
    if (fd >= 0) {
        if (ch_wire_tell(ticket->slot, bytes.data, bytes.len, fd)) {
            ticket->holds = 0; /* who takes it knows */
        }
        close(fd);
    }
    end_ticket(ticket);
}

void ch_door_take(void *data, const ch_door_conn_t *conn)
{
    ticket_t *ticket = data;

    ticket->conn = *conn;
    ticket->conn.head = apr_pstrdup(ticket->pool, conn->head);
    ticket->conn.early.data =
        apr_pmemdup(ticket->pool, conn->early.data, conn->early.len);
    if (ticket->kind == CH_DOOR_WEBSOCKET && ticket->slot != ch_wire_slot()
        && (ticket->upgrades || !conn->carrier)) {
        pass_on(ticket);
        return;
    }
    ticket->post.run = enter;
    ch_loop_req_post(ch_core.loop, &ticket->post);
}

void ch_door_leave(void *data)
{
    ticket_t *ticket = data;

    if (ticket->call) {
        ch_call_leave(ticket->call);
    }
    end_ticket(ticket);
}

/* --- polling ---------------------------------------------------------- */

static void open_session(void *ctx)
{
    ch_engine_open(ctx);
}

static void begin_session(ch_req_t *rq, ch_door_t *out)
{
    ch_engine_in_t in = {
        .conf = rq->conf,
        .sid = ch_call_sid(rq->pool, rq->conf, ch_wire_slot()),
        .client_ip = rq->client_ip,
        .cookie = ch_req_cookie(rq, CH_SESSION_COOKIE),
    };
    const char *text;

    if (rq->method != CH_GET) {
        refuse(out, CH_EIO_BAD_METHOD);
        return;
    }
    ch_hands_in_loop(open_session, &in);
    text = apr_pstrcat(rq->pool, "0",
                       ch_engine_hello(rq->pool, rq->conf, in.sid, 1), NULL);
    say(out, (ch_bytes_t){ text, strlen(text) });
}

/* Asks and waits for the answer. */
static ch_eio_fault_e ask(ch_req_t *rq, ch_call_e what, const char *sid,
                          ch_bytes_t body)
{
    ch_call_t *call = ch_call_ask(rq, what, sid, body);
    ch_eio_fault_e fault = CH_EIO_SID_UNKNOWN;
    ch_bytes_t nothing;

    if (call && !ch_call_wait(rq, call, OWNER_MS, &fault, &nothing)) {
        ch_call_leave(call);
    }
    return fault;
}

/* Another server may be gone: then nobody would answer the poll. */
static ch_eio_fault_e find_far(ch_req_t *rq, const char *sid)
{
    char server[33];
    int slot;

    if (!ch_call_owner(rq->conf, sid, server, &slot)) {
        return CH_EIO_SID_UNKNOWN;
    }
    return *server ? ask(rq, CH_CALL_UPGRADE, sid, (ch_bytes_t){ "", 0 })
                   : CH_EIO_GOOD;
}

/* A thread that can't give its connection away waits itself; not too many. */
static void wait_here(ch_req_t *rq, const char *sid, int *on_connection,
                      ch_door_t *out)
{
    static int waiting;
    ch_eio_fault_e fault = CH_EIO_SID_UNKNOWN;
    ch_bytes_t body;
    int ms = rq->conf->socketio_ping_ms + rq->conf->socketio_pong_ms;
    ch_call_e what = CH_CALL_POLL;
    ch_call_t *call;
    int is_full = add(on_connection, 1) > STREAMS_MAX;

    is_full |= add(&waiting, 1) > WAITING_MAX;
    if (is_full) {
        what = CH_CALL_LOOK;
        ms = OWNER_MS;
        apr_sleep(FULL_MS * 1000);
    }
    call = ch_call_ask(rq, what, sid, (ch_bytes_t){ "", 0 });
    if (call && !ch_call_wait(rq, call, ms, &fault, &body)) {
        ch_call_leave(call);
    }
    add(&waiting, -1);
    add(on_connection, -1);
    if (fault == CH_EIO_GOOD) {
        say(out, body);
    }
    else {
        refuse(out, fault);
    }
}

static void poll(ch_req_t *rq, const char *sid, ch_door_t *out)
{
    ch_eio_fault_e fault = CH_EIO_SID_UNKNOWN;
    ch_bytes_t body;
    ch_call_t *call =
        ch_call_ask(rq, CH_CALL_POLL, sid, (ch_bytes_t){ "", 0 });
    ticket_t *ticket;

    if (!call) {
        refuse(out, fault);
    }
    else if (!ch_call_wait(rq, call, LOOK_MS, &fault, &body)) {
        ticket = make_ticket(rq, CH_DOOR_POLL, sid);
        ticket->call = call;
        out->kind = CH_DOOR_POLL;
        out->ticket = ticket;
    }
    else if (fault == CH_EIO_GOOD) {
        say(out, body);
    }
    else {
        refuse(out, fault);
    }
}

static void post(ch_req_t *rq, const char *sid, ch_door_t *out)
{
    ch_bytes_t body = { "", 0 };
    ch_eio_fault_e fault;
    ch_err_t *err = NULL;

    fault = ask(rq, CH_CALL_POSTING, sid, body);
    if (fault != CH_EIO_GOOD) {
        refuse(out, fault);
        return;
    }
    if (rq->body_size) {
        err = rq->io->read_body(rq, (size_t)rq->conf->socketio_max_payload,
                                &body);
    }
    if (err) {
        ch_call_tell(rq, CH_CALL_SPOIL, sid);
        answer(out, ch_code_status(err->code), "text/plain",
               (ch_bytes_t){ "", 0 });
        return;
    }
    fault = ask(rq, CH_CALL_POST, sid, body);
    if (fault == CH_EIO_GOOD) {
        say(out, (ch_bytes_t){ "ok", 2 });
    }
    else {
        refuse(out, fault);
    }
}

static void take_poll(ch_req_t *rq, const char *sid, int *waiting,
                      ch_door_t *out)
{
    ch_eio_fault_e fault = find_far(rq, sid);

    if (fault != CH_EIO_GOOD) {
        refuse(out, fault);
    }
    else if (waiting) {
        wait_here(rq, sid, waiting, out);
    }
    else {
        poll(rq, sid, out);
    }
}

static void polling(ch_req_t *rq, const char *sid, int *waiting,
                    ch_door_t *out)
{
    if (sid && rq->method == CH_POST) {
        post(rq, sid, out);
    }
    else if (is_full() || (!sid && is_crowded())) {
        unavailable(rq, out);
    }
    else if (!sid) {
        begin_session(rq, out);
    }
    else if (rq->method != CH_GET) {
        refuse(out, CH_EIO_BAD_METHOD);
    }
    else {
        take_poll(rq, sid, waiting, out);
    }
}

/* --- websocket -------------------------------------------------------- */

/* Whether a header's list holds a word, in any case. */
static int has_word(const char *list, const char *word)
{
    size_t len = strlen(word);

    while (list && *list) {
        size_t size;

        list += strspn(list, " \t,");
        size = strcspn(list, " \t,");
        if (size == len && strncasecmp(list, word, len) == 0) {
            return 1;
        }
        list += size;
    }
    return 0;
}

static int is_upgrade(ch_req_t *rq)
{
    return rq->method == CH_GET
           && has_word(ch_req_header(rq, "Upgrade"), "websocket")
           && has_word(ch_req_header(rq, "Connection"), "upgrade");
}

/* Whether the session is there and may be upgraded; by which child. */
static ch_eio_fault_e ask_owner(ch_req_t *rq, const char *sid, int *slot)
{
    char server[33];

    if (!ch_call_owner(rq->conf, sid, server, slot)) {
        return CH_EIO_SID_UNKNOWN;
    }
    if (*server) {
        return CH_EIO_BAD_REQUEST; /* it goes on polling */
    }
    return ask(rq, CH_CALL_UPGRADE, sid, (ch_bytes_t){ "", 0 });
}

/* The child for a new session: this one while it has room, then the one that
 * has most; -1 = none. What is more than a descriptor can't go elsewhere. */
static int choose_slot(const ch_req_t *rq)
{
    if (!is_full()) {
        return ch_wire_slot();
    }
    return rq->tls || !ch_core.conf->detaches ? -1
                                              : ch_wire_roomiest(ROOM_LEAST);
}

static void hand_over(ch_req_t *rq, const char *sid, int slot, ch_door_t *out)
{
    ticket_t *ticket = make_ticket(
        rq, CH_DOOR_WEBSOCKET,
        sid ? sid : ch_call_sid(rq->pool, rq->conf, slot));

    ticket->upgrades = sid != NULL;
    ticket->slot = slot;
    ticket->holds = !sid && slot != ch_wire_slot();
    ch_wire_hold(slot, ticket->holds);
    out->kind = CH_DOOR_WEBSOCKET;
    out->ticket = ticket;
}

static void websocket(ch_req_t *rq, const char *sid, int can_hand_over,
                      ch_door_t *out)
{
    const char *version = ch_req_header(rq, "Sec-WebSocket-Version");
    const char *key = ch_req_header(rq, "Sec-WebSocket-Key");
    ch_eio_fault_e fault = CH_EIO_GOOD;
    int slot;

    if (!can_hand_over || !is_upgrade(rq)) {
        refuse(out, CH_EIO_BAD_REQUEST);
        return;
    }
    if (!version || strcmp(version, "13") != 0) {
        apr_table_setn(rq->out, "Sec-WebSocket-Version", "13");
        answer(out, 426, "text/plain", (ch_bytes_t){ "", 0 });
        return;
    }
    if (!key || !ch_ws_accept(key, out->accept)) {
        refuse(out, CH_EIO_BAD_REQUEST);
        return;
    }
    if (sid) {
        fault = ask_owner(rq, sid, &slot);
    }
    else {
        slot = choose_slot(rq);
    }
    if (fault != CH_EIO_GOOD) {
        refuse(out, fault);
    }
    else if (slot < 0 || (is_full() && slot == ch_wire_slot())) {
        unavailable(rq, out);
    }
    else {
        hand_over(rq, sid, slot, out);
    }
}

/* --- requests --------------------------------------------------------- */

void ch_door_ask(ch_req_t *rq, int *waiting, ch_door_t *out)
{
    ch_eio_query_t query;
    ch_eio_fault_e fault;

    memset(out, 0, sizeof(*out));
    if (!ch_core.loop || __atomic_load_n(&ch_core.ending, __ATOMIC_SEQ_CST)) {
        unavailable(rq, out);
        return;
    }
    fault = ch_eio_query(rq->pool, rq->args, &query);
    if (fault != CH_EIO_TRANSPORT_UNKNOWN && fault != CH_EIO_SID_UNKNOWN
        && !ch_cors_allows(rq)) {
        fault = CH_EIO_FORBIDDEN;
    }
    else if (fault == CH_EIO_BAD_VERSION && rq->method != CH_GET) {
        fault = CH_EIO_BAD_METHOD;
    }
    if (fault != CH_EIO_GOOD) {
        refuse(out, fault);
    }
    else if (query.transport == CH_EIO_WEBSOCKET) {
        websocket(rq, query.sid, !waiting, out);
    }
    else {
        polling(rq, query.sid, waiting, out);
    }
}
