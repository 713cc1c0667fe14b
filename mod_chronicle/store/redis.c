/* Keeps connections to Redis, sends pipelines over them, and finds out when
 * it is lost and when it is back. */
#include "store/redis.h"

#include <string.h>

#include <apr_strings.h>

#include "base/seal.h"
#include "base/steady.h"
#include "store/redis_home.h"
#include "store/redis_url.h"

#define COMMANDS_MAX ((size_t)64 << 20) /* bytes of a pipeline */
#define IDLE_USEC (60 * APR_USEC_PER_SEC)

/* What a Redis must be able to do to be back: run a script that writes. A
 * replica, a full one and one that we may not write to cannot. */
static ch_redis_script_t probe_script = {
    .text = "return redis.call('SET', KEYS[1], ARGV[1], 'PX', 1000)",
    .keys = 1,
};

/* --- homes ----------------------------------------------------------------
 */

static apr_status_t close_all(void *data)
{
    ch_redis_t *redis = data;
    int i;

    for (i = 0; i < redis->max; i++) {
        ch_redis_conn_close(&redis->all[i]);
    }
    return APR_SUCCESS;
}

ch_redis_t *ch_redis_make(apr_pool_t *pool, const ch_redis_url_t *url, int max,
                          ch_redis_log_t *log, void *log_ctx)
{
    size_t conns = sizeof(ch_redis_conn_t) * (size_t)max;
    ch_redis_t *redis = apr_pcalloc(pool, sizeof(*redis) + conns);
    int i;

    redis->url = url;
    redis->state = ch_redis_state(url->key);
    redis->log = log;
    redis->log_ctx = log_ctx;
    redis->max = max;
    for (i = max - 1; i >= 0; i--) {
        redis->all[i].fd = -1;
        redis->all[i].next = redis->unused;
        redis->unused = &redis->all[i];
    }
    if (!redis->state
        || apr_thread_mutex_create(&redis->mutex, APR_THREAD_MUTEX_DEFAULT,
                                   pool)
               != APR_SUCCESS) {
        return NULL;
    }
    apr_pool_cleanup_register(pool, redis, close_all, apr_pool_cleanup_null);
    return redis;
}

int ch_redis_is_up(const ch_redis_t *redis)
{
    return redis && ch_redis_turn_is_up(ch_redis_turn(redis->state));
}

apr_uint64_t ch_redis_generation(const ch_redis_t *redis)
{
    return redis ? ch_redis_turn_generation(ch_redis_turn(redis->state)) : 0;
}

void ch_redis_lose(ch_redis_t *redis, apr_uint64_t turn, const char *why)
{
    char text[512];

    if (ch_redis_state_lose(redis->state, turn)) {
        apr_snprintf(text, sizeof(text),
                     "Redis at %s is lost (%s): limits are counted by this "
                     "server alone",
                     redis->url->name, why);
        redis->log(redis->log_ctx, 'e', 1030, text);
    }
}

static void come_back(ch_redis_t *redis, apr_uint64_t turn)
{
    char text[512];

    if (ch_redis_state_return(redis->state, turn)) {
        apr_snprintf(text, sizeof(text), "Redis at %s is back",
                     redis->url->name);
        redis->log(redis->log_ctx, 'w', 1031, text);
    }
}

/* --- connections ----------------------------------------------------------
 */

/* A place for a new connection; NULL when there are as many as there may
 * be. */
static ch_redis_conn_t *take_unused(ch_redis_t *redis)
{
    ch_redis_conn_t *conn;

    apr_thread_mutex_lock(redis->mutex);
    conn = redis->unused;
    if (conn) {
        redis->unused = conn->next;
    }
    apr_thread_mutex_unlock(redis->mutex);
    return conn;
}

static void drop(ch_redis_t *redis, ch_redis_conn_t *conn)
{
    ch_redis_conn_close(conn);
    apr_thread_mutex_lock(redis->mutex);
    conn->next = redis->unused;
    redis->unused = conn;
    apr_thread_mutex_unlock(redis->mutex);
}

/* An idle connection that is alive, else NULL. */
static ch_redis_conn_t *take_idle(ch_redis_t *redis, apr_uint64_t turn)
{
    ch_redis_conn_t *conn;

    for (;;) {
        apr_thread_mutex_lock(redis->mutex);
        conn = redis->idle;
        if (conn) {
            redis->idle = conn->next;
        }
        apr_thread_mutex_unlock(redis->mutex);
        if (!conn
            || (conn->generation == ch_redis_turn_generation(turn)
                && ch_redis_conn_is_idle(conn))) {
            return conn;
        }
        drop(redis, conn);
    }
}

/* The last of the list, taken out, if it was not used for long. */
static ch_redis_conn_t *take_old(ch_redis_t *redis, apr_time_t now)
{
    ch_redis_conn_t **link = &redis->idle;
    ch_redis_conn_t *last;

    if (!*link) {
        return NULL;
    }
    while ((*link)->next) {
        link = &(*link)->next;
    }
    last = *link;
    if (now - last->idle_since < IDLE_USEC) {
        return NULL;
    }
    *link = NULL;
    return last;
}

static void give(ch_redis_t *redis, ch_redis_conn_t *conn)
{
    ch_redis_conn_t *old;

    conn->idle_since = ch_steady_now();
    apr_thread_mutex_lock(redis->mutex);
    old = take_old(redis, conn->idle_since);
    conn->next = redis->idle;
    redis->idle = conn;
    apr_thread_mutex_unlock(redis->mutex);
    if (old) {
        drop(redis, old);
    }
}

/* The addresses as they were looked up last, or now. */
static int find_peers(ch_redis_t *redis, ch_redis_peers_t *out,
                      ch_redis_fault_t *fault)
{
    apr_thread_mutex_lock(redis->mutex);
    *out = redis->peers;
    apr_thread_mutex_unlock(redis->mutex);
    if (out->count > 0) {
        return 1;
    }
    if (!ch_redis_look_up(redis->url, out, fault)) {
        return 0;
    }
    apr_thread_mutex_lock(redis->mutex);
    redis->peers = *out;
    apr_thread_mutex_unlock(redis->mutex);
    return 1;
}

static void forget_peers(ch_redis_t *redis)
{
    apr_thread_mutex_lock(redis->mutex);
    redis->peers.count = 0;
    apr_thread_mutex_unlock(redis->mutex);
}

static int open_conn(ch_redis_t *redis, apr_pool_t *pool,
                     ch_redis_conn_t *conn, ch_redis_fault_t *fault)
{
    ch_redis_peers_t peers;
    apr_uint64_t run;

    if (!find_peers(redis, &peers, fault)) {
        return 0;
    }
    if (!ch_redis_conn_open(pool, redis->url, &peers, conn, &run, fault)) {
        forget_peers(redis);
        return 0;
    }
    ch_redis_state_met(redis->state, run);
    return 1;
}

int ch_redis_connect(ch_redis_t *redis, apr_pool_t *pool, apr_uint64_t turn,
                     ch_redis_conn_t *conn)
{
    ch_redis_fault_t fault;

    if (!open_conn(redis, pool, conn, &fault)) {
        ch_redis_lose(redis, turn, fault.text);
        return 0;
    }
    conn->generation = ch_redis_generation(redis);
    return 1;
}

/* A connection that is new; NULL when there is none to be had. */
static ch_redis_conn_t *take_new(ch_redis_t *redis, apr_pool_t *pool,
                                 apr_uint64_t turn)
{
    ch_redis_conn_t *conn = take_unused(redis);

    if (conn && !ch_redis_connect(redis, pool, turn, conn)) {
        drop(redis, conn);
        return NULL;
    }
    return conn;
}

/* --- commands -------------------------------------------------------------
 */

void ch_redis_arg(ch_redis_command_t *command, const void *data, size_t len)
{
    command->args[command->count].data = data;
    command->args[command->count++].len = len;
}

void ch_redis_arg_text(ch_redis_command_t *command, const char *text)
{
    ch_redis_arg(command, text, strlen(text));
}

void ch_redis_arg_int(apr_pool_t *pool, ch_redis_command_t *command,
                      apr_int64_t number)
{
    ch_redis_arg_text(command,
                      apr_psprintf(pool, "%" APR_INT64_T_FMT, number));
}

/* The SHA-1 is made by whoever needs it first; 0 while somebody else is at
 * it, who then sends the text. */
static int has_sha(apr_pool_t *pool, ch_redis_script_t *script)
{
    enum { NONE, IN_WORK, DONE };
    int state = __atomic_load_n(&script->state, __ATOMIC_ACQUIRE);

    if (state == NONE
        && __atomic_compare_exchange_n(&script->state, &state, IN_WORK, 0,
                                       __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
        unsigned char hash[CH_SHA1_LEN];

        ch_seal_sha1(script->text, strlen(script->text), hash);
        apr_cpystrn(script->sha, ch_seal_hex(pool, hash, sizeof(hash)),
                    sizeof(script->sha));
        __atomic_store_n(&script->state, DONE, __ATOMIC_RELEASE);
        state = DONE;
    }
    return state == DONE;
}

/* A pipeline on its way. */
typedef struct {
    apr_pool_t *pool;
    int count;
    const ch_redis_command_t *commands;
    ch_redis_reply_t *replies;
    int repeatable;
    int read; /* replies so far */
    ch_redis_fault_t fault;
} call_t;

static int is_unknown_script(const ch_redis_reply_t *reply)
{
    return reply->kind == CH_REDIS_ERROR && reply->text.len >= 8
           && memcmp(reply->text.data, "NOSCRIPT", 8) == 0;
}

/* Sends all commands, or again those whose script was not known, which are
 * then as good as not sent. */
static int send_commands(call_t *call, ch_redis_conn_t *conn, int again,
                         apr_time_t deadline)
{
    ch_buf_t *buf = ch_buf_make(call->pool, 512, COMMANDS_MAX);
    int i;

    for (i = 0; i < call->count; i++) {
        const ch_redis_command_t *command = &call->commands[i];

        if (!again || is_unknown_script(&call->replies[i])) {
            ch_redis_format(buf, command,
                            again
                                || (command->script
                                    && !has_sha(call->pool, command->script)));
        }
    }
    return ch_redis_conn_send(conn, buf, deadline, &call->fault);
}

static int read_replies(call_t *call, ch_redis_conn_t *conn, int again,
                        apr_time_t deadline)
{
    int i;

    for (i = 0; i < call->count; i++) {
        const ch_redis_reply_t *reply;

        if (again && !is_unknown_script(&call->replies[i])) {
            continue;
        }
        if (!ch_redis_conn_read(conn, deadline, &reply, &call->fault)) {
            return 0;
        }
        call->replies[i] = *reply;
        call->read++;
    }
    return 1;
}

static int lacks_scripts(const call_t *call)
{
    int i;

    for (i = 0; i < call->count; i++) {
        if (call->commands[i].script && is_unknown_script(&call->replies[i])) {
            return 1;
        }
    }
    return 0;
}

static int talk(call_t *call, ch_redis_conn_t *conn)
{
    apr_time_t deadline =
        ch_steady_now() + apr_time_from_msec(CH_REDIS_COMMAND_MS);
    int again = 0;

    call->read = 0;
    ch_redis_conn_aim(conn, call->pool);
    do {
        if (!send_commands(call, conn, again, deadline)
            || !read_replies(call, conn, again, deadline)) {
            return 0;
        }
        again++;
    } while (again < 2 && lacks_scripts(call));
    return 1;
}

static call_t make_call(apr_pool_t *pool, int count,
                        const ch_redis_command_t *commands)
{
    call_t call = {
        .pool = pool,
        .count = count,
        .commands = commands,
        .replies = apr_pcalloc(pool, sizeof(*call.replies) * (size_t)count),
        .repeatable = 1,
    };
    int i;

    for (i = 0; i < count; i++) {
        call.repeatable = call.repeatable && commands[i].repeatable;
    }
    return call;
}

/* --- lost and found -------------------------------------------------------
 */

/* Whether a Redis that is lost is back: one who asks finds out for all. */
static int try_again(ch_redis_t *redis, apr_pool_t *pool, apr_uint64_t turn)
{
    ch_redis_command_t probe = { .script = &probe_script };
    call_t call = make_call(pool, 1, &probe);
    ch_redis_conn_t *conn = take_unused(redis);

    if (!conn) {
        return 0;
    }
    ch_redis_arg_text(&probe, CH_REDIS_PREFIX "probe");
    ch_redis_arg_text(&probe, "1");
    forget_peers(redis);
    if (!open_conn(redis, pool, conn, &call.fault) || !talk(&call, conn)
        || call.replies[0].kind == CH_REDIS_ERROR) {
        drop(redis, conn);
        return 0;
    }
    come_back(redis, turn);
    conn->generation = ch_redis_generation(redis);
    give(redis, conn);
    return 1;
}

int ch_redis_ready(ch_redis_t *redis, apr_pool_t *pool, apr_uint64_t *turn)
{
    *turn = ch_redis_turn(redis->state);
    if (ch_redis_turn_is_up(*turn)) {
        return 1;
    }
    if (!ch_redis_state_try(redis->state)) {
        return 0;
    }
    if (!try_again(redis, pool, *turn)) {
        ch_redis_state_fail(redis->state);
        return 0;
    }
    *turn = ch_redis_turn(redis->state);
    return ch_redis_turn_is_up(*turn);
}

/* A connection that ended may have done so for reasons of its own: whether
 * Redis itself is lost shows when the next one is opened. */
static void look_after_it(ch_redis_t *redis, const call_t *call,
                          apr_uint64_t turn)
{
    ch_redis_conn_t *conn;

    if (call->fault.kind == CH_REDIS_LARGE) {
        return;
    }
    if (call->fault.kind != CH_REDIS_CLOSED) {
        ch_redis_lose(redis, turn, call->fault.text);
        return;
    }
    conn = take_new(redis, call->pool, turn);
    if (conn) {
        give(redis, conn);
    }
}

static int send_call(ch_redis_t *redis, call_t *call, apr_uint64_t turn)
{
    ch_redis_conn_t *conn = take_idle(redis, turn);
    int used_before = conn != NULL;

    for (;;) {
        if (!conn) {
            conn = take_new(redis, call->pool, turn);
        }
        if (!conn) {
            return 0;
        }
        if (talk(call, conn)) {
            give(redis, conn);
            return 1;
        }
        drop(redis, conn);
        conn = NULL;
        if (call->fault.kind != CH_REDIS_CLOSED || call->read || !used_before
            || !call->repeatable) {
            look_after_it(redis, call, turn);
            return 0;
        }
        used_before = 0;
    }
}

int ch_redis_run(ch_redis_t *redis, apr_pool_t *pool, int count,
                 const ch_redis_command_t *commands,
                 const ch_redis_reply_t **replies)
{
    apr_uint64_t turn;
    call_t call;
    int i;

    if (!redis || !ch_redis_ready(redis, pool, &turn)) {
        return 0;
    }
    call = make_call(pool, count, commands);
    if (!send_call(redis, &call, turn)) {
        return 0;
    }
    for (i = 0; i < count; i++) {
        const char *why = ch_redis_useless(&call.replies[i]);

        if (why) {
            ch_redis_lose(redis, turn, why);
            return 0;
        }
    }
    *replies = call.replies;
    return 1;
}

const ch_redis_reply_t *ch_redis_one(ch_redis_t *redis, apr_pool_t *pool,
                                     const ch_redis_command_t *command)
{
    const ch_redis_reply_t *reply;

    return ch_redis_run(redis, pool, 1, command, &reply) ? reply : NULL;
}

int ch_redis_ping(ch_redis_t *redis, apr_pool_t *pool, apr_time_t *took)
{
    ch_redis_command_t ping = { .repeatable = 1 };
    apr_time_t start = ch_steady_now();
    const ch_redis_reply_t *reply;

    ch_redis_arg_text(&ping, "PING");
    reply = ch_redis_one(redis, pool, &ping);
    *took = ch_steady_now() - start;
    return reply && reply->kind != CH_REDIS_ERROR;
}
