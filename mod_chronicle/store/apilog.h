/* The log of API requests: a ring in shared memory into which every process
 * puts what it answered, without waiting for anybody, and out of which a
 * background caller writes to the database. */
#ifndef CH_STORE_APILOG_H
#define CH_STORE_APILOG_H

#include "chronicle.h"

#define CH_APILOG_BATCH 500 /* rows of one statement */

/* Longer texts are cut: to the width of their column, and where that has none
 * to what a row has room for. */
#define CH_APILOG_PATH_MAX 512
#define CH_APILOG_AGENT_MAX 256

typedef struct {
    const char *request_id;
    const char *user_id; /* NULL = anonymous */
    const char *method;
    const char *path;       /* without query string */
    const char *route;      /* template, NULL = none was found */
    const char *client_ip;  /* NULL = unknown */
    const char *user_agent; /* NULL = none */
    const char *error_code; /* NULL = none */
    int status;
    apr_time_t start;
    apr_time_t took;
} ch_apilog_t;

/* Why a row was not kept. */
typedef enum {
    CH_APILOG_RATE, /* above ChronicleApiLogRate */
    CH_APILOG_FULL, /* nobody took rows out for too long */
    CH_APILOG_LOST, /* its process died, or the database refused it */
    CH_APILOG__COUNT
} ch_apilog_drop_e;

extern const char *const ch_apilog_drop_names[CH_APILOG__COUNT];

/* Memory shared by all processes, zeroed when new. In the parent. */
void ch_apilog_open(void *memory);
size_t ch_apilog_size(void);

/* Which rows go where: `server` has a budget of `rate` rows per second (0 =
 * nothing is kept), `database` is whose drain takes them out. */
typedef struct {
    int server;
    int database;
    int rate;
} ch_apilog_to_t;

/* Puts a row in, or drops and counts it. Above the rate only what tells of
 * trouble is kept: status 401, 403, 429 and 500 or more, and of that at most
 * ten times the rate. Takes no lock and never waits. */
void ch_apilog_put(const ch_apilog_t *row, const ch_apilog_to_t *to);

/* Writes up to CH_APILOG_BATCH rows by one statement. *moved: rows that left
 * the ring. After DATABASE_ERROR they are still there; after another error
 * they could never be written and are counted as lost. A row that is written
 * by two callers, or twice because an answer was lost, is there once. */
ch_err_t *ch_apilog_drain(ch_db_t *db, apr_pool_t *pool, int database,
                          int *moved);

/* Notes whether rows wait for a database; 1 when that is news, to one of all
 * processes. */
int ch_apilog_note_away(int away);
int ch_apilog_is_away(void);

apr_uint64_t ch_apilog_dropped(ch_apilog_drop_e reason);

#endif
