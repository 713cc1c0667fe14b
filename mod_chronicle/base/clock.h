/* Wall clock times in and out of text. */
#ifndef CH_BASE_CLOCK_H
#define CH_BASE_CLOCK_H

#include "chronicle.h"

/* "YYYY-MM-DDTHH:MM:SS.mmmZ" into out[CH_TS_LEN + 1]; finer parts are cut. */
void ch_clock_format(apr_time_t when, char *out);
const char *ch_clock_text(apr_pool_t *pool, apr_time_t when);

/* RFC 3339 with offset ("2026-01-24T10:30:00.123456789+01:00", "Z", lower
 * case t and z allowed), 0 to 9 fraction digits, real calendar days, seconds
 * 0 to 59 (60 is taken as the next minute only where 23:59:60Z), years 1970
 * to 9999. Returns 0 when it is none; else 1 and *out in microseconds. */
int ch_clock_parse(const char *text, size_t len, apr_time_t *out);

#endif
