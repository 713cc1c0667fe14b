/* Tests of realtime/wire: records, descriptors and slots, between processes
 * that come, go and die. */
#include "ch_wire.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <apr_thread_proc.h>

/* --- without a wire -------------------------------------------------------
 */

static void ck_counts(apr_int64_t first, apr_int64_t second)
{
    apr_int64_t counts[CH_WIRE_COUNTS] = { -1, -1 };

    ch_wire_counts(counts);
    ck_assert_int_eq(counts[0], first);
    ck_assert_int_eq(counts[1], second);
}

START_TEST(before_open)
{
    ch_bytes_t bytes;
    int fd;

    ck_assert_int_eq(ch_wire_claim(pool), 0);
    ck_assert_int_eq(ch_wire_slot(), -1);
    ck_assert_uint_eq(ch_wire_life(0), 0);
    ch_wire_listen(1);
    ck_assert_int_eq(ch_wire_heard(), 0);
    ck_assert_int_eq(ch_wire_fd(), -1);
    ck_assert_int_eq(ch_wire_next(pool, &bytes, &fd), 0);
    ck_assert_int_eq(tell(0, "x"), 0);
    ck_assert_int_eq(tell(CH_WIRE_ALL, "x"), 0);
    ch_wire_count(0, 1);
    ck_counts(0, 0);
}
END_TEST

/* What was kept is used again; what was made is closed with its pool. */
START_TEST(made_once)
{
    int before = count_fds();
    ch_wire_kept_t *kept;
    apr_pool_t *server;

    apr_pool_create(&server, pool);
    kept = ch_wire_make(server, NULL, 4);
    ck_assert_int_eq(count_fds(), before + 8);
    ck_assert_ptr_eq(ch_wire_make(server, kept, 9), kept);
    ck_assert_int_eq(count_fds(), before + 8);
    apr_pool_destroy(server);
    ck_assert_int_eq(count_fds(), before);
    ck_assert_ptr_null(ch_wire_make(pool, NULL, 0));
    kept = ch_wire_make(pool, NULL, CH_WIRE_SLOTS_MAX + 1);
    ck_assert(!kept || count_fds() == before + 2 * CH_WIRE_SLOTS_MAX);
}
END_TEST

START_TEST(no_descriptors_left)
{
    struct rlimit few = { .rlim_cur = 20, .rlim_max = 20 };
    int before = count_fds();

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    ck_assert_ptr_null(ch_wire_make(pool, NULL, 100));
    ck_assert_int_eq(count_fds(), before);
    ck_assert_int_eq(tell(0, "x"), 0);
}
END_TEST

/* --- records --------------------------------------------------------------
 */

/* Lengths around the one above which they go through a file. */
static const size_t lengths[] = { 0,     1,     1000,   61439,
                                  61440, 61441, 200000, 20000000 };

START_TEST(any_length)
{
    size_t len = lengths[_i];
    const char *data = pattern(len, 7);
    ch_bytes_t got;
    int before;

    open_wire(2);
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    before = count_fds();
    ck_assert_int_eq(
        ch_wire_tell(ch_wire_slot(), ch_check_copy(data, len), len, -1), 1);
    got = next();
    ck_assert_uint_eq(got.len, len);
    ck_assert_int_eq(memcmp(got.data, data, len), 0);
    ck_assert(has_none());
    ck_assert_int_eq(count_fds(), before);
}
END_TEST

START_TEST(with_a_descriptor)
{
    size_t len = lengths[_i];
    const char *data = pattern(len, 9);
    int ends[2], fd = -1;
    ch_bytes_t got;
    int before;
    char byte = 0;

    open_wire(2);
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    before = count_fds();
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(ch_wire_tell(ch_wire_slot(), data, len, ends[1]), 1);
    close(ends[1]); /* the duplicate is on its way */
    got = next_with(&fd);
    ck_assert_uint_eq(got.len, len);
    ck_assert_int_eq(memcmp(got.data, data, len), 0);
    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_eq(write(fd, "!", 1), 1);
    close(fd);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    ck_assert_int_eq(byte, '!');
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);
    close(ends[0]);
    ck_assert_int_eq(count_fds(), before);
}
END_TEST

START_TEST(in_order)
{
    int i;

    open_wire(1);
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    for (i = 0; i < 50; i++) {
        const char *text = apr_psprintf(pool, "record %d", i);
        const char *big = apr_psprintf(pool, "%-70000d", i);

        ck_assert_int_eq(tell(0, text), 1);
        ck_assert_int_eq(tell(0, big), 1);
    }
    for (i = 0; i < 50; i++) {
        ck_next(apr_psprintf(pool, "record %d", i));
        ck_next(apr_psprintf(pool, "%-70000d", i));
    }
    ck_assert(has_none());
}
END_TEST

/* Where no directory can be opened any more. */
static int count_fds_below(int max)
{
    int count = 0;

    for (max--; max >= 0; max--) {
        count += fcntl(max, F_GETFD) >= 0;
    }
    return count;
}

/* A process that has no room for another descriptor goes on without the
 * record, and leaks none. */
START_TEST(too_many_descriptors)
{
    struct rlimit few = { .rlim_cur = 3, .rlim_max = 3 };
    int before;

    open_wire(1);
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    ck_assert_int_eq(ch_wire_tell(0, "with", 4, 0), 1);
    ck_assert_int_eq(ch_wire_tell(0, pattern(70000, 1), 70000, -1), 1);
    ck_assert_int_eq(tell(0, "without"), 1);
    before = count_fds_below(200);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    ck_next("without");
    ck_assert_int_eq(count_fds_below(200), before);
}
END_TEST

/* --- slots ----------------------------------------------------------------
 */

static void claim_and_give_back(void)
{
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    ck_assert_int_eq(ch_wire_slot(), 0);
    ch_wire_listen(1);
    ck_assert_int_eq(ch_wire_heard(), 1);
    apr_pool_destroy(pool);
    ck_assert_int_eq(ch_wire_slot(), -1);
    ck_assert_int_eq(ch_wire_heard(), 0);
}

START_TEST(lives_count_up)
{
    unsigned life;

    open_wire(2);
    ck_assert_uint_eq(ch_wire_life(0), 0);
    for (life = 1; life <= 3; life++) {
        end_child(start_child(claim_and_give_back));
        ck_assert_uint_eq(ch_wire_life(0), life);
    }
    ck_assert_uint_eq(ch_wire_life(1), 0);
    ck_assert_uint_eq(ch_wire_life(-1), 0);
    ck_assert_uint_eq(ch_wire_life(2), 0);
    ck_assert_int_eq(tell(0, "nobody is there"), 0);
    ck_assert_int_eq(tell(1, "nobody is there"), 0);
    ck_assert_int_eq(tell(2, "there is no such slot"), 0);
    ck_assert_int_eq(tell(-2, "there is no such slot"), 0);
}
END_TEST

static int *panel; /* shared by all processes of a test */

static void make_panel(void)
{
    panel = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(panel, MAP_FAILED);
}

static void await_panel(int index, int value)
{
    int i;

    for (i = 0; i < 5000; i++) {
        if (__atomic_load_n(&panel[index], __ATOMIC_SEQ_CST) >= value) {
            return;
        }
        usleep(1000);
    }
    ck_abort_msg("panel %d never came to %d", index, value);
}

static void claim_and_sleep(void)
{
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    ch_wire_listen(1);
    __atomic_fetch_add(&panel[0], 1, __ATOMIC_SEQ_CST);
    pause();
}

START_TEST(everybody_has_his_own)
{
    pid_t pids[3];
    int i;

    open_wire(3);
    make_panel();
    for (i = 0; i < 3; i++) {
        pids[i] = start_child(claim_and_sleep);
    }
    await_panel(0, 3);
    ck_assert_int_eq(ch_wire_claim(pool), 0);
    ck_assert_int_eq(ch_wire_slot(), -1);
    for (i = 0; i < 3; i++) {
        ck_assert_uint_eq(ch_wire_life(i), 1);
        ck_assert_int_eq(tell(i, "x"), 1);
    }
    ck_assert_int_eq(tell(CH_WIRE_ALL, "x"), 3);
    for (i = 0; i < 3; i++) {
        kill_child(pids[i]);
    }
}
END_TEST

/* Nobody hears for the dead; who has the slot next finds nothing of what was
 * meant for them. */
START_TEST(a_killed_child)
{
    pid_t pid;

    open_wire(1);
    make_panel();
    pid = start_child(claim_and_sleep);
    await_panel(0, 1);
    ck_assert_int_eq(tell(0, "for the first"), 1);
    kill_child(pid);

    pid = start_child(claim_and_sleep);
    await_panel(0, 2);
    ck_assert_int_eq(tell(0, pattern(100000, 3)), 1);
    kill_child(pid);
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    ck_assert_uint_eq(ch_wire_life(0), 3);
    ck_assert(has_none());
    ck_assert_int_eq(ch_wire_heard(), 0); /* the one who did is dead */
    ck_assert_int_eq(ch_wire_slot(), 0);
    ck_assert_int_eq(tell(0, "for the third"), 1);
    ck_next("for the third");
}
END_TEST

/* What the living have is summed up; who died has nothing, whether or not
 * somebody else has his slot. */
static void claim_and_count(void)
{
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    ch_wire_count(0, 3);
    ch_wire_count(1, 40);
    ch_wire_count(0, -1);
    __atomic_fetch_add(&panel[0], 1, __ATOMIC_SEQ_CST);
    pause();
}

START_TEST(counts_of_the_living)
{
    apr_pool_t *own;
    pid_t pids[2];

    open_wire(2);
    make_panel();
    ch_wire_count(0, 7); /* without a slot */
    ck_counts(0, 0);
    pids[0] = start_child(claim_and_count);
    pids[1] = start_child(claim_and_count);
    await_panel(0, 2);
    ck_counts(4, 80);
    kill_child(pids[0]);
    ck_counts(2, 40);
    apr_pool_create(&own, pool);
    ck_assert_int_eq(ch_wire_claim(own), 1);
    ck_counts(2, 40);
    ch_wire_count(0, 1);
    ck_counts(3, 40);
    apr_pool_destroy(own);
    ck_counts(2, 40);
    kill_child(pids[1]);
    ck_counts(0, 0);
}
END_TEST

static void claim_and_hold(void)
{
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    ch_wire_limit(ch_wire_slot() == 0 ? 100 : 80);
    ch_wire_hold(ch_wire_slot(), 60);
    __atomic_fetch_add(&panel[0], 1, __ATOMIC_SEQ_CST);
    pause();
}

START_TEST(the_one_with_most_room)
{
    pid_t pids[2];

    ck_assert_int_eq(ch_wire_roomiest(0), -1); /* before there are any */
    open_wire(3);
    make_panel();
    ck_assert_int_eq(ch_wire_roomiest(0), -1);
    pids[0] = start_child(claim_and_hold);
    await_panel(0, 1);
    pids[1] = start_child(claim_and_hold);
    await_panel(0, 2);
    ck_assert_int_eq(ch_wire_roomiest(1), 0);
    ck_assert_int_eq(ch_wire_roomiest(40), 0);
    ck_assert_int_eq(ch_wire_roomiest(41), -1);
    ch_wire_hold(0, 21);
    ck_assert_int_eq(ch_wire_roomiest(1), 1);
    ch_wire_hold(0, -21);
    kill_child(pids[0]);
    ck_assert_int_eq(ch_wire_roomiest(1), 1);
    ck_assert_int_eq(ch_wire_roomiest(21), -1);
    /* oneself is no other one; who came anew has nobody */
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    ck_assert_int_eq(ch_wire_slot(), 0);
    ch_wire_limit(1000);
    ck_assert_int_eq(ch_wire_roomiest(1), 1);
    kill_child(pids[1]);
    ck_assert_int_eq(ch_wire_roomiest(1), -1);
}
END_TEST

/* A number that came to be ours: who had it before is dead. */
START_TEST(the_same_pid)
{
    apr_pool_t *first;

    open_wire(2);
    apr_pool_create(&first, pool);
    ck_assert_int_eq(ch_wire_claim(first), 1);
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    ck_assert_int_eq(ch_wire_slot(), 0);
    ck_assert_uint_eq(ch_wire_life(0), 2);
}
END_TEST

/* --- a full inbox ---------------------------------------------------------
 */

static int fill(int slot)
{
    const char *data = pattern(1000, 0);
    int count = 0;
    apr_time_t start = apr_time_now();

    while (ch_wire_tell(slot, data, 1000, -1)) {
        count++;
        ck_assert_int_lt(count, 100000);
        start = apr_time_now();
    }
    panel[5] = (int)apr_time_as_msec(apr_time_now() - start);
    return count;
}

START_TEST(a_full_inbox)
{
    pid_t pid;

    open_wire(2);
    make_panel();
    pid = start_child(claim_and_sleep);
    await_panel(0, 1);
    ck_assert_int_gt(fill(0), 100);
    /* the last one was waited for */
    ck_assert_int_ge(panel[5], 900);
    ck_assert_int_lt(panel[5], 15000);
    /* and so are others, but all together no longer */
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    ch_wire_listen(1);
    ck_assert_int_eq(ch_wire_slot(), 1);
    ck_assert_int_eq(tell(CH_WIRE_ALL, "for us alone"), 1);
    ck_next("for us alone");
    kill_child(pid);
}
END_TEST

static apr_time_t tell_took;

/* Who waits does so for one second, of which a loaded machine makes more. */
#define TOO_LONG (APR_USEC_PER_SEC * 9 / 10)

static void tell_in_time(int slot, int want)
{
    apr_time_t start = apr_time_now();

    ck_assert_int_eq(tell(slot, "x"), want);
    tell_took = apr_time_now() - start;
}

/* Nobody waits for the dead, and nobody for himself. */
START_TEST(a_full_inbox_of_nobody)
{
    pid_t pid;

    open_wire(2);
    make_panel();
    pid = start_child(claim_and_sleep);
    await_panel(0, 1);
    fill(0);
    kill_child(pid);
    tell_in_time(0, 0);
    ck_assert_int_lt(tell_took, TOO_LONG);
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    ck_assert(has_none());
    ck_assert_int_eq(ch_wire_slot(), 0);
    ck_assert_int_gt(fill(0), 100);
    tell_in_time(0, 0);
    ck_assert_int_lt(tell_took, TOO_LONG);
}
END_TEST

static void read_slowly(void)
{
    unsigned i;

    ck_assert_int_eq(ch_wire_claim(pool), 1);
    __atomic_store_n(&panel[0], 1, __ATOMIC_SEQ_CST);
    usleep(300 * 1000);
    apr_pool_create(&pool, pool);
    for (i = 0; i < 5000; i++) {
        ch_bytes_t got = next();

        ck_assert_uint_eq(got.len, sizeof(i) + 1000);
        ck_assert_int_eq(memcmp(got.data, &i, sizeof(i)), 0);
        apr_pool_clear(pool);
    }
}

/* Who waits loses nothing. */
START_TEST(a_slow_reader)
{
    char data[sizeof(unsigned) + 1000] = "";
    unsigned i;
    pid_t pid;

    open_wire(1);
    make_panel();
    pid = start_child(read_slowly);
    await_panel(0, 1);
    for (i = 0; i < 5000; i++) {
        memcpy(data, &i, sizeof(i));
        ck_assert_int_eq(ch_wire_tell(0, data, sizeof(data), -1), 1);
    }
    end_child(pid);
}
END_TEST

/* --- many at once ---------------------------------------------------------
 */

#define TELLERS 4
#define EACH 500

typedef apr_uint32_t record_t[20000];

static record_t records[TELLERS];

static void *APR_THREAD_FUNC tell_much(apr_thread_t *thread, void *data)
{
    apr_uint32_t *record = data;
    apr_uint32_t i;

    for (i = 0; i < EACH; i++) {
        size_t len = i % 50 ? 100 : sizeof(record_t);

        record[1] = i;
        record[len / 4 - 1] = i;
        if (!ch_wire_tell(CH_WIRE_ALL, record, len, i % 10 ? -1 : 0)) {
            return NULL;
        }
    }
    return NULL;
}

/* Each teller's records come in his order, whole. */
static int is_next(const ch_bytes_t *bytes, apr_uint32_t want[TELLERS])
{
    apr_uint32_t head[2], last;

    memcpy(head, bytes->data, sizeof(head));
    memcpy(&last, bytes->data + bytes->len - 4, 4);
    return head[0] < TELLERS && head[1] == want[head[0]]++ && last == head[1];
}

START_TEST(from_many_threads)
{
    apr_uint32_t want[TELLERS] = { 0 };
    apr_thread_t *threads[TELLERS];
    apr_status_t status;
    int before, fd;
    int i;

    open_wire(1);
    ck_assert_int_eq(ch_wire_claim(pool), 1);
    ch_wire_listen(1);
    before = count_fds();
    for (i = 0; i < TELLERS; i++) {
        records[i][0] = (apr_uint32_t)i;
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, tell_much, records[i], pool),
            0);
    }
    for (i = 0; i < TELLERS * EACH; i++) {
        ch_bytes_t got = next_with(&fd);

        ck_assert_int_eq(is_next(&got, want), 1);
        if (fd >= 0) {
            close(fd);
        }
    }
    for (i = 0; i < TELLERS; i++) {
        apr_thread_join(&status, threads[i]);
        ck_assert_uint_eq(want[i], EACH);
    }
    ck_assert(has_none());
    ck_assert_int_eq(count_fds(), before);
}
END_TEST

CH_SUITE_MAIN("realtime/wire", CH_ONCE(before_open), CH_ONCE(made_once),
              CH_ONCE(no_descriptors_left), CH_EACH(any_length, lengths),
              CH_EACH(with_a_descriptor, lengths), CH_ONCE(in_order),
              CH_ONCE(too_many_descriptors), CH_ONCE(lives_count_up),
              CH_ONCE(everybody_has_his_own), CH_ONCE(a_killed_child),
              CH_ONCE(counts_of_the_living), CH_ONCE(the_one_with_most_room),
              CH_ONCE(the_same_pid),
              CH_ONCE(a_full_inbox), CH_ONCE(a_full_inbox_of_nobody),
              CH_ONCE(a_slow_reader), CH_ONCE(from_many_threads))
