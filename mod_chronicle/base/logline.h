/* One line of a JSON log, built in place: a whole JSON object whatever is put
 * in, and never too long for one write that nobody else's can be mixed with.
 */
#ifndef CH_BASE_LOGLINE_H
#define CH_BASE_LOGLINE_H

#include "chronicle.h"

/* Bytes of a line with its line feed; PIPE_BUF of Linux, up to which a write
 * to a pipe is atomic. */
#define CH_LOGLINE_MAX 4096

typedef struct {
    char data[CH_LOGLINE_MAX + 1];
    size_t len;
} ch_logline_t;

/* Begins with "time" and "stream". */
void ch_logline_begin(ch_logline_t *line, apr_time_t when, const char *stream);

/* A member. Bytes that are no UTF-8 become U+FFFD, control characters and
 * line separators are escaped, and what passes `max` bytes (as written) or
 * the line's end is cut and ends in an ellipsis. NULL is null. */
void ch_logline_text(ch_logline_t *line, const char *name, const char *text,
                     size_t max);

void ch_logline_int(ch_logline_t *line, const char *name, apr_int64_t value);

/* A number as text ("12.345"); null for what is none. */
void ch_logline_number(ch_logline_t *line, const char *name, const char *text);

/* Ends the object; data is a C string then. The line feed is not part of it,
 * but there is room for it. */
void ch_logline_end(ch_logline_t *line);

#endif
