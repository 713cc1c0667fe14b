/* Queues threads and wakes them one by one. */
#include "store/waiter.h"

#include <errno.h>
#include <time.h>

void ch_waiters_init(ch_waiters_t *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

void ch_waiters_push(ch_waiters_t *queue, ch_waiter_t *waiter)
{
    sem_init(&waiter->wake, 0, 0);
    waiter->next = NULL;
    *queue->last = waiter;
    queue->last = &waiter->next;
}

ch_waiter_t *ch_waiters_pop(ch_waiters_t *queue)
{
    ch_waiter_t *waiter = queue->first;

    if (waiter) {
        queue->first = waiter->next;
        if (!queue->first) {
            queue->last = &queue->first;
        }
    }
    return waiter;
}

void ch_waiters_remove(ch_waiters_t *queue, const ch_waiter_t *waiter)
{
    ch_waiter_t **link = &queue->first;

    while (*link && *link != waiter) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = waiter->next;
        if (!*link) {
            queue->last = link;
        }
    }
}

static void sleep_until(ch_waiter_t *waiter, int wait_ms)
{
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += wait_ms / 1000;
    deadline.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    while (sem_timedwait(&waiter->wake, &deadline) != 0 && errno == EINTR) {
    }
}

void ch_waiter_sleep(ch_waiter_t *waiter, int wait_ms)
{
    if (wait_ms >= 0) {
        sleep_until(waiter, wait_ms);
        return;
    }
    while (sem_wait(&waiter->wake) != 0 && errno == EINTR) {
    }
}

void ch_waiter_wake(ch_waiter_t *waiter)
{
    sem_post(&waiter->wake);
}
