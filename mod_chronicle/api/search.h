/* What searches over notes and over conversations share. */
#ifndef CH_API_SEARCH_H
#define CH_API_SEARCH_H

#include "web/request.h"

/* The columns title_marked and content_marked. */
extern const ch_fields_t ch_search_highlights;

/* Words that people type, as websearch_to_tsquery can stand them, in pool. */
const char *ch_search_calmed(apr_pool_t *pool, const char *text);

/* What was typed with letters of a script without blanks, in parts that are
 * looked for as they are. */
typedef struct {
    apr_pool_t *pool;
    apr_array_header_t *words;   /* of const char * */
    apr_array_header_t *without; /* the same, of -words */
    const char *marks;           /* all words as a regular expression, one
                                  * that matches nothing when there is none */
    int any;                     /* there was an "or" */
} ch_search_parts_t;

/* Parts end at white space, but for what is in quotes. All in pool. */
void ch_search_split(apr_pool_t *pool, const char *text,
                     ch_search_parts_t *out);

#endif
