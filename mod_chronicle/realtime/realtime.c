/* Opens and closes the room in a child, and passes on what comes in from other
 * children and other servers. */
#include "realtime/realtime.h"

#include <string.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "base/heap.h"
#include "base/seal.h"
#include "base/steady.h"
#include "base/uuid.h"
#include "realtime/call.h"
#include "realtime/far.h"
#include "realtime/hands.h"
#include "realtime/hub.h"
#include "realtime/presence.h"
#include "realtime/wire.h"
#include "store/sql_gen.h"

#define RECORDS_A_TURN 256
#define STEP (APR_USEC_PER_SEC / 10)
#define LOOK_EVERY APR_USEC_PER_SEC
#define CLOSE_WITHIN (APR_USEC_PER_SEC * 3 / 2) /* at TERM 3 s are all */

ch_core_t ch_core;

static apr_thread_t *thread;
static ch_watch_t inbox;
static ch_post_t goes_on;
static int planned;

const ch_conf_t *ch_core_conf(int site)
{
    int i;

    for (i = 0; i < ch_core.conf->conf_count; i++) {
        if (ch_core.conf->confs[i]->site == site) {
            return ch_core.conf->confs[i];
        }
    }
    return NULL;
}

/* --- what comes in ---------------------------------------------------- */

static void session_ended(const unsigned char id[16])
{
    apr_hash_index_t *at = apr_hash_first(NULL, ch_core.socks);

    ch_hub_note(id); /* one that connects is not here yet */
    while (at) {
        ch_sock_t *sock = apr_hash_this_val(at);

        at = apr_hash_next(at);
        if (memcmp(sock->session, id, 16) == 0) {
            ch_socket_revoke(sock);
        }
    }
}

static void user_changed(const ch_record_t *record)
{
    ch_user_t *user = ch_hub_user(record->site, record->user);

    ch_hub_note(record->user);
    if (user) {
        ch_tend_sessions(user->conf, user);
    }
}

static void take_socket(const ch_record_t *record, int fd)
{
    const ch_door_conn_t from = { .fd = fd, .early = record->data };

    ch_poll_upgrade(ch_engine_find(record->name.data, record->name.len),
                    &from);
}

static const ch_conf_t *server_of(const ch_record_t *record)
{
    int i;

    for (i = 0; i < ch_core.conf->server_count; i++) {
        if (ch_core.conf->servers[i]->id == record->what
            && record->id == (apr_uint64_t)ch_core.conf->generation) {
            return ch_core.conf->servers[i];
        }
    }
    return NULL;
}

/* A child that is full sent it. Whoever finds other settings here, or nobody
 * who stays, tries again. */
static void take_comer(const ch_record_t *record, int fd)
{
    int slot = ch_wire_slot();
    const ch_door_conn_t from = { .fd = fd, .early = record->data };
    ch_engine_in_t in = { .conf = server_of(record),
                          .client_ip = record->more.data };
    char sid[CH_SID_LEN + 1] = "";

    if (!in.conf || record->name.len != CH_SID_LEN
        || __atomic_load_n(&ch_core.ending, __ATOMIC_SEQ_CST)) {
        close(fd);
        ch_wire_hold(slot, -1);
        return;
    }
    memcpy(sid, record->name.data, CH_SID_LEN);
    in.sid = sid;
    in.cookie = in.client_ip + strlen(in.client_ip) + 1;
    in.cookie = *in.cookie ? in.cookie : NULL;
    ch_engine_open_socket(&in, &from);
    ch_wire_hold(slot, -1); /* it was on its way */
}

static void take(const ch_record_t *record, int fd)
{
    if (record->kind == CH_RECORD_SOCKET || record->kind == CH_RECORD_COMER) {
        if (fd >= 0) {
            (record->kind == CH_RECORD_SOCKET ? take_socket
                                              : take_comer)(record, fd);
        }
        return;
    }
    if (fd >= 0) {
        close(fd); /* nothing else comes with one */
    }
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
    case CH_RECORD_SESSION:
        session_ended(record->user);
        break;
    case CH_RECORD_USER:
        user_changed(record);
        break;
    case CH_RECORD_DOUBT:
        ch_tend_all(record->site);
        break;
    case CH_RECORD_SOCKET:
    case CH_RECORD_COMER:
        break;
    }
}

/* So many at a time that nobody else has to wait long. */
static void read_inbox(void)
{
    apr_pool_t *pool;
    ch_record_t record;
    ch_bytes_t bytes;
    int i, fd;

    apr_pool_create(&pool, ch_core.pool);
    for (i = 0; i < RECORDS_A_TURN && ch_wire_next(pool, &bytes, &fd); i++) {
        if (ch_record_read(bytes, &record)) {
            take(&record, fd);
        }
        else if (fd >= 0) {
            close(fd);
        }
        apr_pool_clear(pool);
    }
    apr_pool_destroy(pool);
    if (i == RECORDS_A_TURN && !planned) {
        planned = 1;
        ch_loop_later(ch_core.loop, &goes_on);
    }
}

static void on_more(ch_post_t *post)
{
    planned = 0;
    read_inbox();
}

static void on_inbox(ch_watch_t *watch, int readable, int writable)
{
    if (readable && !planned) {
        read_inbox();
    }
}

/* --- from the bus: any thread ----------------------------------------- */

static void tell_all(const ch_conf_t *conf, ch_record_t *record)
{
    apr_pool_t *pool;
    ch_bytes_t bytes;

    if (!ch_wire_heard()) {
        return;
    }
    apr_pool_create(&pool, NULL);
    record->site = conf->site;
    bytes = ch_record_write(pool, record);
    ch_wire_tell(CH_WIRE_ALL, bytes.data, bytes.len, -1);
    apr_pool_destroy(pool);
}

/* Whom a record of another server is for: its number of a site is its own. */
static void tell_far(const ch_conf_t *conf, ch_record_t *record)
{
    int slot = CH_WIRE_ALL;
    char sid[CH_SID_LEN + 1], server[33];
    apr_pool_t *pool;
    ch_bytes_t bytes;

    if (record->kind == CH_RECORD_ANSWER) {
        slot = record->slot;
    }
    else if (record->kind == CH_RECORD_CALL) {
        if (record->name.len != CH_SID_LEN) {
            return;
        }
        memcpy(sid, record->name.data, CH_SID_LEN);
        sid[CH_SID_LEN] = '\0';
        if (!ch_call_owner(conf, sid, server, &slot) || *server) {
            return; /* who asks has a time limit */
        }
    }
    apr_pool_create(&pool, NULL);
    record->site = conf->site;
    bytes = ch_record_write(pool, record);
    ch_wire_tell(slot, bytes.data, bytes.len, -1);
    apr_pool_destroy(pool);
}

static void hear_record(const ch_conf_t *conf, const char *text, size_t len)
{
    ch_record_t record;
    apr_pool_t *pool;
    ch_bytes_t bytes;

    apr_pool_create(&pool, NULL);
    if (ch_far_take(pool, conf, text, len, &bytes)
        && ch_record_read(bytes, &record)) {
        tell_far(conf, &record);
    }
    apr_pool_destroy(pool);
}

void ch_realtime_hear(const ch_conf_t *conf, char letter, const char *text,
                      size_t len)
{
    ch_record_t record = { .kind = letter == 's' ? CH_RECORD_SESSION
                                                 : CH_RECORD_USER };
    char id[CH_UUID_LEN + 1];

    if (letter == 'r') {
        hear_record(conf, text, len);
        return;
    }
    if ((letter != 's' && letter != 'u') || len != CH_UUID_LEN) {
        return;
    }
    memcpy(id, text, CH_UUID_LEN);
    id[CH_UUID_LEN] = '\0';
    if (ch_uuid_bytes(id, record.user)) {
        tell_all(conf, &record);
    }
}

void ch_realtime_doubt(const ch_conf_t *conf)
{
    ch_record_t record = { .kind = CH_RECORD_DOUBT };

    tell_all(conf, &record);
}

/* --- leaving ---------------------------------------------------------- */

/* Everybody is sent away over the time that there is, so that not all come
 * back at one moment. */
static struct {
    ch_timer_t timer;
    apr_time_t until; /* 0 = not yet */
    int had;   /* there was somebody; read once all have left */
    int empty; /* atomic */
} leaving;

static ch_timer_t looking;

static int close_some(unsigned count)
{
    apr_hash_index_t *at = apr_hash_first(NULL, ch_core.engines);

    while (at && count) {
        ch_engine_t *engine = apr_hash_this_val(at);

        at = apr_hash_next(at);
        if (!engine->over) { /* else it waits for its last poll */
            ch_engine_close(engine, CH_WS_RESTART);
            count--;
        }
    }
    return apr_hash_count(ch_core.engines) == 0;
}

static void on_leave(ch_timer_t *timer)
{
    apr_time_t now = ch_loop_now(ch_core.loop);
    apr_time_t left = leaving.until > now ? leaving.until - now : 0;
    unsigned steps = (unsigned)(left / STEP) + 1;

    __atomic_store_n(
        &leaving.empty,
        close_some(apr_hash_count(ch_core.engines) / steps + 1),
        __ATOMIC_SEQ_CST);
    ch_loop_timer_set(ch_core.loop, timer, now + STEP);
}

/* The earlier end counts when this is called again. */
static void begin_leaving(void *ctx)
{
    apr_time_t until = ch_loop_now(ch_core.loop) + *(apr_time_t *)ctx;

    __atomic_store_n(&ch_core.ending, 1, __ATOMIC_SEQ_CST);
    ch_wire_limit(0);
    if (!leaving.until) {
        ch_attend_end();
        leaving.had = ch_conn_count();
    }
    if (!leaving.until || until < leaving.until) {
        leaving.until = until;
    }
    leaving.timer.due = on_leave;
    on_leave(&leaving.timer);
}

/* The server waits for connections that it still counts before it ends a
 * child: those behind TLS, and those that keep a thread. */
static void on_look(ch_timer_t *timer)
{
    apr_time_t spread = ch_core.conf->spread;

    if (ch_core.conf->is_stopping()) {
        begin_leaving(&spread);
        return;
    }
    ch_loop_timer_set(ch_core.loop, timer,
                      ch_loop_now(ch_core.loop) + LOOK_EVERY);
}

static void begin_looking(void *unused)
{
    looking.due = on_look;
    on_look(&looking);
}

/* --- begin ------------------------------------------------------------ */

static void *APR_THREAD_FUNC run(apr_thread_t *unused, void *data)
{
    ch_loop_run(ch_core.loop);
    return NULL;
}

static int open_core(apr_pool_t *pool, const ch_realtime_t *conf)
{
    ch_core.conf = conf;
    ch_core.pool = ch_heap_pool();
    ch_core.loop = ch_core.pool ? ch_loop_make(ch_core.pool) : NULL;
    if (!ch_core.loop) {
        return 0;
    }
    apr_cpystrn(ch_core.place,
                ch_presence_place(pool, ch_far_own(), ch_wire_slot(),
                                  ch_wire_life(ch_wire_slot())),
                sizeof(ch_core.place));
    ch_core.engines = apr_hash_make(ch_core.pool);
    ch_core.socks = apr_hash_make(ch_core.pool);
    ch_seal_random(&ch_core.next_id, sizeof(ch_core.next_id));
    ch_call_open();
    ch_hub_open();
    goes_on.run = on_more;
    ch_wire_limit(conf->sockets_max);
    inbox.fd = ch_wire_fd();
    inbox.ready = on_inbox;
    return ch_loop_watch(ch_core.loop, &inbox);
}

int ch_realtime_begin(apr_pool_t *pool, const ch_realtime_t *conf)
{
    if (!ch_wire_claim(pool)) {
        return 0;
    }
    if (!open_core(pool, conf) || !ch_hands_begin(pool, conf->threads)
        || !ch_far_begin(pool, conf->log, conf->ctx)) {
        ch_core.loop = NULL;
        return 0;
    }
    ch_attend_begin();
    if (apr_thread_create(&thread, NULL, run, NULL, pool) != APR_SUCCESS) {
        ch_core.loop = NULL;
        return 0;
    }
    ch_hands_in_loop(begin_looking, NULL);
    return 1;
}

/* --- end -------------------------------------------------------------- */

/* Users are there for as long as they may take to come back. */
static void fade(void)
{
    apr_pool_t *pool;
    int i;

    apr_pool_create(&pool, NULL);
    for (i = 0; i < ch_core.conf->conf_count; i++) {
        ch_db_t *db = ch_db_make(pool, ch_core.conf->confs[i]->db);

        sql_hub_fade(db, &(sql_hub_fade_t){ .place = ch_core.place });
    }
    apr_pool_destroy(pool);
}

/* Those that wait for a last poll wait no more. */
static void drop_all(void *unused)
{
    apr_hash_index_t *at = apr_hash_first(NULL, ch_core.engines);

    while (at) {
        ch_engine_t *engine = apr_hash_this_val(at);

        at = apr_hash_next(at);
        if (engine->over) {
            ch_engine_end(engine);
        }
        else {
            ch_engine_close(engine, 0);
        }
    }
}

void ch_realtime_end(apr_time_t spread)
{
    apr_time_t until = ch_steady_now() + spread + CLOSE_WITHIN;
    apr_status_t rv;

    if (!ch_core.loop) {
        return;
    }
    ch_hands_in_loop(begin_leaving, &spread);
    while (ch_steady_now() < until
           && (!__atomic_load_n(&leaving.empty, __ATOMIC_SEQ_CST)
               || ch_conn_count())) {
        apr_sleep(STEP / 10);
    }
    ch_hands_in_loop(drop_all, NULL);
    if (leaving.had) {
        fade();
    }
    ch_hands_end();
    ch_far_end();
    ch_loop_req_quit(ch_core.loop);
    apr_thread_join(&rv, thread);
    ch_hub_close();
    ch_core.loop = NULL;
    apr_pool_destroy(ch_core.pool);
}
