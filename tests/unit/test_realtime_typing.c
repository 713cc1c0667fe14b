/* Tests of realtime/typing: who types is listed, for five seconds. */
#include "ch_check.h"

#include <sys/mman.h>

#include <apr_thread_proc.h>

#include "base/steady.h"
#include "realtime/typing.h"

#define MAX 2000

/* The clock of this program: it stands still until it is put forward. */
static apr_time_t clock_now = APR_INT64_C(1769250600000000);

apr_time_t ch_steady_now(void)
{
    return clock_now;
}

static char *memory;

static void open_typing(void)
{
    memory = mmap(NULL, ch_typing_size(), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    ch_typing_open(memory);
}

typedef struct {
    unsigned char bytes[16];
} id16_t;

static id16_t id_of(unsigned number)
{
    id16_t id;

    memset(&id, 0x5a, sizeof(id));
    memcpy(id.bytes + 12, &number, sizeof(number));
    return id;
}

static void set(int site, unsigned room, unsigned user, int on)
{
    ch_typing_set(site, id_of(room).bytes, id_of(user).bytes, on);
}

static unsigned char users[MAX][16];

static int list(int site, unsigned room)
{
    return ch_typing_list(site, id_of(room).bytes, users, MAX);
}

static int is_typing(int site, unsigned room, unsigned user)
{
    int count = list(site, room);
    int found = 0;

    while (count > 0) {
        found += memcmp(users[--count], id_of(user).bytes, 16) == 0;
    }
    ck_assert_int_le(found, 1);
    return found;
}

START_TEST(before_open)
{
    set(0, 1, 1, 1);
    ck_assert_int_eq(list(0, 1), 0);
}
END_TEST

START_TEST(on_and_off)
{
    open_typing();
    ck_assert_int_eq(list(0, 1), 0);
    set(0, 1, 7, 0);
    ck_assert_int_eq(list(0, 1), 0);
    set(0, 1, 7, 1);
    set(0, 1, 7, 1);
    set(0, 1, 8, 1);
    set(0, 2, 7, 1);
    set(1, 1, 9, 1);
    ck_assert_int_eq(list(0, 1), 2);
    ck_assert(is_typing(0, 1, 7) && is_typing(0, 1, 8));
    ck_assert_int_eq(list(0, 2), 1);
    ck_assert_int_eq(list(1, 1), 1);
    ck_assert(is_typing(1, 1, 9));
    ck_assert_int_eq(list(1, 2), 0);
    set(0, 1, 7, 0);
    ck_assert(!is_typing(0, 1, 7) && is_typing(0, 1, 8));
    ck_assert(is_typing(0, 2, 7));
    ck_assert_int_eq(ch_typing_list(0, id_of(1).bytes, users, 0), 0);
}
END_TEST

START_TEST(five_seconds)
{
    open_typing();
    set(0, 1, 7, 1);
    set(0, 1, 8, 1);
    clock_now += apr_time_from_sec(CH_TYPING_SECONDS) - 1;
    ck_assert(is_typing(0, 1, 7));
    set(0, 1, 8, 1);
    clock_now += 1;
    ck_assert(!is_typing(0, 1, 7) && is_typing(0, 1, 8));
}
END_TEST

/* When all places are taken, the ones that would go first do. */
START_TEST(full)
{
    unsigned user;

    open_typing();
    for (user = 0; user < 1100; user++) {
        clock_now += 10;
        set(0, user % 2, user, 1);
    }
    ck_assert_int_eq(list(0, 0) + list(0, 1), 1024);
    ck_assert(!is_typing(0, 1, 75) && is_typing(0, 0, 76));
    ck_assert(is_typing(0, 1, 1099));
    for (user = 0; user < 1100; user++) {
        set(0, user % 2, user, 0);
    }
    ck_assert_int_eq(list(0, 0) + list(0, 1), 0);
}
END_TEST

/* A writer that was killed in the middle costs its place, and nobody waits. */
START_TEST(a_dead_writer)
{
    unsigned user;

    open_typing();
    set(0, 1, 7, 1);
    memory[0]++; /* the number that is odd while the place is written */
    ck_assert_int_eq(list(0, 1), 0);
    set(0, 1, 7, 0);
    set(0, 1, 7, 1);
    ck_assert_int_eq(list(0, 1), 1);
    for (user = 0; user < 1100; user++) {
        clock_now += 10;
        set(0, 2, user, 1);
    }
    ck_assert_int_eq(list(0, 2), 1023);
}
END_TEST

/* --- many at once ---------------------------------------------------------
 */

#define THREADS 4

static int torn;

/* Each thread has its room, in which users of a number of its own type. */
static void *APR_THREAD_FUNC type_much(apr_thread_t *thread, void *data)
{
    unsigned room = *(const unsigned *)data;
    unsigned char seen[64][16];
    int i, k, count;

    for (i = 0; i < 2000; i++) {
        unsigned user = room * 1000 + (unsigned)(i % 5);

        set(0, room, user, i % 3);
        count = ch_typing_list(0, id_of(room).bytes, seen, 64);
        for (k = 0; k < count; k++) {
            unsigned one;

            memcpy(&one, seen[k] + 12, sizeof(one));
            if (one / 1000 != room || one % 1000 > 4) {
                __atomic_store_n(&torn, 1, __ATOMIC_SEQ_CST);
            }
        }
    }
    return NULL;
}

START_TEST(never_half_written)
{
    static const unsigned rooms[THREADS] = { 1, 2, 3, 4 };
    apr_thread_t *threads[THREADS];
    apr_status_t status;
    int i;

    open_typing();
    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(apr_thread_create(&threads[i], NULL, type_much,
                                           (void *)(uintptr_t)&rooms[i], pool),
                         0);
    }
    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&status, threads[i]);
    }
    ck_assert_int_eq(torn, 0);
    for (i = 0; i < THREADS; i++) {
        set(0, rooms[i], 1, 1);
        ck_assert_int_gt(list(0, rooms[i]), 0);
    }
}
END_TEST

CH_SUITE_MAIN("realtime/typing", CH_ONCE(before_open), CH_ONCE(on_and_off),
              CH_ONCE(five_seconds), CH_ONCE(full), CH_ONCE(a_dead_writer),
              CH_ONCE(never_half_written))
