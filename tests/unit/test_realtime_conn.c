/* Tests of realtime/conn: bytes in and out, slow readers, and partings. */
#include "ch_check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "realtime/conn.h"

#define MS(n) ((n) * (APR_USEC_PER_SEC / 1000))

static ch_loop_t *loop;
static ch_conn_t *conn;
static int far_end; /* blocking */

/* What the owner saw. */
static char seen[4096];
static size_t seen_len; /* all of it, even if it is not in `seen` */
static int pieces, lost;
static int when_lost; /* which number this was */
static int count;     /* of anything */

static void quit_now(ch_timer_t *timer)
{
    ch_loop_req_quit(loop);
}

static ch_timer_t quitting = { .due = quit_now };

static void run_for(apr_time_t time)
{
    ch_loop_timer_set(loop, &quitting, ch_loop_now(loop) + time);
    ch_loop_run(loop);
}

static void note(ch_conn_t *which, void *owner, const char *data, size_t len)
{
    ck_assert_ptr_eq(which, conn);
    ck_assert_ptr_eq(owner, &seen);
    if (seen_len + len <= sizeof(seen)) {
        memcpy(seen + seen_len, data, len);
    }
    seen_len += len;
    pieces++;
    count++;
}

static void note_lost(ch_conn_t *which, void *owner)
{
    ck_assert_ptr_eq(owner, &seen);
    lost++;
    when_lost = ++count;
}

static const ch_conn_owner_t noting = { .data = note, .lost = note_lost };

static void open_ends(const ch_carrier_t *carrier, void *ctx,
                      const ch_conn_owner_t *owner)
{
    int ends[2];

    if (!loop) {
        loop = ch_loop_make(pool);
    }
    ck_assert_ptr_nonnull(loop);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    far_end = ends[1];
    conn = ch_conn_make(loop, ends[0], carrier, ctx, owner, &seen);
    ck_assert_ptr_nonnull(conn);
}

static void send_text(const char *text, size_t len)
{
    ch_chunk_t *chunk = ch_chunk_raw(text, len);

    ch_conn_send(conn, chunk);
    ch_chunk_drop(chunk);
}

/* What comes next at the far end: up to size bytes, or until it ends. */
static size_t far_read(char *text, size_t size)
{
    size_t len = 0;
    ssize_t got;

    while (len < size) {
        got = recv(far_end, text + len, size - len, 0);
        ck_assert_int_ge(got, 0);
        if (got == 0) {
            break;
        }
        len += (size_t)got;
    }
    return len;
}

static void far_ends(void)
{
    char more;

    ck_assert_int_eq(recv(far_end, &more, 1, 0), 0);
}

/* --- in --------------------------------------------------------------- */

START_TEST(reads_what_comes)
{
    open_ends(NULL, NULL, &noting);
    ck_assert_int_eq(write(far_end, "abc", 3), 3);
    run_for(MS(50));
    ck_assert_int_eq(write(far_end, "def", 3), 3);
    run_for(MS(50));
    ck_assert_int_eq(pieces, 2);
    ck_assert_mem_eq(seen, "abcdef", 6);
    ch_conn_drop(conn);
    far_ends();
    run_for(MS(50));
    ck_assert_int_eq(lost, 0);
}
END_TEST

START_TEST(the_end_is_told_once_after_the_last_bytes)
{
    open_ends(NULL, NULL, &noting);
    ck_assert_int_eq(write(far_end, "last", 4), 4);
    close(far_end);
    run_for(MS(150));
    ck_assert_int_eq(seen_len, 4);
    ck_assert_int_eq(lost, 1);
    ck_assert_int_eq(when_lost, 2);
}
END_TEST

static void drop_at_once(ch_conn_t *which, void *owner, const char *data,
                         size_t len)
{
    note(which, owner, data, len);
    ch_conn_drop(which);
}

static void answer_and_close(ch_conn_t *which, void *owner, const char *data,
                             size_t len)
{
    note(which, owner, data, len);
    send_text("bye", 3);
    ch_conn_close(which);
}

static const ch_conn_owner_t dropping = { .data = drop_at_once,
                                          .lost = note_lost };
static const ch_conn_owner_t answering = { .data = answer_and_close,
                                           .lost = note_lost };

static const ch_conn_owner_t *const owners[] = { &dropping, &answering };

/* More than one piece is there: after the first there is no owner. */
START_TEST(an_owner_leaves_while_data_is_told)
{
    static char much[CH_LOOP_BUFFER + 1000];
    char bye[4];

    open_ends(NULL, NULL, owners[_i]);
    ck_assert_int_eq(write(far_end, much, sizeof(much)), sizeof(much));
    run_for(MS(50));
    ck_assert_int_eq(pieces, 1);
    ck_assert_int_eq(seen_len, CH_LOOP_BUFFER);
    if (owners[_i] == &answering) {
        ck_assert_int_eq(far_read(bye, sizeof(bye)), 3);
        ck_assert_mem_eq(bye, "bye", 3);
    }
    close(far_end);
    run_for(MS(150));
    ck_assert_int_eq(lost, 0);
}
END_TEST

static ch_conn_t *flooded;
static size_t flood_len, flood_when_told;

static void flood_data(ch_conn_t *which, void *owner, const char *data,
                       size_t len)
{
    static char more[CH_LOOP_BUFFER];

    flood_len += len;
    /* whoever floods is faster than we are */
    send(*(int *)owner, more, len, MSG_DONTWAIT);
}

static void flood_lost(ch_conn_t *which, void *owner)
{
}

static void note_flood(ch_conn_t *which, void *owner, const char *data,
                       size_t len)
{
    note(which, owner, data, len);
    flood_when_told = flood_len;
    ch_loop_req_quit(loop);
}

/* A connection that never has nothing more starves nobody. */
START_TEST(a_flood_lets_others_through)
{
    static const ch_conn_owner_t flooding = { .data = flood_data,
                                              .lost = flood_lost };
    static const ch_conn_owner_t other = { .data = note_flood,
                                           .lost = note_lost };
    static char much[CH_LOOP_BUFFER];
    int ends[2];

    loop = ch_loop_make(pool);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends),
                     0);
    ck_assert_int_eq(write(ends[1], much, sizeof(much)), sizeof(much));
    flooded = ch_conn_make(loop, ends[0], NULL, NULL, &flooding, &ends[1]);
    ck_assert_ptr_nonnull(flooded);
    open_ends(NULL, NULL, &other);
    ck_assert_int_eq(write(far_end, "x", 1), 1);
    ch_loop_run(loop);
    ck_assert_int_ge(flood_when_told, 262144);
    ck_assert_int_le(flood_when_told, 2 * 262144);
    /* and goes on, without another event */
    run_for(MS(100));
    ck_assert_int_gt(flood_len, 4 * 262144);
    ch_conn_drop(flooded);
    ch_conn_drop(conn);
    run_for(MS(1));
    close(ends[1]);
}
END_TEST

/* --- out -------------------------------------------------------------- */

START_TEST(many_chunks_are_one_write)
{
    char text[4096];
    int i;

    open_ends(NULL, NULL, &noting);
    for (i = 0; i < 64; i++) {
        send_text("0123456789", 10);
    }
    ck_assert_int_eq(ch_conn_backlog(conn), 640);
    ck_assert_int_eq(recv(far_end, text, sizeof(text), MSG_DONTWAIT), -1);
    run_for(MS(1));
    ck_assert_int_eq(ch_conn_backlog(conn), 0);
    ck_assert_int_eq(far_read(text, 640), 640);
    ck_assert_mem_eq(text + 630, "0123456789", 10);
    ch_conn_drop(conn);
    run_for(MS(1));
}
END_TEST

static char pattern(size_t at)
{
    return (char)('a' + at * 7 % 26 + at / 1000 % 3);
}

/* A reader that is slow gets everything in order, in whatever pieces. */
START_TEST(a_slow_reader_gets_everything)
{
    static char big[900000], back[900000];
    size_t at = 0, part, i;

    open_ends(NULL, NULL, &noting);
    for (i = 0; i < sizeof(big); i++) {
        big[i] = pattern(i);
    }
    for (i = 0; at < sizeof(big); i++) {
        part = i % 5 == 0 ? 1 : i * 37 % 3000 + 1;
        part = part < sizeof(big) - at ? part : sizeof(big) - at;
        send_text(big + at, part);
        at += part;
        if (i == 100) {
            run_for(MS(1));
        }
    }
    run_for(MS(1));
    ck_assert_int_gt(ch_conn_backlog(conn), 100000);
    for (at = 0; at < sizeof(back); at += part) {
        part = 50000 < sizeof(back) - at ? 50000 : sizeof(back) - at;
        ck_assert_int_eq(far_read(back + at, part), part);
        run_for(MS(1));
    }
    ck_assert_int_eq(ch_conn_backlog(conn), 0);
    ck_assert_mem_eq(big, back, sizeof(big));
    ck_assert_int_eq(lost, 0);
    ch_conn_drop(conn);
    run_for(MS(1));
}
END_TEST

static const size_t loads[] = { CH_CONN_BACKLOG_MAX / 4, 1 }; /* bytes */

START_TEST(a_reader_that_is_too_slow_is_lost)
{
    static char big[CH_CONN_BACKLOG_MAX / 4];
    int i, many = _i ? 30000 : 4;

    open_ends(NULL, NULL, &noting);
    for (i = 0; i < many * 5; i++) {
        if (i == many) {
            run_for(MS(1));
            ck_assert_int_eq(lost, 0);
        }
        send_text(big, loads[_i]);
    }
    ck_assert_int_eq(lost, 0); /* the owner is told at the end of the turn */
    run_for(MS(1));
    ck_assert_int_eq(lost, 1);
}
END_TEST

/* A burst is no reason as long as the system takes it. */
START_TEST(a_burst_that_the_reader_takes_is_sent)
{
    static char big[CH_CONN_BACKLOG_MAX + 1000];
    int size = 4 * CH_CONN_BACKLOG_MAX;
    int fds[2];

    loop = ch_loop_make(pool);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                     0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    far_end = fds[1];
    conn = ch_conn_make(loop, fds[0], NULL, NULL, &noting, &seen);
    send_text(big, 1000);
    send_text(big, sizeof(big) - 2000);
    send_text(big, 1500);
    ck_assert_int_lt(ch_conn_backlog(conn), CH_CONN_BACKLOG_MAX);
    run_for(MS(1));
    ck_assert_int_eq(lost, 0);
    ch_conn_drop(conn);
    run_for(MS(1));
    close(fds[1]);
}
END_TEST

START_TEST(writing_to_nobody_is_a_loss)
{
    open_ends(NULL, NULL, &noting);
    run_for(MS(1));
    close(far_end);
    send_text("x", 1);
    run_for(MS(1));
    ck_assert_int_eq(lost, 1);
}
END_TEST

/* --- partings --------------------------------------------------------- */

START_TEST(closing_sends_what_waits)
{
    static char big[500000], back[500001];

    open_ends(NULL, NULL, &noting);
    send_text(big, sizeof(big));
    ch_conn_close(conn);
    run_for(MS(1));
    ck_assert_int_eq(far_read(back, 200000), 200000);
    run_for(MS(1));
    ck_assert_int_eq(far_read(back, 200000), 200000);
    run_for(MS(1));
    ck_assert_int_eq(far_read(back, 200000), 100000);
    /* what still comes in is nobody's any more, and does no harm */
    ck_assert_int_eq(write(far_end, "late", 4), 4);
    run_for(MS(50));
    ck_assert_int_eq(write(far_end, "late", 4), 4);
    close(far_end);
    run_for(MS(150));
    ck_assert_int_eq(count, 0);
}
END_TEST

static const size_t sizes[] = { 4, 800000 };

/* The other side says nothing, or takes nothing: two seconds, not more. */
START_TEST(closing_does_not_wait_for_ever)
{
    static char big[800000];
    apr_time_t start;

    open_ends(NULL, NULL, &noting);
    send_text(big, sizes[_i]);
    start = apr_time_now();
    ch_conn_close(conn);
    run_for(MS(1700));
    ck_assert(send(far_end, "x", 1, MSG_NOSIGNAL) == 1
              || apr_time_now() - start > MS(1900)); /* held up */
    run_for(MS(600));
    ck_assert_int_eq(send(far_end, "x", 1, MSG_NOSIGNAL), -1);
    ck_assert_int_eq(errno, EPIPE);
    ck_assert_int_eq(count, 0);
    close(far_end);
}
END_TEST

/* --- another owner, another carrier ----------------------------------- */

static void note_other(ch_conn_t *which, void *owner, const char *data,
                       size_t len)
{
    ck_assert_ptr_eq(owner, &lost);
    count += 100;
}

START_TEST(another_owner)
{
    static const ch_conn_owner_t other = { .data = note_other,
                                           .lost = note_lost };

    open_ends(NULL, NULL, &noting);
    ck_assert_int_eq(write(far_end, "a", 1), 1);
    run_for(MS(50));
    ch_conn_own(conn, &other, &lost);
    ck_assert_int_eq(write(far_end, "b", 1), 1);
    run_for(MS(50));
    ck_assert_int_eq(count, 101);
    ch_conn_drop(conn);
    run_for(MS(1));
}
END_TEST

/* A carrier that has bytes of its own, and takes three at a time. */
typedef struct {
    const char *in;
    char out[64];
    size_t out_len;
    int pause, fault, finished, closed, ended;
} crate_t;

static ssize_t crate_read(void *ctx, char *data, size_t size)
{
    crate_t *crate = ctx;
    size_t len = crate->in ? strlen(crate->in) : 0;

    ck_assert(!crate->closed);
    if (len == 0) {
        return crate->ended ? 0 : -1;
    }
    memcpy(data, crate->in, len);
    crate->in = NULL;
    return (ssize_t)len;
}

static ssize_t crate_write(void *ctx, const struct iovec *parts, int n)
{
    crate_t *crate = ctx;
    size_t len = parts[0].iov_len < 3 ? parts[0].iov_len : 3;

    ck_assert(!crate->closed);
    if (crate->fault) {
        return -2;
    }
    crate->pause = !crate->pause;
    if (crate->pause) {
        return -1;
    }
    memcpy(crate->out + crate->out_len, parts[0].iov_base, len);
    crate->out_len += len;
    return (ssize_t)len;
}

static void crate_finish(void *ctx)
{
    crate_t *crate = ctx;

    ck_assert(!crate->closed);
    crate->finished++;
}

static void crate_close(void *ctx)
{
    crate_t *crate = ctx;

    crate->closed++;
}

static const ch_carrier_t crates = { .read = crate_read,
                                     .write = crate_write,
                                     .finish = crate_finish,
                                     .close = crate_close };

START_TEST(a_carrier_is_asked_instead)
{
    crate_t crate = { .in = "kept" };
    int i;

    open_ends(&crates, &crate, &noting);
    run_for(MS(1));
    ck_assert_mem_eq(seen, "kept", 4); /* the descriptor had nothing */
    send_text("abcdefgh", 8);
    send_text("ij", 2);
    for (i = 0; i < 8; i++) {
        run_for(MS(1));
        ck_assert_int_eq(write(far_end, "!", 1), 1); /* look again */
    }
    run_for(MS(1));
    ck_assert_int_eq(crate.out_len, 10);
    ck_assert_mem_eq(crate.out, "abcdefghij", 10);
    send_text("k", 1);
    ch_conn_close(conn);
    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(write(far_end, "!", 1), 1);
        run_for(MS(1));
    }
    ck_assert_int_eq(crate.out[10], 'k');
    ck_assert_int_eq(crate.finished, 1);
    /* the end of the other side, then a second */
    close(far_end);
    run_for(MS(800));
    ck_assert_int_eq(ch_conn_count(), 1);
    ck_assert_int_eq(crate.closed, 0);
    run_for(MS(500));
    ck_assert_int_eq(crate.closed, 1);
    ck_assert_int_eq(lost, 0);
    ck_assert_int_eq(ch_conn_count(), 0);
}
END_TEST

static const crate_t broken[] = { { .ended = 1 }, { .fault = 1 } };

START_TEST(a_carrier_that_ends_or_breaks)
{
    crate_t crate = broken[_i];

    open_ends(&crates, &crate, &noting);
    send_text("x", 1);
    run_for(MS(1));
    ck_assert_int_eq(lost, 1);
    ck_assert_int_eq(crate.closed, 0);
    run_for(MS(1300));
    ck_assert_int_eq(crate.closed, 1);
    ck_assert_int_eq(crate.finished, 0);
    ck_assert_int_eq(lost, 1);
}

/* Dropped before the first turn, and not by the end of the other side. */
START_TEST(a_carrier_that_is_dropped)
{
    crate_t crate = { .in = "kept" };

    open_ends(&crates, &crate, &noting);
    ch_conn_drop(conn);
    run_for(MS(1300));
    ck_assert_int_eq(crate.closed, 1);
    ck_assert_int_eq(count, 0);
    ck_assert_int_eq(ch_conn_count(), 0);
}
END_TEST

/* Nobody answers the goodbye. */
START_TEST(a_carrier_does_not_wait_for_ever)
{
    crate_t crate = { .closed = 0 };

    open_ends(&crates, &crate, &noting);
    ch_conn_close(conn);
    run_for(MS(2500));
    ck_assert_int_eq(crate.finished, 1);
    ck_assert_int_eq(crate.closed, 0);
    run_for(MS(1000));
    ck_assert_int_eq(crate.closed, 1);
}
END_TEST

START_TEST(what_cannot_be_watched_is_closed)
{
    crate_t crate = { .closed = 0 };

    loop = ch_loop_make(pool);
    ck_assert_ptr_null(
        ch_conn_make(loop, -1, &crates, &crate, &noting, &seen));
    ck_assert_ptr_null(ch_conn_make(loop, -1, NULL, NULL, &noting, &seen));
    run_for(MS(1300));
    ck_assert_int_eq(crate.closed, 1);
    ck_assert_int_eq(count, 0);
    ck_assert_int_eq(ch_conn_count(), 0);
}
END_TEST

CH_SUITE_MAIN("realtime/conn", CH_ONCE(reads_what_comes),
              CH_ONCE(the_end_is_told_once_after_the_last_bytes),
              CH_EACH(an_owner_leaves_while_data_is_told, owners),
              CH_ONCE(a_flood_lets_others_through),
              CH_ONCE(many_chunks_are_one_write),
              CH_ONCE(a_slow_reader_gets_everything),
              CH_EACH(a_reader_that_is_too_slow_is_lost, loads),
              CH_ONCE(a_burst_that_the_reader_takes_is_sent),
              CH_ONCE(writing_to_nobody_is_a_loss),
              CH_ONCE(closing_sends_what_waits),
              CH_EACH(closing_does_not_wait_for_ever, sizes),
              CH_ONCE(another_owner), CH_ONCE(a_carrier_is_asked_instead),
              CH_EACH(a_carrier_that_ends_or_breaks, broken),
              CH_ONCE(a_carrier_that_is_dropped),
              CH_ONCE(a_carrier_does_not_wait_for_ever),
              CH_ONCE(what_cannot_be_watched_is_closed))
