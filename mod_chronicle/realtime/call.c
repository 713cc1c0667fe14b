/* Carries questions to the owners of sessions, and answers back to the thread
 * or the connection that waits for them. */
#include "realtime/call.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include <apr_escape.h>
#include <apr_strings.h>
#include <apr_time.h>

#include "base/heap.h"
#include "base/seal.h"
#include "base/steady.h"
#include "realtime/engine.h"
#include "realtime/far.h"
#include "realtime/wire.h"
#include "store/bus.h"

struct ch_call_t {
    apr_uint64_t id;
    const ch_conf_t *conf;
    ch_call_e what;
    char sid[CH_SID_LEN + 1];
    char server[33]; /* of the owner, "" = this one */
    int slot;
    pthread_cond_t came;
    int answered;
    ch_eio_fault_e fault;
    char *body;
    size_t len;
    ch_conn_t *conn; /* which waits in place of the thread */
    char *head;
    ch_timer_t timer;
    apr_time_t until;
};

/* Both of any thread, under the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static apr_hash_t *calls;
static apr_uint64_t last_id;

void ch_call_open(void)
{
    /* of nobody else: what is in it is under the lock */
    calls = apr_hash_make(ch_heap_pool());
    ch_seal_random(&last_id, sizeof(last_id));
}

/* --- sids ------------------------------------------------------------- */

/* What a sid says, what nobody can guess, and that we said it: a sid that was
 * made up would have us ask servers that are not there. */
typedef struct {
    unsigned char server[16];
    unsigned char slot[2];
    unsigned char life[4];
    unsigned char random[8];
    unsigned char mac[6];
} sid_t;

#define SAID offsetof(sid_t, mac)

_Static_assert(sizeof(sid_t) * 4 / 3 == CH_SID_LEN, "base64");

static void seal_sid(const ch_conf_t *conf, const sid_t *sid,
                     unsigned char mac[CH_SHA256_LEN])
{
    unsigned char said[4 + SAID] = "sid:";

    memcpy(said + 4, sid, SAID);
    ch_seal_hmac(conf->redis_key, sizeof(conf->redis_key), said, sizeof(said),
                 mac);
}

const char *ch_call_sid(apr_pool_t *pool, const ch_conf_t *conf, int slot)
{
    unsigned char mac[CH_SHA256_LEN];
    apr_uint32_t life = ch_wire_life(slot);
    apr_uint16_t number = (apr_uint16_t)slot;
    sid_t sid;

    apr_unescape_hex(sid.server, ch_far_own(), 32, 0, NULL);
    memcpy(sid.slot, &number, sizeof(number));
    memcpy(sid.life, &life, sizeof(life));
    ch_seal_random(sid.random, sizeof(sid.random));
    seal_sid(conf, &sid, mac);
    memcpy(sid.mac, mac, sizeof(sid.mac));
    return ch_seal_b64url(pool, &sid, sizeof(sid));
}

/* Decodes it; no memory is at hand, so by a table made at once. */
static int read_sid(const char *text, sid_t *out)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char *to = (unsigned char *)out;
    apr_uint32_t bits = 0;
    size_t i;

    for (i = 0; text[i] && i < CH_SID_LEN; i++) {
        const char *digit = strchr(digits, text[i]);

        if (!digit) {
            return 0;
        }
        bits = bits << 6 | (apr_uint32_t)(digit - digits);
        if (i % 4 == 3) {
            *to++ = (unsigned char)(bits >> 16);
            *to++ = (unsigned char)(bits >> 8);
            *to++ = (unsigned char)bits;
        }
    }
    return i == CH_SID_LEN && !text[i];
}

int ch_call_owner(const ch_conf_t *conf, const char *sid, char server[33],
                  int *slot)
{
    unsigned char mac[CH_SHA256_LEN];
    apr_uint16_t number;
    apr_uint32_t life;
    sid_t read;

    if (!read_sid(sid, &read)) {
        return 0;
    }
    seal_sid(conf, &read, mac);
    if (!ch_seal_equal(mac, sizeof(read.mac), read.mac, sizeof(read.mac))) {
        return 0;
    }
    apr_escape_hex(server, read.server, 16, 0, NULL);
    memcpy(&number, read.slot, sizeof(number));
    memcpy(&life, read.life, sizeof(life));
    *slot = number;
    if (strcmp(server, ch_far_own()) != 0) {
        /* whether it lives is for that server to say */
        return !ch_bus_alone(conf->site);
    }
    *server = '\0';
    return life && ch_wire_life(*slot) == life;
}

/* --- asking ----------------------------------------------------------- */

static void dispose(ch_call_t *call)
{
    ch_loop_timer_clear(&call->timer);
    pthread_cond_destroy(&call->came);
    ch_heap_give(call->body);
    ch_heap_give(call->head);
    ch_heap_give(call);
}

/* Sends it on its way; 0 when there is nobody to hear it. */
static int send_call(const ch_call_t *call, ch_call_e what, ch_bytes_t body)
{
    const ch_record_t record = {
        .kind = CH_RECORD_CALL,
        .what = what,
        .site = call->conf->site,
        .slot = ch_wire_slot(),
        .id = call->id,
        .name = { call->sid, CH_SID_LEN },
        .data = body,
        .more = { ch_far_own(), *call->server ? 32 : 0 },
    };
    apr_pool_t *pool;
    ch_bytes_t bytes;
    int sent = 1;

    apr_pool_create(&pool, NULL);
    bytes = ch_record_write(pool, &record);
    if (*call->server) {
        ch_far_post(call->conf, call->server, bytes.data, bytes.len);
    }
    else {
        sent = ch_wire_tell(call->slot, bytes.data, bytes.len, -1);
    }
    apr_pool_destroy(pool);
    return sent;
}

static void enter(ch_call_t *call)
{
    pthread_mutex_lock(&lock);
    call->id = ++last_id;
    apr_hash_set(calls, &call->id, sizeof(call->id), call);
    pthread_mutex_unlock(&lock);
}

static void leave(ch_call_t *call)
{
    pthread_mutex_lock(&lock);
    apr_hash_set(calls, &call->id, sizeof(call->id), NULL);
    pthread_mutex_unlock(&lock);
}

static ch_call_t *make(ch_req_t *rq, ch_call_e what, const char *sid)
{
    ch_call_t *call = ch_heap_take(sizeof(*call));
    pthread_condattr_t steady;

    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC); /* base/steady */
    pthread_cond_init(&call->came, &steady);
    pthread_condattr_destroy(&steady);
    call->conf = rq->conf;
    call->what = what;
    apr_cpystrn(call->sid, sid, sizeof(call->sid));
    if (!ch_call_owner(call->conf, sid, call->server, &call->slot)) {
        dispose(call);
        return NULL;
    }
    return call;
}

void ch_call_tell(ch_req_t *rq, ch_call_e what, const char *sid)
{
    ch_call_t *call = make(rq, what, sid);

    if (call) {
        send_call(call, what, (ch_bytes_t){ "", 0 });
        dispose(call);
    }
}

ch_call_t *ch_call_ask(ch_req_t *rq, ch_call_e what, const char *sid,
                       ch_bytes_t body)
{
    ch_call_t *call = make(rq, what, sid);

    if (!call) {
        return NULL;
    }
    enter(call);
    if (!send_call(call, what, body)) {
        leave(call);
        dispose(call);
        return NULL;
    }
    return call;
}

static struct timespec in_ms(int ms)
{
    apr_time_t at = ch_steady_now() + (apr_time_t)ms * 1000;

    return (struct timespec){ .tv_sec = apr_time_sec(at),
                              .tv_nsec = apr_time_usec(at) * 1000 };
}

int ch_call_wait(ch_req_t *rq, ch_call_t *call, int ms, ch_eio_fault_e *fault,
                 ch_bytes_t *body)
{
    struct timespec until = in_ms(ms);
    int answered;

    pthread_mutex_lock(&lock);
    while (!call->answered
           && pthread_cond_timedwait(&call->came, &lock, &until)
                  != ETIMEDOUT) {
    }
    answered = call->answered;
    if (answered) {
        apr_hash_set(calls, &call->id, sizeof(call->id), NULL);
    }
    pthread_mutex_unlock(&lock);
    if (!answered) {
        return 0;
    }
    *fault = call->fault;
    *body = (ch_bytes_t){ apr_pmemdup(rq->pool, call->body ? call->body : "",
                                      call->len + 1),
                          call->len };
    dispose(call);
    return 1;
}

void ch_call_leave(ch_call_t *call)
{
    leave(call);
    if (call->what == CH_CALL_POLL) {
        send_call(call, CH_CALL_GONE, (ch_bytes_t){ "", 0 });
    }
    dispose(call);
}

/* --- connections that wait -------------------------------------------- */

static void write_answer(const ch_call_t *call, apr_pool_t *pool)
{
    int good = call->fault == CH_EIO_GOOD;
    const char *text = good ? call->body : ch_eio_fault_text(call->fault);
    size_t len = good ? call->len : strlen(text);
    char date[APR_RFC822_DATE_LEN];
    const char *head;
    ch_chunk_t *chunk;

    apr_rfc822_date(date, apr_time_now());
    head = apr_psprintf(
        pool, "%sDate: %s\r\nContent-Length: %" APR_SIZE_T_FMT "\r\n\r\n",
        good ? call->head
             : "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
               "Content-Type: application/json\r\n",
        date, len);
    chunk = ch_chunk_raw(head, strlen(head));
    ch_conn_send(call->conn, chunk);
    ch_chunk_drop(chunk);
    if (len) {
        chunk = ch_chunk_raw(text, len);
        ch_conn_send(call->conn, chunk);
        ch_chunk_drop(chunk);
    }
}

static void finish(ch_call_t *call)
{
    apr_pool_t *pool;

    apr_pool_create(&pool, ch_core.pool);
    write_answer(call, pool);
    apr_pool_destroy(pool);
    ch_conn_close(call->conn);
    leave(call);
    dispose(call);
}

static void on_data(ch_conn_t *conn, void *owner, const char *data,
                    size_t len)
{
    /* a client that says more before it was answered is not heard */
}

static void on_lost(ch_conn_t *conn, void *owner)
{
    ch_call_leave(owner);
}

static int owner_lives(const ch_call_t *call)
{
    char server[33];
    int slot;

    return *call->server
           || (ch_call_owner(call->conf, call->sid, server, &slot)
               && ch_wire_lives(slot));
}

static void look_soon(ch_call_t *call)
{
    ch_loop_timer_set(ch_core.loop, &call->timer,
                      ch_loop_now(ch_core.loop) + APR_USEC_PER_SEC);
}

/* Whether the owner is gone for good is only seen by looking. */
static void on_time(ch_timer_t *timer)
{
    ch_call_t *call =
        (ch_call_t *)(void *)((char *)timer - offsetof(ch_call_t, timer));

    if (owner_lives(call) && ch_loop_now(ch_core.loop) < call->until) {
        look_soon(call);
        return;
    }
    call->fault = CH_EIO_SID_UNKNOWN;
    finish(call);
}

void ch_call_hand_over(ch_call_t *call, const ch_door_conn_t *from)
{
    static const ch_conn_owner_t owner = { .data = on_data, .lost = on_lost };
    const ch_conf_t *conf = call->conf;
    size_t size = strlen(from->head) + 1;
    int answered;

    call->conn = ch_conn_make(ch_core.loop, from->fd, from->carrier,
                              from->ctx, &owner, call);
    if (!call->conn) {
        ch_call_leave(call);
        return;
    }
    call->head = memcpy(ch_heap_take(size), from->head, size);
    pthread_mutex_lock(&lock);
    answered = call->answered;
    pthread_mutex_unlock(&lock);
    if (answered) {
        finish(call);
        return;
    }
    call->until =
        ch_loop_now(ch_core.loop) + apr_time_from_sec(10)
        + (apr_time_t)(conf->socketio_ping_ms + conf->socketio_pong_ms) * 1000;
    call->timer.due = on_time;
    look_soon(call);
}

/* --- answering -------------------------------------------------------- */

static void came(apr_uint64_t id, ch_eio_fault_e fault, ch_bytes_t body)
{
    ch_call_t *call;

    pthread_mutex_lock(&lock);
    call = apr_hash_get(calls, &id, sizeof(id));
    if (call && !call->answered) {
        call->fault = fault;
        call->len = body.len;
        call->body = ch_heap_take(body.len + 1);
        if (body.len) {
            memcpy(call->body, body.data, body.len);
        }
        call->answered = 1;
        pthread_cond_signal(&call->came);
    }
    if (call && !call->conn) {
        call = NULL; /* the thread's, who may be gone by now */
    }
    pthread_mutex_unlock(&lock);
    if (call) {
        finish(call);
    }
}

void ch_call_answer(const ch_caller_t *caller, ch_eio_fault_e fault,
                    ch_bytes_t body)
{
    const ch_record_t record = {
        .kind = CH_RECORD_ANSWER,
        .site = caller->site,
        .slot = caller->slot,
        .id = caller->id,
        .fault = fault,
        .data = body,
    };
    const ch_conf_t *conf = ch_core_conf(caller->site);
    apr_pool_t *pool;
    ch_bytes_t bytes;

    if (!*caller->server && caller->slot == ch_wire_slot()) {
        came(caller->id, fault, body);
        return;
    }
    apr_pool_create(&pool, ch_core.pool);
    bytes = ch_record_write(pool, &record);
    if (!*caller->server) {
        ch_wire_tell(caller->slot, bytes.data, bytes.len, -1);
    }
    else if (conf) {
        ch_far_post(conf, caller->server, bytes.data, bytes.len);
    }
    apr_pool_destroy(pool);
}

void ch_call_answered(const ch_record_t *answer)
{
    came(answer->id, (ch_eio_fault_e)answer->fault, answer->data);
}
