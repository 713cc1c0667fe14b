/* A child's realtime whose loop runs in the test's own thread, turn by turn;
 * its clients are at the other ends of socketpairs. */
#ifndef CH_TESTS_REALTIME_H
#define CH_TESTS_REALTIME_H

#include "ch_check.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/heap.h"
#include "base/steady.h"
#include "base/uuid.h"
#include "conf.h"
#include "realtime/call.h"
#include "realtime/hands.h"
#include "realtime/hub.h"
#include "realtime/typing.h"
#include "realtime/wire.h"
#include "store/bus.h"

#define MS(n) ((n) * (APR_USEC_PER_SEC / 1000))
#define SITE 3

static ch_conf_t conf = {
    .site = SITE,
    .socketio_ping_ms = 60000,
    .socketio_pong_ms = 60000,
    .socketio_max_payload = 100000,
    .socketio_upgrade_ms = 500,
};

/* --- a database that is not there ------------------------------------- */

/* What was said because of it: of any thread. */
static int complaints;

static void *open_none(void *ctx, apr_pool_t *of, void **handle,
                       apr_pool_t **conn_pool)
{
    return NULL;
}

static void close_none(void *ctx, void *handle)
{
}

static void complain(ch_req_t *rq, char level, int number, const char *text)
{
    __atomic_add_fetch(&complaints, 1, __ATOMIC_SEQ_CST);
}

static inline int complained(void)
{
    return __atomic_load_n(&complaints, __ATOMIC_SEQ_CST);
}

/* --- the clock -------------------------------------------------------- */

#define CALM_NS INT64_C(50000000)

/* The loop's clock, by which run_for() goes, too. Here it passes over times
 * in which nobody asks: what a machine that stalls makes late is no matter
 * of these tests. Relaxed, since a mutex would put threads into an order that
 * hides their races from ThreadSanitizer. */
int clock_gettime(clockid_t which, struct timespec *out)
{
    static int taken;
    static int64_t last, behind;
    int result = (int)syscall(SYS_clock_gettime, which, out);
    int64_t now = out->tv_sec * INT64_C(1000000000) + out->tv_nsec;

    if (which == CLOCK_MONOTONIC) {
        int64_t before, late;

        while (__atomic_exchange_n(&taken, 1, __ATOMIC_RELAXED)) {
        }
        before = __atomic_load_n(&last, __ATOMIC_RELAXED);
        late = __atomic_load_n(&behind, __ATOMIC_RELAXED);
        if (before && now - before > CALM_NS) {
            late += now - before - CALM_NS;
            __atomic_store_n(&behind, late, __ATOMIC_RELAXED);
        }
        if (now > before) {
            __atomic_store_n(&last, now, __ATOMIC_RELAXED);
        }
        __atomic_store_n(&taken, 0, __ATOMIC_RELAXED);
        now -= late;
        out->tv_sec = now / INT64_C(1000000000);
        out->tv_nsec = now % INT64_C(1000000000);
    }
    return result;
}

/* --- turns ------------------------------------------------------------ */

/* What is there now is done, and sent. */
static inline void turn(void)
{
    ch_loop_req_quit(ch_core.loop);
    ch_loop_run(ch_core.loop);
}

static inline void run_for(apr_time_t time)
{
    apr_time_t until = ch_steady_now() + time;

    while (ch_steady_now() < until) {
        turn();
        apr_sleep(MS(2));
    }
}

/* Turns until it holds, up to ten seconds. */
#define wait_for(holds)                                                       \
    do {                                                                      \
        apr_time_t until_ = apr_time_now() + MS(10000);                       \
                                                                              \
        for (turn(); !(holds); turn()) {                                      \
            ck_assert_msg(apr_time_now() < until_, "never: %s", #holds);      \
            apr_sleep(MS(2));                                                 \
        }                                                                     \
    } while (0)

/* --- the child -------------------------------------------------------- */

static ch_watch_t inbox;

static inline void take_record(const ch_record_t *record, int fd)
{
    const ch_door_conn_t from = { .fd = fd, .early = record->data };

    switch (record->kind) {
    case CH_RECORD_PUB:
        ch_deliver(record);
        break;
    case CH_RECORD_CALL:
        ch_poll_call(record);
        break;
    case CH_RECORD_ANSWER:
        ch_call_answered(record);
        break;
    case CH_RECORD_SOCKET:
        ch_poll_upgrade(
            ch_engine_find(record->name.data, record->name.len), &from);
        break;
    default:
        ck_abort_msg("a record of kind %d", (int)record->kind);
    }
}

/* As realtime.c does it. */
static inline void read_inbox(ch_watch_t *watch, int readable, int writable)
{
    apr_pool_t *scratch;
    ch_record_t record;
    ch_bytes_t bytes;
    int fd;

    apr_pool_create(&scratch, pool);
    while (ch_wire_next(scratch, &bytes, &fd)) {
        ck_assert_int_eq(ch_record_read(bytes, &record), 1);
        take_record(&record, fd);
        apr_pool_clear(scratch);
    }
    apr_pool_destroy(scratch);
}

static inline void begin_wire(void)
{
    const unsigned char id[16] = "server of tests";

    ck_assert_ptr_nonnull(ch_wire_make(pool, NULL, 4));
    ch_wire_open(apr_pcalloc(pool, ch_wire_size()));
    ch_typing_open(apr_pcalloc(pool, ch_typing_size()));
    ch_bus_open(apr_pcalloc(pool, ch_bus_size()), id);
    ck_assert_int_eq(ch_wire_claim(pool), 1);
}

/* missed: as ch_realtime_t has it, NULL = nobody asks. */
static inline void begin_realtime(ch_err_t *(*missed)(
    ch_req_t *rq, const char *room, apr_int64_t seq, apr_int64_t *number,
    apr_array_header_t **out))
{
    static const ch_db_source_t none = { .open = open_none,
                                         .close = close_none };
    static const ch_io_t io = { .log = complain };
    static const ch_conf_t *const confs[] = { &conf };
    static ch_realtime_t realtime = { .confs = confs, .conf_count = 1,
                                      .io = &io };

    begin_wire();
    realtime.missed = missed;
    conf.db = ch_db_home_make(pool, &none, NULL, 1, 1000);
    ch_core.conf = &realtime;
    apr_pool_create(&ch_core.pool, NULL);
    ch_core.loop = ch_loop_make(ch_core.pool);
    ck_assert_ptr_nonnull(ch_core.loop);
    ch_core.engines = apr_hash_make(ch_core.pool);
    ch_core.socks = apr_hash_make(ch_core.pool);
    ch_core.next_id = 1;
    ch_call_open();
    ch_hub_open();
    inbox.fd = ch_wire_fd();
    inbox.ready = read_inbox;
    ck_assert_int_eq(ch_loop_watch(ch_core.loop, &inbox), 1);
    ck_assert_int_eq(ch_hands_begin(pool, 2), 1);
}

static int far_ends[64]; /* of clients */
static int far_count;

static inline void forget(ch_user_t *user, void *unused)
{
    user->timer.due(&user->timer);
}

/* Everybody is gone, and forgotten: a sanitizer sees what then is nobody's. */
static inline void end_realtime(void)
{
    apr_hash_index_t *at;
    ch_engine_t *engine;

    while ((at = apr_hash_first(NULL, ch_core.engines)) != NULL) {
        engine = apr_hash_this_val(at);
        if (engine->over) {
            ch_engine_end(engine); /* it lingers */
        }
        else {
            ch_engine_close(engine, 0);
        }
    }
    ch_hub_each_user(forget, NULL);
    while (far_count) {
        shutdown(far_ends[--far_count], SHUT_RDWR);
    }
    ch_hands_end();
    wait_for(!ch_conn_count());
}

/* --- clients ---------------------------------------------------------- */

#define CLIENT_BYTES (4 << 20)

typedef struct {
    int fd; /* blocking for who writes */
    ch_engine_t *engine;
    ch_sock_t *sock;
    char *in; /* what came and is not taken apart yet */
    size_t len;
} client_t;

static inline void make_ends(client_t *client, ch_door_conn_t *from)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    ck_assert_uint_lt(far_count, CH_COUNT(far_ends));
    far_ends[far_count++] = ends[1];
    *from = (ch_door_conn_t){ .fd = ends[0] };
    *client = (client_t){ .fd = ends[1],
                          .in = apr_palloc(pool, CLIENT_BYTES) };
}

static inline void pull(client_t *client)
{
    ssize_t got;

    while ((got = recv(client->fd, client->in + client->len,
                       CLIENT_BYTES - client->len, MSG_DONTWAIT))
           > 0) {
        client->len += (size_t)got;
        ck_assert_uint_lt(client->len, CLIENT_BYTES);
    }
}

/* Whether it was closed, after all that it was told. */
static inline int is_closed(client_t *client)
{
    char more;

    pull(client);
    return recv(client->fd, &more, 1, MSG_DONTWAIT) == 0;
}

/* The next message, or "close <code>"; NULL when there is none. */
static inline const char *next_message(client_t *client)
{
    const unsigned char *in = (const unsigned char *)client->in;
    size_t head = client->len > 1 && in[1] == 126 ? 4 : 2;
    const char *text;
    size_t len;

    if (client->len < head) {
        return NULL;
    }
    ck_assert_uint_lt(in[1], 127); /* unmasked, and not very long */
    len = head == 4 ? (size_t)in[2] << 8 | in[3] : in[1];
    if (client->len < head + len) {
        return NULL;
    }
    if (*in == 0x88) {
        text = apr_psprintf(pool, "close %d", in[2] << 8 | in[3]);
    }
    else {
        ck_assert_uint_eq(*in, 0x81);
        text = apr_pstrmemdup(pool, client->in + head, len);
    }
    client->len -= head + len;
    memmove(client->in, client->in + head + len, client->len);
    return text;
}

/* What it was told since the last time, one after the other, events without
 * their "42". */
static inline const char *heard(client_t *client)
{
    const char *all = "", *text;

    turn();
    pull(client);
    while ((text = next_message(client)) != NULL) {
        text += strncmp(text, "42", 2) == 0 ? 2 : 0;
        all = apr_psprintf(pool, "%s%s%s", all, *all ? " " : "", text);
    }
    return all;
}

#define ck_heard(client, text) ck_assert_str_eq(heard(client), text)

/* A frame of a client, whose mask is zero: a header, then the text. */
static inline ch_bytes_t frame(const char *text)
{
    size_t len = strlen(text);
    size_t head = len < 126 ? 2 : 4;
    char *bytes = apr_pcalloc(pool, head + 4 + len);

    ck_assert_uint_lt(len, 65536);
    bytes[0] = '\x81';
    bytes[1] = (char)(0x80 | (len < 126 ? len : 126));
    if (head == 4) {
        bytes[2] = (char)(len >> 8);
        bytes[3] = (char)len;
    }
    memcpy(bytes + head + 4, text, len);
    return (ch_bytes_t){ bytes, head + 4 + len };
}

static inline void say_bytes(client_t *client, ch_bytes_t bytes)
{
    ck_assert_int_eq(send(client->fd, bytes.data, bytes.len, 0), bytes.len);
}

static inline void say(client_t *client, const char *text)
{
    say_bytes(client, frame(text));
}

static inline ch_engine_in_t new_session(void)
{
    return (ch_engine_in_t){ .conf = &conf,
                             .sid = ch_call_sid(pool, &conf, ch_wire_slot()),
                             .client_ip = "192.0.2.1" };
}

/* A session with a websocket. */
static inline void open_client(client_t *client)
{
    const ch_engine_in_t in = new_session();
    ch_door_conn_t from;

    make_ends(client, &from);
    ch_engine_open_socket(&in, &from);
    client->engine = ch_engine_find(in.sid, CH_SID_LEN);
    ck_assert_ptr_nonnull(client->engine);
    ck_assert_int_eq(*heard(client), CH_EIO_OPEN);
}

/* --- users and rooms -------------------------------------------------- */

/* An id that ends in this. */
static inline const unsigned char *id_of(int number)
{
    unsigned char *id = apr_pcalloc(pool, 16);

    id[0] = 1;
    id[14] = (unsigned char)(number >> 8);
    id[15] = (unsigned char)number;
    return id;
}

static inline const char *text_of(int number)
{
    char *text = apr_palloc(pool, CH_UUID_LEN + 1);

    ch_uuid_text(id_of(number), text);
    return text;
}

/* As connect.c does it once it knows who it is. */
static inline void enter(client_t *client, int user)
{
    ch_sock_t *sock = ch_heap_take(sizeof(*sock));

    sock->id = ch_core.next_id++;
    sock->engine = client->engine;
    client->engine->sock = sock;
    client->sock = sock;
    apr_hash_set(ch_core.socks, &sock->id, sizeof(sock->id), sock);
    ch_hub_enter(sock, id_of(user));
}

static inline void open_user(client_t *client, int user)
{
    open_client(client);
    enter(client, user);
}

static inline void add_member(int user, int room, ch_membership_t as)
{
    memcpy(as.room, id_of(room), 16);
    ch_hub_member(ch_hub_user(SITE, id_of(user)), &as);
}

static inline ch_sub_t *subscribe(const client_t *client, int room,
                                  apr_int64_t number)
{
    ch_sub_t *sub = ch_hub_hold(client->sock->id, id_of(room));

    ck_assert_ptr_nonnull(sub);
    ch_hub_release(sub, number, 0);
    return sub;
}

static inline ch_room_t *find_room(int room)
{
    return ch_hub_room(SITE, id_of(room));
}

/* --- what is published ------------------------------------------------ */

typedef struct {
    ch_pub_e what;
    int room, user; /* 0 = none */
    apr_int64_t number, seq;
    apr_uint64_t except;
    const char *name; /* NULL: "e" */
    const char *data; /* NULL: the number */
    const int *rooms; /* of PRESENCE, the last is 0 */
} published_t;

static inline ch_bytes_t bytes_of(const char *text)
{
    return (ch_bytes_t){ text, strlen(text) };
}

/* It comes in a block that is gone when it was delivered. */
static inline void deliver(published_t what)
{
    ch_record_t record = { .kind = CH_RECORD_PUB,
                           .what = what.what,
                           .site = SITE,
                           .id = what.except,
                           .number = what.number,
                           .seq = what.seq };
    unsigned char ids[16 * 16];
    ch_bytes_t bytes;
    char *block;

    record.name = bytes_of(what.name ? what.name : "e");
    record.data = bytes_of(what.data ? what.data
                                     : apr_psprintf(pool,
                                                    "%" APR_INT64_T_FMT,
                                                    what.number));
    for (; what.rooms && *what.rooms; what.rooms++) {
        memcpy(ids + record.more.len, id_of(*what.rooms), 16);
        record.more.len += 16;
    }
    record.more.data = (const char *)ids;
    if (what.room) {
        memcpy(record.room, id_of(what.room), 16);
    }
    if (what.user) {
        memcpy(record.user, id_of(what.user), 16);
    }
    bytes = ch_record_write(pool, &record);
    block = ch_heap_take(bytes.len);
    memcpy(block, bytes.data, bytes.len);
    bytes.data = block;
    ck_assert_int_eq(ch_record_read(bytes, &record), 1);
    ch_deliver(&record);
    memset(block, '!', bytes.len);
    ch_heap_give(block);
}

#define DELIVER(...) deliver((published_t){ __VA_ARGS__ })

#endif
