/* What searches over notes and over conversations share. */
#ifndef CH_API_SEARCH_H
#define CH_API_SEARCH_H

#include "web/request.h"

/* The columns title_marked and content_marked. */
extern const ch_fields_t ch_search_highlights;

/* Words that people type, as websearch_to_tsquery can stand them, in pool. */
const char *ch_search_calmed(apr_pool_t *pool, const char *text);

#endif
