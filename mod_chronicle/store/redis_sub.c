/* Listens to channels of Redis over a connection of its own. */
#include "store/redis.h"

#include <string.h>

#include "base/steady.h"
#include "store/redis_home.h"

/* A connection that died on the way is as silent as one on which nothing
 * happens: after QUIET it is asked, and has ANSWER to say something. */
#define QUIET_USEC (15 * APR_USEC_PER_SEC)
#define ANSWER_USEC (5 * APR_USEC_PER_SEC)

struct ch_redis_sub_t {
    ch_redis_conn_t conn;
    apr_pool_t *pool; /* of replies */
    int begun;        /* part of a reply may be in it */
    apr_time_t heard; /* when something came last */
    int asked;        /* since then */
};

static int is_text(const ch_redis_reply_t *reply, const char *text)
{
    return reply->kind == CH_REDIS_TEXT && reply->text.len == strlen(text)
           && memcmp(reply->text.data, text, reply->text.len) == 0;
}

static apr_status_t close_sub(void *data)
{
    ch_redis_sub_t *sub = data;

    ch_redis_conn_close(&sub->conn);
    return APR_SUCCESS;
}

void ch_redis_unsubscribe(ch_redis_sub_t *sub)
{
    ch_redis_conn_close(&sub->conn);
}

/* Makes room for the next reply. */
static void begin_reply(ch_redis_sub_t *sub)
{
    if (!sub->begun) {
        apr_pool_clear(sub->pool);
        ch_redis_conn_aim(&sub->conn, sub->pool);
        sub->begun = 1;
    }
}

static int send_command(ch_redis_sub_t *sub, apr_pool_t *pool,
                        const ch_redis_command_t *command,
                        ch_redis_fault_t *fault)
{
    ch_buf_t *buf = ch_buf_make(pool, 256, 1 << 20);

    ch_redis_format(buf, command, 0);
    return ch_redis_conn_send(
        &sub->conn, buf,
        ch_steady_now() + apr_time_from_msec(CH_REDIS_COMMAND_MS), fault);
}

/* Asks for the channels and waits until each is confirmed. */
static int ask_for(ch_redis_sub_t *sub, apr_pool_t *pool, int count,
                   const char *const *channels, ch_redis_fault_t *fault)
{
    ch_bytes_t *args = apr_palloc(pool, sizeof(*args) * ((size_t)count + 1));
    ch_redis_command_t command = { .count = count + 1, .more = args };
    apr_time_t deadline =
        ch_steady_now() + apr_time_from_msec(CH_REDIS_COMMAND_MS);
    int i;

    args[0] = (ch_bytes_t){ "SUBSCRIBE", 9 };
    for (i = 0; i < count; i++) {
        args[i + 1] = (ch_bytes_t){ channels[i], strlen(channels[i]) };
    }
    if (!send_command(sub, pool, &command, fault)) {
        return 0;
    }
    for (i = 0; i < count; i++) {
        const ch_redis_reply_t *reply;

        begin_reply(sub);
        if (!ch_redis_conn_read(&sub->conn, deadline, &reply, fault)) {
            return 0;
        }
        sub->begun = 0;
        if (reply->kind != CH_REDIS_ARRAY || reply->count != 3
            || !is_text(&reply->items[0], "subscribe")) {
            fault->kind = CH_REDIS_CLOSED;
            return 0;
        }
    }
    sub->heard = ch_steady_now();
    return 1;
}

ch_redis_sub_t *ch_redis_subscribe(ch_redis_t *redis, apr_pool_t *pool,
                                   int count, const char *const *channels)
{
    ch_redis_sub_t *sub;
    ch_redis_fault_t fault;
    apr_uint64_t turn;

    if (!redis || !ch_redis_ready(redis, pool, &turn)) {
        return NULL;
    }
    sub = apr_pcalloc(pool, sizeof(*sub));
    sub->conn.fd = -1;
    if (apr_pool_create(&sub->pool, pool) != APR_SUCCESS
        || !ch_redis_connect(redis, pool, turn, &sub->conn)) {
        return NULL;
    }
    apr_pool_cleanup_register(pool, sub, close_sub, apr_pool_cleanup_null);
    if (!ask_for(sub, pool, count, channels, &fault)) {
        if (fault.kind == CH_REDIS_SLOW) {
            ch_redis_lose(redis, turn, fault.text);
        }
        ch_redis_unsubscribe(sub);
        return NULL;
    }
    return sub;
}

/* Asks a connection that was quiet for long; 0 when it is lost. */
static int is_alive(ch_redis_sub_t *sub)
{
    ch_redis_command_t ping = { 0 };
    apr_time_t quiet = ch_steady_now() - sub->heard;
    ch_redis_fault_t fault;
    apr_pool_t *pool;
    int good;

    if (quiet < QUIET_USEC) {
        return 1;
    }
    if (sub->asked) {
        return quiet < QUIET_USEC + ANSWER_USEC;
    }
    sub->asked = 1;
    sub->heard = ch_steady_now() - QUIET_USEC; /* the answer's time runs now */
    if (apr_pool_create(&pool, sub->pool) != APR_SUCCESS) {
        return 0;
    }
    ch_redis_arg_text(&ping, "PING");
    good = send_command(sub, pool, &ping, &fault);
    apr_pool_destroy(pool);
    return good;
}

/* When the next thing is to be done about a quiet connection. */
static apr_time_t next_check(const ch_redis_sub_t *sub)
{
    return sub->heard + QUIET_USEC + (sub->asked ? ANSWER_USEC : 0);
}

static int is_message(const ch_redis_reply_t *reply, ch_redis_message_t *out)
{
    if (reply->kind != CH_REDIS_ARRAY || reply->count != 3
        || !is_text(&reply->items[0], "message")
        || reply->items[1].kind != CH_REDIS_TEXT
        || reply->items[2].kind != CH_REDIS_TEXT) {
        return 0; /* an answer to our asking */
    }
    out->channel = reply->items[1].text;
    out->text = reply->items[2].text;
    return 1;
}

ch_redis_news_e ch_redis_wait(ch_redis_sub_t *sub, int timeout_ms,
                              ch_redis_message_t *out)
{
    apr_time_t deadline = ch_steady_now() + apr_time_from_msec(timeout_ms);

    for (;;) {
        apr_time_t check = next_check(sub);
        const ch_redis_reply_t *reply;
        ch_redis_fault_t fault;

        begin_reply(sub);
        if (ch_redis_conn_read(&sub->conn, check < deadline ? check : deadline,
                               &reply, &fault)) {
            sub->begun = 0;
            sub->asked = 0;
            sub->heard = ch_steady_now();
            if (is_message(reply, out)) {
                return CH_REDIS_MESSAGE;
            }
        }
        else if (fault.kind != CH_REDIS_SLOW || !is_alive(sub)) {
            return CH_REDIS_LOST;
        }
        else if (ch_steady_now() >= deadline) {
            return CH_REDIS_NOTHING;
        }
    }
}
