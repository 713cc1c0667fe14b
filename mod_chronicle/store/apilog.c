/* A ring of log rows in shared memory without locks: many put rows in, one
 * takes them out, and a process that dies at any point stops nobody. */
#include "store/apilog.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/seal.h"
#include "base/text.h"
#include "base/uuid.h"
#include "store/sql_gen.h"

#define SLOTS 4096  /* power of two: 20 s of 200 rows each */
#define PROBES 4    /* places that are tried before a row is dropped */
#define SERVERS 64  /* budgets; servers share one when there are more */
#define TROUBLE 10  /* rows that tell of trouble, by the rate */
#define NO_TEXT UINT16_MAX

/* The texts of a row: member of ch_apilog_t, bytes. */
#define TEXTS(X)                                                              \
    X(request_id, 128)                                                        \
    X(user_id, CH_UUID_LEN)                                                   \
    X(method, 10)                                                             \
    X(path, CH_APILOG_PATH_MAX)                                               \
    X(route, 128)                                                             \
    X(client_ip, 45)                                                          \
    X(user_agent, CH_APILOG_AGENT_MAX)                                        \
    X(error_code, 50)

enum {
#define X(name, max) AT_##name,
    TEXTS(X)
#undef X
    TEXT_COUNT
};

#define X(name, max) +(max)
enum { TEXT_SIZE = 0 TEXTS(X) };
#undef X

/* A slot's state is one word. FREE; or being written by a process: WRITING
 * and its pid; or READY and the row's number, which is never given twice, so
 * that nobody takes a new row for the one that he has read. */
#define FREE UINT64_C(0)
#define WRITING UINT64_C(1)
#define READY UINT64_C(2)
#define KIND UINT64_C(3)

typedef struct {
    apr_uint64_t number;
    apr_time_t start;
    apr_int32_t took_ms;
    apr_int16_t status;
    apr_int16_t database;
    apr_uint16_t len[TEXT_COUNT];
    char text[TEXT_SIZE]; /* one behind the other */
} slot_t;

typedef struct {
    apr_uint64_t next; /* number of the next row */
    apr_uint64_t seed;
    apr_uint64_t away;
    apr_uint64_t dropped[CH_APILOG__COUNT];
    apr_uint64_t usual[SERVERS];   /* budgets: second and count */
    apr_uint64_t trouble[SERVERS]; /* the same */
    apr_uint64_t state[SLOTS];
    slot_t slots[SLOTS];
} ring_t;

static ring_t *ring;

const char *const ch_apilog_drop_names[CH_APILOG__COUNT] = {
    [CH_APILOG_RATE] = "rate",
    [CH_APILOG_FULL] = "full",
    [CH_APILOG_LOST] = "lost",
};

void ch_apilog_open(void *memory)
{
    ring = memory;
    if (!ring->seed) {
        ch_seal_random(&ring->seed, sizeof(ring->seed));
    }
}

size_t ch_apilog_size(void)
{
    return sizeof(ring_t);
}

static apr_uint64_t load(const apr_uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static int swap(apr_uint64_t *word, apr_uint64_t from, apr_uint64_t to)
{
    return __atomic_compare_exchange_n(word, &from, to, 0, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static void drop(ch_apilog_drop_e reason, apr_uint64_t count)
{
    __atomic_fetch_add(&ring->dropped[reason], count, __ATOMIC_RELAXED);
}

apr_uint64_t ch_apilog_dropped(ch_apilog_drop_e reason)
{
    return ring ? __atomic_load_n(&ring->dropped[reason], __ATOMIC_RELAXED)
                : 0;
}

/* --- in --------------------------------------------------------------- */

/* Counts what it lets through, so that a flood of what is dropped does not
 * use up anything. */
static int within(apr_uint64_t *budget, apr_time_t now, apr_uint64_t limit)
{
    apr_uint64_t second = (apr_uint64_t)apr_time_sec(now) << 32;
    apr_uint64_t word = load(budget);

    if (word >> 32 != second >> 32) {
        swap(budget, word, second); /* else somebody was faster */
        word = load(budget);
    }
    return (word & UINT32_MAX) < limit
           && (__atomic_fetch_add(budget, 1, __ATOMIC_ACQ_REL) & UINT32_MAX)
                  < limit;
}

static int is_trouble(int status)
{
    return status >= 500 || status == 401 || status == 403 || status == 429;
}

static int may_go_in(const ch_apilog_t *row, const ch_apilog_to_t *to)
{
    int server = to->server % SERVERS;
    apr_uint64_t rate = (apr_uint64_t)to->rate;
    apr_time_t now = row->start + row->took;

    return within(&ring->usual[server], now, rate)
           || (is_trouble(row->status)
               && within(&ring->trouble[server], now, TROUBLE * rate));
}

static void fill(slot_t *slot, const ch_apilog_t *row)
{
    char *to = slot->text;
    apr_time_t ms = row->took > 0 ? (row->took + 500) / 1000 : 0;

    slot->start = row->start;
    slot->took_ms = ms < APR_INT32_MAX ? (apr_int32_t)ms : APR_INT32_MAX;
    slot->status = (apr_int16_t)row->status;
#define X(name, max)                                                          \
    slot->len[AT_##name] = NO_TEXT;                                           \
    if (row->name) {                                                          \
        size_t len = strnlen(row->name, max);                                 \
                                                                              \
        memcpy(to, row->name, len);                                           \
        slot->len[AT_##name] = (apr_uint16_t)len;                             \
        to += len;                                                            \
    }
    TEXTS(X)
#undef X
}

void ch_apilog_put(const ch_apilog_t *row, const ch_apilog_to_t *to)
{
    apr_uint64_t mine;
    int i;

    if (!ring || to->rate <= 0) {
        return;
    }
    if (!may_go_in(row, to)) {
        drop(CH_APILOG_RATE, 1);
        return;
    }
    mine = (apr_uint64_t)getpid() << 2 | WRITING;
    for (i = 0; i < PROBES; i++) {
        apr_uint64_t number =
            __atomic_fetch_add(&ring->next, 1, __ATOMIC_RELAXED);
        apr_uint64_t *state = &ring->state[number % SLOTS];
        slot_t *slot = &ring->slots[number % SLOTS];

        if (load(state) == FREE && swap(state, FREE, mine)) {
            slot->number = number;
            slot->database = (apr_int16_t)to->database;
            fill(slot, row);
            __atomic_store_n(state, number << 2 | READY, __ATOMIC_RELEASE);
            return;
        }
    }
    drop(CH_APILOG_FULL, 1);
}

/* --- out -------------------------------------------------------------- */

/* Rows on their way out: what they were in the ring, and the columns. */
typedef struct {
    apr_pool_t *pool;
    int count;
    int place[CH_APILOG_BATCH];
    apr_uint64_t state[CH_APILOG_BATCH];
    apr_array_header_t *id, *start, *status, *took;
    apr_array_header_t *text[TEXT_COUNT];
} batch_t;

int ch_apilog_note_away(int away)
{
    return ring
           && __atomic_exchange_n(&ring->away, !!away, __ATOMIC_ACQ_REL)
                  != (apr_uint64_t)!!away;
}

int ch_apilog_is_away(void)
{
    return ring && load(&ring->away);
}

static int is_gone(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

/* A slot whose writer died is free again. A pid that was given to another
 * process keeps it taken until that one is gone, too. */
static void reclaim(apr_uint64_t *state, apr_uint64_t seen)
{
    if (is_gone((pid_t)(seen >> 2)) && swap(state, seen, FREE)) {
        drop(CH_APILOG_LOST, 1);
    }
}

/* A UUIDv7 that is the row's alone and always the same: a row that is written
 * again is found to be there. Multiplying by an odd number scatters the
 * numbers and lets no two meet. */
static const char *id_of(apr_pool_t *pool, const slot_t *slot)
{
    apr_uint64_t tail =
        (slot->number + ring->seed) * UINT64_C(0x9e3779b97f4a7c15);
    apr_uint64_t millis = (apr_uint64_t)slot->start / 1000;
    char *out = apr_palloc(pool, CH_UUID_LEN + 1);
    unsigned char bytes[16];
    int i;

    for (i = 0; i < 6; i++) {
        bytes[i] = (unsigned char)(millis >> (40 - 8 * i));
    }
    bytes[6] = (unsigned char)(0x70 | (ring->seed >> 56 & 0x0F));
    bytes[7] = (unsigned char)(ring->seed >> 48);
    for (i = 0; i < 8; i++) {
        bytes[8 + i] = (unsigned char)(tail >> (56 - 8 * i));
    }
    bytes[8] = (unsigned char)(0x80 | (bytes[8] & 0x3F));
    ch_uuid_text(bytes, out);
    return out;
}

/* With microseconds, for Postgres. */
static const char *time_of(apr_pool_t *pool, apr_time_t when)
{
    apr_time_exp_t parts;

    apr_time_exp_gmt(&parts, when);
    return apr_psprintf(pool, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ",
                        parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                        parts.tm_hour, parts.tm_min, parts.tm_sec,
                        parts.tm_usec);
}

static const char *address_of(const char *text)
{
    unsigned char bytes[16];

    return text
                   && (inet_pton(AF_INET, text, bytes) == 1
                       || inet_pton(AF_INET6, text, bytes) == 1)
               ? text
               : NULL;
}

static void push_text(apr_array_header_t *list, const char *text)
{
    APR_ARRAY_PUSH(list, const char *) = text;
}

static void push_int(apr_array_header_t *list, apr_int64_t number)
{
    APR_ARRAY_PUSH(list, apr_int64_t) = number;
}

/* Appends a row to the columns; its texts are the batch's own from here. */
static void take(batch_t *batch, const slot_t *slot)
{
    const char *from = slot->text;
    int i;

    for (i = 0; i < TEXT_COUNT; i++) {
        const char *text = NULL;

        if (slot->len[i] != NO_TEXT) {
            text = ch_text_clean(batch->pool, from, slot->len[i]);
            from += slot->len[i];
        }
        push_text(batch->text[i], i == AT_client_ip ? address_of(text) : text);
    }
    push_text(batch->id, id_of(batch->pool, slot));
    push_text(batch->start, time_of(batch->pool, slot->start));
    push_int(batch->status, slot->status);
    push_int(batch->took, slot->took_ms);
}

static batch_t *make_batch(apr_pool_t *pool)
{
    batch_t *batch = apr_pcalloc(pool, sizeof(*batch));
    int i;

    batch->pool = pool;
    batch->id = apr_array_make(pool, 64, sizeof(const char *));
    batch->start = apr_array_make(pool, 64, sizeof(const char *));
    batch->status = apr_array_make(pool, 64, sizeof(apr_int64_t));
    batch->took = apr_array_make(pool, 64, sizeof(apr_int64_t));
    for (i = 0; i < TEXT_COUNT; i++) {
        batch->text[i] = apr_array_make(pool, 64, sizeof(const char *));
    }
    return batch;
}

/* Reads a row, if it is one of this database and nobody else takes it out
 * meanwhile. */
static void read_slot(batch_t *batch, int place, int database)
{
    apr_uint64_t state = load(&ring->state[place]);
    slot_t copy;

    if ((state & KIND) == WRITING) {
        reclaim(&ring->state[place], state);
    }
    if ((state & KIND) != READY) {
        return;
    }
    memcpy(&copy, &ring->slots[place], sizeof(copy));
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (load(&ring->state[place]) == state && copy.database == database) {
        batch->place[batch->count] = place;
        batch->state[batch->count++] = state;
        take(batch, &copy);
    }
}

/* The oldest rows first, which lie where the next one would go, unless the
 * ring was full. */
static batch_t *collect(apr_pool_t *pool, int database)
{
    apr_uint64_t first = load(&ring->next);
    batch_t *batch = make_batch(pool);
    apr_uint64_t i;

    for (i = 0; i < SLOTS && batch->count < CH_APILOG_BATCH; i++) {
        read_slot(batch, (int)((first + i) % SLOTS), database);
    }
    return batch;
}

static void release(const batch_t *batch)
{
    int i;

    for (i = 0; i < batch->count; i++) {
        swap(&ring->state[batch->place[i]], batch->state[i], FREE);
    }
}

ch_err_t *ch_apilog_drain(ch_db_t *db, apr_pool_t *pool, int database,
                          int *moved)
{
    batch_t *batch = ring ? collect(pool, database) : NULL;
    sql_api_log_add_t in;
    ch_err_t *err;

    *moved = 0;
    if (!batch || !batch->count) {
        return NULL;
    }
    in = (sql_api_log_add_t){
        .id = batch->id,
        .request_id = batch->text[AT_request_id],
        .user_id = batch->text[AT_user_id],
        .method = batch->text[AT_method],
        .path = batch->text[AT_path],
        .route = batch->text[AT_route],
        .status = batch->status,
        .duration_ms = batch->took,
        .ip = batch->text[AT_client_ip],
        .user_agent = batch->text[AT_user_agent],
        .error_code = batch->text[AT_error_code],
        .created_at = batch->start,
    };
    err = sql_api_log_add(db, &in);
    if (err && err->code == CH_E_DATABASE_ERROR) {
        return err; /* they wait for better times */
    }
    if (err) {
        drop(CH_APILOG_LOST, (apr_uint64_t)batch->count);
    }
    release(batch);
    *moved = batch->count;
    return err;
}
