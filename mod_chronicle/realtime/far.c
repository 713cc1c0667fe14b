/* Sends records to other servers, from a queue and in a thread of its own. */
#include "realtime/far.h"

#include <string.h>

#include <apr_escape.h>
#include <apr_siphash.h>
#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>

#include "base/heap.h"
#include "base/seal.h"
#include "base/steady.h"
#include "base/uuid.h"
#include "store/bus.h"
#include "store/redis.h"
#include "store/sql_gen.h"

#define QUEUE_MAX ((size_t)16 << 20) /* bytes that wait */
#define BATCH_BYTES ((size_t)1 << 20)
#define BATCH_RECORDS 256
#define NOTIFY_MAX 5800 /* as base64, with all else, less than 8000 bytes */
#define SWEEP_EVERY apr_time_from_sec(60)
#define SAY_EVERY apr_time_from_sec(60)
#define NAME_LEN 32
#define ALL "*"

/* A message is "<to> <from> " and one of these with what follows. */
#define PLAIN '='  /* the record as it is (Redis) */
#define BASE64 '.' /* the record in base64url */
#define PARCEL '@' /* the id of a parcel that holds it */

/* Before the record stands a number of four bytes: of equal messages of one
 * transaction PostgreSQL sends only the first, and what is said twice is told
 * from what was sent twice. */
#define SERIAL_LEN 4

#define HEARD 16384 /* records that are remembered */

typedef struct item_t item_t;

struct item_t {
    item_t *next;
    const ch_conf_t *conf;
    char to[NAME_LEN + 1];
    size_t len;  /* of data */
    char data[]; /* with its number */
};

/* Items in order. */
typedef struct {
    item_t *first;
    item_t **last;
    size_t bytes;
} line_t;

static struct {
    apr_thread_mutex_t *mutex; /* of all below */
    apr_thread_cond_t *more;
    line_t waiting;
    apr_uint32_t serial;
    apr_int64_t dropped; /* and not said yet */
    int on;

    apr_thread_t *thread;
    apr_time_t swept; /* of the thread alone, as what follows */
    apr_time_t said;
    void (*log)(void *ctx, char level, int number, const char *text);
    void *ctx;
} far;

const char *ch_far_own(void)
{
    return ch_bus_name();
}

const char *ch_far_channel(apr_pool_t *pool, const ch_conf_t *conf)
{
    unsigned char mac[CH_SHA256_LEN];

    ch_seal_hmac(conf->redis_key, sizeof(conf->redis_key), "realtime", 8, mac);
    return apr_pstrcat(pool, CH_REDIS_PREFIX "rt:", ch_seal_hex(pool, mac, 16),
                       NULL);
}

/* --- posting ---------------------------------------------------------- */

static void line_clear(line_t *line)
{
    line->first = NULL;
    line->last = &line->first;
    line->bytes = 0;
}

static void line_add(line_t *line, item_t *item)
{
    *line->last = item;
    line->last = &item->next;
    line->bytes += sizeof(*item) + item->len;
}

/* Puts it into the queue, if there is room. */
static int queue(item_t *item)
{
    int fits;

    apr_thread_mutex_lock(far.mutex);
    fits = far.on && far.waiting.bytes + item->len <= QUEUE_MAX;
    if (fits) {
        far.serial++;
        memcpy(item->data, &far.serial, SERIAL_LEN);
        line_add(&far.waiting, item);
        apr_thread_cond_signal(far.more);
    }
    else {
        far.dropped++;
    }
    apr_thread_mutex_unlock(far.mutex);
    return fits;
}

void ch_far_post(const ch_conf_t *conf, const char *server, const void *data,
                 size_t len)
{
    item_t *item;

    if ((!server && ch_bus_alone(conf->site))
        || !__atomic_load_n(&far.on, __ATOMIC_SEQ_CST)) {
        return;
    }
    item = ch_heap_take(sizeof(*item) + SERIAL_LEN + len);
    item->conf = conf;
    item->len = SERIAL_LEN + len;
    apr_cpystrn(item->to, server ? server : ALL, sizeof(item->to));
    memcpy(item->data + SERIAL_LEN, data, len);
    if (!queue(item)) {
        ch_heap_give(item);
    }
}

/* --- sending ---------------------------------------------------------- */

/* Some items of one site, in order. */
typedef struct {
    apr_pool_t *pool;
    const ch_conf_t *conf;
    const item_t *items[BATCH_RECORDS];
    int count;
} batch_t;

static ch_bytes_t plain(apr_pool_t *pool, const item_t *item)
{
    const char *head =
        apr_psprintf(pool, "%s %s %c", item->to, ch_far_own(), PLAIN);
    size_t len = strlen(head);
    char *text = apr_palloc(pool, len + item->len);

    memcpy(text, head, len);
    memcpy(text + len, item->data, item->len);
    return (ch_bytes_t){ text, len + item->len };
}

/* 0: not all of it went, or none. */
static int send_by_redis(const batch_t *batch)
{
    ch_redis_command_t *commands =
        apr_pcalloc(batch->pool, sizeof(*commands) * (size_t)batch->count);
    const char *channel = ch_far_channel(batch->pool, batch->conf);
    const ch_redis_reply_t *replies;
    int i;

    for (i = 0; i < batch->count; i++) {
        ch_bytes_t text = plain(batch->pool, batch->items[i]);

        ch_redis_arg_text(&commands[i], "PUBLISH");
        ch_redis_arg_text(&commands[i], channel);
        ch_redis_arg(&commands[i], text.data, text.len);
    }
    if (!ch_redis_run(batch->conf->redis, batch->pool, batch->count, commands,
                      &replies)) {
        return 0;
    }
    for (i = 0; i < batch->count; i++) {
        if (replies[i].kind != CH_REDIS_INT) {
            return 0;
        }
    }
    return 1;
}

/* What is announced of an item; a long one is put where others find it. */
static ch_err_t *note(const batch_t *batch, ch_db_t *db, const item_t *item,
                      apr_array_header_t *messages)
{
    sql_parcel_put_t parcel = { .data = { item->data, item->len } };
    char mark = BASE64;
    const char *text;
    ch_err_t *err = NULL;

    if (item->len <= NOTIFY_MAX) {
        text = ch_seal_b64url(batch->pool, item->data, item->len);
    }
    else {
        mark = PARCEL;
        text = parcel.id = ch_uuid_make(batch->pool);
        err = sql_parcel_put(db, &parcel);
    }
    APR_ARRAY_PUSH(messages, const char *) = apr_psprintf(
        batch->pool, "r %s %s %c%s", item->to, ch_far_own(), mark, text);
    return err;
}

/* One round trip. */
static int send_by_database(const batch_t *batch)
{
    apr_array_header_t *messages =
        apr_array_make(batch->pool, batch->count, sizeof(char *));
    const sql_bus_tell_all_t tell = { .messages = messages };
    ch_db_t *db = ch_db_make(batch->pool, batch->conf->db);
    apr_time_t now = ch_steady_now();
    ch_err_t *err = NULL;
    int i;

    ch_db_gather(db);
    for (i = 0; i < batch->count && !err; i++) {
        err = note(batch, db, batch->items[i], messages);
    }
    if (!err && far.swept + SWEEP_EVERY < now) {
        far.swept = now;
        err = sql_parcel_sweep(db);
    }
    err = err ? err : sql_bus_tell_all(db, &tell);
    return !err && !ch_db_send(db);
}

/* Takes what goes together from the line. */
static void fill_batch(line_t *line, batch_t *batch)
{
    size_t bytes = 0;

    batch->count = 0;
    batch->conf = line->first->conf;
    while (line->first && line->first->conf == batch->conf
           && batch->count < BATCH_RECORDS
           && (!batch->count || bytes + line->first->len <= BATCH_BYTES)) {
        bytes += line->first->len;
        batch->items[batch->count++] = line->first;
        line->first = line->first->next;
    }
}

static void give_batch(const batch_t *batch)
{
    int i;

    for (i = 0; i < batch->count; i++) {
        ch_heap_give((void *)(uintptr_t)batch->items[i]);
    }
}

static int send_batch(batch_t *batch)
{
    int good = 0;

    if (apr_pool_create(&batch->pool, NULL) == APR_SUCCESS) {
        good = (ch_redis_is_up(batch->conf->redis) && send_by_redis(batch))
               || send_by_database(batch);
        apr_pool_destroy(batch->pool);
    }
    return good;
}

static int is_on(void)
{
    return __atomic_load_n(&far.on, __ATOMIC_SEQ_CST);
}

/* At the end nobody waits twice for what does not answer. How many were
 * dropped. */
static apr_int64_t send_line(line_t *line)
{
    apr_int64_t dropped = 0;
    batch_t batch;

    while (line->first) {
        fill_batch(line, &batch);
        if ((dropped && !is_on()) || !send_batch(&batch)) {
            dropped += batch.count;
        }
        give_batch(&batch);
    }
    return dropped;
}

static void say_dropped(apr_int64_t count)
{
    char text[120];

    apr_snprintf(text, sizeof(text),
                 "%" APR_INT64_T_FMT " messages of realtime for other servers"
                 " could not be sent",
                 count);
    far.log(far.ctx, 'w', 1131, text);
}

/* Once a minute, and at the end; with the mutex. */
static apr_int64_t take_dropped(void)
{
    apr_int64_t count = 0;

    apr_time_t now = ch_steady_now();

    if (far.dropped
        && (!far.on || !far.said || far.said + SAY_EVERY <= now)) {
        far.said = now;
        count = far.dropped;
        far.dropped = 0;
    }
    return count;
}

static void *APR_THREAD_FUNC work(apr_thread_t *thread, void *unused)
{
    apr_int64_t dropped;
    line_t line;
    int on = 1;

    apr_thread_mutex_lock(far.mutex);
    while (on || far.waiting.first) {
        if (!far.waiting.first && far.on) {
            apr_thread_cond_timedwait(far.more, far.mutex, APR_USEC_PER_SEC);
        }
        line = far.waiting;
        line_clear(&far.waiting);
        apr_thread_mutex_unlock(far.mutex);
        dropped = send_line(&line);
        apr_thread_mutex_lock(far.mutex);
        far.dropped += dropped;
        on = far.on;
        dropped = take_dropped();
        apr_thread_mutex_unlock(far.mutex);
        if (dropped) {
            say_dropped(dropped);
        }
        apr_thread_mutex_lock(far.mutex);
    }
    apr_thread_mutex_unlock(far.mutex);
    return NULL;
}

/* --- begin and end ---------------------------------------------------- */

int ch_far_begin(apr_pool_t *pool,
                 void (*log)(void *ctx, char level, int number,
                             const char *text),
                 void *ctx)
{
    memset(&far, 0, sizeof(far));
    line_clear(&far.waiting);
    far.log = log;
    far.ctx = ctx;
    ch_seal_random(&far.serial, sizeof(far.serial)); /* not another child's */
    if (apr_thread_mutex_create(&far.mutex, APR_THREAD_MUTEX_DEFAULT, pool)
            != APR_SUCCESS
        || apr_thread_cond_create(&far.more, pool) != APR_SUCCESS) {
        return 0;
    }
    __atomic_store_n(&far.on, 1, __ATOMIC_SEQ_CST);
    if (apr_thread_create(&far.thread, NULL, work, NULL, pool)
        != APR_SUCCESS) {
        __atomic_store_n(&far.on, 0, __ATOMIC_SEQ_CST);
        return 0;
    }
    return 1;
}

void ch_far_end(void)
{
    apr_status_t rv;

    if (!is_on()) {
        return;
    }
    apr_thread_mutex_lock(far.mutex);
    __atomic_store_n(&far.on, 0, __ATOMIC_SEQ_CST);
    apr_thread_cond_signal(far.more);
    apr_thread_mutex_unlock(far.mutex);
    apr_thread_join(&rv, far.thread);
}

/* --- taking ----------------------------------------------------------- */

static apr_uint64_t *heard;

void ch_far_open(void *memory)
{
    heard = memory;
}

size_t ch_far_size(void)
{
    return sizeof(*heard) * HEARD;
}

/* A Redis that stood still does later what a sender has long sent by NOTIFY
 * in its place. */
static int is_new(const char *from, ch_bytes_t record)
{
    apr_uint64_t mark;

    if (!heard) {
        return 1;
    }
    mark = apr_siphash24(record.data, record.len,
                         (const unsigned char *)from)
           | 1; /* 0 = nothing yet */
    return __atomic_exchange_n(&heard[(mark >> 1) % HEARD], mark,
                               __ATOMIC_SEQ_CST)
           != mark;
}

/* Whether a message is for this server, and not by it; then *text is what
 * follows its head, and *sender is the name of NAME_LEN in it. */
static int is_for_us(const char **text, size_t *len, const char **sender)
{
    const char *own = ch_far_own();
    const char *blank = memchr(*text, ' ', *len);
    size_t to = blank ? (size_t)(blank - *text) : 0;
    const char *from = *text + to + 1;

    if (!blank || *len < to + 1 + NAME_LEN + 2 || from[NAME_LEN] != ' '
        || memcmp(from, own, NAME_LEN) == 0
        || !((to == 1 && **text == *ALL)
             || (to == NAME_LEN && memcmp(*text, own, NAME_LEN) == 0))) {
        return 0;
    }
    *sender = from;
    *text = from + NAME_LEN + 1;
    *len -= to + 1 + NAME_LEN + 1;
    return 1;
}

static int open_parcel(apr_pool_t *pool, const ch_conf_t *conf, const char *id,
                       size_t len, ch_bytes_t *out)
{
    char text[CH_UUID_LEN + 1];
    const sql_parcel_get_t in = { .id = text };
    ch_rows_t *rows;
    apr_size_t bytes;
    const char *hex;
    char *data;

    if (!ch_uuid_parse(id, len, text)
        || sql_parcel_get(ch_db_make(pool, conf->db), &in, &rows)
        || !ch_rows_count(rows)) {
        return 0;
    }
    hex = ch_rows_text(rows, 0, "data");
    data = apr_palloc(pool, strlen(hex) / 2 + 1);
    if (apr_unescape_hex(data, hex, APR_ESCAPE_STRING, 0, &bytes)
        != APR_SUCCESS) {
        return 0;
    }
    *out = (ch_bytes_t){ data, bytes };
    return 1;
}

static int unpack(apr_pool_t *pool, const ch_conf_t *conf, const char *text,
                  size_t len, ch_bytes_t *out)
{
    switch (*text) {
    case PLAIN:
        out->data = apr_pmemdup(pool, text + 1, len - 1);
        out->len = len - 1;
        return 1;
    case BASE64:
        out->data = (const char *)ch_seal_b64url_decode(pool, text + 1,
                                                        len - 1, &out->len);
        return out->data != NULL;
    case PARCEL:
        return open_parcel(pool, conf, text + 1, len - 1, out);
    default:
        return 0; /* of a later release */
    }
}

int ch_far_take(apr_pool_t *pool, const ch_conf_t *conf, const char *text,
                size_t len, ch_bytes_t *out)
{
    const char *from;

    if (!is_for_us(&text, &len, &from)
        || !unpack(pool, conf, text, len, out) || out->len < SERIAL_LEN
        || !is_new(from, *out)) {
        return 0;
    }
    out->data += SERIAL_LEN;
    out->len -= SERIAL_LEN;
    return 1;
}
