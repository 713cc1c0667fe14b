/* W3C trace context: reads, makes and writes "traceparent". */
#ifndef CH_BASE_TRACE_H
#define CH_BASE_TRACE_H

#include "chronicle.h"

#define CH_TRACE_ID_LEN 32   /* hex digits, without the closing NUL */
#define CH_TRACE_SPAN_LEN 16 /* likewise */

/* Where a request stands in a trace. */
typedef struct {
    char trace_id[CH_TRACE_ID_LEN + 1];
    char parent_id[CH_TRACE_SPAN_LEN + 1]; /* the caller's span, "" = none */
    unsigned char flags;                   /* as they came; 1 = sampled */
} ch_trace_t;

/* Reads a traceparent of version 00, or of a higher one as far as it is like
 * version 00. 1, or 0 (and *out untouched) when it is not valid: then it has
 * to be ignored. text may be NULL. */
int ch_trace_parse(const char *text, ch_trace_t *out);

/* Begins a trace of our own: a new id, no parent, not sampled. Ids are unique,
 * not secret: no system call is made for one. */
void ch_trace_make(ch_trace_t *out);

/* The traceparent of a call to somebody else on behalf of this request: the
 * same trace, a new span, version 00. */
const char *ch_trace_child(apr_pool_t *pool, const ch_trace_t *trace);

#endif
