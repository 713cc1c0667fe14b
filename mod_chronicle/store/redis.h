/* Redis: commands in, replies out. It is optional, and nothing that it holds
 * is kept nowhere else: every function here may say that it is not there, at
 * once, and the caller goes on without. */
#ifndef CH_STORE_REDIS_H
#define CH_STORE_REDIS_H

#include "chronicle.h"

#define CH_REDIS_CONNECT_MS 200 /* to open a connection */
#define CH_REDIS_COMMAND_MS 250 /* for a whole pipeline */
#define CH_REDIS_PAUSE_MS 500   /* between tries while it is lost */

/* All keys and channels begin with this: one Redis may serve others too. */
#define CH_REDIS_PREFIX "chronicle:"

/* --- where it is -------------------------------------------------------- */

/* redis://[[user]:password@]host[:port][/db] or
 * unix://[[user]:password@]/path[?db=N], taken apart. */
typedef struct ch_redis_url_t ch_redis_url_t;

/* In pool. Returns what is wrong, without any part of the text, or NULL. */
const char *ch_redis_url_parse(apr_pool_t *pool, const char *text,
                               const ch_redis_url_t **out);

/* "host:port" or a path, for logs: no password. */
const char *ch_redis_url_name(const ch_redis_url_t *url);

/* Whether two name the same database in the same way. */
int ch_redis_url_same(const ch_redis_url_t *a, const ch_redis_url_t *b);

/* --- homes -------------------------------------------------------------- */

/* What all processes of the server know of each Redis. Zeroed when new. */
void ch_redis_open(void *memory);
size_t ch_redis_size(void);

/* Gives this Redis a place in the memory. Called in the parent for all that
 * are in use, at most CH_REDIS_PLACES, before the children are made. */
#define CH_REDIS_PLACES 16
void ch_redis_claim(const ch_redis_url_t *url);

/* What one child has of one Redis: its connections. */
typedef struct ch_redis_t ch_redis_t;

/* One line to the error log; level 'e' or 'w', number: CHnnnn. */
typedef void ch_redis_log_t(void *ctx, char level, int number,
                            const char *text);

/* A home in pool (of the child) for a claimed Redis, with up to max
 * connections, of which none is opened yet. NULL when it was not claimed, or
 * the system has no mutex. */
ch_redis_t *ch_redis_make(apr_pool_t *pool, const ch_redis_url_t *url, int max,
                          ch_redis_log_t *log, void *log_ctx);

/* Whether it was there when last it was used. NULL is not there. */
int ch_redis_is_up(const ch_redis_t *redis);

/* A number that moves, in all processes of this server at once, whenever
 * something may have been missed: Redis came back after it was lost, or it is
 * another process than before. */
apr_uint64_t ch_redis_generation(const ch_redis_t *redis);

/* --- commands ----------------------------------------------------------- */

typedef enum {
    CH_REDIS_NIL,
    CH_REDIS_INT,
    CH_REDIS_TEXT, /* also what "OK" is */
    CH_REDIS_ARRAY,
    CH_REDIS_ERROR
} ch_redis_kind_e;

typedef struct ch_redis_reply_t ch_redis_reply_t;

struct ch_redis_reply_t {
    ch_redis_kind_e kind;
    apr_int64_t number;      /* of INT */
    ch_bytes_t text;         /* of TEXT and ERROR; a NUL stands behind it */
    int count;               /* of ARRAY */
    ch_redis_reply_t *items; /* of ARRAY */
};

/* A Lua script, static. It is sent by its SHA-1; a Redis that does not know
 * it gets the text. */
typedef struct {
    const char *text;
    int keys;  /* so many of the arguments are keys */
    int state; /* of sha: zero at first */
    char sha[41];
} ch_redis_script_t;

#define CH_REDIS_ARGS 12 /* more go through `more` */

typedef struct ch_redis_command_t {
    ch_redis_script_t *script; /* NULL: the first argument is the command */
    int count;
    ch_bytes_t args[CH_REDIS_ARGS];
    const ch_bytes_t *more; /* all `count` arguments, instead of args */
    int repeatable;         /* does no harm when it is done twice */
} ch_redis_command_t;

/* Adds an argument; len of a C string may be left to _text. */
void ch_redis_arg(ch_redis_command_t *command, const void *data, size_t len);
void ch_redis_arg_text(ch_redis_command_t *command, const char *text);
void ch_redis_arg_int(apr_pool_t *pool, ch_redis_command_t *command,
                      apr_int64_t number);

/* Sends commands as one pipeline and waits for all replies, which live with
 * pool: 1 and *replies has `count` of them, each of which may be an ERROR; 0
 * when Redis is not available (or NULL). After 0 it is not known which of the
 * commands were done.
 *
 * When a connection turns out to be dead before anything was read, and all
 * commands are repeatable, they are sent once more on a new one. */
int ch_redis_run(ch_redis_t *redis, apr_pool_t *pool, int count,
                 const ch_redis_command_t *commands,
                 const ch_redis_reply_t **replies);

/* One command: its reply, NULL when Redis is not available. */
const ch_redis_reply_t *ch_redis_one(ch_redis_t *redis, apr_pool_t *pool,
                                     const ch_redis_command_t *command);

/* Whether it answers, and how long that took. */
int ch_redis_ping(ch_redis_t *redis, apr_pool_t *pool, apr_time_t *took);

/* --- messages ----------------------------------------------------------- */

/* A connection that listens; for one thread. */
typedef struct ch_redis_sub_t ch_redis_sub_t;

typedef enum {
    CH_REDIS_MESSAGE,
    CH_REDIS_NOTHING, /* in that time */
    CH_REDIS_LOST     /* close it, and subscribe again */
} ch_redis_news_e;

typedef struct {
    ch_bytes_t channel;
    ch_bytes_t text;
} ch_redis_message_t;

/* Listens to channels from now on; NULL when Redis is not available. Lives
 * with pool, which only this thread may use. */
ch_redis_sub_t *ch_redis_subscribe(ch_redis_t *redis, apr_pool_t *pool,
                                   int count, const char *const *channels);

/* Waits for a message, which lives until the next call. A connection over
 * which nothing came for a while is asked whether it lives. */
ch_redis_news_e ch_redis_wait(ch_redis_sub_t *sub, int timeout_ms,
                              ch_redis_message_t *out);

/* Also done when its pool is destroyed. */
void ch_redis_unsubscribe(ch_redis_sub_t *sub);

#endif
