/* Tests of store/limit: windows, and counts that are exact whoever counts. */
#include "ch_check.h"

#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "base/steady.h"
#include "store/limit.h"

static const unsigned char seed[16] = "a secret of 16 b";

static void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

static void open_limits(void)
{
    ch_limit_open(shared(ch_limit_size()), seed);
}

static ch_limit_state_t count(const char *key, int limit, int seconds)
{
    return ch_limit_count(key, strlen(key), limit, seconds);
}

/* The clock of this program: it stands still until it is put forward. */
static apr_time_t clock_now = APR_INT64_C(1769250600000000);
static apr_time_t wall_is_ahead;

apr_time_t apr_time_now(void)
{
    return clock_now + wall_is_ahead;
}

apr_time_t ch_steady_now(void)
{
    return clock_now;
}

static void next_second(void)
{
    clock_now += APR_USEC_PER_SEC;
}

START_TEST(before_open)
{
    int i;

    for (i = 0; i < 10; i++) {
        ch_limit_state_t state = count("k", 3, 60);

        ck_assert_int_eq(state.refused, 0);
        ck_assert_int_eq(state.limit, 3);
        ck_assert_int_eq(state.remaining, 3);
        ck_assert_int_eq(state.reset, 60);
    }
}
END_TEST

START_TEST(counts_down)
{
    int i;

    open_limits();
    for (i = 1; i <= 6; i++) {
        ch_limit_state_t state = count("k", 3, 60);

        ck_assert_int_eq(state.limit, 3);
        ck_assert_int_eq(state.remaining, i < 3 ? 3 - i : 0);
        ck_assert_int_eq(state.refused, i > 3);
        ck_assert_int_eq(state.reset, 60);
    }
}
END_TEST

START_TEST(keys_are_bytes)
{
    open_limits();
    count("a", 9, 60);
    ck_assert_int_eq(ch_limit_count("a\0b", 3, 9, 60).remaining, 8);
    ck_assert_int_eq(ch_limit_count("a\0c", 3, 9, 60).remaining, 8);
    ck_assert_int_eq(ch_limit_count("", 0, 9, 60).remaining, 8);
    ck_assert_int_eq(ch_limit_count("a\0b", 3, 9, 60).remaining, 7);
    ck_assert_int_eq(count("a", 9, 60).remaining, 7);
    ck_assert_int_eq(ch_limit_count("", 0, 9, 60).remaining, 7);
}
END_TEST

/* The window opens with the first request and ends, whatever came in it. */
START_TEST(windows)
{
    ch_limit_state_t state;
    int i;

    open_limits();
    for (i = 0; i < 5; i++) {
        state = count("k", 2, 2);
        ck_assert_int_eq(state.reset, 2);
    }
    ck_assert_int_eq(state.refused, 1);
    next_second();
    state = count("k", 2, 2);
    ck_assert_int_eq(state.refused, 1);
    ck_assert_int_eq(state.reset, 1);
    next_second();
    state = count("k", 2, 2);
    ck_assert_int_eq(state.refused, 0);
    ck_assert_int_eq(state.remaining, 1);
    ck_assert_int_eq(state.reset, 2);
}
END_TEST

/* Nobody is shut out for an hour, or let in, because a clock was set. */
START_TEST(windows_when_the_clock_is_set)
{
    int i;

    for (i = -1; i <= 1; i += 2) {
        open_limits();
        count("k", 1, 2);
        wall_is_ahead = i * apr_time_from_sec(3600);
        ck_assert_int_eq(count("k", 1, 2).refused, 1);
        ck_assert_int_eq(count("k", 1, 2).reset, 2);
        clock_now += 2 * APR_USEC_PER_SEC;
        ck_assert_int_eq(count("k", 1, 2).refused, 0);
        wall_is_ahead = 0;
    }
}
END_TEST

/* It is as long as it should be, wherever in a second it begins. */
START_TEST(windows_begin_anywhere)
{
    int i;

    for (i = 0; i < 16; i++) {
        open_limits();
        clock_now += APR_USEC_PER_SEC / 16;
        ck_assert_int_eq(count("k", 1, 2).reset, 2);
        clock_now += 2 * APR_USEC_PER_SEC - APR_USEC_PER_SEC / 8;
        ck_assert_int_eq(count("k", 1, 2).refused, 1);
        ck_assert_int_eq(count("k", 1, 2).reset, 1);
        clock_now += APR_USEC_PER_SEC / 8;
        ck_assert_int_eq(count("k", 1, 2).refused, 0);
    }
}
END_TEST

/* The longest windows and the largest limits that can be configured. */
START_TEST(largest)
{
    ch_limit_state_t state;

    open_limits();
    state = count("k", CH_LIMIT_MAX, 366 * 86400);
    ck_assert_int_eq(state.remaining, CH_LIMIT_MAX - 1);
    ck_assert_int_eq(state.reset, 366 * 86400);
    state = count("k", CH_LIMIT_MAX, 366 * 86400);
    ck_assert_int_eq(state.remaining, CH_LIMIT_MAX - 2);
}
END_TEST

/* What is refused goes on being refused; the count cannot run over. */
START_TEST(far_over)
{
    int refused = 0;
    int i;

    open_limits();
    for (i = 0; i < 100000; i++) {
        ch_limit_state_t state = count("k", 1, 600);

        refused += state.refused && state.remaining == 0;
    }
    ck_assert_int_eq(refused, 99999);
}
END_TEST

/* A limit that was changed counts at once. */
START_TEST(limits_change)
{
    open_limits();
    count("k", 1, 600);
    ck_assert_int_eq(count("k", 1, 600).refused, 1);
    ck_assert_int_eq(count("k", 1, 600).refused, 1);
    ck_assert_int_eq(count("k", 9, 600).refused, 0);
    ck_assert_int_eq(count("k", 2, 600).refused, 1);
}
END_TEST

/* Keys enough to overfill every bucket: others are forgotten, but nobody is
 * refused for another's requests, and nothing hangs. */
START_TEST(full_buckets)
{
    int first = 0;
    int second = 0;
    char key[32];
    int i;

    open_limits();
    for (i = 0; i < 400000; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        first += count(key, 1, 600).refused;
        second += count(key, 1, 600).refused;
    }
    ck_assert_int_eq(first, 0);
    ck_assert_int_eq(second, 400000);
}
END_TEST

/* Those whose window is over make room first. */
START_TEST(over_goes_first)
{
    char key[32];
    int kept = 0;
    int i;

    open_limits();
    for (i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "long%d", i);
        count(key, 1, 600);
    }
    next_second();
    for (i = 0; i < 100000; i++) {
        snprintf(key, sizeof(key), "short%d", i);
        count(key, 1, 1);
    }
    for (i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "long%d", i);
        kept += count(key, 1, 600).refused;
    }
    /* 6 keys in 8 places on average: hardly one of the long windows was the
     * shortest of a full bucket */
    ck_assert_int_ge(kept, 990);
}
END_TEST

/* --- many at once ---------------------------------------------------------
 */

#define THREADS 8
#define EACH 200000
#define KEYS 4000

/* What the threads of a test share. */
static struct {
    int ready;
    int allowed;
} race;

static void wait_for(const int *number, int value)
{
    while (__atomic_load_n(number, __ATOMIC_ACQUIRE) < value) {
        sched_yield();
    }
}

static void add(int *number)
{
    __atomic_fetch_add(number, 1, __ATOMIC_ACQ_REL);
}

static void *APR_THREAD_FUNC count_one_key(apr_thread_t *thread, void *data)
{
    int i;

    add(&race.ready);
    wait_for(&race.ready, THREADS);
    for (i = 0; i < EACH; i++) {
        if (!count("k", THREADS * EACH / 2, 600).refused) {
            add(&race.allowed);
        }
    }
    return NULL;
}

static void run_threads(apr_thread_start_t work)
{
    apr_thread_t *threads[THREADS];
    apr_status_t status;
    int i;

    memset(&race, 0, sizeof(race));
    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, work, NULL, pool), 0);
    }
    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&status, threads[i]);
    }
}

START_TEST(exact_with_eight_threads)
{
    open_limits();
    count("k", 1, 600);
    run_threads(count_one_key);
    ck_assert_int_eq(race.allowed, THREADS * EACH / 2 - 1);
}
END_TEST

/* Each process reports how many it was allowed. */
static int count_in_children(int children, int each, int limit)
{
    int *allowed = shared(sizeof(int));
    int status;
    int i, k;

    for (i = 0; i < children; i++) {
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            for (k = 0; k < each; k++) {
                if (!count("k", limit, 600).refused) {
                    add(allowed);
                }
            }
            _exit(0);
        }
    }
    for (i = 0; i < children; i++) {
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_int_eq(status, 0);
    }
    return *allowed;
}

START_TEST(exact_with_four_processes)
{
    open_limits();
    count("k", 1, 600);
    ck_assert_int_eq(count_in_children(4, 50000, 123456), 123455);
}
END_TEST

static void *APR_THREAD_FUNC count_new_keys(apr_thread_t *thread, void *data)
{
    char name[16];
    int key, i;

    for (key = 1; key <= KEYS; key++) {
        snprintf(name, sizeof(name), "k%d", key);
        add(&race.ready);
        wait_for(&race.ready, key * THREADS);
        for (i = 0; i < 4; i++) {
            if (!count(name, 10, 600).refused) {
                add(&race.allowed);
            }
        }
    }
    return NULL;
}

/* All threads meet at a key that is new. */
START_TEST(exact_from_the_first_request)
{
    open_limits();
    run_threads(count_new_keys);
    ck_assert_int_eq(race.allowed, 10 * KEYS);
}
END_TEST

static ch_limit_state_t look(const char *key, int limit, int seconds)
{
    return ch_limit_look(key, strlen(key), limit, seconds);
}

/* Looking says what counting would find, and changes nothing. */
START_TEST(looks)
{
    int i;

    ck_assert_int_eq(look("k", 1, 600).refused, 0);
    open_limits();
    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(look("k", 3, 600).refused, 0);
        ck_assert_int_eq(look("k", 3, 600).remaining, 3 - i);
        count("k", 3, 600);
        ck_assert_int_eq(look("other", 3, 600).remaining, 3);
    }
    ck_assert_int_eq(look("k", 3, 600).refused, 1);
    ck_assert_int_eq(look("k", 3, 600).remaining, 0);
    ck_assert_int_ge(look("k", 3, 600).reset, 599);
    ck_assert_int_le(look("k", 3, 600).reset, 600);
    ck_assert_int_eq(look("k", 4, 600).refused, 0);
    ck_assert_int_eq(count("k", 3, 600).refused, 1);
    count("short", 1, 1);
    ck_assert_int_eq(look("short", 1, 1).refused, 1);
    clock_now += 2 * APR_USEC_PER_SEC;
    ck_assert_int_eq(look("short", 1, 1).refused, 0);
}
END_TEST

CH_SUITE_MAIN("store/limit", CH_ONCE(before_open), CH_ONCE(counts_down),
              CH_ONCE(looks),
              CH_ONCE(keys_are_bytes), CH_ONCE(windows),
              CH_ONCE(windows_when_the_clock_is_set),
              CH_ONCE(windows_begin_anywhere), CH_ONCE(largest),
              CH_ONCE(far_over), CH_ONCE(limits_change), CH_ONCE(full_buckets),
              CH_ONCE(over_goes_first), CH_ONCE(exact_with_eight_threads),
              CH_ONCE(exact_with_four_processes),
              CH_ONCE(exact_from_the_first_request))
