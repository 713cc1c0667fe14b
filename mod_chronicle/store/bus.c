/* Listens to what other servers announce, and makes this one heard. */
#include "store/bus.h"

#include <poll.h>
#include <string.h>

#include <apr_escape.h>
#include <apr_strings.h>

#include "base/uuid.h"
#include "store/db_conn.h"
#include "store/fresh.h"
#include "store/kept.h"
#include "store/redis.h"
#include "store/seat.h"

#define RETRY_EVERY apr_time_from_sec(1)
#define HELLO_EVERY apr_time_from_sec(20)
#define ECHO_WITHIN apr_time_from_sec(30) /* our own hello comes back */
#define PEER_FOR apr_time_from_sec(60)    /* three hellos were missed */
#define BEAT_WITHIN apr_time_from_sec(3)  /* the bus' thread lives */
#define NAME_PREFIX "chronicle-bus:"
#define MESSAGE_MAX 200

/* Of one site, in shared memory; each member is an atomic of its own. */
typedef struct {
    apr_time_t beat; /* when the bus was last seen at work; 0 = it is not */
    apr_time_t peer; /* when another server was last heard */
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

static apr_time_t get(const apr_time_t *member)
{
    return __atomic_load_n(member, __ATOMIC_SEQ_CST);
}

static void put(apr_time_t *member, apr_time_t value)
{
    __atomic_store_n(member, value, __ATOMIC_SEQ_CST);
}

int ch_bus_works(int site)
{
    return room && site >= 0 && site < CH_BUS_SITES
           && get(&room->lines[site].beat) + BEAT_WITHIN > apr_time_now();
}

int ch_bus_alone(int site)
{
    return ch_bus_works(site)
           && get(&room->lines[site].peer) + PEER_FOR <= apr_time_now();
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

void ch_bus_take(const ch_bus_conf_t *conf, const char *message)
{
    unsigned char id[16];

    if (!*message || message[1] != ' ') {
        return;
    }
    if (*message == 'h') {
        if (room && strcmp(message + 2, server_id) != 0) {
            put(&room->lines[conf->site].peer, apr_time_now());
        }
        return;
    }
    if (!ch_uuid_bytes(message + 2, id)) {
        return;
    }
    switch (*message) {
    case 's':
        ch_seat_drop_session(id);
        break;
    case 'u':
        ch_seat_drop_user(id);
        break;
    case 'c':
        tell_keeper(conf, id);
        break;
    default:
        break; /* of a later release */
    }
}

static int run(ch_bus_t *bus, const char *text)
{
    PGresult *res = PQexec(bus->pg, text);
    ExecStatusType status = PQresultStatus(res);

    PQclear(res);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static int say_hello(ch_bus_t *bus)
{
    char text[MESSAGE_MAX];

    bus->hello = apr_time_now();
    apr_snprintf(text, sizeof(text), "SELECT pg_notify('chronicle', 'h %s')",
                 server_id);
    return run(bus, text);
}

/* A server that we have not heard for long does not know of us either. */
static void greet_newcomer(ch_bus_t *bus, const char *message,
                           apr_time_t before)
{
    if (*message != 'h') {
        return;
    }
    if (strcmp(message + 2, server_id) == 0) {
        bus->echo = apr_time_now();
        return;
    }
    log_peer(bus);
    if (before + PEER_FOR <= apr_time_now()) {
        say_hello(bus);
    }
}

static void take_all(ch_bus_t *bus)
{
    line_t *line = &room->lines[bus->conf.site];
    PGnotify *note;

    while ((note = PQnotifies(bus->pg)) != NULL) {
        apr_time_t before = get(&line->peer);

        ch_bus_take(&bus->conf, note->extra);
        greet_newcomer(bus, note->extra, before);
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

        bus->said_lost = 1;
        apr_snprintf(text, sizeof(text),
                     "the database's announcements are lost (%.*s): changes "
                     "made by other servers act after up to %d seconds",
                     MESSAGE_MAX, why, CH_SEAT_SECONDS);
        text[strcspn(text, "\n")] = '\0';
        bus->conf.log(bus->conf.ctx, 'w', 1023, text);
    }
    close_bus(bus);
}

/* Who else listens, at this moment. Shown for the same role at least. */
static void look_for_peers(ch_bus_t *bus)
{
    PGresult *res =
        PQexec(bus->pg, "SELECT 1 FROM pg_stat_activity"
                        " WHERE datname = current_database()"
                        " AND application_name LIKE '" NAME_PREFIX "%'"
                        " AND application_name"
                        " <> current_setting('application_name') LIMIT 1");

    if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res)) {
        put(&room->lines[bus->conf.site].peer, apr_time_now());
        log_peer(bus);
    }
    PQclear(res);
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

    bus->tried = apr_time_now();
    bus->echo = 0;
    apr_snprintf(name, sizeof(name), "%s%s", NAME_PREFIX, server_id);
    bus->pg = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(bus->pg) != CONNECTION_OK) {
        lose(bus, PQerrorMessage(bus->pg));
        return;
    }
    PQsetNoticeProcessor(bus->pg, ignore_notice, NULL);
    if (!run(bus, "LISTEN chronicle") || !say_hello(bus)) {
        lose(bus, PQerrorMessage(bus->pg));
        return;
    }
    look_for_peers(bus);
    /* what was announced meanwhile was missed */
    ch_seat_drop_all();
    ch_fresh_spoil_all();
}

/* The first echo shows that what is announced arrives: a pooler that hands
 * the connection on lets LISTEN through and nothing else. */
static void judge(ch_bus_t *bus)
{
    apr_time_t now = apr_time_now();

    if (bus->echo && bus->echo + ECHO_WITHIN > now) {
        put(&room->lines[bus->conf.site].beat, now);
        if (bus->said_lost) {
            bus->said_lost = 0;
            bus->conf.log(bus->conf.ctx, 'n', 1025,
                          "the database's announcements arrive again");
        }
    }
    else if (bus->tried + ECHO_WITHIN < now) {
        lose(bus, "they do not come back");
    }
}

void ch_bus_wait(ch_bus_t *bus, int ms)
{
    struct pollfd wait = { .events = POLLIN };

    if (!bus->pg) {
        if (bus->tried + RETRY_EVERY > apr_time_now()) {
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
        lose(bus, PQerrorMessage(bus->pg));
        return;
    }
    take_all(bus);
    if (bus->hello + HELLO_EVERY < apr_time_now() && !say_hello(bus)) {
        lose(bus, PQerrorMessage(bus->pg));
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

void ch_bus_wait_redis(const ch_bus_conf_t *conf, apr_pool_t *pool,
                       struct ch_redis_sub_t **sub, int ms)
{
    static const char *const channels[] = { CHANNEL };
    ch_redis_message_t message;

    if (!*sub) {
        *sub = ch_redis_subscribe(conf->redis, pool, 1, channels);
        if (!*sub) {
            poll(NULL, 0, ms);
            return;
        }
        ch_seat_drop_all(); /* what was announced meanwhile was missed */
        tell_keeper(conf, NULL);
    }
    switch (ch_redis_wait(*sub, ms, &message)) {
    case CH_REDIS_MESSAGE:
        ch_bus_take(conf, message.text.data);
        break;
    case CH_REDIS_LOST:
        ch_redis_unsubscribe(*sub);
        *sub = NULL;
        break;
    case CH_REDIS_NOTHING:
        break;
    }
}
