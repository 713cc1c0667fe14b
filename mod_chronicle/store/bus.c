/* Listens to what other servers announce, and makes this one heard. */
#include "store/bus.h"

#include <poll.h>
#include <string.h>

#include <apr_escape.h>
#include <apr_strings.h>

#include "base/steady.h"
#include "base/uuid.h"
#include "store/db_conn.h"
#include "store/fresh.h"
#include "store/kept.h"
#include "store/redis.h"
#include "store/seat.h"

#define RETRY_EVERY apr_time_from_sec(1)
#define ANSWER_WITHIN apr_time_from_sec(3)
#define HELLO_EVERY apr_time_from_sec(20)
#define ECHO_WITHIN apr_time_from_sec(30) /* our own hello comes back */
#define PEER_FOR apr_time_from_sec(60)    /* three hellos were missed */
#define BEAT_WITHIN apr_time_from_sec(3)  /* the bus' thread lives */
#define NAME_PREFIX "chronicle-bus:"
#define MESSAGE_MAX 200

/* Of one site, in shared memory; each member is an atomic of its own, by the
 * clock that nobody sets. */
typedef struct {
    apr_time_t beat; /* when the bus was last seen at work; 0 = it is not */
    apr_time_t peer; /* when another server was last heard; 0 = never */
} line_t;

typedef struct {
    line_t lines[CH_BUS_SITES];
} room_t;

static room_t *room;
static char server_id[33];

struct ch_bus_t {
    ch_bus_conf_t conf;
    apr_pool_t *pool;
    PGconn *pg;
    apr_time_t tried;  /* last attempt to connect */
    apr_time_t hello;  /* last one sent */
    apr_time_t echo;   /* last one of ours that came back; 0 = none yet */
    int said_lost;
    int said_peer;
};

void ch_bus_open(void *memory, const unsigned char id[16])
{
    room = memory;
    apr_escape_hex(server_id, id, 16, 0, NULL);
}

size_t ch_bus_size(void)
{
    return sizeof(room_t);
}

const char *ch_bus_name(void)
{
    return server_id;
}

static apr_time_t get(const apr_time_t *member)
{
    return __atomic_load_n(member, __ATOMIC_SEQ_CST);
}

static void put(apr_time_t *member, apr_time_t value)
{
    __atomic_store_n(member, value, __ATOMIC_SEQ_CST);
}

void ch_bus_doubt(void)
{
    int i;

    for (i = 0; i < CH_BUS_SITES; i++) {
        put(&room->lines[i].peer, ch_steady_now());
    }
}

/* Whether something was so recent; 0 = it never was. */
static int is_within(apr_time_t when, apr_time_t time)
{
    return when && when + time > ch_steady_now();
}

int ch_bus_works(int site)
{
    return room && site >= 0 && site < CH_BUS_SITES
           && is_within(get(&room->lines[site].beat), BEAT_WITHIN);
}

int ch_bus_alone(int site)
{
    return ch_bus_works(site)
           && !is_within(get(&room->lines[site].peer), PEER_FOR);
}

/* --- messages --------------------------------------------------------- */

static void log_peer(ch_bus_t *bus)
{
    if (!bus->said_peer) {
        bus->said_peer = 1;
        bus->conf.log(bus->conf.ctx, 'n', 1024,
                      "another server works on this database");
    }
}

static int is_hello(const char *message)
{
    return message[0] == 'h' && message[1] == ' ';
}

static int is_own(const char *hello)
{
    return strcmp(hello + 2, server_id) == 0;
}

/* What another server writes is not announced: what was kept before we knew
 * of it is not to come back once it is gone. */
static void note_peer(int site)
{
    if (room && site >= 0 && site < CH_BUS_SITES) {
        put(&room->lines[site].peer, ch_steady_now());
        ch_fresh_spoil_all();
    }
}

/* What is kept for a user is out of date; NULL: make sure that what others
 * keep is not. In a pool of its own, because the bus lives as long as its
 * child. */
static void tell_keeper(const ch_bus_conf_t *conf, const unsigned char *user)
{
    ch_kept_home_t home = { .redis = conf->redis, .site = conf->site };

    if (apr_pool_create(&home.pool, NULL) != APR_SUCCESS) {
        return;
    }
    if (user) {
        ch_kept_spoil(&home, user);
    }
    else {
        ch_kept_settle(&home);
    }
    apr_pool_destroy(home.pool);
}

static void pass_on(const ch_bus_conf_t *conf, char letter, const char *text,
                    size_t len)
{
    if (conf->heard) {
        conf->heard(conf->ctx, letter, text, len);
    }
}

/* What was announced until now may have been missed. */
static void doubt_all(const ch_bus_conf_t *conf)
{
    ch_seat_drop_all();
    if (conf->doubt) {
        conf->doubt(conf->ctx);
    }
}

void ch_bus_take(const ch_bus_conf_t *conf, const char *message)
{
    unsigned char id[16];

    if (!*message || message[1] != ' ') {
        return;
    }
    if (is_hello(message)) {
        if (!is_own(message)) {
            note_peer(conf->site);
        }
        return;
    }
    if (*message == 'r') {
        pass_on(conf, 'r', message + 2, strlen(message + 2));
        return;
    }
    if (!ch_uuid_bytes(message + 2, id)) {
        return;
    }
    switch (*message) {
    case 's':
        ch_seat_drop_session(id);
        pass_on(conf, 's', message + 2, CH_UUID_LEN);
        break;
    case 'u':
        ch_seat_drop_user(id);
        pass_on(conf, 'u', message + 2, CH_UUID_LEN);
        break;
    case 'c':
        tell_keeper(conf, id);
        break;
    default:
        break; /* of a later release */
    }
}

/* --- statements ------------------------------------------------------- */

/* Waits until libpq has a result; 0 when the connection broke or nothing
 * comes. */
static int await(const ch_bus_t *bus, apr_time_t until)
{
    struct pollfd wait = { .fd = PQsocket(bus->pg), .events = POLLIN };

    while (PQisBusy(bus->pg)) {
        apr_time_t left = until - ch_steady_now();

        if (left <= 0
            || (poll(&wait, 1, (int)apr_time_as_msec(left) + 1) > 0
                && !PQconsumeInput(bus->pg))) {
            return 0;
        }
    }
    return 1;
}

/* Runs a statement as PQexec does, but not for ever; NULL when the connection
 * is of no use any more. */
static PGresult *ask(const ch_bus_t *bus, const char *text)
{
    apr_time_t until = ch_steady_now() + ANSWER_WITHIN;
    PGresult *last = NULL;
    PGresult *res;

    if (!PQsendQuery(bus->pg, text)) {
        return NULL;
    }
    while (await(bus, until)) {
        res = PQgetResult(bus->pg);
        if (!res) {
            return last;
        }
        PQclear(last);
        last = res;
    }
    PQclear(last);
    return NULL;
}

static int run(const ch_bus_t *bus, const char *text)
{
    PGresult *res = ask(bus, text);
    ExecStatusType status = PQresultStatus(res);

    PQclear(res);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static const char *reason(const ch_bus_t *bus)
{
    const char *text = PQerrorMessage(bus->pg);

    return *text ? text : "no answer";
}

static int say_hello(ch_bus_t *bus)
{
    char text[MESSAGE_MAX];

    bus->hello = ch_steady_now();
    apr_snprintf(text, sizeof(text), "SELECT pg_notify('chronicle', 'h %s')",
                 server_id);
    return run(bus, text);
}

/* A server that we have not heard for long does not know of us either: its
 * hello is answered at once. */
static void hear(ch_bus_t *bus, const char *hello, apr_time_t before)
{
    if (is_own(hello)) {
        bus->echo = ch_steady_now();
        return;
    }
    log_peer(bus);
    if (!is_within(before, PEER_FOR)) {
        bus->hello = 0; /* due */
    }
}

static void take_all(ch_bus_t *bus)
{
    const line_t *line = &room->lines[bus->conf.site];
    PGnotify *note;

    while ((note = PQnotifies(bus->pg)) != NULL) {
        apr_time_t before = get(&line->peer);

        ch_bus_take(&bus->conf, note->extra);
        if (is_hello(note->extra)) {
            hear(bus, note->extra, before);
        }
        PQfreemem(note);
    }
}

/* --- connection ------------------------------------------------------- */

static apr_status_t close_bus(void *data)
{
    ch_bus_t *bus = data;

    PQfinish(bus->pg);
    bus->pg = NULL;
    return APR_SUCCESS;
}

void ch_bus_close(ch_bus_t *bus)
{
    close_bus(bus);
}

ch_bus_t *ch_bus_make(apr_pool_t *pool, const ch_bus_conf_t *conf)
{
    ch_bus_t *bus = apr_pcalloc(pool, sizeof(*bus));

    bus->conf = *conf;
    bus->pool = pool;
    apr_pool_cleanup_register(pool, bus, close_bus, apr_pool_cleanup_null);
    return bus;
}

static void lose(ch_bus_t *bus, const char *why)
{
    put(&room->lines[bus->conf.site].beat, 0);
    if (!bus->said_lost) {
        char text[MESSAGE_MAX * 2];
        size_t len = strcspn(why, "\n");

        bus->said_lost = 1;
        apr_snprintf(text, sizeof(text),
                     "the database's announcements are lost (%.*s): changes "
                     "made by other servers act after up to %d seconds",
                     (int)(len < MESSAGE_MAX ? len : MESSAGE_MAX), why,
                     CH_SEAT_SECONDS);
        bus->conf.log(bus->conf.ctx, 'w', 1023, text);
    }
    close_bus(bus);
}

/* Who else listens, at this moment. Shown for the same role at least. */
static int look_for_peers(ch_bus_t *bus)
{
    PGresult *res =
        ask(bus, "SELECT 1 FROM pg_stat_activity"
                 " WHERE datname = current_database()"
                 " AND application_name LIKE '" NAME_PREFIX "%'"
                 " AND application_name"
                 " <> current_setting('application_name') LIMIT 1");
    int good = PQresultStatus(res) == PGRES_TUPLES_OK;

    if (good && PQntuples(res)) {
        note_peer(bus->conf.site);
        log_peer(bus);
    }
    PQclear(res);
    return good;
}

static void ignore_notice(void *unused, const char *text)
{
}

static void connect_bus(ch_bus_t *bus)
{
    char name[sizeof(NAME_PREFIX) + sizeof(server_id)];
    /* what comes later wins: only the name is ours to say */
    const char *const keywords[] = { "connect_timeout", "keepalives_idle",
                                     "dbname", "application_name", NULL };
    const char *const values[] = { "3", "30", bus->conf.conninfo, name,
                                   NULL };

    bus->tried = ch_steady_now();
    bus->echo = 0;
    apr_snprintf(name, sizeof(name), "%s%s", NAME_PREFIX, server_id);
    bus->pg = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(bus->pg) != CONNECTION_OK) {
        lose(bus, reason(bus));
        return;
    }
    PQsetNoticeProcessor(bus->pg, ignore_notice, NULL);
    if (!run(bus, "LISTEN chronicle") || !say_hello(bus)
        || !look_for_peers(bus)) {
        lose(bus, reason(bus));
        return;
    }
    doubt_all(&bus->conf);
    ch_fresh_spoil_all();
}

/* The first echo shows that what is announced arrives: a pooler that hands
 * the connection on lets LISTEN through and nothing else. */
static void judge(ch_bus_t *bus)
{
    if (is_within(bus->echo, ECHO_WITHIN)) {
        put(&room->lines[bus->conf.site].beat, ch_steady_now());
        if (bus->said_lost) {
            bus->said_lost = 0;
            bus->conf.log(bus->conf.ctx, 'n', 1025,
                          "the database's announcements arrive again");
        }
    }
    else if (!is_within(bus->tried, ECHO_WITHIN)) {
        lose(bus, "they do not come back");
    }
}

void ch_bus_wait(ch_bus_t *bus, int ms)
{
    struct pollfd wait = { .events = POLLIN };

    if (!bus->pg) {
        if (is_within(bus->tried, RETRY_EVERY)) {
            poll(NULL, 0, ms);
            return;
        }
        connect_bus(bus);
        if (!bus->pg) {
            return;
        }
    }
    take_all(bus); /* what a query brought along */
    wait.fd = PQsocket(bus->pg);
    if (poll(&wait, 1, bus->echo ? ms : ms / 10) > 0
        && !PQconsumeInput(bus->pg)) {
        lose(bus, reason(bus));
        return;
    }
    take_all(bus);
    if (!is_within(bus->hello, HELLO_EVERY) && !say_hello(bus)) {
        lose(bus, reason(bus));
        return;
    }
    judge(bus);
}

/* --- the same over Redis ---------------------------------------------- */

#define CHANNEL CH_REDIS_PREFIX "bus"

void ch_bus_tell(struct ch_redis_t *redis, apr_pool_t *pool, char letter,
                 const char *id)
{
    ch_redis_command_t publish = { .repeatable = 1 };
    char message[2 + CH_UUID_LEN + 1];

    if (!redis || strlen(id) != CH_UUID_LEN) {
        return;
    }
    apr_snprintf(message, sizeof(message), "%c %s", letter, id);
    ch_redis_arg_text(&publish, "PUBLISH");
    ch_redis_arg_text(&publish, CHANNEL);
    ch_redis_arg_text(&publish, message);
    ch_redis_one(redis, pool, &publish);
}

/* Texts of the other channel may hold any bytes. */
static void take_message(const ch_bus_conf_t *conf,
                         const ch_redis_message_t *message)
{
    if (strcmp(message->channel.data, CHANNEL) == 0) {
        ch_bus_take(conf, message->text.data);
    }
    else {
        pass_on(conf, 'r', message->text.data, message->text.len);
    }
}

void ch_bus_wait_redis(const ch_bus_conf_t *conf, apr_pool_t *pool,
                       struct ch_redis_sub_t **sub, int ms)
{
    const char *const channels[] = { CHANNEL, conf->channel };
    ch_redis_message_t message;

    if (!*sub) {
        *sub = ch_redis_subscribe(conf->redis, pool, conf->channel ? 2 : 1,
                                  channels);
        if (!*sub) {
            poll(NULL, 0, ms);
            return;
        }
        doubt_all(conf);
        tell_keeper(conf, NULL);
    }
    switch (ch_redis_wait(*sub, ms, &message)) {
    case CH_REDIS_MESSAGE:
        take_message(conf, &message);
        break;
    case CH_REDIS_LOST:
        ch_redis_unsubscribe(*sub);
        *sub = NULL;
        break;
    case CH_REDIS_NOTHING:
        break;
    }
}
