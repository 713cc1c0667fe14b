/* Memory for what lives as long as a connection: thousands of small things of
 * unequal lives, for which a pool each would cost 8 KB. Whoever takes memory
 * gives it back; the process ends when there is none. */
#ifndef CH_BASE_HEAP_H
#define CH_BASE_HEAP_H

#include "chronicle.h"

/* size bytes, zeroed. */
void *ch_heap_take(size_t size);

/* The same bytes in a place of another size; NULL is a place of none. What is
 * new is not zeroed. */
void *ch_heap_resize(void *memory, size_t size);

/* NULL is no memory. */
void ch_heap_give(void *memory);

/* A pool with an allocator of its own, for one thread at a time; it keeps up
 * to a megabyte of what it has freed. The caller destroys it. NULL when there
 * is no memory. */
apr_pool_t *ch_heap_pool(void);

#endif
