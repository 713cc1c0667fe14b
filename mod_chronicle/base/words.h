/* Copies of what other threads or processes may be writing, for data behind a
 * sequence lock. A copy may be a mixture, which the lock's number tells; but
 * no word of it is torn, and the order is that of the number: who has seen a
 * word that was stored sees the number that was stored before it. */
#ifndef CH_BASE_WORDS_H
#define CH_BASE_WORDS_H

#include "chronicle.h"

/* shared is aligned to 8 bytes, size a multiple of 8; the other side may be
 * anything. */
void ch_words_load(void *to, const void *shared, size_t size);
void ch_words_store(void *shared, const void *from, size_t size);

#endif
