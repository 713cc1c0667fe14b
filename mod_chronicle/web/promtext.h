/* Prometheus' text format, version 0.0.4. */
#ifndef CH_WEB_PROMTEXT_H
#define CH_WEB_PROMTEXT_H

#include "base/buf.h"

#define CH_PROM_MEDIA "text/plain; version=0.0.4; charset=utf-8"

typedef struct {
    const char *name;
    const char *value; /* any UTF-8; escaped here */
} ch_prom_label_t;

/* Whose samples follow; `labels` may be NULL when count is 0. */
typedef struct {
    const char *name;
    const ch_prom_label_t *labels;
    int count;
} ch_prom_series_t;

/* The bounds of a histogram and what fell between them: buckets has one more
 * than bounds (the last has no upper bound), and is not cumulative. */
typedef struct {
    const apr_time_t *bounds; /* microseconds */
    const apr_uint64_t *buckets;
    int bound_count;
    apr_uint64_t sum_usec;
} ch_prom_histogram_t;

/* The two lines before the samples of a name. type: counter, gauge,
 * histogram. */
void ch_prom_family(ch_buf_t *buf, const char *name, const char *type,
                    const char *help);

void ch_prom_sample(ch_buf_t *buf, const ch_prom_series_t *series,
                    apr_int64_t value);

/* _bucket, _sum and _count of durations, in seconds. */
void ch_prom_durations(ch_buf_t *buf, const ch_prom_series_t *series,
                       const ch_prom_histogram_t *histogram);

#endif
