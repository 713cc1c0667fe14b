/* Tests of store/seat: what is put in comes out whole, for ten seconds, and
 * nothing that was dropped comes back. */
#include "ch_check.h"

#include <sys/mman.h>

#include <apr_thread_proc.h>

#include "base/steady.h"
#include "store/seat.h"

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

static char *memory;

static void open_seats(void)
{
    memory = mmap(NULL, ch_seat_size(), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    ch_seat_open(memory);
}

/* An id, or a key, of its own for each number. Keys with the same tail share
 * a bucket. */
typedef struct {
    unsigned char bytes[16];
} id16_t;

static id16_t id_of(unsigned head, unsigned tail)
{
    id16_t id;
    size_t i;

    memset(&id, 0, sizeof(id));
    for (i = 0; i < 4; i++) {
        id.bytes[i] = (unsigned char)(head >> 8 * i);
        id.bytes[8 + i] = (unsigned char)(tail >> 8 * i);
    }
    return id;
}

static ch_seat_t seat_of(unsigned session, unsigned user)
{
    ch_seat_t seat;
    id16_t id = id_of(session, 1);

    memset(&seat, 0, sizeof(seat));
    memcpy(seat.session, id.bytes, 16);
    id = id_of(user, 2);
    memcpy(seat.user, id.bytes, 16);
    memset(seat.csrf, (int)session, sizeof(seat.csrf));
    seat.expires = session * 7;
    seat.role = 2;
    seat.verified = 1;
    return seat;
}

static void put(id16_t key, unsigned session, unsigned user)
{
    ch_seat_t seat = seat_of(session, user);

    ch_seat_put(key.bytes, &seat, ch_seat_epoch());
}

/* The session's number, 0 when there is none; all else must fit to it. */
static unsigned get(id16_t key, unsigned user)
{
    ch_seat_t seat, want;
    unsigned session;

    if (!ch_seat_get(key.bytes, &seat)) {
        return 0;
    }
    memcpy(&session, seat.session, sizeof(session));
    want = seat_of(session, user);
    ck_assert_mem_eq(&seat, &want, sizeof(seat));
    return session;
}

static void drop_session(unsigned session)
{
    ch_seat_drop_session(id_of(session, 1).bytes);
}

static void drop_user(unsigned user)
{
    ch_seat_drop_user(id_of(user, 2).bytes);
}

/* --- one after the other --------------------------------------------------
 */

START_TEST(before_open)
{
    id16_t key = id_of(1, 1);

    put(key, 1, 1);
    ck_assert_uint_eq(get(key, 1), 0);
    drop_session(1);
    drop_user(1);
    ch_seat_drop_all();
    ck_assert_uint_eq(ch_seat_epoch(), 0);
}
END_TEST

START_TEST(in_and_out)
{
    unsigned i;

    open_seats();
    ck_assert_uint_eq(get(id_of(1, 1), 1), 0);
    for (i = 1; i <= 1000; i++) {
        put(id_of(i, i), i, i);
    }
    for (i = 1; i <= 1000; i++) {
        ck_assert_uint_eq(get(id_of(i, i), i), i);
    }
    /* in the same bucket, but not there */
    ck_assert_uint_eq(get(id_of(2, 1), 1), 0);
    ck_assert_uint_eq(get(id_of(0, 0), 1), 0);
}
END_TEST

START_TEST(the_last_one_counts)
{
    id16_t key = id_of(5, 5);

    open_seats();
    put(key, 1, 1);
    put(key, 2, 2);
    ck_assert_uint_eq(get(key, 2), 2);
    drop_session(1);
    ck_assert_uint_eq(get(key, 2), 2);
    drop_session(2);
    ck_assert_uint_eq(get(key, 2), 0);
}
END_TEST

START_TEST(ten_seconds)
{
    id16_t key = id_of(5, 5);

    open_seats();
    put(key, 1, 1);
    clock_now += apr_time_from_sec(CH_SEAT_SECONDS) - 1;
    ck_assert_uint_eq(get(key, 1), 1);
    wall_is_ahead = -apr_time_from_sec(3600); /* is of no account */
    clock_now += 1;
    ck_assert_uint_eq(get(key, 1), 0);
    put(key, 1, 1);
    ck_assert_uint_eq(get(key, 1), 1);
}
END_TEST

/* A user may sit on several seats; a session on two (its id, its cookie). */
START_TEST(drops)
{
    open_seats();
    put(id_of(1, 1), 10, 7);
    put(id_of(2, 2), 11, 7);
    put(id_of(3, 3), 11, 7);
    put(id_of(4, 4), 12, 8);
    drop_session(11);
    ck_assert_uint_eq(get(id_of(1, 1), 7), 10);
    ck_assert_uint_eq(get(id_of(2, 2), 7), 0);
    ck_assert_uint_eq(get(id_of(3, 3), 7), 0);
    put(id_of(2, 2), 11, 7);
    drop_user(7);
    ck_assert_uint_eq(get(id_of(1, 1), 7), 0);
    ck_assert_uint_eq(get(id_of(2, 2), 7), 0);
    ck_assert_uint_eq(get(id_of(4, 4), 8), 12);
    /* a user's id is not a session's */
    drop_session(8);
    drop_user(12);
    ck_assert_uint_eq(get(id_of(4, 4), 8), 12);
}
END_TEST

START_TEST(drops_all)
{
    ch_seat_t seat = seat_of(1, 1);
    apr_uint64_t epoch;
    unsigned i;

    open_seats();
    for (i = 1; i <= 1000; i++) {
        put(id_of(i, i), i, i);
    }
    epoch = ch_seat_epoch();
    ch_seat_drop_all();
    for (i = 1; i <= 1000; i++) {
        ck_assert_uint_eq(get(id_of(i, i), i), 0);
    }
    /* what was read before it does not come in */
    ch_seat_put(id_of(1, 1).bytes, &seat, epoch);
    ck_assert_uint_eq(get(id_of(1, 1), 1), 0);
    put(id_of(1, 1), 1, 1);
    ck_assert_uint_eq(get(id_of(1, 1), 1), 1);
}
END_TEST

/* What was read before a drop, whatever was dropped, is not put in. */
START_TEST(not_after_a_drop)
{
    ch_seat_t seat = seat_of(1, 1);
    id16_t key = id_of(5, 5);
    apr_uint64_t epoch;

    open_seats();
    epoch = ch_seat_epoch();
    ch_seat_put(key.bytes, &seat, epoch);
    ck_assert_uint_eq(get(key, 1), 1);
    drop_session(1);
    ch_seat_put(key.bytes, &seat, epoch);
    ck_assert_uint_eq(get(key, 1), 0);
    epoch = ch_seat_epoch();
    drop_user(99);
    ch_seat_put(key.bytes, &seat, epoch);
    ck_assert_uint_eq(get(key, 1), 0);
    ch_seat_put(key.bytes, &seat, ch_seat_epoch());
    ck_assert_uint_eq(get(key, 1), 1);
}
END_TEST

/* Wherever in its bucket a seat is, it is found and dropped. */
START_TEST(drops_a_full_bucket)
{
    unsigned i;

    open_seats();
    for (i = 1; i <= 4; i++) {
        put(id_of(i, 9), i, 7);
    }
    drop_session(2);
    ck_assert_uint_eq(get(id_of(2, 9), 7), 0);
    drop_user(7);
    for (i = 1; i <= 4; i++) {
        ck_assert_uint_eq(get(id_of(i, 9), 7), 0);
    }
}
END_TEST

/* A bucket holds four; the fifth takes the place of the oldest. */
START_TEST(a_full_bucket)
{
    unsigned i;

    open_seats();
    for (i = 1; i <= 4; i++) {
        put(id_of(i, 9), i, i);
        clock_now += APR_USEC_PER_SEC;
    }
    /* the second is not the second oldest any more */
    put(id_of(2, 9), 2, 2);
    put(id_of(5, 9), 5, 5);
    put(id_of(6, 9), 6, 6);
    ck_assert_uint_eq(get(id_of(1, 9), 1), 0);
    ck_assert_uint_eq(get(id_of(2, 9), 2), 2);
    ck_assert_uint_eq(get(id_of(3, 9), 3), 0);
    ck_assert_uint_eq(get(id_of(4, 9), 4), 4);
    ck_assert_uint_eq(get(id_of(5, 9), 5), 5);
    ck_assert_uint_eq(get(id_of(6, 9), 6), 6);
}
END_TEST

/* --- a writer that died ---------------------------------------------------
 */

/* Leaves the seat of a key as a process does that is killed while it writes:
 * the number before the time and the key is odd. */
static void kill_writer(id16_t key)
{
    size_t size = ch_seat_size();
    size_t at;

    for (at = 16; at + 16 <= size; at += 8) {
        if (memcmp(memory + at, key.bytes, 16) == 0) {
            apr_uint64_t seq;

            memcpy(&seq, memory + at - 16, sizeof(seq));
            ck_assert_uint_eq(seq % 2, 0);
            seq++;
            memcpy(memory + at - 16, &seq, sizeof(seq));
            return;
        }
    }
    ck_abort_msg("the key is not in the memory");
}

START_TEST(a_dead_writer)
{
    unsigned i;

    open_seats();
    for (i = 1; i <= 4; i++) {
        put(id_of(i, 9), i, i);
        clock_now += APR_USEC_PER_SEC;
    }
    kill_writer(id_of(1, 9));
    /* nobody reads it, nobody waits for it, nobody else is hurt */
    ck_assert_uint_eq(get(id_of(1, 9), 1), 0);
    for (i = 2; i <= 4; i++) {
        ck_assert_uint_eq(get(id_of(i, 9), i), i);
    }
    drop_session(1);
    drop_user(3);
    ck_assert_uint_eq(get(id_of(3, 9), 3), 0);
    ck_assert_uint_eq(get(id_of(4, 9), 4), 4);
    /* it costs one place of four, and no more than that */
    for (i = 5; i <= 20; i++) {
        clock_now += APR_USEC_PER_SEC;
        put(id_of(i, 9), i, i);
        ck_assert_uint_eq(get(id_of(i, 9), i), i);
    }
    ck_assert_uint_eq(get(id_of(18, 9), 18), 18);
    ck_assert_uint_eq(get(id_of(17, 9), 17), 0);
    put(id_of(1, 9), 1, 1);
    ck_assert_uint_eq(get(id_of(1, 9), 1), 1);
}
END_TEST

/* A bucket of dead writers does without. */
START_TEST(four_dead_writers)
{
    unsigned i;

    open_seats();
    for (i = 1; i <= 4; i++) {
        put(id_of(i, 9), i, i);
    }
    for (i = 1; i <= 4; i++) {
        kill_writer(id_of(i, 9));
    }
    put(id_of(5, 9), 5, 5);
    ck_assert_uint_eq(get(id_of(5, 9), 5), 0);
    put(id_of(5, 8), 5, 5);
    ck_assert_uint_eq(get(id_of(5, 8), 5), 5);
    drop_user(1);
}
END_TEST

/* --- many at once ---------------------------------------------------------
 */

#define THREADS 6
#define ROUNDS 1000000

static int stop;
static int found;
static int torn;
static unsigned version;

static int stopped(void)
{
    return __atomic_load_n(&stop, __ATOMIC_ACQUIRE);
}

/* Whether a seat is one of those that are written, and not parts of two. */
static int is_whole(const ch_seat_t *seat)
{
    unsigned session;
    ch_seat_t want;

    memcpy(&session, seat->session, sizeof(session));
    want = seat_of(session, session);
    return memcmp(seat, &want, sizeof(want)) == 0;
}

static void *APR_THREAD_FUNC read_much(apr_thread_t *thread, void *data)
{
    id16_t key = id_of(5, 5);
    ch_seat_t seat;
    int i;

    /* a writer that was put to sleep in the middle may outlast many rounds */
    for (i = 0; i < ROUNDS || !__atomic_load_n(&found, __ATOMIC_RELAXED);
         i++) {
        if (ch_seat_get(key.bytes, &seat)) {
            __atomic_store_n(&found, 1, __ATOMIC_RELAXED);
            if (!is_whole(&seat)) {
                __atomic_store_n(&torn, 1, __ATOMIC_RELAXED);
            }
        }
    }
    return NULL;
}

static void *APR_THREAD_FUNC write_much(apr_thread_t *thread, void *data)
{
    id16_t key = id_of(5, 5);
    unsigned i;

    for (i = 1; !stopped(); i++) {
        put(key, i % 255 + 1, i % 255 + 1);
    }
    return NULL;
}

static apr_thread_t *start(apr_thread_start_t work)
{
    apr_thread_t *thread;

    ck_assert_int_eq(apr_thread_create(&thread, NULL, work, NULL, pool), 0);
    return thread;
}

static void join(apr_thread_t *thread)
{
    apr_status_t status;

    apr_thread_join(&status, thread);
}

START_TEST(never_half_written)
{
    apr_thread_t *writers[2];
    apr_thread_t *readers[THREADS - 2];
    size_t i;

    open_seats();
    stop = found = torn = 0;
    for (i = 0; i < CH_COUNT(writers); i++) {
        writers[i] = start(write_much);
    }
    for (i = 0; i < CH_COUNT(readers); i++) {
        readers[i] = start(read_much);
    }
    for (i = 0; i < CH_COUNT(readers); i++) {
        join(readers[i]);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (i = 0; i < CH_COUNT(writers); i++) {
        join(writers[i]);
    }
    ck_assert_int_eq(torn, 0);
    ck_assert_int_gt(found, 0);
}
END_TEST

/* Looks up the present version, as a request does with a session's row, and
 * keeps it. */
static void *APR_THREAD_FUNC look_up_much(apr_thread_t *thread, void *data)
{
    id16_t key = id_of(5, 5);

    while (!stopped()) {
        apr_uint64_t epoch = ch_seat_epoch();
        ch_seat_t seat = seat_of(1, 1);

        seat.expires = __atomic_load_n(&version, __ATOMIC_ACQUIRE);
        ch_seat_put(key.bytes, &seat, epoch);
    }
    return NULL;
}

/* After a change is made and its session dropped, nobody gets what was there
 * before. */
START_TEST(nothing_old_after_a_drop)
{
    apr_thread_t *threads[4];
    id16_t key = id_of(5, 5);
    size_t i;
    int round;

    open_seats();
    stop = found = 0;
    for (i = 0; i < CH_COUNT(threads); i++) {
        threads[i] = start(look_up_much);
    }
    for (round = 0; round < 2000; round++) {
        ch_seat_t seat;

        __atomic_fetch_add(&version, 1, __ATOMIC_ACQ_REL);
        if (round % 2) {
            drop_session(1);
        }
        else {
            ch_seat_drop_all();
        }
        for (i = 0; i < 20; i++) {
            if (ch_seat_get(key.bytes, &seat)) {
                found++;
                ck_assert_uint_ge(seat.expires, version);
            }
        }
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (i = 0; i < CH_COUNT(threads); i++) {
        join(threads[i]);
    }
    ck_assert_int_gt(found, 0);
}
END_TEST

CH_SUITE_MAIN("store/seat", CH_ONCE(before_open), CH_ONCE(in_and_out),
              CH_ONCE(the_last_one_counts), CH_ONCE(ten_seconds),
              CH_ONCE(drops), CH_ONCE(drops_all), CH_ONCE(not_after_a_drop),
              CH_ONCE(a_full_bucket), CH_ONCE(drops_a_full_bucket),
              CH_ONCE(a_dead_writer), CH_ONCE(four_dead_writers),
              CH_ONCE(never_half_written), CH_ONCE(nothing_old_after_a_drop))
