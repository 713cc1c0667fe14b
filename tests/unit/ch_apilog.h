/* What the tests of store/apilog share: a ring, a row, a way out. */
#ifndef CH_TESTS_APILOG_H
#define CH_TESTS_APILOG_H

#include <sys/mman.h>

#include "ch_database.h"

#include "store/apilog.h"

#define USER "0198a000-0000-7000-8000-00000000000a"
#define SLOTS 4096
#define START APR_INT64_C(1769250600123456) /* 2026-01-24T10:30:00.123456Z */

static inline void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

static char *memory;
static ch_db_home_t *home;

static inline void open_ring(void)
{
    memory = shared(ch_apilog_size());
    ch_apilog_open(memory);
}

static inline void open_all(void)
{
    open_ring();
    ch_database_make();
    home = ch_home_make(CH_CONNECTIONS, 5000);
}

static const ch_apilog_to_t anywhere = { .server = 1,
                                         .database = 1,
                                         .rate = 1000000 };

static const ch_apilog_t usual = {
    .request_id = "r1",
    .user_id = USER,
    .method = "GET",
    .path = "/api/v1/notes/7",
    .route = "/api/v1/notes/{id}",
    .client_ip = "192.0.2.7",
    .user_agent = "an agent",
    .error_code = "NOTE_NOT_FOUND",
    .status = 404,
    .start = START,
    .took = 1500,
};

static inline void put_named(const char *name)
{
    ch_apilog_t row = usual;

    row.request_id = name;
    ch_apilog_put(&row, &anywhere);
}

static inline void put_many(int from, int count)
{
    int i;

    for (i = from; i < from + count; i++) {
        put_named(apr_psprintf(pool, "n%d", i));
    }
}

/* Drains once. */
static inline int drain_of(int which)
{
    int moved = -1;

    ck_result(ch_apilog_drain(ch_db_make(pool, home), pool, which, &moved),
              "");
    return moved;
}

static inline int drain(void)
{
    return drain_of(1);
}

static inline int drain_to_end(void)
{
    int total = 0;
    int moved;

    while ((moved = drain()) > 0) {
        total += moved;
    }
    return total;
}

static inline int in_table(void)
{
    return (int)apr_atoi64(ch_sql("SELECT count(*) FROM api_logs"));
}

#define ck_dropped(rate, full, lost)                                          \
    do {                                                                      \
        ck_assert_uint_eq(ch_apilog_dropped(CH_APILOG_RATE), rate);           \
        ck_assert_uint_eq(ch_apilog_dropped(CH_APILOG_FULL), full);           \
        ck_assert_uint_eq(ch_apilog_dropped(CH_APILOG_LOST), lost);           \
    } while (0)

#endif
