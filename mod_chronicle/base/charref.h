/* Character references of HTML: "&amp;", "&#233;", "&#xE9;". */
#ifndef CH_BASE_CHARREF_H
#define CH_BASE_CHARREF_H

#include "chronicle.h"

/* Reads the reference that begins with the & at text, as a browser does it in
 * text (WHATWG standard, section 13.2.5.72): all of the standard's names, the
 * longest that fits, some of them without a semicolon. Returns how many bytes
 * it takes, 0 if it is none; points are its one or two code points (the
 * second 0 if there is none), never a surrogate or 0. */
size_t ch_charref_read(const char *text, size_t len, unsigned points[2]);

#endif
