/* The bus: what one server tells all others that work on the same database,
 * by LISTEN and NOTIFY; and by Redis where that is configured, since poolers
 * and some engines let no LISTEN through. One connection per server, held by
 * one of its children. A message is a letter, a space and a text:
 *
 *   s <session>  this session has ended           (sent by triggers)
 *   u <user>     role, activity or address of this user changed  (likewise)
 *   c <user>     answers kept for this user are out of date
 *   h <server>   a server is there; repeated while it is
 *   r <text>     a record of realtime/, whose affair the text is
 */
#ifndef CH_STORE_BUS_H
#define CH_STORE_BUS_H

#include "chronicle.h"

#define CH_BUS_SITES 16 /* databases whose servers can be told apart */

struct ch_redis_t;
struct ch_redis_sub_t;

typedef struct ch_bus_t ch_bus_t;

typedef struct {
    const char *conninfo; /* as DBDParams has it */
    int site;             /* 0 to CH_BUS_SITES - 1 */
    struct ch_redis_t *redis; /* NULL = none is configured */
    /* One line to the error log; level 'e', 'w', 'n', 'i'. */
    void (*log)(void *ctx, char level, int number, const char *text);
    /* What realtime/ wants to know of; NULL = nothing. heard: a message 's',
     * 'u' or 'r', its letter and its text, after it was acted on. doubt: some
     * may have been missed. */
    void (*heard)(void *ctx, char letter, const char *text, size_t len);
    void (*doubt)(void *ctx);
    const char *channel; /* of Redis, whose texts are heard as those of 'r' */
    void *ctx;           /* of log, heard and doubt */
} ch_bus_conf_t;

/* Memory shared by all processes, zeroed when new; id: what tells this server
 * from others, random. */
void ch_bus_open(void *memory, const unsigned char id[16]);
size_t ch_bus_size(void);

/* The name of this server among all: 32 hex digits. */
const char *ch_bus_name(void);

/* For a minute nobody is alone: an earlier generation of this server, with
 * other memory, may still be at work. */
void ch_bus_doubt(void);

/* In the child that holds the bus; nothing is connected yet. The connection
 * ends with pool. */
ch_bus_t *ch_bus_make(apr_pool_t *pool, const ch_bus_conf_t *conf);

/* Before the pool's end. */
void ch_bus_close(ch_bus_t *bus);

/* Connects where needed (at most every second), waits up to ms for messages
 * and does what they ask. */
void ch_bus_wait(ch_bus_t *bus, int ms);

/* Acts on a message that came by another way. */
void ch_bus_take(const ch_bus_conf_t *conf, const char *message);

/* Announces a session's or user's message over Redis; what NOTIFY carries is
 * announced by the database itself. */
void ch_bus_tell(struct ch_redis_t *redis, apr_pool_t *pool, char letter,
                 const char *id);

/* Waits up to ms for messages over Redis and does what they ask; *sub is the
 * subscription, NULL at first. */
void ch_bus_wait_redis(const ch_bus_conf_t *conf, apr_pool_t *pool,
                       struct ch_redis_sub_t **sub, int ms);

/* Whether the bus of this site works and no other server was heard of for a
 * minute: then what this server remembers is all there is to know. */
int ch_bus_alone(int site);

/* Whether the bus works, for /health and the status page. */
int ch_bus_works(int site);

#endif
