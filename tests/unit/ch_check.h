/* What every unit test needs: a pool per test, tables of tests, a main. */
#ifndef CH_TESTS_CHECK_H
#define CH_TESTS_CHECK_H

#include <stdlib.h>
#include <string.h>

#include <check.h>

#include <apr_general.h>
#include <apr_pools.h>

#include "chronicle.h"

/* The pool of the running test. */
static apr_pool_t *pool;

/* A test of a suite; `times` is how often it runs, with _i from 0. */
typedef struct {
    const TTest *test;
    int times;
} ch_test_t;

#define CH_ONCE(name)                                                         \
    {                                                                         \
        .test = name, .times = 1                                              \
    }
#define CH_EACH(name, table)                                                  \
    {                                                                         \
        .test = name, .times = (int)CH_COUNT(table)                           \
    }

static apr_status_t ch_check_free(void *block)
{
    free(block);
    return APR_SUCCESS;
}

/* A copy in a block of exactly its size, so that a sanitizer sees the first
 * byte read behind it; inside of a pool it would see nothing. */
static inline char *ch_check_copy(const void *data, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, len);
    apr_pool_cleanup_register(pool, copy, ch_check_free,
                              apr_pool_cleanup_null);
    return copy;
}

static void ch_check_setup(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
}

static void ch_check_teardown(void)
{
    apr_pool_destroy(pool);
    apr_terminate();
}

static int ch_check_run(const char *name, const ch_test_t *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    size_t i;
    int failed;

    tcase_add_checked_fixture(tcase, ch_check_setup, ch_check_teardown);
    for (i = 0; i < count; i++) {
        tcase_add_loop_test(tcase, tests[i].test, 0, tests[i].times);
    }
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The program: CH_SUITE_MAIN("base/buf", CH_ONCE(grows), …) */
#define CH_SUITE_MAIN(name, ...)                                              \
    int main(void)                                                            \
    {                                                                         \
        const ch_test_t tests[] = {__VA_ARGS__};                              \
                                                                              \
        return ch_check_run(name, tests, CH_COUNT(tests));                    \
    }

#endif
