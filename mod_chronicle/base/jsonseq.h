/* Takes a stream of JSON apart into the elements of its array, without
 * holding more than one of them: the array at the top, or, of an object at the
 * top, the array under a key.
 *
 * Only strings, escapes and brackets are looked at: what an element holds is
 * for whoever parses it, so that a bad one spoils only itself. Keys are
 * compared as they are written, without their escapes. */
#ifndef CH_BASE_JSONSEQ_H
#define CH_BASE_JSONSEQ_H

#include "base/err.h"

typedef struct ch_jsonseq_t ch_jsonseq_t;

/* text: the element's bytes, only during the call; NULL = it is longer than
 * item_max (len then says how long). */
typedef ch_err_t *ch_jsonseq_item_t(void *ctx, int index, const char *text,
                                    size_t len);

/* Lives in pool, with up to item_max bytes from the heap beside it. An object
 * at the top without `key` is ONE element, the object itself; key NULL: every
 * object at the top is. */
ch_jsonseq_t *ch_jsonseq_make(apr_pool_t *pool, const char *key,
                              size_t item_max, ch_jsonseq_item_t *item,
                              void *ctx);

/* The next bytes, cut anywhere. MALFORMED_JSON; what item answers is passed
 * on. After an error every further call answers it. */
ch_err_t *ch_jsonseq_feed(ch_jsonseq_t *seq, const char *data, size_t len);

/* MALFORMED_JSON when the text ended early or had no array. */
ch_err_t *ch_jsonseq_end(ch_jsonseq_t *seq);

#endif
