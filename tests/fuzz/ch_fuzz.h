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

/* One input, in a pool that is cleared afterwards. Each target has its own. */
void ch_fuzz_one(apr_pool_t *pool, const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *pool;

    if (pool == NULL) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    ch_fuzz_one(pool, data, size);
    apr_pool_clear(pool);
    return 0;
}

#endif
