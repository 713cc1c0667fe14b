/* Hands places out in order: a place that is left goes straight to the first
 * in the queue, so nobody overtakes and nobody is woken for nothing. */
#include "store/gate.h"

#include <errno.h>
#include <semaphore.h>
#include <time.h>

#include <apr_thread_mutex.h>

/* One who waits; lives on its thread's stack. */
typedef struct waiter_t waiter_t;

struct waiter_t {
    waiter_t *next;
    int granted;
    sem_t wake;
};

struct ch_gate_t {
    int max;
    int busy;
    waiter_t *first;
    waiter_t **last;
    apr_thread_mutex_t *mutex;
};

ch_gate_t *ch_gate_make(apr_pool_t *pool, int max)
{
    ch_gate_t *gate = apr_pcalloc(pool, sizeof(*gate));

    gate->max = max > 0 ? max : 1;
    gate->last = &gate->first;
    if (apr_thread_mutex_create(&gate->mutex, APR_THREAD_MUTEX_DEFAULT, pool)
        != APR_SUCCESS) {
        return NULL;
    }
    return gate;
}

int ch_gate_busy(const ch_gate_t *gate)
{
    return __atomic_load_n(&gate->busy, __ATOMIC_RELAXED);
}

static void sleep_until(waiter_t *self, int wait_ms)
{
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += wait_ms / 1000;
    deadline.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    while (sem_timedwait(&self->wake, &deadline) != 0 && errno == EINTR) {
    }
}

/* Takes one who gave up out of the queue, unless the place came just now. */
static int give_up(ch_gate_t *gate, waiter_t *self)
{
    waiter_t **link;
    int granted;

    apr_thread_mutex_lock(gate->mutex);
    granted = self->granted;
    for (link = &gate->first; !granted && *link; link = &(*link)->next) {
        if (*link == self) {
            *link = self->next;
            if (!*link) {
                gate->last = link;
            }
            break;
        }
    }
    apr_thread_mutex_unlock(gate->mutex);
    return granted;
}

int ch_gate_enter(ch_gate_t *gate, int wait_ms)
{
    waiter_t self = { .next = NULL };
    int granted;

    apr_thread_mutex_lock(gate->mutex);
    if (gate->busy < gate->max) {
        gate->busy++;
        apr_thread_mutex_unlock(gate->mutex);
        return 1;
    }
    sem_init(&self.wake, 0, 0);
    *gate->last = &self;
    gate->last = &self.next;
    apr_thread_mutex_unlock(gate->mutex);
    sleep_until(&self, wait_ms);
    granted = give_up(gate, &self); /* its lock also outlasts the sem_post */
    sem_destroy(&self.wake);
    return granted;
}

void ch_gate_leave(ch_gate_t *gate)
{
    waiter_t *next;

    apr_thread_mutex_lock(gate->mutex);
    next = gate->first;
    if (next) {
        gate->first = next->next;
        if (!gate->first) {
            gate->last = &gate->first;
        }
        next->granted = 1;
        sem_post(&next->wake); /* under the mutex: its owner can't be gone */
    }
    else {
        gate->busy--;
    }
    apr_thread_mutex_unlock(gate->mutex);
}
