/* Answers kept in shared memory: a ring of bytes, in which the newest
 * overwrites the oldest, and an index into it. Nobody ever waits; a reader
 * that was overtaken finds nothing, a writer that dies leaves nothing. */
#ifndef CH_STORE_CACHE_H
#define CH_STORE_CACHE_H

#include "chronicle.h"

#define CH_CACHE_KEY 16

/* Memory shared by all processes, zeroed when new, of ch_cache_size(bytes):
 * bytes is what the ring may hold, 0 = no cache. */
void ch_cache_open(void *memory, size_t bytes);
size_t ch_cache_size(size_t bytes);

/* An answer: its body, and a short text about it. */
typedef struct {
    ch_bytes_t head;
    ch_bytes_t body;
} ch_kept_t;

/* What is kept under a key, copied into pool, both parts NUL-terminated; 0
 * when there is nothing. */
int ch_cache_get(apr_pool_t *pool, const unsigned char key[CH_CACHE_KEY],
                 ch_kept_t *out);

/* Keeps it for so many seconds. What is longer than a sixteenth of the ring is
 * not kept. */
void ch_cache_put(const unsigned char key[CH_CACHE_KEY],
                  const ch_kept_t *kept, int seconds);

#endif
