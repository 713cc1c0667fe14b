/* Asks the system how much time has gone by. A file of its own, in whose place
 * tests put a clock of theirs. */
#include "base/steady.h"

#include <time.h>

apr_time_t ch_steady_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000;
}
