/* Tests of realtime/hands: what is given to them is done once, by threads that
 * may visit the loop, and none of it is lost at the end. */
#include "ch_check.h"

#include <pthread.h>

#include <apr_thread_proc.h>

#include "conf.h"
#include "realtime/hands.h"

#define MS(n) ((n) * (APR_USEC_PER_SEC / 1000))
#define HANDS 4
#define GIVERS 3
#define TASKS 500 /* of each giver */

static const ch_conf_t conf = { .site = 1 };
static apr_thread_t *thread;
static pthread_t loop_thread;

/* Of the loop's thread alone: ThreadSanitizer sees who else touches it. */
static int done_count, visits, last_order;

static void *APR_THREAD_FUNC run_loop(apr_thread_t *unused, void *data)
{
    loop_thread = pthread_self();
    ch_loop_run(ch_core.loop);
    return NULL;
}

static void begin(int hands)
{
    ch_core.loop = ch_loop_make(pool);
    ck_assert_ptr_nonnull(ch_core.loop);
    ck_assert_int_eq(
        apr_thread_create(&thread, NULL, run_loop, NULL, pool), APR_SUCCESS);
    if (hands) {
        ck_assert_int_eq(ch_hands_begin(pool, hands), 1);
    }
}

/* As ch_realtime_end does it; after this the counts may be looked at. */
static void end(void)
{
    apr_status_t rv;

    ch_hands_end();
    ch_loop_req_quit(ch_core.loop);
    apr_thread_join(&rv, thread);
}

typedef struct {
    ch_task_t task;
    int number;
    int worked, dones;
    int visits; /* that it pays to the loop */
    const int *gate; /* NULL = none; it works when this is set */
} work_t;

static void visit(void *ctx)
{
    work_t *work = ctx;

    ck_assert(pthread_equal(pthread_self(), loop_thread));
    visits++;
    work->number++;
}

static int at_gate; /* how many have come there */

static void do_work(ch_task_t *task)
{
    work_t *work = (work_t *)(void *)task;
    int i, before;

    ck_assert_int_eq(work->worked, 0);
    ck_assert_ptr_eq(task->conf, &conf);
    if (work->gate) {
        __atomic_fetch_add(&at_gate, 1, __ATOMIC_SEQ_CST);
    }
    while (work->gate && !__atomic_load_n(work->gate, __ATOMIC_SEQ_CST)) {
        apr_sleep(MS(1));
    }
    work->worked++;
    before = work->number;
    for (i = 0; i < work->visits; i++) {
        ch_hands_in_loop(visit, work);
        ck_assert_int_eq(work->number, before + i + 1);
    }
}

static void count_done(ch_task_t *task)
{
    work_t *work = (work_t *)(void *)task;

    ck_assert(pthread_equal(pthread_self(), loop_thread));
    ck_assert_int_eq(work->dones++, 0);
    ck_assert_int_eq(work->worked, 1);
    done_count++;
}

static work_t *new_work(void)
{
    work_t *work = ch_hands_task(sizeof(*work), &conf);

    ck_assert_ptr_nonnull(work->task.pool);
    work->task.work = do_work;
    work->task.done = count_done;
    return work;
}

static void *APR_THREAD_FUNC give_many(apr_thread_t *unused, void *data)
{
    work_t *work;
    int i;

    for (i = 0; i < TASKS; i++) {
        work = new_work();
        work->visits = i % 50 == 0 ? 3 : 0;
        ch_hands_give(&work->task);
    }
    return NULL;
}

static void give_from_many(apr_thread_t *givers[GIVERS])
{
    int i;

    for (i = 0; i < GIVERS; i++) {
        ck_assert_int_eq(
            apr_thread_create(&givers[i], NULL, give_many, NULL, pool),
            APR_SUCCESS);
    }
}

static void join_all(apr_thread_t *givers[GIVERS])
{
    apr_status_t rv;
    int i;

    for (i = 0; i < GIVERS; i++) {
        apr_thread_join(&rv, givers[i]);
    }
}

/* Runs in the loop, for whoever waits until all is done. */
static void look(void *ctx)
{
    *(int *)ctx = done_count;
}

static int count_of_done(void)
{
    int count;

    ch_hands_in_loop(look, &count);
    return count;
}

static void wait_done(int count)
{
    apr_time_t until = apr_time_now() + MS(60000);

    while (count_of_done() < count) {
        ck_assert_int_lt(apr_time_now(), until);
        apr_sleep(MS(1));
    }
}

static const int counts[] = { 1, HANDS };

START_TEST(many_tasks_are_done_once)
{
    apr_thread_t *givers[GIVERS];

    begin(counts[_i]);
    give_from_many(givers);
    join_all(givers);
    wait_done(GIVERS * TASKS);
    end();
    ck_assert_int_eq(done_count, GIVERS * TASKS);
    ck_assert_int_eq(visits, GIVERS * TASKS / 50 * 3);
}
END_TEST

static void in_order(ch_task_t *task)
{
    ck_assert_int_eq(((work_t *)(void *)task)->number, ++last_order);
    done_count++;
}

/* First come, first served. */
START_TEST(one_hand_keeps_the_order)
{
    work_t *work;
    int i;

    begin(1);
    for (i = 1; i <= TASKS; i++) {
        work = new_work();
        work->number = i;
        work->task.done = in_order;
        ch_hands_give(&work->task);
    }
    wait_done(TASKS);
    end();
    ck_assert_int_eq(last_order, TASKS);
}
END_TEST

static void *APR_THREAD_FUNC visit_often(apr_thread_t *unused, void *data)
{
    work_t work = { .number = 0 };
    int i;

    for (i = 1; i <= TASKS; i++) {
        ch_hands_in_loop(visit, &work);
        ck_assert_int_eq(work.number, i);
    }
    return NULL;
}

/* Visitors come one after the other, and each gets his own. */
START_TEST(many_visit_the_loop)
{
    apr_thread_t *visitors[GIVERS];
    int i;

    begin(0);
    for (i = 0; i < GIVERS; i++) {
        apr_thread_create(&visitors[i], NULL, visit_often, NULL, pool);
    }
    join_all(visitors);
    end();
    ck_assert_int_eq(visits, GIVERS * TASKS);
}
END_TEST

static void give_again(ch_task_t *task)
{
    work_t *next;

    count_done(task);
    if (done_count < TASKS) {
        next = new_work();
        next->task.done = give_again;
        ch_hands_give(&next->task);
    }
}

/* The loop gives the next one when one is done. */
START_TEST(a_task_begets_another)
{
    work_t *work;

    begin(HANDS);
    work = new_work();
    work->task.done = give_again;
    ch_hands_give(&work->task);
    wait_done(TASKS);
    end();
    ck_assert_int_eq(done_count, TASKS);
}
END_TEST

/* --- the end ---------------------------------------------------------- */

static int worked_done, idle_done; /* of the loop */

static void count_either(ch_task_t *task)
{
    if (((work_t *)(void *)task)->worked) {
        worked_done++;
    }
    else {
        idle_done++;
    }
    done_count++;
}

static void *APR_THREAD_FUNC open_gate(apr_thread_t *unused, void *gate)
{
    apr_sleep(MS(800)); /* the end has begun */
    __atomic_store_n((int *)gate, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* What is under way is waited for (and may still visit the loop); the rest is
 * done without work; so is what comes later. */
START_TEST(the_end_with_tasks_waiting)
{
    static int gate;
    apr_thread_t *opener;
    apr_status_t rv;
    work_t *work;
    int i;

    begin(HANDS);
    for (i = 0; i < HANDS + TASKS; i++) {
        work = new_work();
        work->task.done = count_either;
        work->gate = &gate;
        work->visits = 2;
        ch_hands_give(&work->task);
    }
    while (__atomic_load_n(&at_gate, __ATOMIC_SEQ_CST) < HANDS) {
        apr_sleep(MS(1)); /* until all hands are full */
    }
    apr_thread_create(&opener, NULL, open_gate, &gate, pool);
    ch_hands_end();
    work = new_work();
    work->task.done = count_either;
    ch_hands_give(&work->task);
    ch_loop_req_quit(ch_core.loop);
    apr_thread_join(&rv, thread);
    apr_thread_join(&rv, opener);
    ck_assert_int_eq(worked_done, HANDS);
    ck_assert_int_eq(idle_done, TASKS + 1);
    ck_assert_int_eq(visits, 2 * HANDS);
}
END_TEST

static void *APR_THREAD_FUNC give_either(apr_thread_t *unused, void *data)
{
    work_t *work;
    int i;

    for (i = 0; i < TASKS; i++) {
        work = new_work();
        work->task.done = count_either;
        ch_hands_give(&work->task);
    }
    return NULL;
}

/* While others give: each of theirs is done, with work or without. */
START_TEST(the_end_while_others_give)
{
    apr_thread_t *givers[GIVERS];
    apr_status_t rv;
    int i;

    begin(HANDS);
    for (i = 0; i < GIVERS; i++) {
        apr_thread_create(&givers[i], NULL, give_either, NULL, pool);
    }
    apr_sleep(MS(1));
    ch_hands_end();
    join_all(givers);
    ch_loop_req_quit(ch_core.loop);
    apr_thread_join(&rv, thread);
    ck_assert_int_eq(done_count, GIVERS * TASKS);
    ck_assert_int_eq(worked_done + idle_done, GIVERS * TASKS);
}
END_TEST

START_TEST(the_end_of_nothing)
{
    begin(HANDS);
    end();
    ck_assert_int_eq(done_count, 0);
}
END_TEST

CH_SUITE_MAIN("realtime/hands", CH_EACH(many_tasks_are_done_once, counts),
              CH_ONCE(one_hand_keeps_the_order),
              CH_ONCE(many_visit_the_loop), CH_ONCE(a_task_begets_another),
              CH_ONCE(the_end_with_tasks_waiting),
              CH_ONCE(the_end_while_others_give),
              CH_ONCE(the_end_of_nothing))
