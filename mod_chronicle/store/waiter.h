/* Inside store/: threads that wait in a queue, each woken by name. The queue
 * is its owner's to lock. */
#ifndef CH_STORE_WAITER_H
#define CH_STORE_WAITER_H

#include <semaphore.h>

#include "chronicle.h"

/* One who waits; lives on its thread's stack, as the first member of what the
 * queue is about. */
typedef struct ch_waiter_t ch_waiter_t;

struct ch_waiter_t {
    ch_waiter_t *next;
    sem_t wake;
};

/* First come, first served. */
typedef struct {
    ch_waiter_t *first;
    ch_waiter_t **last;
} ch_waiters_t;

void ch_waiters_init(ch_waiters_t *queue);
void ch_waiters_push(ch_waiters_t *queue, ch_waiter_t *waiter);

/* The first, taken out; NULL when nobody waits. */
ch_waiter_t *ch_waiters_pop(ch_waiters_t *queue);

/* Takes one out who gave up, if it is still there. */
void ch_waiters_remove(ch_waiters_t *queue, const ch_waiter_t *waiter);

/* Sleeps until woken, or until wait_ms have passed (below 0: for ever). */
void ch_waiter_sleep(ch_waiter_t *waiter, int wait_ms);
void ch_waiter_wake(ch_waiter_t *waiter);

#endif
