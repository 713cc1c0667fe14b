/* Waits for descriptors, timers and other threads, turn after turn. */
#include "realtime/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/steady.h"

#define BATCH 256      /* events of a turn */
#define SLOTS 512      /* of the wheel of timers */
#define LAST_ROUNDS 16 /* of what is put off at the very end */

typedef struct {
    ch_post_t *first, **last;
} posts_t;

struct ch_loop_t {
    int epoll;
    ch_watch_t wake; /* an eventfd: something was posted */
    /* A clock that nobody sets, and what ch_loop_now is ahead of it. Timers go
     * by it, in steps of CH_LOOP_TICK. */
    apr_time_t steady;
    apr_time_t ahead;
    apr_int64_t tick; /* the last one that was looked at */
    ch_timer_t *slot[SLOTS];
    ch_timer_t *due;

    struct epoll_event ready[BATCH];
    int at, count; /* the event being told, and how many there are */

    posts_t later;
    char *buffer;
    int over; /* this turn is the last */

    pthread_mutex_t lock; /* for what is below */
    posts_t posted;
    int quit;
};

/* --- posts ------------------------------------------------------------ */

static void posts_clear(posts_t *posts)
{
    posts->first = NULL;
    posts->last = &posts->first;
}

static void posts_add(posts_t *posts, ch_post_t *post)
{
    post->next = NULL;
    *posts->last = post;
    posts->last = &post->next;
}

static void posts_run(ch_post_t *post)
{
    ch_post_t *next;

    for (; post; post = next) {
        next = post->next;
        post->run(post);
    }
}

static void wake(const ch_loop_t *loop)
{
    static const uint64_t one = 1;
    ssize_t written;

    do {
        written = write(loop->wake.fd, &one, sizeof(one));
    } while (written < 0 && errno == EINTR);
}

void ch_loop_req_post(ch_loop_t *loop, ch_post_t *post)
{
    int is_first;

    pthread_mutex_lock(&loop->lock);
    is_first = !loop->posted.first;
    posts_add(&loop->posted, post);
    pthread_mutex_unlock(&loop->lock);
    if (is_first) {
        wake(loop);
    }
}

void ch_loop_req_quit(ch_loop_t *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->quit = 1;
    pthread_mutex_unlock(&loop->lock);
    wake(loop);
}

static void woken(ch_watch_t *watch, int readable, int writable)
{
    ch_loop_t *loop = (ch_loop_t *)((char *)watch - offsetof(ch_loop_t, wake));
    ch_post_t *first;
    uint64_t times;
    ssize_t got;

    /* before the list is taken: what is posted after that wakes anew */
    do {
        got = read(watch->fd, &times, sizeof(times));
    } while (got < 0 && errno == EINTR);
    pthread_mutex_lock(&loop->lock);
    first = loop->posted.first;
    posts_clear(&loop->posted);
    loop->over = loop->quit;
    loop->quit = 0;
    pthread_mutex_unlock(&loop->lock);
    posts_run(first);
}

/* What is put off while this runs is for the next turn. */
static void run_later(ch_loop_t *loop)
{
    ch_post_t *first = loop->later.first;

    posts_clear(&loop->later);
    posts_run(first);
}

void ch_loop_later(ch_loop_t *loop, ch_post_t *post)
{
    posts_add(&loop->later, post);
}

/* --- timers ----------------------------------------------------------- */

/* The first tick at or after this time. */
static apr_int64_t tick_of(apr_time_t steady)
{
    return (steady + CH_LOOP_TICK - 1) / CH_LOOP_TICK;
}

static void timer_link(ch_timer_t **list, ch_timer_t *timer)
{
    timer->next = *list;
    timer->link = list;
    if (timer->next) {
        timer->next->link = &timer->next;
    }
    *list = timer;
}

void ch_loop_timer_clear(ch_timer_t *timer)
{
    if (!timer->link) {
        return;
    }
    *timer->link = timer->next;
    if (timer->next) {
        timer->next->link = timer->link;
    }
    timer->next = NULL;
    timer->link = NULL;
}

void ch_loop_timer_set(ch_loop_t *loop, ch_timer_t *timer, apr_time_t at)
{
    apr_int64_t tick;

    ch_loop_timer_clear(timer);
    timer->at = at - loop->ahead;
    tick = tick_of(timer->at);
    if (tick <= loop->tick) {
        tick = loop->tick + 1;
    }
    timer_link(&loop->slot[tick % SLOTS], timer);
}

/* Moves what is due from a slot; the rest is for a later round. */
static void take_due(ch_loop_t *loop, ch_timer_t *timer)
{
    ch_timer_t *next;

    for (; timer; timer = next) {
        next = timer->next;
        if (tick_of(timer->at) <= loop->tick) {
            ch_loop_timer_clear(timer);
            timer_link(&loop->due, timer);
        }
    }
}

static void run_timers(ch_loop_t *loop)
{
    apr_int64_t last = loop->steady / CH_LOOP_TICK;
    apr_int64_t tick = loop->tick + 1;
    ch_timer_t *timer;

    if (last - tick >= SLOTS) {
        tick = last - SLOTS + 1; /* one round is all of them */
    }
    /* those that are set from now on are for another turn */
    loop->tick = last;
    for (; tick <= last; tick++) {
        take_due(loop, loop->slot[tick % SLOTS]);
    }
    while ((timer = loop->due)) {
        ch_loop_timer_clear(timer);
        timer->due(timer);
    }
}

/* How long to wait, in milliseconds; -1 = there is no timer. */
static int patience(const ch_loop_t *loop)
{
    apr_time_t left;
    int i;

    if (loop->later.first) {
        return 0;
    }
    for (i = 1; i <= SLOTS; i++) {
        if (loop->slot[(loop->tick + i) % SLOTS]) {
            left = (loop->tick + i) * CH_LOOP_TICK - ch_steady_now();
            return left > 0 ? (int)((left + 999) / 1000) : 0;
        }
    }
    return -1;
}

apr_time_t ch_loop_now(const ch_loop_t *loop)
{
    return loop->steady + loop->ahead;
}

apr_time_t ch_loop_when(const ch_loop_t *loop, apr_time_t wall)
{
    return ch_loop_now(loop) + (wall - apr_time_now());
}

/* --- descriptors ------------------------------------------------------ */

static int watch(ch_loop_t *loop, ch_watch_t *watched, unsigned int events)
{
    struct epoll_event event = { .events = events, .data.ptr = watched };

    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watched->fd, &event) == 0;
}

int ch_loop_watch(ch_loop_t *loop, ch_watch_t *watched)
{
    return watch(loop, watched, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

void ch_loop_unwatch(ch_loop_t *loop, ch_watch_t *watched)
{
    struct epoll_event none = { .events = 0 };
    int i;

    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watched->fd, &none);
    for (i = loop->at + 1; i < loop->count; i++) {
        if (loop->ready[i].data.ptr == watched) {
            loop->ready[i].data.ptr = NULL;
        }
    }
}

static void tell(ch_loop_t *loop)
{
    ch_watch_t *watched;
    unsigned int events;

    for (loop->at = 0; loop->at < loop->count; loop->at++) {
        watched = loop->ready[loop->at].data.ptr;
        events = loop->ready[loop->at].events;
        if (watched) {
            watched->ready(
                watched,
                (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0,
                (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0);
        }
    }
    loop->count = 0;
}

char *ch_loop_buffer(ch_loop_t *loop)
{
    return loop->buffer;
}

/* --- the loop --------------------------------------------------------- */

static apr_status_t close_all(void *data)
{
    ch_loop_t *loop = data;

    close(loop->epoll);
    if (loop->wake.fd >= 0) {
        close(loop->wake.fd);
    }
    pthread_mutex_destroy(&loop->lock);
    return APR_SUCCESS;
}

ch_loop_t *ch_loop_make(apr_pool_t *pool)
{
    ch_loop_t *loop = apr_pcalloc(pool, sizeof(*loop));

    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0) {
        return NULL;
    }
    pthread_mutex_init(&loop->lock, NULL);
    loop->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->wake.ready = woken;
    apr_pool_cleanup_register(pool, loop, close_all, apr_pool_cleanup_null);
    if (loop->wake.fd < 0 || !watch(loop, &loop->wake, EPOLLIN)) {
        return NULL;
    }
    loop->buffer = apr_palloc(pool, CH_LOOP_BUFFER);
    posts_clear(&loop->posted);
    posts_clear(&loop->later);
    loop->steady = ch_steady_now();
    loop->ahead = apr_time_now() - loop->steady;
    loop->tick = loop->steady / CH_LOOP_TICK;
    return loop;
}

void ch_loop_run(ch_loop_t *loop)
{
    int i;

    loop->over = 0;
    while (!loop->over) {
        loop->count =
            epoll_wait(loop->epoll, loop->ready, BATCH, patience(loop));
        loop->steady = ch_steady_now();
        tell(loop);
        run_timers(loop);
        run_later(loop);
    }
    for (i = 0; i < LAST_ROUNDS && loop->later.first; i++) {
        run_later(loop);
    }
}
