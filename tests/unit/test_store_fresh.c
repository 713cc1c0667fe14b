/* Tests of store/fresh: what was read under a version that is still the
 * present one is not older than any write that has ended, nor than what
 * somebody has seen. */
#include "ch_check.h"

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <apr_thread_proc.h>

/* The code under test, which may lose the processor before each step. */
static void falter(void)
{
    static __thread unsigned steps;

    if (++steps % 61 == 0) {
        sched_yield();
    }
}

#define __atomic_fetch_add(at, n, order)                                      \
    (falter(), __atomic_fetch_add(at, n, order))
#define __atomic_load_n(at, order) (falter(), __atomic_load_n(at, order))
#include "base/steady.h"
#include "store/fresh.c"
#undef __atomic_fetch_add
#undef __atomic_load_n

/* The clock of this program: it stands still until it is put forward. */
static apr_time_t clock_now = APR_INT64_C(1769250600000000);

apr_time_t apr_time_now(void)
{
    return clock_now;
}

apr_time_t ch_steady_now(void)
{
    return clock_now;
}

static const unsigned char seed[16] = "some secret seed";

static void open_fresh(void)
{
    void *memory = mmap(NULL, ch_fresh_size(), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    ch_fresh_open(memory, seed);
}

typedef struct {
    unsigned char bytes[16];
} user_t;

static user_t user_of(unsigned number)
{
    user_t user;

    memset(&user, 7, sizeof(user));
    memcpy(user.bytes + 12, &number, sizeof(number));
    return user;
}

typedef struct {
    unsigned char bytes[CH_FRESH_LEN];
} version_t;

/* Whether there is a version of this user; it goes to *out. */
static int ask(unsigned number, version_t *out)
{
    return ch_fresh_version(user_of(number).bytes, out->bytes);
}

static int same(const version_t *a, const version_t *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static version_t version(unsigned number)
{
    version_t out;

    ck_assert_int_eq(ask(number, &out), 1);
    return out;
}

/* --- one after the other --------------------------------------------------
 */

START_TEST(before_open)
{
    version_t out;

    ch_fresh_begin(user_of(1).bytes);
    ch_fresh_end(user_of(1).bytes, 1);
    ch_fresh_spoil(user_of(1).bytes);
    ch_fresh_spoil_all();
    ck_assert_int_eq(ask(1, &out), 0);
}
END_TEST

START_TEST(a_write)
{
    version_t before, during, after;

    open_fresh();
    before = version(1);
    during = version(2);
    ch_fresh_begin(user_of(1).bytes);
    ck_assert_int_eq(ask(1, &after), 0);
    ck_assert_int_eq(ask(2, &after), 1);
    ch_fresh_end(user_of(1).bytes, 0);
    after = version(1);
    ck_assert_int_eq(same(&before, &after), 0);
    /* another user is not concerned */
    after = version(2);
    ck_assert_int_eq(same(&during, &after), 1);
}
END_TEST

START_TEST(writes_side_by_side)
{
    version_t before, after;

    open_fresh();
    before = version(1);
    ch_fresh_begin(user_of(1).bytes);
    ch_fresh_begin(user_of(1).bytes);
    ch_fresh_end(user_of(1).bytes, 0);
    ck_assert_int_eq(ask(1, &after), 0);
    ch_fresh_end(user_of(1).bytes, 0);
    after = version(1);
    ck_assert_int_eq(same(&before, &after), 0);
}
END_TEST

START_TEST(spoils)
{
    version_t first, second, before, after;

    open_fresh();
    first = version(1);
    second = version(2);
    ch_fresh_spoil(user_of(1).bytes);
    before = version(1);
    ck_assert_int_eq(same(&first, &before), 0);
    after = version(2);
    ck_assert_int_eq(same(&second, &after), 1);
    ch_fresh_spoil_all();
    after = version(1);
    ck_assert_int_eq(same(&before, &after), 0);
    after = version(2);
    ck_assert_int_eq(same(&second, &after), 0);
}
END_TEST

/* Nobody knows whether it was done: no version for a while, then another. */
START_TEST(a_write_in_doubt)
{
    version_t before, after;

    open_fresh();
    before = version(1);
    ch_fresh_begin(user_of(1).bytes);
    ch_fresh_end(user_of(1).bytes, 1);
    ck_assert_int_eq(ask(1, &after), 0);
    ck_assert_int_eq(ask(2, &after), 1);
    clock_now += apr_time_from_sec(CH_FRESH_DOUBT_SECONDS) - 1;
    /* a good one beside it does not shorten the doubt */
    ch_fresh_begin(user_of(1).bytes);
    ch_fresh_end(user_of(1).bytes, 0);
    ck_assert_int_eq(ask(1, &after), 0);
    clock_now += 1;
    after = version(1);
    ck_assert_int_eq(same(&before, &after), 0);
    /* nor does the doubt end a write that is going on */
    ch_fresh_begin(user_of(1).bytes);
    ch_fresh_begin(user_of(1).bytes);
    ch_fresh_end(user_of(1).bytes, 1);
    clock_now += apr_time_from_sec(CH_FRESH_DOUBT_SECONDS);
    ck_assert_int_eq(ask(1, &after), 0);
    ch_fresh_end(user_of(1).bytes, 0);
    ck_assert_int_eq(ask(1, &after), 1);
}
END_TEST

/* Ids made one after the other do not crowd into few slots. */
START_TEST(users_are_spread)
{
    unsigned i, still = 0;
    version_t out;

    open_fresh();
    for (i = 0; i < 1000; i++) {
        ch_fresh_begin(user_of(i).bytes);
    }
    for (i = 1000; i < 11000; i++) {
        still += (unsigned)ask(i, &out);
    }
    /* 1000 of 65536 slots are taken */
    ck_assert_uint_gt(still, 9700);
}
END_TEST

/* --- a model --------------------------------------------------------------
 */

#define USERS 3
#define THREADS 6
#define ROUNDS 200000

/* Whether others write, too, of which this server only hears afterwards; then
 * what somebody has seen may go once more before that. */
static const int with_others[] = { 0, 1 };
static int others;

/* The "database": a number per user that only grows; and the greatest one of
 * which a write has ended, or which somebody has read. */
static unsigned database[USERS];
static unsigned known[USERS];
static unsigned hits, misses, stale;

static unsigned next_random(unsigned *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void dawdle(unsigned *state)
{
    unsigned n = next_random(state) % 128;

    if (n == 0) {
        usleep(next_random(state) % 50);
    }
    else if (n < 8) {
        sched_yield();
    }
}

static void raise_to(unsigned *least, unsigned value)
{
    unsigned now = __atomic_load_n(least, __ATOMIC_SEQ_CST);

    while (now < value
           && !__atomic_compare_exchange_n(
               least, &now, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
}

/* A write of this server's own, or one that it is told of. */
static void write_one(unsigned user, unsigned *state)
{
    int own = !others || next_random(state) % 4 != 0;
    unsigned value;

    if (own) {
        ch_fresh_begin(user_of(user).bytes);
        dawdle(state);
    }
    value = __atomic_add_fetch(&database[user], 1, __ATOMIC_SEQ_CST);
    dawdle(state);
    if (own) {
        ch_fresh_end(user_of(user).bytes, 0);
    }
    else if (next_random(state) % 2) {
        ch_fresh_spoil(user_of(user).bytes);
    }
    else {
        ch_fresh_spoil_all();
    }
    raise_to(&known[user], value);
}

typedef struct {
    int there;
    version_t version;
    unsigned value;
} kept_t;

/* As web/perform does it, with a cache of one answer per user. */
static void read_one(kept_t *kept, unsigned user, unsigned *state)
{
    unsigned least = __atomic_load_n(&known[user], __ATOMIC_SEQ_CST);
    version_t now;
    int can_keep = ask(user, &now);

    if (can_keep && kept->there && same(&now, &kept->version)) {
        __atomic_fetch_add(&hits, 1, __ATOMIC_RELAXED);
        if (kept->value < least) {
            __atomic_fetch_add(&stale, 1, __ATOMIC_RELAXED);
        }
        return;
    }
    dawdle(state);
    kept->value = __atomic_load_n(&database[user], __ATOMIC_SEQ_CST);
    kept->version = now;
    kept->there = can_keep;
    if (!others) {
        raise_to(&known[user], kept->value);
    }
    __atomic_fetch_add(&misses, 1, __ATOMIC_RELAXED);
    dawdle(state);
}

static void *APR_THREAD_FUNC live(apr_thread_t *thread, void *data)
{
    unsigned state = (unsigned)(size_t)data * 7919 + 1;
    kept_t kept[USERS];
    int i;

    memset(kept, 0, sizeof(kept));
    for (i = 0; i < ROUNDS; i++) {
        unsigned user = next_random(&state) % USERS;

        if (next_random(&state) % 16 == 0) {
            write_one(user, &state);
        }
        else {
            read_one(&kept[user], user, &state);
        }
    }
    return NULL;
}

START_TEST(nothing_stale)
{
    apr_thread_t *threads[THREADS];
    apr_status_t status;
    size_t i;

    others = with_others[_i];
    open_fresh();
    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, live, (void *)i, pool), 0);
    }
    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&status, threads[i]);
    }
    ck_assert_uint_eq(stale, 0);
    ck_assert_uint_gt(hits, 10000);
    ck_assert_uint_gt(misses, 1000);
}
END_TEST

CH_SUITE_MAIN("store/fresh", CH_ONCE(before_open), CH_ONCE(a_write),
              CH_ONCE(writes_side_by_side), CH_ONCE(spoils),
              CH_ONCE(a_write_in_doubt), CH_ONCE(users_are_spread),
              CH_EACH(nothing_stale, with_others))
