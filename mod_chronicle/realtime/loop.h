/* The event loop: one thread of a child that waits on descriptors, timers and
 * what other threads post. Nothing that it calls may wait for anything. */
#ifndef CH_REALTIME_LOOP_H
#define CH_REALTIME_LOOP_H

#include "chronicle.h"

typedef struct ch_loop_t ch_loop_t;

/* A descriptor that is watched, part of the structure of its owner. Called at
 * each change: edge-triggered, read or write until there is nothing more. */
typedef struct ch_watch_t ch_watch_t;
struct ch_watch_t {
    int fd;
    void (*ready)(ch_watch_t *watch, int readable, int writable);
};

/* A time at which something is to be done, part of the structure of its owner.
 * Zeroed at first. It is called up to CH_LOOP_TICK late, once. */
#define CH_LOOP_TICK (APR_USEC_PER_SEC / 10)
typedef struct ch_timer_t ch_timer_t;
struct ch_timer_t {
    ch_timer_t *next, **link; /* NULL = it is not set */
    apr_time_t at;            /* the loop's own */
    void (*due)(ch_timer_t *timer);
};

/* Something to be done in the loop's thread, part of a structure that `run`
 * disposes of. In the order in which it was posted. */
typedef struct ch_post_t ch_post_t;
struct ch_post_t {
    ch_post_t *next;
    void (*run)(ch_post_t *post);
};

/* Lives with pool. NULL when the system refuses. */
ch_loop_t *ch_loop_make(apr_pool_t *pool);

/* Runs until ch_loop_req_quit, and what was posted before that is done. */
void ch_loop_run(ch_loop_t *loop);

/* --- from any thread ------------------------------------------------- */

void ch_loop_req_post(ch_loop_t *loop, ch_post_t *post);
void ch_loop_req_quit(ch_loop_t *loop);

/* --- in the loop's thread -------------------------------------------- */

/* 0 when the system refuses. unwatch before the descriptor is closed; a call
 * that was due is then not made. */
int ch_loop_watch(ch_loop_t *loop, ch_watch_t *watch);
void ch_loop_unwatch(ch_loop_t *loop, ch_watch_t *watch);

/* Sets it, in place of an earlier time. */
void ch_loop_timer_set(ch_loop_t *loop, ch_timer_t *timer, apr_time_t at);
void ch_loop_timer_clear(ch_timer_t *timer);

/* CH_LOOP_BUFFER bytes for whoever needs them during one call. */
#define CH_LOOP_BUFFER 65536
char *ch_loop_buffer(ch_loop_t *loop);

/* The loop's own time, taken once in each turn: it begins as the wall clock's
 * and goes on by a clock that nobody sets. */
apr_time_t ch_loop_now(const ch_loop_t *loop);

/* When that is of which the wall clock says so, as things are now. */
apr_time_t ch_loop_when(const ch_loop_t *loop, apr_time_t wall);

/* Called at the end of each turn, once per call of this function: `post` is
 * run after all that was ready. Not from other threads. */
void ch_loop_later(ch_loop_t *loop, ch_post_t *post);

#endif
