/* A clock that nobody sets. */
#ifndef CH_BASE_STEADY_H
#define CH_BASE_STEADY_H

#include "chronicle.h"

/* For how long something took, or may take: the same in all processes of this
 * machine, wherever the wall clock is moved meanwhile. */
apr_time_t ch_steady_now(void);

#endif
