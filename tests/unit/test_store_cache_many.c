/* Tests of store/cache with threads and processes that write at the same time,
 * sleep in the middle of it, or die: nobody ever reads a wrong byte. */
#include "ch_cache.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_thread_proc.h>

/* --- many at once ---------------------------------------------------------
 */

#define KEYS 64
#define BODY_MAX 1500

/* Lies in memory that processes share. */
typedef struct {
    int stop;
    int wrong;
    unsigned puts, gets, hits;
} tally_t;

static tally_t *tally;

static void open_tally(void)
{
    tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(tally, MAP_FAILED);
}

static int stopped(void)
{
    return __atomic_load_n(&tally->stop, __ATOMIC_ACQUIRE);
}

static void end_all(void)
{
    __atomic_store_n(&tally->stop, 1, __ATOMIC_RELEASE);
}

static void count(unsigned *counter, unsigned n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void write_one(unsigned *state)
{
    unsigned number = next_random(state) % KEYS;

    put(number, next_random(state) % 1000, BODY_MAX);
    count(&tally->puts, 1);
}

static void read_one(apr_pool_t *p, unsigned *state)
{
    unsigned version;
    int got;

    apr_pool_clear(p);
    got = get(p, next_random(state) % KEYS, BODY_MAX, &version);
    count(&tally->gets, 1);
    if (got < 0) {
        __atomic_store_n(&tally->wrong, 1, __ATOMIC_RELAXED);
    }
    count(&tally->hits, got > 0);
}

static void use_much(unsigned seed)
{
    unsigned state = seed * 7919 + 1;
    apr_pool_t *p;

    apr_pool_create(&p, NULL);
    while (!stopped()) {
        write_one(&state);
        read_one(p, &state);
        read_one(p, &state);
    }
    apr_pool_destroy(p);
}

static void *APR_THREAD_FUNC use_in_thread(apr_thread_t *thread, void *data)
{
    use_much((unsigned)(size_t)data);
    return NULL;
}

static pid_t use_in_process(unsigned seed)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        use_much(seed);
        _exit(0);
    }
    return pid;
}

#define EACH 3

static const size_t rings[] = { 24 * 1024, 256 * 1024 };

/* Three threads here, three processes beside. */
START_TEST(many_at_once)
{
    apr_thread_t *threads[EACH];
    pid_t processes[EACH];
    apr_status_t status;
    size_t i;

    open_cache(rings[_i]);
    open_tally();
    for (i = 0; i < EACH; i++) {
        processes[i] = use_in_process((unsigned)i + 1);
    }
    for (i = 0; i < EACH; i++) {
        ck_assert_int_eq(apr_thread_create(&threads[i], NULL, use_in_thread,
                                           (void *)(i + 11), pool),
                         0);
    }
    sleep(2);
    end_all();
    for (i = 0; i < EACH; i++) {
        apr_thread_join(&status, threads[i]);
        waitpid(processes[i], NULL, 0);
    }
    ck_assert_int_eq(tally->wrong, 0);
    ck_assert_uint_gt(tally->gets, 10000);
    /* the smaller ring has not room for all of them, but for some */
    ck_assert_uint_gt(tally->hits, tally->gets / 50);
}
END_TEST

/* After all that, the buckets take what is put into them. */
static void check_that_it_works(void)
{
    unsigned i, version, there = 0;

    for (i = 1000; i < 1064; i++) {
        put(i, 7, BODY_MAX);
        there += get(pool, i, BODY_MAX, &version) == 1;
    }
    ck_assert_uint_eq(there, 64);
}

START_TEST(writers_that_are_killed)
{
    unsigned state = 99;
    apr_pool_t *p;
    int round, i;

    apr_pool_create(&p, pool);
    open_cache(64 * 1024);
    open_tally();
    for (round = 0; round < 100; round++) {
        pid_t pid = use_in_process((unsigned)round + 1);
        unsigned before = __atomic_load_n(&tally->puts, __ATOMIC_RELAXED);

        for (i = 0; i < 100; i++) {
            read_one(p, &state);
        }
        while (__atomic_load_n(&tally->puts, __ATOMIC_RELAXED) == before) {
            read_one(p, &state);
        }
        usleep(next_random(&state) % 3000);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        read_one(p, &state);
    }
    ck_assert_int_eq(tally->wrong, 0);
    ck_assert_uint_gt(tally->hits, 0);
    check_that_it_works();
}
END_TEST

/* A writer is suspended somewhere, often while it copies; the ring goes round
 * several times; it goes on and writes into the answers of others, which are
 * read then. */
START_TEST(writers_that_sleep)
{
    unsigned state = 99;
    apr_pool_t *p;
    int round, i, status;
    pid_t pid;

    apr_pool_create(&p, pool);
    open_cache(24 * 1024);
    open_tally();
    pid = use_in_process(1);
    for (round = 0; round < 400; round++) {
        usleep(next_random(&state) % 500);
        kill(pid, SIGSTOP);
        waitpid(pid, &status, WUNTRACED);
        ck_assert(WIFSTOPPED(status));
        /* between half a round of the ring and two */
        for (i = 16 + (int)(next_random(&state) % 48); i > 0; i--) {
            write_one(&state);
        }
        kill(pid, SIGCONT);
        for (i = 0; i < 100; i++) {
            read_one(p, &state);
        }
    }
    end_all();
    waitpid(pid, NULL, 0);
    ck_assert_int_eq(tally->wrong, 0);
    ck_assert_uint_gt(tally->hits, 0);
    check_that_it_works();
}
END_TEST

CH_SUITE_MAIN("store/cache, many", CH_EACH(many_at_once, rings),
              CH_ONCE(writers_that_are_killed), CH_ONCE(writers_that_sleep))
