/* What every fuzz target needs: one pool, cleared for each input, and a way to
 * say that a promise was broken. */
#ifndef CH_TESTS_FUZZ_H
#define CH_TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_pools.h>

#include "chronicle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts, so that the fuzzer keeps the input. */
#define CH_PROMISE(holds)                                                     \
    do {                                                                      \
        if (!(holds)) {                                                       \
            fprintf(stderr, "broken: %s\n", #holds);                          \
            abort();                                                          \
        }                                                                     \
    } while (0)

/* An empty pool; what the input before left in it is gone. */
static inline apr_pool_t *ch_fuzz_pool(void)
{
    static apr_pool_t *pool;

    if (pool == NULL) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    apr_pool_clear(pool);
    return pool;
}

#endif
