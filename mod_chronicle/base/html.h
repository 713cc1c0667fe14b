/* HTML to plain text for search and word counts. */
#ifndef CH_BASE_HTML_H
#define CH_BASE_HTML_H

#include "chronicle.h"

/* The text of an HTML fragment (API.md 6): tags removed, ends of block
 * elements and <br> become one space, text of script, style, template and
 * noscript left out, entities decoded, runs of Unicode white space become one
 * space, trimmed. Never fails: broken markup is read as browsers would. The
 * result is valid UTF-8 without NUL in pool; *words (may be NULL) gets the
 * number of its white-space-separated tokens. Text without < and & takes a
 * short way without a parser. */
const char *ch_html_text(apr_pool_t *pool, const char *html, size_t len,
                         size_t *out_len, int *words);

#endif
