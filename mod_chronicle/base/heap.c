/* Takes memory from the C library and gives it back. */
#include "base/heap.h"

#include <stdlib.h>

#include <apr_allocator.h>

#define FREE_MAX (1024 * 1024)

void *ch_heap_take(size_t size)
{
    void *memory = calloc(1, size);

    if (!memory) {
        abort();
    }
    return memory;
}

void *ch_heap_resize(void *memory, size_t size)
{
    void *moved = realloc(memory, size);

    if (!moved) {
        abort();
    }
    return moved;
}

void ch_heap_give(void *memory)
{
    free(memory);
}

apr_pool_t *ch_heap_pool(void)
{
    apr_allocator_t *allocator;
    apr_pool_t *pool;

    if (apr_allocator_create(&allocator) != APR_SUCCESS
        || apr_pool_create_ex(&pool, NULL, NULL, allocator) != APR_SUCCESS) {
        return NULL;
    }
    apr_allocator_max_free_set(allocator, FREE_MAX);
    apr_allocator_owner_set(allocator, pool);
    return pool;
}
