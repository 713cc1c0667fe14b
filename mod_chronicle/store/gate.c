/* Hands places out in order: a place that is left goes straight to the first
 * in the queue, so nobody overtakes and nobody is woken for nothing. */
#include "store/gate.h"

#include <apr_thread_mutex.h>

#include "store/waiter.h"

typedef struct {
    ch_waiter_t waiter;
    int granted;
} visitor_t;

struct ch_gate_t {
    int max;
    int busy;
    ch_waiters_t queue;
    apr_thread_mutex_t *mutex;
};

ch_gate_t *ch_gate_make(apr_pool_t *pool, int max)
{
    ch_gate_t *gate = apr_pcalloc(pool, sizeof(*gate));

    gate->max = max > 0 ? max : 1;
    ch_waiters_init(&gate->queue);
    if (apr_thread_mutex_create(&gate->mutex, APR_THREAD_MUTEX_DEFAULT, pool)
        != APR_SUCCESS) {
        return NULL;
    }
    return gate;
}

/* Under the lock; who only wants to know the number asks without it. */
static void count(ch_gate_t *gate, int change)
{
    __atomic_store_n(&gate->busy, gate->busy + change, __ATOMIC_RELAXED);
}

int ch_gate_busy(const ch_gate_t *gate)
{
    return __atomic_load_n(&gate->busy, __ATOMIC_RELAXED);
}

int ch_gate_enter(ch_gate_t *gate, int wait_ms)
{
    visitor_t self = { .granted = 0 };

    apr_thread_mutex_lock(gate->mutex);
    if (gate->busy < gate->max) {
        count(gate, 1);
        apr_thread_mutex_unlock(gate->mutex);
        return 1;
    }
    ch_waiters_push(&gate->queue, &self.waiter);
    apr_thread_mutex_unlock(gate->mutex);
    ch_waiter_sleep(&self.waiter, wait_ms);
    /* under the lock: the place may come in this very moment, and whoever
     * grants it is done with us once the lock is ours */
    apr_thread_mutex_lock(gate->mutex);
    if (!self.granted) {
        ch_waiters_remove(&gate->queue, &self.waiter);
    }
    apr_thread_mutex_unlock(gate->mutex);
    return self.granted;
}

void ch_gate_leave(ch_gate_t *gate)
{
    visitor_t *next;

    apr_thread_mutex_lock(gate->mutex);
    next = (visitor_t *)ch_waiters_pop(&gate->queue);
    if (next) {
        next->granted = 1;
        ch_waiter_wake(&next->waiter);
    }
    else {
        count(gate, -1);
    }
    apr_thread_mutex_unlock(gate->mutex);
}
