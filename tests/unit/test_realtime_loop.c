/* Tests of realtime/loop: descriptors, timers and other threads. */
#include "ch_check.h"

#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <apr_thread_proc.h>

#include "realtime/loop.h"

#define MS(n) ((n) * (APR_USEC_PER_SEC / 1000))

/* The wall clock, which a test may set. */
static apr_time_t wall_is_ahead;

apr_time_t apr_time_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000 + wall_is_ahead;
}

static ch_loop_t *loop;

static void quit_now(ch_timer_t *timer)
{
    ch_loop_req_quit(loop);
}

static ch_timer_t quitting = { .due = quit_now };

/* Runs the loop for so long. */
static void run_for(apr_time_t time)
{
    ch_loop_timer_set(loop, &quitting, ch_loop_now(loop) + time);
    ch_loop_run(loop);
}

static void make(void)
{
    loop = ch_loop_make(pool);
    ck_assert_ptr_nonnull(loop);
}

/* --- posts ------------------------------------------------------------ */

#define THREADS 4
#define POSTS 5000

typedef struct {
    ch_post_t post; /* first */
    int thread, number;
} letter_t;

static letter_t letters[THREADS][POSTS];
static int got[THREADS];
static int total;

static void take_letter(ch_post_t *post)
{
    const letter_t *letter = (letter_t *)post;

    ck_assert_int_eq(letter->number, got[letter->thread]);
    got[letter->thread]++;
    if (++total == THREADS * POSTS) {
        ch_loop_req_quit(loop);
    }
}

static void *APR_THREAD_FUNC write_letters(apr_thread_t *thread, void *which)
{
    letter_t *mine = letters[*(int *)which];
    int i;

    for (i = 0; i < POSTS; i++) {
        mine[i].post.run = take_letter;
        mine[i].thread = *(int *)which;
        mine[i].number = i;
        ch_loop_req_post(loop, &mine[i].post);
        if (i % 512 == 0) {
            usleep(200); /* the loop falls asleep in between */
        }
    }
    return NULL;
}

START_TEST(posts_of_many_threads_in_order)
{
    apr_thread_t *threads[THREADS];
    int numbers[THREADS];
    apr_status_t rv;
    int i;

    make();
    for (i = 0; i < THREADS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(apr_thread_create(&threads[i], NULL, write_letters,
                                           &numbers[i], pool),
                         APR_SUCCESS);
    }
    ch_loop_run(loop);
    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&rv, threads[i]);
        ck_assert_int_eq(got[i], POSTS);
    }
}
END_TEST

static int ran;

static void count_run(ch_post_t *post)
{
    ran++;
}

START_TEST(what_was_posted_before_quit_is_done)
{
    ch_post_t posts[3] = { { .run = count_run },
                           { .run = count_run },
                           { .run = count_run } };

    make();
    ch_loop_req_post(loop, &posts[0]);
    ch_loop_req_post(loop, &posts[1]);
    ch_loop_req_quit(loop);
    ch_loop_run(loop);
    ck_assert_int_eq(ran, 2);
    /* and it may be run once more */
    ch_loop_req_post(loop, &posts[2]);
    ch_loop_req_quit(loop);
    ch_loop_run(loop);
    ck_assert_int_eq(ran, 3);
}
END_TEST

static void *APR_THREAD_FUNC quit_soon(apr_thread_t *thread, void *nothing)
{
    usleep(50000);
    ch_loop_req_quit(loop);
    return NULL;
}

START_TEST(quits_out_of_its_sleep)
{
    apr_thread_t *thread;
    apr_status_t rv;

    make();
    ck_assert_int_eq(apr_thread_create(&thread, NULL, quit_soon, NULL, pool),
                     APR_SUCCESS);
    ch_loop_run(loop);
    apr_thread_join(&rv, thread);
}
END_TEST

/* --- put off ---------------------------------------------------------- */

static int rounds;

static void again(ch_post_t *post)
{
    if (++rounds < 5) {
        ch_loop_later(loop, post);
        ck_assert_int_lt(ran, rounds);
    }
    else {
        ch_loop_req_quit(loop);
    }
}

static void count_after(ch_post_t *post)
{
    ran++;
    ck_assert_int_eq(ran, rounds);
    if (rounds < 5) {
        ch_loop_later(loop, post);
    }
}

/* What puts itself off again is not run again in the same turn. */
START_TEST(later_is_once_in_a_turn)
{
    ch_post_t first = { .run = again };
    ch_post_t second = { .run = count_after };

    make();
    ch_loop_later(loop, &first);
    ch_loop_later(loop, &second);
    ch_loop_run(loop);
    ck_assert_int_eq(rounds, 5);
    ck_assert_int_eq(ran, 5);
}
END_TEST

/* --- timers ----------------------------------------------------------- */

typedef struct {
    ch_timer_t timer; /* first */
    apr_time_t at;
    int times;
} alarm_t;

static void ring(ch_timer_t *timer)
{
    alarm_t *bell = (alarm_t *)timer;

    bell->times++;
    ck_assert_ptr_null(timer->link);
    ck_assert_int_ge(ch_loop_now(loop), bell->at - MS(5));
    ck_assert_int_lt(ch_loop_now(loop), bell->at + CH_LOOP_TICK + MS(200));
}

static void set(alarm_t *bell, apr_time_t delay)
{
    bell->at = ch_loop_now(loop) + delay;
    bell->timer.due = ring;
    ch_loop_timer_set(loop, &bell->timer, bell->at);
}

START_TEST(timers_in_time)
{
    static const apr_time_t delays[] = { 0,       MS(1),   MS(99), MS(100),
                                         MS(101), MS(250), MS(250) };
    alarm_t bells[CH_COUNT(delays)] = { { .times = 0 } };
    size_t i;

    make();
    for (i = 0; i < CH_COUNT(delays); i++) {
        set(&bells[i], delays[i]);
    }
    run_for(MS(500));
    for (i = 0; i < CH_COUNT(delays); i++) {
        ck_assert_int_eq(bells[i].times, 1);
    }
}
END_TEST

START_TEST(timers_of_the_past_and_of_later_rounds)
{
    alarm_t past = { .times = 0 };
    alarm_t far = { .times = 0 };
    alarm_t near = { .times = 0 };

    make();
    past.timer.due = ring;
    past.at = ch_loop_now(loop);
    ch_loop_timer_set(loop, &past.timer, 1);
    set(&near, MS(200));
    /* the same slot, one round later; and a time of another age */
    set(&far, MS(200) + 512 * CH_LOOP_TICK);
    run_for(MS(450));
    ck_assert_int_eq(past.times, 1);
    ck_assert_int_eq(near.times, 1);
    ck_assert_int_eq(far.times, 0);
    ck_assert_ptr_nonnull(far.timer.link);
    set(&far, MS(100));
    run_for(MS(350));
    ck_assert_int_eq(far.times, 1);
}
END_TEST

START_TEST(timers_set_anew_and_cleared)
{
    alarm_t moved = { .times = 0 };
    alarm_t cleared = { .times = 0 };
    alarm_t kept = { .times = 0 };

    make();
    set(&kept, MS(100));
    set(&cleared, MS(100));
    set(&moved, MS(100));
    set(&moved, MS(300));
    ch_loop_timer_clear(&cleared.timer);
    ch_loop_timer_clear(&cleared.timer);
    run_for(MS(600));
    ck_assert_int_eq(moved.times, 1);
    ck_assert_int_eq(kept.times, 1);
    ck_assert_int_eq(cleared.times, 0);
}
END_TEST

static ch_timer_t pair[2];

static void clear_other(ch_timer_t *timer)
{
    ran++;
    ch_loop_timer_clear(&pair[timer == &pair[0]]);
}

/* Of two that are due at once, each ends the other: one is called. */
START_TEST(a_timer_that_is_due_can_be_cleared)
{
    make();
    pair[0].due = pair[1].due = clear_other;
    ch_loop_timer_set(loop, &pair[0], ch_loop_now(loop) + MS(50));
    ch_loop_timer_set(loop, &pair[1], ch_loop_now(loop) + MS(50));
    run_for(MS(300));
    ck_assert_int_eq(ran, 1);
}
END_TEST

static void set_again(ch_timer_t *timer)
{
    ran++;
    ch_loop_timer_set(loop, timer, ch_loop_now(loop));
}

START_TEST(a_timer_sets_itself_for_the_next_tick)
{
    ch_timer_t timer = { .due = set_again };

    make();
    ch_loop_timer_set(loop, &timer, ch_loop_now(loop));
    run_for(MS(950));
    ck_assert_int_ge(ran, 5);
    ck_assert_int_le(ran, 11);
}
END_TEST

static void set_clock_back(ch_timer_t *timer)
{
    wall_is_ahead = -apr_time_from_sec(3600);
}

/* What is due by the loop's own time does not wait for an hour, nor come an
 * hour early; only what the wall clock says is when it says so. */
START_TEST(the_clock_is_set_back)
{
    ch_timer_t setter = { .due = set_clock_back };
    alarm_t before = { .times = 0 };
    alarm_t after = { .times = 0 };
    apr_time_t start;

    make();
    start = ch_loop_now(loop);
    ck_assert_int_le(start, apr_time_now());
    ck_assert_int_ge(start, apr_time_now() - MS(1000));
    ch_loop_timer_set(loop, &setter, start);
    set(&before, MS(400));
    run_for(MS(250));
    ck_assert_int_lt(apr_time_now(), start);
    ck_assert_int_ge(ch_loop_now(loop), start + MS(250));
    set(&after, MS(150));
    run_for(MS(500));
    ck_assert_int_eq(before.times + after.times, 2);
    start = ch_loop_when(loop, apr_time_now() + MS(60000));
    ck_assert_int_ge(start, ch_loop_now(loop) + MS(59000));
    ck_assert_int_le(start, ch_loop_now(loop) + MS(61000));
    wall_is_ahead = 0;
}
END_TEST

/* --- descriptors ------------------------------------------------------ */

typedef struct {
    ch_watch_t watch; /* first */
    int reads, writes;
} eye_t;

static eye_t eyes[2];
static int ends[2][2];

static void see(ch_watch_t *watch, int readable, int writable)
{
    eye_t *eye = (eye_t *)watch;

    eye->reads += readable;
    eye->writes += writable;
}

static void open_pair(int i)
{
    ck_assert_int_eq(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends[i]), 0);
}

static void watch(int i, void (*ready)(ch_watch_t *, int, int))
{
    eyes[i].watch.fd = ends[i][0];
    eyes[i].watch.ready = ready;
    ck_assert(ch_loop_watch(loop, &eyes[i].watch));
}

START_TEST(tells_each_change_once)
{
    make();
    open_pair(0);
    watch(0, see);
    run_for(MS(50));
    ck_assert_int_eq(eyes[0].writes, 1);
    ck_assert_int_eq(eyes[0].reads, 0);
    ck_assert_int_eq(write(ends[0][1], "x", 1), 1);
    run_for(MS(50));
    ck_assert_int_eq(eyes[0].reads, 1);
    run_for(MS(50));
    ck_assert_int_eq(eyes[0].reads, 1); /* though nothing was read */
    close(ends[0][1]);
    run_for(MS(50));
    ck_assert_int_eq(eyes[0].reads, 2);
    ch_loop_unwatch(loop, &eyes[0].watch);
    close(ends[0][0]);
}
END_TEST

/* Whoever is told first ends the other, and takes its number for a new
 * descriptor, which must not get what was for the old one. */
static void end_other(ch_watch_t *watch, int readable, int writable)
{
    int other = watch == &eyes[0].watch;
    int fresh;

    if (!readable || ran++ > 0) {
        return;
    }
    ch_loop_unwatch(loop, &eyes[other].watch);
    close(ends[other][0]);
    fresh = dup(ends[other][1]);
    ck_assert_int_eq(fresh, ends[other][0]);
    eyes[other].reads = 0;
    eyes[other].watch.ready = see;
    ck_assert(ch_loop_watch(loop, &eyes[other].watch));
}

static void write_both(ch_post_t *post)
{
    ck_assert_int_eq(write(ends[0][1], "x", 1), 1);
    ck_assert_int_eq(write(ends[1][1], "x", 1), 1);
}

START_TEST(no_event_of_a_descriptor_that_is_gone)
{
    ch_post_t post = { .run = write_both };

    make();
    open_pair(0);
    open_pair(1);
    watch(0, end_other);
    watch(1, end_other);
    run_for(MS(50));
    ch_loop_req_post(loop, &post);
    /* the fresh one is an end whose peer is closed: it says so, once */
    run_for(MS(50));
    ck_assert_int_eq(ran, 1);
    ck_assert_int_eq(eyes[0].reads + eyes[1].reads, 1);
}
END_TEST

START_TEST(refuses_what_is_no_descriptor)
{
    ch_watch_t none = { .fd = -1, .ready = see };

    make();
    ck_assert(!ch_loop_watch(loop, &none));
}
END_TEST

CH_SUITE_MAIN("realtime/loop", CH_ONCE(posts_of_many_threads_in_order),
              CH_ONCE(what_was_posted_before_quit_is_done),
              CH_ONCE(quits_out_of_its_sleep),
              CH_ONCE(later_is_once_in_a_turn), CH_ONCE(timers_in_time),
              CH_ONCE(timers_of_the_past_and_of_later_rounds),
              CH_ONCE(timers_set_anew_and_cleared),
              CH_ONCE(a_timer_that_is_due_can_be_cleared),
              CH_ONCE(the_clock_is_set_back),
              CH_ONCE(a_timer_sets_itself_for_the_next_tick),
              CH_ONCE(tells_each_change_once),
              CH_ONCE(no_event_of_a_descriptor_that_is_gone),
              CH_ONCE(refuses_what_is_no_descriptor))
