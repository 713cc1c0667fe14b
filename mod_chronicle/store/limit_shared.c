/* Counts requests in Redis for all servers together, and in this server's own
 * memory besides: when Redis is lost, nobody's budget is new. */
#include "store/limit.h"

#include <string.h>

#include <apr_strings.h>

#include "base/seal.h"
#include "store/redis.h"

#define KEY_BYTES 16 /* of the hash: no two callers meet by chance */

/* The window opens with the first request. A key without an end, which only
 * somebody else can have made, gets one. */
static ch_redis_script_t script = {
    .text = "local n = redis.call('INCR', KEYS[1]) "
            "local left = redis.call('PTTL', KEYS[1]) "
            "if left < 0 then "
            "left = tonumber(ARGV[1]) "
            "redis.call('PEXPIRE', KEYS[1], left) "
            "end "
            "return {n, left}",
    .keys = 1,
};

/* The same without counting. */
static ch_redis_script_t look = {
    .text = "local left = redis.call('PTTL', KEYS[1]) "
            "return {tonumber(redis.call('GET', KEYS[1])) or 0, "
            "left > 0 and left or 0}",
    .keys = 1,
};

/* Neither addresses nor users can be read from the key, or be guessed. */
static const char *shared_key(apr_pool_t *pool, const ch_limit_t *limit)
{
    const char *who = apr_pstrcat(pool, limit->rate, " ", limit->caller, NULL);
    unsigned char hash[CH_SHA256_LEN];

    ch_seal_hmac(limit->secret, CH_SHA256_LEN, who, strlen(who), hash);
    return apr_pstrcat(pool, CH_REDIS_PREFIX "limit:",
                       ch_seal_b64url(pool, hash, KEY_BYTES), NULL);
}

void ch_limit_ask(apr_pool_t *pool, const ch_limit_t *limit,
                  ch_redis_command_t *out)
{
    memset(out, 0, sizeof(*out));
    out->script = &script;
    ch_redis_arg_text(out, shared_key(pool, limit));
    ch_redis_arg_int(pool, out, (apr_int64_t)limit->seconds * 1000);
}

/* Not what the script answers, but Redis says so: something else is kept
 * under the key, or it is another kind of server. */
static int is_count(const ch_redis_reply_t *reply)
{
    return reply && reply->kind == CH_REDIS_ARRAY && reply->count == 2
           && reply->items[0].kind == CH_REDIS_INT
           && reply->items[1].kind == CH_REDIS_INT
           && reply->items[0].number >= 0 && reply->items[1].number >= 0;
}

/* The key in this server's memory. */
static const char *own_key(apr_pool_t *pool, const ch_limit_t *limit)
{
    return apr_psprintf(pool, "%d %s %s", limit->conf, limit->rate,
                        limit->caller);
}

/* What Redis says, of as many as that; `own` when it says nothing. */
static ch_limit_state_t judge(const ch_limit_t *limit,
                              const ch_redis_reply_t *reply, int allowed,
                              ch_limit_state_t own)
{
    ch_limit_state_t out = own;
    apr_int64_t count, left;

    if (!is_count(reply)) {
        return own;
    }
    count = reply->items[0].number;
    left = (reply->items[1].number + 999) / 1000;
    out.refused = count > allowed;
    out.remaining = out.refused ? 0 : limit->limit - (int)count;
    out.reset = left < 1 ? 1 : left > INT32_MAX ? INT32_MAX : (int)left;
    return out;
}

ch_limit_state_t ch_limit_answer(apr_pool_t *pool, const ch_limit_t *limit,
                                 const ch_redis_reply_t *reply)
{
    const char *key = own_key(pool, limit);
    ch_limit_state_t own =
        ch_limit_count(key, strlen(key), limit->limit, limit->seconds);

    /* it has counted this one, so there is one */
    if (is_count(reply) && !reply->items[0].number) {
        return own;
    }
    return judge(limit, reply, limit->limit, own);
}

ch_limit_state_t ch_limit_peek(apr_pool_t *pool, const ch_limit_t *limit)
{
    const char *key = own_key(pool, limit);
    ch_limit_state_t own =
        ch_limit_look(key, strlen(key), limit->limit, limit->seconds);
    const ch_redis_reply_t *reply = NULL;
    ch_redis_command_t command = { .script = &look };

    if (limit->redis) {
        ch_redis_arg_text(&command, shared_key(pool, limit));
        reply = ch_redis_one(limit->redis, pool, &command);
    }
    return judge(limit, reply, limit->limit - 1, own);
}

ch_limit_state_t ch_limit_take(apr_pool_t *pool, const ch_limit_t *limit)
{
    const ch_redis_reply_t *reply = NULL;
    ch_redis_command_t command;

    if (limit->redis) {
        ch_limit_ask(pool, limit, &command);
        reply = ch_redis_one(limit->redis, pool, &command);
    }
    return ch_limit_answer(pool, limit, reply);
}
