/* Buses on a real PostgreSQL, for their tests: a clock, servers, and what they
 * keep. Servers are processes: each has its own memory. */
#ifndef CH_TESTS_BUS_H
#define CH_TESTS_BUS_H

#include "ch_database.h"

#include <sys/mman.h>
#include <time.h>

#include "base/steady.h"
#include "base/uuid.h"
#include "store/bus.h"
#include "store/fresh.h"
#include "store/seat.h"

#define SITE 3

static inline void take(int site, const char *message)
{
    const ch_bus_conf_t conf = { .site = site };

    ch_bus_take(&conf, message);
}

/* --- the clock ------------------------------------------------------------
 */

/* Goes as it always does, but can be put forward; shared by all servers of a
 * test. */
static apr_time_t *shift;
static apr_time_t wall_is_ahead; /* in this process */

apr_time_t ch_steady_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000
           + (shift ? __atomic_load_n(shift, __ATOMIC_SEQ_CST) : 0);
}

apr_time_t apr_time_now(void)
{
    return ch_steady_now() + wall_is_ahead
           + APR_INT64_C(1769250600000000);
}

static inline void *share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

static inline void pass(int seconds)
{
    __atomic_fetch_add(shift, apr_time_from_sec(seconds), __ATOMIC_SEQ_CST);
}

/* --- servers --------------------------------------------------------------
 */

/* What a server has said and how it sees things, for others to look at. */
typedef struct {
    int lost, back, peers, other; /* lines of the log */
    char text[256];               /* of the last loss */
    int works, alone;
    int stop;
} panel_t;

static inline void take_note(void *ctx, char level, int number,
                             const char *text)
{
    panel_t *panel = ctx;

    switch (number) {
    case 1023:
        ck_assert_int_eq(level, 'w');
        snprintf(panel->text, sizeof(panel->text), "%s", text);
        panel->lost++;
        break;
    case 1024:
        ck_assert_int_eq(level, 'n');
        panel->peers++;
        break;
    case 1025:
        ck_assert_int_eq(level, 'n');
        panel->back++;
        break;
    default:
        panel->other++;
    }
    ck_assert_ptr_null(strchr(text, '\n'));
}

static const unsigned char secret_seed[16] = "fifteen of them";

/* Memory of a server of its own. */
static inline void open_server(unsigned char id)
{
    unsigned char whole[16];

    memset(whole, id, sizeof(whole));
    ch_bus_open(share(ch_bus_size()), whole);
    ch_seat_open(share(ch_seat_size()));
    ch_fresh_open(share(ch_fresh_size()), secret_seed);
}

static inline ch_bus_t *make_bus(const char *conninfo, panel_t *panel)
{
    const ch_bus_conf_t bus_conf = {
        .conninfo = conninfo, .site = SITE, .log = take_note, .ctx = panel
    };

    return ch_bus_make(pool, &bus_conf);
}

static inline void look(panel_t *panel)
{
    __atomic_store_n(&panel->works, ch_bus_works(SITE), __ATOMIC_SEQ_CST);
    __atomic_store_n(&panel->alone, ch_bus_alone(SITE), __ATOMIC_SEQ_CST);
}

/* Of the test's own process. */
static panel_t *own;
static ch_bus_t *bus;

static inline void start_own(const char *conninfo)
{
    open_server(1);
    own = share(sizeof(*own));
    bus = make_bus(conninfo, own);
}

static inline void prepare(void)
{
    shift = share(sizeof(*shift));
    ch_database_make();
    start_own(database.conninfo);
}

/* Works until it is so, for at most ten seconds. */
#define until(condition)                                                      \
    do {                                                                      \
        int turns_;                                                           \
                                                                              \
        for (turns_ = 0; turns_ < 1000 && !(condition); turns_++) {           \
            ch_bus_wait(bus, 10);                                             \
            look(own);                                                        \
        }                                                                     \
        ck_assert_msg(condition, "never: %s", #condition);                    \
    } while (0)

static inline void work_on(int turns)
{
    for (; turns > 0; turns--) {
        ch_bus_wait(bus, 10);
        look(own);
    }
}

/* Another server, in a process of its own. */
static inline pid_t start_other(unsigned char id, panel_t *panel)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* what is in the old one is the parent's to close */
        apr_pool_create(&pool, NULL);
        open_server(id);
        bus = make_bus(database.conninfo, panel);
        while (!__atomic_load_n(&panel->stop, __ATOMIC_SEQ_CST)) {
            ch_bus_wait(bus, 10);
            look(panel);
        }
        apr_pool_destroy(pool);
        _exit(0);
    }
    return pid;
}

static inline void stop_other(pid_t pid, panel_t *panel)
{
    int status;

    __atomic_store_n(&panel->stop, 1, __ATOMIC_SEQ_CST);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

static inline int is(const int *flag)
{
    return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static inline void announce(const char *message)
{
    ch_sql(apr_psprintf(pool, "SELECT pg_notify('chronicle', '%s')", message));
}

/* --- what is kept ---------------------------------------------------------
 */

#define SESSION "0198a000-0000-7000-8000-000000000001"
#define USER "0198a000-0000-7000-8000-000000000002"
#define NOBODY "0198a000-0000-7000-8000-000000000003"

static inline void take_seat(void)
{
    unsigned char session[16];
    ch_seat_t seat;

    memset(&seat, 0, sizeof(seat));
    ck_assert(ch_uuid_bytes(SESSION, session));
    memcpy(seat.session, session, 16);
    ck_assert(ch_uuid_bytes(USER, seat.user));
    ch_seat_put(session, &seat, ch_seat_epoch());
}

static inline int has_seat(void)
{
    unsigned char session[16];
    ch_seat_t seat;

    ch_uuid_bytes(SESSION, session);
    return ch_seat_get(session, &seat);
}

typedef struct {
    unsigned char bytes[CH_FRESH_LEN];
} version_t;

static inline version_t version_of(const char *user)
{
    unsigned char id[16];
    version_t out;

    ch_uuid_bytes(user, id);
    ck_assert_int_eq(ch_fresh_version(id, out.bytes), 1);
    return out;
}

static inline int is_spoiled(const char *user, version_t before)
{
    version_t now = version_of(user);

    return memcmp(&now, &before, sizeof(now)) != 0;
}

#endif
