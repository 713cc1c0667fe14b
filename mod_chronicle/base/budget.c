/* Counts what was taken in fixed windows of time, without a lock. */
#include "base/budget.h"

int ch_budget_take(ch_budget_t *budget, apr_time_t now, apr_uint32_t limit,
                   apr_uint32_t seconds)
{
    /* from 1, so that a zeroed budget is never in a window */
    apr_uint32_t window = (apr_uint32_t)(apr_time_sec(now) / seconds) + 1;

    if (__atomic_exchange_n(&budget->window, window, __ATOMIC_RELAXED)
        != window) {
        __atomic_store_n(&budget->count, 0, __ATOMIC_RELAXED);
    }
    return __atomic_fetch_add(&budget->count, 1, __ATOMIC_RELAXED) < limit;
}
