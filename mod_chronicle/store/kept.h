/* Answers kept for a user, by one server or by several: which version of the
 * user's data they show, and where they lie.
 *
 * Without Redis, versions and answers are this server's, and only good while
 * it is alone on its database (store/bus). With Redis, the version is there
 * for all servers; answers lie in this server's memory and in Redis. While
 * Redis is lost nothing is kept, and others are told by the bus what was
 * written meanwhile. */
#ifndef CH_STORE_KEPT_H
#define CH_STORE_KEPT_H

#include "store/cache.h"
#include "store/db.h"

struct ch_redis_t;

#define CH_KEPT_VERSION 40 /* bytes */

/* Stands for a user where an answer is nobody's in particular. */
extern const unsigned char ch_kept_public[16];

/* Where answers are kept. */
typedef struct {
    apr_pool_t *pool;
    ch_db_t *db;
    struct ch_redis_t *redis; /* NULL = none is configured */
    int site;
} ch_kept_home_t;

/* Memory shared by all processes, zeroed when new. */
void ch_kept_open(void *memory);
size_t ch_kept_size(void);

/* Makes sure that what Redis holds may be trusted: when it came (back) to this
 * server, all versions move once. Done by the bus at start, and by whoever
 * needs it. 0 = not now. */
int ch_kept_settle(const ch_kept_home_t *home);

/* The version of what a user's lists show, to be asked before the database
 * is. 0 when nobody can tell: nothing may be taken nor kept then. */
int ch_kept_version(const ch_kept_home_t *home, const unsigned char user[16],
                    unsigned char out[CH_KEPT_VERSION]);

/* What is kept under a key of which the version is a part; 0 = nothing. */
int ch_kept_get(const ch_kept_home_t *home,
                const unsigned char key[CH_CACHE_KEY], ch_kept_t *out);
void ch_kept_put(const ch_kept_home_t *home,
                 const unsigned char key[CH_CACHE_KEY],
                 const ch_kept_t *kept, int seconds);

/* Around every write that may show in a user's lists: before its first
 * statement, and after its commit (or failure) before its answer. */
void ch_kept_begin(const ch_kept_home_t *home, const unsigned char user[16]);
void ch_kept_end(const ch_kept_home_t *home, const unsigned char user[16]);

/* A message of the bus: another server has written while Redis was lost to
 * it. */
void ch_kept_spoil(const ch_kept_home_t *home, const unsigned char user[16]);

#endif
