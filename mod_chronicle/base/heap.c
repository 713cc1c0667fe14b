/* Takes memory from the C library and gives it back. */
#include "base/heap.h"

#include <stdlib.h>

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
