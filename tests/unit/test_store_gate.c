/* Tests of store/gate: so many at once, the others in order, and nobody for
 * longer than he wants. */
#include "ch_check.h"

#include <unistd.h>

#include <apr_thread_proc.h>

#include "store/gate.h"

static ch_gate_t *gate;

static void open_gate(int max)
{
    gate = ch_gate_make(pool, max);
    ck_assert_ptr_nonnull(gate);
}

START_TEST(room_for_so_many)
{
    int i;

    open_gate(3);
    for (i = 1; i <= 3; i++) {
        ck_assert(ch_gate_enter(gate, 0));
        ck_assert_int_eq(ch_gate_busy(gate), i);
    }
    ck_assert(!ch_gate_enter(gate, 0));
    ck_assert_int_eq(ch_gate_busy(gate), 3);
    ch_gate_leave(gate);
    ck_assert_int_eq(ch_gate_busy(gate), 2);
    ck_assert(ch_gate_enter(gate, 0));
    ck_assert(!ch_gate_enter(gate, 1));
}
END_TEST

/* A gate that lets nobody in would be of no use. */
START_TEST(room_for_one_at_least)
{
    open_gate(0);
    ck_assert(ch_gate_enter(gate, 0));
    ck_assert(!ch_gate_enter(gate, 0));
}
END_TEST

START_TEST(gives_up_in_time)
{
    apr_time_t start;

    open_gate(1);
    ck_assert(ch_gate_enter(gate, 0));
    start = apr_time_now();
    ck_assert(!ch_gate_enter(gate, 200));
    ck_assert_int_ge(apr_time_now() - start, 195 * 1000);
    ck_assert_int_lt(apr_time_now() - start, 5000 * 1000);
    /* and is not in the queue any more: the place is free */
    ch_gate_leave(gate);
    ck_assert_int_eq(ch_gate_busy(gate), 0);
    ck_assert(ch_gate_enter(gate, 0));
}
END_TEST

/* --- many at once ---------------------------------------------------------
 */

#define QUEUE 5

static int order[QUEUE];
static int entered;

static void *APR_THREAD_FUNC queue_up(apr_thread_t *thread, void *number)
{
    if (ch_gate_enter(gate, 10000)) {
        order[__atomic_fetch_add(&entered, 1, __ATOMIC_SEQ_CST)] =
            *(int *)number;
        ch_gate_leave(gate);
    }
    return NULL;
}

static void join_all(apr_thread_t **threads, int count)
{
    apr_status_t status;
    int i;

    for (i = 0; i < count; i++) {
        apr_thread_join(&status, threads[i]);
    }
}

/* First come, first served. Each one that comes is given time to come. */
START_TEST(in_order)
{
    static int numbers[QUEUE] = { 0, 1, 2, 3, 4 };
    apr_thread_t *threads[QUEUE];
    int i;

    open_gate(1);
    entered = 0;
    ck_assert(ch_gate_enter(gate, 0));
    for (i = 0; i < QUEUE; i++) {
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, queue_up, &numbers[i], pool),
            0);
        usleep(400 * 1000);
    }
    ck_assert_int_eq(entered, 0);
    ch_gate_leave(gate);
    join_all(threads, QUEUE);
    ck_assert_int_eq(entered, QUEUE);
    for (i = 0; i < QUEUE; i++) {
        ck_assert_int_eq(order[i], i);
    }
    ck_assert_int_eq(ch_gate_busy(gate), 0);
}
END_TEST

#define THREADS 8
#define ROUNDS 5000
#define PATIENCE 8000

static int inside, most, let_in, given_up, left_out;

/* Some are patient, some are not at all. */
static void *APR_THREAD_FUNC come_and_go(apr_thread_t *thread, void *data)
{
    int i;

    for (i = 0; i < ROUNDS; i++) {
        int now;

        if (!ch_gate_enter(gate, i % 3 ? PATIENCE : i % 2)) {
            __atomic_fetch_add(i % 3 ? &left_out : &given_up, 1,
                               __ATOMIC_SEQ_CST);
            continue;
        }
        now = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        if (now > 3) {
            __atomic_store_n(&most, now, __ATOMIC_SEQ_CST);
        }
        __atomic_fetch_add(&let_in, 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
        ch_gate_leave(gate);
    }
    return NULL;
}

START_TEST(no_place_is_lost)
{
    apr_thread_t *threads[THREADS];
    int i;

    open_gate(3);
    inside = most = let_in = given_up = left_out = 0;
    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, come_and_go, NULL, pool), 0);
    }
    join_all(threads, THREADS);
    ck_assert_int_eq(most, 0);
    ck_assert_int_eq(left_out, 0);
    ck_assert_int_eq(let_in + given_up, THREADS * ROUNDS);
    ck_assert_int_eq(ch_gate_busy(gate), 0);
    for (i = 0; i < 3; i++) {
        ck_assert(ch_gate_enter(gate, 0));
    }
    ck_assert(!ch_gate_enter(gate, 0));
}
END_TEST

CH_SUITE_MAIN("store/gate", CH_ONCE(room_for_so_many),
              CH_ONCE(room_for_one_at_least), CH_ONCE(gives_up_in_time),
              CH_ONCE(in_order), CH_ONCE(no_place_is_lost))
