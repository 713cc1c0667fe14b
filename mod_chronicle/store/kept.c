/* Keeps answers for a user where all servers that serve him see them. */
#include "store/kept.h"

#include <string.h>

#include <apr_escape.h>
#include <apr_strings.h>

#include "base/seal.h"
#include "base/uuid.h"
#include "store/bus.h"
#include "store/fresh.h"
#include "store/redis.h"
#include "store/sql_gen.h"

#define VERSION_KEY CH_REDIS_PREFIX "version:"
#define ANSWER_KEY CH_REDIS_PREFIX "answer:"
#define ERA_KEY CH_REDIS_PREFIX "era"

/* While a write is under way its user's version is this, for as long as a
 * write may take: the mark of one who died must go. */
#define MARK "!"
#define MARK_MS "60000"
#define VERSION_SECONDS "86400"
#define VERSION_BYTES 16 /* random, as hex in Redis */

const unsigned char ch_kept_public[16] = "public answers.";

/* --- versions in Redis ------------------------------------------------ */

static const char *key_of(apr_pool_t *pool, const char *prefix,
                          const unsigned char id[16])
{
    return apr_pstrcat(pool, prefix, ch_seal_hex(pool, id, 16), NULL);
}

static ch_redis_command_t command(const char *name, const char *key)
{
    ch_redis_command_t out = { .repeatable = 1 };

    ch_redis_arg_text(&out, name);
    ch_redis_arg_text(&out, key);
    return out;
}

/* SET key value, and up to three words more. */
static ch_redis_command_t set(const char *key, const char *value,
                              const char *how, const char *time,
                              const char *more)
{
    ch_redis_command_t out = command("SET", key);

    ch_redis_arg_text(&out, value);
    ch_redis_arg_text(&out, how);
    ch_redis_arg_text(&out, time);
    if (more) {
        ch_redis_arg_text(&out, more);
    }
    return out;
}

static const char *random_version(apr_pool_t *pool)
{
    unsigned char bytes[VERSION_BYTES];

    ch_seal_random(bytes, sizeof(bytes));
    return ch_seal_hex(pool, bytes, sizeof(bytes));
}

typedef struct {
    apr_uint64_t settled[CH_BUS_SITES]; /* generations + 1 */
} room_t;

static room_t *room;

void ch_kept_open(void *memory)
{
    room = memory;
}

size_t ch_kept_size(void)
{
    return sizeof(room_t);
}

/* Redis may have been lost to this server alone: what it wrote meanwhile did
 * not move the versions there. The same when a server starts: it does not know
 * what came before. */
int ch_kept_settle(const ch_kept_home_t *home)
{
    apr_uint64_t now = ch_redis_generation(home->redis) + 1;
    ch_redis_command_t move = { .repeatable = 1 };

    if (!room || home->site < 0) {
        return 0;
    }
    if (__atomic_load_n(&room->settled[home->site], __ATOMIC_SEQ_CST) == now) {
        return 1;
    }
    ch_redis_arg_text(&move, "INCR");
    ch_redis_arg_text(&move, ERA_KEY);
    if (!ch_redis_one(home->redis, home->pool, &move)
        || ch_redis_generation(home->redis) + 1 != now) {
        return 0;
    }
    __atomic_store_n(&room->settled[home->site], now, __ATOMIC_SEQ_CST);
    return 1;
}

static int is_version(const ch_redis_reply_t *reply)
{
    return reply->kind == CH_REDIS_TEXT
           && reply->text.len == 2 * (size_t)VERSION_BYTES;
}

/* A version is made by the first who asks; one round trip either way. */
static int version_there(const ch_kept_home_t *home,
                         const unsigned char user[16],
                         unsigned char out[CH_KEPT_VERSION])
{
    const char *key = key_of(home->pool, VERSION_KEY, user);
    const ch_redis_command_t commands[] = {
        set(key, random_version(home->pool), "EX", VERSION_SECONDS, "NX"),
        command("GET", key),
        command("GET", ERA_KEY),
    };
    const ch_redis_reply_t *replies;
    apr_size_t len;

    if (!ch_kept_settle(home)
        || !ch_redis_run(home->redis, home->pool, (int)CH_COUNT(commands),
                         commands, &replies)
        || !is_version(&replies[1])
        || apr_unescape_hex(out, replies[1].text.data,
                            (apr_ssize_t)replies[1].text.len, 0, &len)
               != APR_SUCCESS) {
        return 0;
    }
    if (replies[2].kind == CH_REDIS_TEXT) {
        apr_cpystrn((char *)out + VERSION_BYTES, replies[2].text.data,
                    CH_KEPT_VERSION - VERSION_BYTES);
    }
    return 1;
}

int ch_kept_version(const ch_kept_home_t *home, const unsigned char user[16],
                    unsigned char out[CH_KEPT_VERSION])
{
    memset(out, 0, CH_KEPT_VERSION);
    if (home->redis) {
        return ch_redis_is_up(home->redis) && version_there(home, user, out);
    }
    /* the version first: a server that is heard of after that spoils it */
    return ch_fresh_version(user, out) && ch_bus_alone(home->site);
}

/* --- writes ----------------------------------------------------------- */

void ch_kept_begin(const ch_kept_home_t *home, const unsigned char user[16])
{
    ch_fresh_begin(user);
    if (home->redis) {
        const ch_redis_command_t mark =
            set(key_of(home->pool, VERSION_KEY, user), MARK, "PX", MARK_MS,
                NULL);

        ch_redis_one(home->redis, home->pool, &mark);
    }
}

void ch_kept_spoil(const ch_kept_home_t *home, const unsigned char user[16])
{
    ch_fresh_spoil(user);
    if (home->redis) {
        const ch_redis_command_t move =
            set(key_of(home->pool, VERSION_KEY, user),
                random_version(home->pool), "EX", VERSION_SECONDS, NULL);

        ch_redis_one(home->redis, home->pool, &move);
    }
}

void ch_kept_end(const ch_kept_home_t *home, const unsigned char user[16])
{
    ch_redis_command_t move;
    const char *key;
    char message[2 + 36 + 1] = "c ";
    const sql_bus_tell_t tell = { .message = message };
    int doubt = ch_db_in_doubt(home->db);
    ch_rows_t *rows;

    ch_fresh_end(user, doubt);
    if (!home->redis) {
        return;
    }
    key = key_of(home->pool, VERSION_KEY, user);
    /* what may still be under way keeps its mark */
    move = doubt ? set(key, MARK, "PX", MARK_MS, NULL)
                 : set(key, random_version(home->pool), "EX",
                       VERSION_SECONDS, NULL);
    if (!ch_redis_one(home->redis, home->pool, &move)) {
        /* to those who still see Redis */
        ch_uuid_text(user, message + 2);
        sql_bus_tell(home->db, &tell, &rows);
    }
}

/* --- answers ---------------------------------------------------------- */

/* In Redis: the length of the head, a space, head and body. */
static int take_apart(const ch_redis_reply_t *reply, ch_kept_t *out)
{
    const char *data = reply->text.data;
    char *end;
    apr_int64_t head;

    if (reply->kind != CH_REDIS_TEXT) {
        return 0;
    }
    head = apr_strtoi64(data, &end, 10);
    if (*end != ' ' || head < 0
        || (size_t)head > reply->text.len - (size_t)(end + 1 - data)) {
        return 0;
    }
    out->head = (ch_bytes_t){ end + 1, (size_t)head };
    out->body = (ch_bytes_t){ end + 1 + head,
                              reply->text.len
                                  - (size_t)(end + 1 + head - data) };
    return 1;
}

static int get_there(const ch_kept_home_t *home,
                     const unsigned char key[CH_CACHE_KEY], ch_kept_t *out)
{
    const ch_redis_command_t get =
        command("GET", key_of(home->pool, ANSWER_KEY, key));
    const ch_redis_reply_t *reply =
        ch_redis_one(home->redis, home->pool, &get);

    if (!reply || !take_apart(reply, out)) {
        return 0;
    }
    out->head.data = apr_pstrmemdup(home->pool, out->head.data,
                                    out->head.len);
    return 1;
}

int ch_kept_get(const ch_kept_home_t *home,
                const unsigned char key[CH_CACHE_KEY], ch_kept_t *out)
{
    return ch_cache_get(home->pool, key, out)
           || (home->redis && get_there(home, key, out));
}

static void put_there(const ch_kept_home_t *home,
                      const unsigned char key[CH_CACHE_KEY],
                      const ch_kept_t *kept, int seconds)
{
    ch_redis_command_t put = command("SET", key_of(home->pool, ANSWER_KEY,
                                                   key));
    const char *prefix =
        apr_psprintf(home->pool, "%" APR_SIZE_T_FMT " ", kept->head.len);
    size_t before = strlen(prefix);
    size_t len = before + kept->head.len + kept->body.len;
    char *value = apr_palloc(home->pool, len);

    memcpy(value, prefix, before);
    memcpy(value + before, kept->head.data, kept->head.len);
    memcpy(value + before + kept->head.len, kept->body.data, kept->body.len);
    ch_redis_arg(&put, value, len);
    ch_redis_arg_text(&put, "EX");
    ch_redis_arg_int(home->pool, &put, seconds);
    ch_redis_one(home->redis, home->pool, &put);
}

void ch_kept_put(const ch_kept_home_t *home,
                 const unsigned char key[CH_CACHE_KEY],
                 const ch_kept_t *kept, int seconds)
{
    ch_cache_put(key, kept, seconds);
    if (home->redis) {
        put_there(home, key, kept, seconds);
    }
}
