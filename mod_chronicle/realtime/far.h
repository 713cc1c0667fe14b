/* Records to and from the other servers that work on the same database: over
 * Redis where that is configured and there, else by NOTIFY (and a table, for
 * what is too long for that). A thread of each child sends them, in order;
 * they come in through the bus, which one child of each server holds. */
#ifndef CH_REALTIME_FAR_H
#define CH_REALTIME_FAR_H

#include "conf.h"

/* Memory shared by all processes, zeroed when new: what was heard lately, by
 * whichever of them listens. Without it what comes twice is heard twice. */
void ch_far_open(void *memory);
size_t ch_far_size(void);

/* In the child: starts the thread, which ends (what is posted is sent) with
 * ch_far_end. log: as ch_bus_conf_t has it. */
int ch_far_begin(apr_pool_t *pool,
                 void (*log)(void *ctx, char level, int number,
                             const char *text),
                 void *ctx);
void ch_far_end(void);

/* The name of this server among all: 32 hex digits. */
const char *ch_far_own(void);

/* From any thread: a record to one server (its name), or to all others (NULL;
 * nothing is done when this server is alone). Copied. What can't be sent is
 * dropped, and counted in the log. */
void ch_far_post(const ch_conf_t *conf, const char *server, const void *data,
                 size_t len);

/* A message of the bus (the text after "r ") or of Redis' channel: 1 and the
 * record in pool when it is for this server, not from it, and new here; 0
 * otherwise. A long one is fetched from conf's database. */
int ch_far_take(apr_pool_t *pool, const ch_conf_t *conf, const char *text,
                size_t len, ch_bytes_t *out);

/* The Redis channel of these servers, in pool. */
const char *ch_far_channel(apr_pool_t *pool, const ch_conf_t *conf);

#endif
